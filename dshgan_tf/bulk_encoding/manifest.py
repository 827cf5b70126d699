"""What an output holds, counted on disk when all shards are there."""

from __future__ import annotations

import collections
import json
from pathlib import Path
from typing import Any

from dshgan_tf.bulk_encoding.plan import Plan
from dshgan_tf.errors import InputError
from dshgan_tf.files import checksum, write_json

MANIFEST = "manifest.json"


def write_manifest(folder: Path, plan: Plan, foreign: dict[str, int]) -> dict[str, Any]:
    """Count rows and broken images in the files, and write the manifest.

    Args:
        folder: of the output; the file of each shard is there.
        plan: of the output.
        foreign: suffix -> files of the source that are not read; those in containers are counted here.

    Returns:
        The manifest.

    Raises:
        InputError: a file has other rows than the plan.
    """
    from pyarrow import parquet

    files, not_read = {}, collections.Counter(foreign)
    for number, shard in enumerate(plan.shards):
        name = plan.file_of(number)
        about = parquet.read_metadata(folder / name)
        if plan.about["source"] == "files" and about.num_rows != len(shard):
            raise InputError(f"{folder / name} has {about.num_rows} rows, not {len(shard)}; delete it and call again")
        not_read.update(json.loads(about.metadata.get(b"not_read", b"{}")))
        files[name] = {"images": about.num_rows, "broken": _broken(about), "sha256": checksum(folder / name)}
    totals = {key: sum(file[key] for file in files.values()) for key in ("images", "broken")}
    manifest = {**totals, **plan.about, "bitorder": "big", "not_read": dict(not_read), "files": files}
    write_json(folder / MANIFEST, manifest)
    return manifest


def _broken(about: Any) -> int:
    """Rows with an error, by what the file says of its own columns."""
    groups = [about.row_group(number) for number in range(about.num_row_groups)]
    column = about.schema.names.index("error")
    return sum(group.num_rows - group.column(column).statistics.null_count for group in groups)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of an output.

    Raises:
        InputError: there is none, or none of `dshgan encode-all`.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not there; give a folder that dshgan encode-all wrote")
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        missing = {"output", "num_bits", "files"} - set(manifest)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} has no {MANIFEST} ({error}); let dshgan encode-all end first") from error
    if missing:
        raise InputError(f"{folder / MANIFEST} is not of dshgan encode-all; give the folder that it wrote")
    return manifest


def checked_file(folder: Path, manifest: dict[str, Any], name: str) -> Path:
    """Return the path of a file of codes.

    Raises:
        InputError: it is not what the manifest says.
    """
    path = folder / name
    if not path.exists() or checksum(path) != manifest["files"][name]["sha256"]:
        raise InputError(f"{path} is not what {MANIFEST} says; copy it again, or let dshgan encode-all make it again")
    return path
