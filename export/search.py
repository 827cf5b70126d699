"""`dshgan-encode`, `dshgan-index`, `dshgan-search`: use a trained encoder on image files."""

from __future__ import annotations

import os

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # before TensorFlow is imported: off by default on some CPUs
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

import dshgan_tf as dsh
from dshgan_tf.data import splits_of_run
from dshgan_tf.errors import InputError
from dshgan_tf.files import write_json
from dshgan_tf.preprocessing import read_image

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"}


def load_run(workdir: Path) -> dsh.DSHGAN:
    """Load the model of a finished run.

    Args:
        workdir: folder of the run.

    Raises:
        ValueError: no finished run is there.
    """
    path = workdir / "model.keras"
    if not path.exists():
        raise InputError(f"{workdir} holds no finished run (no model.keras); run dshgan-train into it first")
    return dsh.load_model(path)


def encode_files(model: dsh.DSHGAN, paths: list[Path], batch_size: int = 256) -> np.ndarray:
    """Hash image files.

    Args:
        model: the trained model.
        paths: N image files; each is rotated by its EXIF, converted and resized.
        batch_size: images in memory at a time.

    Returns:
        (N, ceil(K/8)) uint8.

    Raises:
        ValueError: a file is missing or is no image.
    """
    starts = range(0, len(paths), batch_size)
    if len(starts) > 1:
        starts = track(starts, "encoding", console=Console(stderr=True))
    parts = []
    for start in starts:
        images = np.stack([read_image(str(path), model.image_shape) for path in paths[start : start + batch_size]])
        # A black image lies within 0..1 and is no mistake: files are always 0..255.
        parts.append(model.encode(np.rint(images).astype(np.uint8)))
    return np.concatenate(parts)


def encode_main(arguments: list[str] | None = None) -> int:
    """Print the code of each image file, in hexadecimal."""
    parser = argparse.ArgumentParser("dshgan-encode", description="Print the codes of image files.")
    parser.add_argument("workdir", type=Path, metavar="DIR", help="folder of a finished run")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE")

    def run(options: argparse.Namespace) -> None:
        codes = encode_files(load_run(options.workdir), options.images)
        for path, code in zip(options.images, codes, strict=True):
            print(code.tobytes().hex(), path)

    return _run(parser, arguments, run)


def index_main(arguments: list[str] | None = None) -> int:
    """Hash a folder of images, or the database of the run itself, into a searchable file."""
    parser = argparse.ArgumentParser("dshgan-index", description="Hash images into a file for dshgan-search.")
    parser.add_argument("workdir", type=Path, metavar="DIR", help="folder of a finished run")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="image files, subfolders included "
                        "(default: the database of the run)")  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, metavar="FILE")

    def run(options: argparse.Namespace) -> None:
        model = load_run(options.workdir)
        if options.images is None:
            splits = splits_of_run(options.workdir)
            codes = model.encode(splits.database.images)
            rows = splits.searched_rows(splits.database.labels)
            names = [
                f"{splits.name} #{item} ({', '.join(np.array(splits.searched_names)[row > 0])})"
                for item, row in zip(splits.database.ids, rows, strict=True)
            ]
        else:
            paths = sorted(path for path in options.images.rglob("*") if path.suffix.lower() in SUFFIXES)
            if not paths:
                raise InputError(f"{options.images} holds no image files ({', '.join(sorted(SUFFIXES))})")
            codes, names = encode_files(model, paths), [str(path.relative_to(options.images)) for path in paths]
        index = dsh.HammingIndex(model.num_bits)
        index.add(codes)
        # The names first: an index file always has them.
        write_json(_names_file(options.output), {"workdir": str(options.workdir.resolve()), "names": names})
        index.save(options.output)
        print(f"{len(index)} codes of {model.num_bits} bits in {options.output}")

    return _run(parser, arguments, run)


def search_main(arguments: list[str] | None = None) -> int:
    """Find the images of an index nearest to an image file."""
    parser = argparse.ArgumentParser("dshgan-search", description="Find the nearest images of an index.")
    parser.add_argument("index", type=Path, metavar="FILE", help="written by dshgan-index")
    parser.add_argument("image", type=Path, metavar="IMAGE")
    parser.add_argument("--k", type=int, default=10, help="images to find (default 10)")

    def run(options: argparse.Namespace) -> None:
        if not options.index.exists() or not _names_file(options.index).exists():
            raise InputError(f"{options.index} is no index; write one with dshgan-index")
        if options.k < 1:
            raise InputError(f"--k must be at least 1, got {options.k}")
        index = dsh.HammingIndex.load(options.index)
        workdir, names = _read_names(_names_file(options.index), len(index))
        model = load_run(workdir)
        distances, ids = index.search(encode_files(model, [options.image]), k=min(options.k, len(index)))
        table = Table(title=f"Nearest to {options.image}")
        for column in ("rank", "distance", "image"):
            table.add_column(column, justify="left" if column == "image" else "right")
        for rank, (distance, item) in enumerate(zip(distances[0], ids[0], strict=True), start=1):
            table.add_row(str(rank), str(distance), names[item])
        Console(width=None if sys.stdout.isatty() else 120).print(table)

    return _run(parser, arguments, run)


def _read_names(path: Path, size: int) -> tuple[Path, list[str]]:
    """Read the run's folder and one name a code."""
    try:
        about = json.loads(path.read_text())
        workdir, names = about["workdir"], about["names"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"cannot read {path} ({error!r}); write the index again with dshgan-index") from error
    if not isinstance(workdir, str) or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path} must hold a folder and a list of names; write the index again with dshgan-index")
    if len(names) != size:
        raise InputError(f"{path} names {len(names)} images of {size}; write the index again with dshgan-index")
    return Path(workdir), names


def _names_file(index: Path) -> Path:
    return index.with_name(index.name + ".json")


def _run(
    parser: argparse.ArgumentParser, arguments: list[str] | None, run: Callable[[argparse.Namespace], None]
) -> int:
    """Parse, run, and turn our errors into a line and status 2."""
    options = parser.parse_args(arguments)
    try:
        run(options)
    except ValueError as error:
        Console(stderr=True).print(
            f"{parser.prog}: {error}", style="red", markup=False, highlight=False, soft_wrap=True
        )
        return 2
    return 0
