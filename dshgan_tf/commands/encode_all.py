"""`dshgan encode-all SOURCE --model EXPORT --output DIR`: hash more images than one process can."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from dshgan_tf.commands import terminal


def encode_all(
    source: Positional[str],
    *,
    model: Path,
    output: Path,
    scheduler: str | None = None,
    workers: int | None = None,
    engine: Literal["litert", "tensorflow", "openvino"] | None = None,
    relaxed: bool = False,
) -> None:
    """Hash all images of a source by several processes or machines: one Parquet file for each shard of them.

    Killed at any moment, the same command does what is missing. New images of the source are added. Images that cannot
    be read are rows with the reason.

    Args:
        source: Folder of images, of .tar or of .parquet files with a column image, one of these files, or a table with
            a column path. URLs work where fsspec has what opens them.
        model: An encoder_*.tflite file, or the version's folder of a SavedModel.
        output: Folder of the codes.
        scheduler: Address of a scheduler of dask.distributed, as tcp://host:8786; by default workers start here.
        workers: How many start here; one a core by default.
        engine: What runs a SavedModel; TensorFlow by default.
        relaxed: Keep relaxed codes beside the bits.
    """
    from dshgan_tf.bulk_encoding import encode_all as bulk
    from dshgan_tf.errors import InputError

    if scheduler is not None and workers is not None:
        raise InputError("--workers start here, those of --scheduler elsewhere; give one of the two")
    with _bar() as progress:
        done = bulk.encode_all(
            source, model, output, workers if scheduler is None else scheduler, engine, relaxed, progress
        )
    console, counts = terminal.output(), done.manifest
    console.print(
        f"{output}: {counts['images']:,} images in {len(counts['files']):,} files, codes of {counts['num_bits']} bits "
        f"({done.hashed:,} read now)",
        markup=False,
    )
    if counts["broken"]:
        console.print(f"{counts['broken']:,} cannot be read: see the column error", markup=False)
    if done.gone:
        console.print(f"{done.gone:,} are in the source no more; their rows stay", markup=False)
    if counts["not_read"]:
        listed = ", ".join(f"{count:,} {suffix}" for suffix, count in counts["not_read"].items())
        console.print(f"not read, no known image format: {listed}", markup=False, soft_wrap=True)


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """Show images a second, shards done, and the time left."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("hashing"),
        BarColumn(),
        TextColumn("{task.completed} of {task.total} shards"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not terminal.is_watched()) as bar:
        task, images = bar.add_task("", total=None, rate=""), 0

        def step(count: int, left: int) -> None:
            nonlocal images
            images += count
            finished = bar.tasks[task].completed + 1
            rate = f"{images / max(bar.tasks[task].elapsed or 1, 1e-9):,.0f} images/s"
            bar.update(task, completed=finished, total=finished + left, rate=rate)

        yield step


def command(arguments: Sequence[str]) -> None:
    """Run the subcommand."""
    terminal.parse(encode_all, arguments)
