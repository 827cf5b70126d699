"""The files that `dshgan encode-all` wrote, searched where they lie; the index of them is built once."""

from __future__ import annotations

import collections
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from dshgan_tf.bulk_encoding.manifest import MANIFEST, checked_file, read_manifest
from dshgan_tf.bulk_encoding.shard import MOST_ROWS
from dshgan_tf.errors import InputError
from dshgan_tf.files import checksum
from dshgan_tf.search.large_index import LargeIndex, build_large_index

Watched = Callable[[Iterable[str]], Iterable[str]]


def index_of(folder: str | Path, watched: Watched = lambda files: files) -> LargeIndex:
    """Return an index of all codes of an output. It is built where there is none of what the manifest says now.

    Args:
        folder: of `dshgan encode-all`.
        watched: wraps the names of files, to show progress.

    Returns:
        The index; it lies in the same folder.

    Raises:
        InputError: no such folder, a damaged one, or one without codes.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    target = folder / f"index-{checksum(folder / MANIFEST)[:16]}"
    if not target.exists():
        codes, ids = _codes(folder, manifest, watched)
        build_large_index(target, codes, ids, manifest["num_bits"])
        for older in set(folder.glob("index-*")) - {target}:
            shutil.rmtree(older, ignore_errors=True)
    return LargeIndex(target)


def names_of(folder: str | Path, ids: Iterable[int]) -> dict[int, str]:
    """Return the names of images by their ids.

    Raises:
        InputError: a file of codes is damaged, or an id is of no image.
    """
    from pyarrow import parquet

    folder = Path(folder)
    manifest, wanted = read_manifest(folder), collections.defaultdict(set)
    for i in ids:
        wanted[i // MOST_ROWS].add(i % MOST_ROWS)
    files, names = list(manifest["files"]), {}
    for shard, rows in wanted.items():
        if not 0 <= shard < len(files) or max(rows) >= manifest["files"][files[shard]]["images"]:
            raise InputError(f"{folder} has no image with the id {shard * MOST_ROWS + max(rows)}")
        paths = parquet.read_table(checked_file(folder, manifest, files[shard]), columns=["path"])["path"]
        names.update({shard * MOST_ROWS + row: paths[row].as_py() for row in rows})
    return names


def _codes(folder: Path, manifest: dict[str, Any], watched: Watched) -> tuple[np.ndarray, np.ndarray]:
    """Return all codes, (N, W) uint8, and their ids, (N,) int64; images without a code are left out."""
    from pyarrow import parquet
    from pyarrow.compute import field

    width = -(-manifest["num_bits"] // 8)
    codes, ids = [np.empty((0, width), np.uint8)], [np.empty(0, np.int64)]
    for name in watched(manifest["files"]):
        path = checked_file(folder, manifest, name)
        table = parquet.read_table(path, columns=["id", "code"], filters=field("code").is_valid())
        codes.append(np.frombuffer(b"".join(table["code"].to_pylist()), np.uint8).reshape(-1, width))
        ids.append(table["id"].to_numpy())
    if not any(map(len, ids)):
        raise InputError(f"{folder} has no image with a code; look at the column error")
    return np.concatenate(codes), np.concatenate(ids)
