"""`dshgan evaluate DIR...`: evaluate finished runs again, and lay several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tyro.conf import Positional

from dshgan_tf.commands import terminal


def evaluate(
    workdirs: Positional[tuple[Path, ...]],
    baselines: bool = False,
    shift: bool = False,
    output: Path | None = None,
) -> None:
    """Evaluate finished runs again, and lay several side by side.

    Args:
        workdirs: Folders of finished runs.
        baselines: Also evaluate LSH, ITQ, spectral hashing and the class as a code, on the same split.
        shift: Also corrupt the queries in 8 ways at severity 1 to 5.
        output: Folder for results.md and the pictures; by default plots/ beside the first run.
    """
    from dshgan_tf.errors import InputError
    from training.comparison import group, read_entries
    from training.evaluate import compare, evaluate_workdir, require_finished

    if not workdirs:
        raise InputError("give the folder of at least one finished run")
    for workdir in workdirs:  # all are looked at before the first is evaluated
        require_finished(workdir)
    group([read_entries(workdir)[0] for workdir in workdirs])
    for workdir in workdirs:
        evaluate_workdir(workdir, baselines, shift)
    compare(list(workdirs), output or workdirs[0].resolve().parent / "plots", terminal.output())


def command(arguments: Sequence[str]) -> None:
    """Run the subcommand."""
    terminal.parse(evaluate, arguments)
