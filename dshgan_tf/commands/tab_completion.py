"""`dshgan tab-completion SHELL`: completions of every subcommand and flag, by tyro."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from tyro.conf import OmitArgPrefixes, Positional

from dshgan_tf.commands import terminal
from dshgan_tf.config import RunConfig

PARSED = {"search": "Search", "db": "load"}  # what these modules parse; the others a function of their own name


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
        module_name = name.replace("-", "_")
        module = importlib.import_module(f"dshgan_tf.commands.{module_name}")
        functions[name] = _train if name in ("train", "tune") else getattr(module, PARSED.get(name, module_name))
    return functions


def command(arguments: Sequence[str]) -> None:
    """Run the subcommand."""
    terminal.parse(tab_completion, arguments)
