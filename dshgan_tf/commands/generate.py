"""`dshgan generate DIR NAME... --output PICTURE`: synthetic images of classes by their names, one row each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tyro.conf import Positional

from dshgan_tf.commands import terminal
from dshgan_tf.errors import InputError
from dshgan_tf.run import Run


def generate(
    workdir: Positional[Path],
    names: Positional[tuple[str, ...]] = (),
    *,
    output: Path,
    count: int = 10,
    seed: int = 0,
    data_dir: str | None = None,
) -> None:
    """Draw synthetic images of classes, one row each.

    Args:
        workdir: Folder of a finished run with a generator (--synthetic).
        names: Classes, or several labels of one image: "sky|clouds". By default every class.
        output: PNG file to write.
        count: Images of each.
        seed: Of the noise.
        data_dir: Where the run's data lie, if they moved; generated features are shown by its images.
    """
    if count < 1:
        raise InputError(f"--count must be at least 1, got {count}")
    from dshgan_tf.training.generate import draw_samples

    drawn = draw_samples(Run(workdir, data_dir), names, output, count, seed)
    terminal.output().print(f"{output}, from top to bottom: {', '.join(drawn)}", markup=False)


def command(arguments: Sequence[str]) -> None:
    """Run the subcommand."""
    terminal.parse(generate, arguments)
