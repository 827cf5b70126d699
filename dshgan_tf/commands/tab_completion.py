"""`dshgan tab-completion SHELL`: completions of every subcommand and flag, by tyro."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from tyro.conf import OmitArgPrefixes, Positional

from dshgan_tf.commands import terminal
from dshgan_tf.config import RunConfig


def tab_completion(shell: Positional[Literal["bash", "zsh", "tcsh"]]) -> None:
    """Print a script that completes subcommands, flags and file names; your shell reads it with `source`.

    Args:
        shell: The shell that is to complete.
    """
    from tyro.extras import subcommand_cli_from_dict

    given = ["--tyro-print-completion", shell]
    subcommand_cli_from_dict(_functions(), prog="dshgan", args=given, config=(OmitArgPrefixes,))


def _train(
    data: Positional[str],
    *,
    settings: RunConfig,
    workdir: Path,
    config: Path | None = None,
) -> None:
    """Stand for `train` and `tune`, whose defaults depend on the data."""


def _functions() -> dict[str, Callable[..., Any]]:
    from dshgan_tf.commands.main import SUBCOMMANDS

    functions: dict[str, Callable[..., Any]] = {}
    for name in SUBCOMMANDS:
        module = importlib.import_module(f"dshgan_tf.commands.{name.replace('-', '_')}")
        functions[name] = getattr(module, name.replace("-", "_"), _train)
    return functions


def command(arguments: Sequence[str]) -> None:
    """Run the subcommand."""
    terminal.parse(tab_completion, arguments)
