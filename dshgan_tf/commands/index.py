"""`dshgan index RUN --images FOLDER --output INDEX`: make a searchable index, or bring it up to date."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from dshgan_tf.commands import terminal
from dshgan_tf.errors import InputError
from dshgan_tf.files import checksum
from dshgan_tf.images.find_images import find_images
from dshgan_tf.images.picture_files import SUFFIXES
from dshgan_tf.run import Run
from dshgan_tf.search.image_index import ImageIndex
from dshgan_tf.search.image_manifest import MANIFEST, read_manifest
from dshgan_tf.search.image_store import DATABASE, FOLDER
from dshgan_tf.search.index_update import Update, update_from_arrays, update_from_folder


def index(workdir: Positional[Path], *, output: Path, images: Path | None = None, data_dir: str | None = None) -> None:
    """Make a searchable index of images, or bring it up to date: new files in, changed ones again, gone ones out.

    The index is a folder that can be moved: it holds the codes, the names, small pictures and the encoder. Killed at
    any moment, the same command goes on. Files that cannot be read are listed at the end.

    Args:
        workdir: Folder of a finished run.
        output: Folder of the index.
        images: Folder of the images and its subfolders; by default the run's own database is indexed.
        data_dir: Where the data of the run lie now, if they moved.
    """
    run = Run(workdir, data_dir).require_finished()
    if images is not None and not find_images(images)[0]:
        raise InputError(f"{images} holds no image files ({', '.join(SUFFIXES)}), so nothing was changed")
    splits = None
    if not (output / MANIFEST).exists():
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise InputError(f"{output} is there and is no index; give another --output")
        from dshgan_tf.export.index_files import make_index

        splits = make_index(run, output)
    elif read_manifest(output)["model_sha256"] != checksum(run.path("model")):
        raise InputError(f"{output} holds the codes of another model; give another --output, or delete it")
    target = ImageIndex(output, writable=True)
    if target.store.has(DATABASE if images is not None else FOLDER):
        held = "the run's own database: leave --images out" if images is not None else "a folder: give it as --images"
        raise InputError(f"{output} holds {held}, or give another --output")
    if images is not None:
        update = update_from_folder(target, images, _bar)
    else:
        from dshgan_tf.export.index_files import names_of_database

        splits = splits or run.splits()
        update = update_from_arrays(target, splits.database.images, names_of_database(splits), _bar)
    _report(target, update)


def _bar(items: Iterable[Any], total: int) -> Iterable[Any]:
    from rich.console import Console
    from rich.progress import track

    return track(items, "hashing", total=total, console=Console(stderr=True), disable=not terminal.is_watched())


def _report(target: ImageIndex, update: Update) -> None:
    console = terminal.output()
    done = {"new": update.added, "changed": update.changed, "gone": update.removed, "as before": update.unchanged}
    counts = ", ".join(f"{count:,} {what}" for what, count in done.items() if count) or "nothing new"
    console.print(f"{target.folder}: {len(target):,} images, codes of {target.num_bits} bits ({counts})", markup=False)
    for name, reason in update.broken.items():
        console.print(terminal.printable(f"broken: {name}: {reason}"), markup=False, soft_wrap=True)
    if update.foreign:
        listed = ", ".join(f"{count:,} {suffix}" for suffix, count in update.foreign.items())
        console.print(f"not read, no known image format: {listed}", markup=False, soft_wrap=True)


def command(arguments: Sequence[str]) -> None:
    """Run the subcommand."""
    terminal.parse(index, arguments)
