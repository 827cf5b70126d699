"""`dshgan evaluate DIR...`: evaluate finished runs again, and lay several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tyro.conf import Positional

from dshgan_tf.commands import terminal
from dshgan_tf.run import Run


def evaluate(
    workdirs: Positional[tuple[Path, ...]],
    baselines: bool = False,
    shift: bool = False,
    output: Path | None = None,
    data_dir: str | None = None,
) -> None:
    """Evaluate finished runs again, and lay several side by side.

    Args:
        workdirs: Folders of finished runs.
        baselines: Also evaluate LSH, ITQ, spectral hashing and the class as a code, on the same split; of a frozen
            backbone also the cosine of its features and the class that label spreading names.
        shift: Also corrupt the queries in 8 ways at severity 1 to 5.
        output: Folder for results.md and the pictures; by default plots/ beside the first run.
        data_dir: Where the data of the runs lie now, if they moved.
    """
    from dshgan_tf.errors import InputError
    from dshgan_tf.training.comparison import group, read_entries
    from dshgan_tf.training.evaluate import compare, evaluate_run

    if not workdirs:
        raise InputError("give the folder of at least one finished run")
    runs = [Run(workdir, data_dir) for workdir in workdirs]
    group([read_entries(run.require_finished())[0] for run in runs])  # all, before the first is evaluated
    for run in runs:
        evaluate_run(run, baselines, shift)
    compare(runs, output or workdirs[0].resolve().parent / "plots", terminal.output())


def command(arguments: Sequence[str]) -> None:
    """Run the subcommand."""
    terminal.parse(evaluate, arguments)
