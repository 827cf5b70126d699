"""Which image is in which shard. It is written before the first image is read, and grows only at its end."""

from __future__ import annotations

import collections
import dataclasses
import json
import uuid
from pathlib import Path
from typing import Any

from dshgan_tf.bulk_encoding.sources import Source
from dshgan_tf.errors import InputError
from dshgan_tf.files import atomic_path

PLAN = "plan.parquet"
SHARD = 1000  # image files in a shard; a container is a shard of its own


@dataclasses.dataclass(frozen=True)
class Plan:
    """Shards of one output.

    Attributes:
        about: what all shards have in common: name of the output, model, bits, kind of source, whether relaxed codes
            are kept.
        shards: names of each, of images or of one container; shard i is written to `file_of(i)`.
    """

    about: dict[str, Any]
    shards: tuple[tuple[str, ...], ...]

    def file_of(self, shard: int) -> str:
        """Return the name of the Parquet file of a shard."""
        return f"codes-{shard:06d}.parquet"

    def missing(self, folder: Path) -> list[int]:
        """Return the shards whose file is not there."""
        return [shard for shard in range(len(self.shards)) if not (folder / self.file_of(shard)).exists()]


def pinned_plan(folder: Path, source: Source, about: dict[str, Any]) -> tuple[Plan, int]:
    """Return the plan of an output, with new names of the source in new shards at its end.

    Shards that exist never change, so a worker that outlives its driver writes what the next one would.

    Args:
        folder: of the output.
        source: as it is now.
        about: as it is now.

    Returns:
        The plan, which is on disk, and how many names of it are in the source no more.

    Raises:
        InputError: the output is of something else.
    """
    before = _read(folder / PLAN)
    if before is None:
        if folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
            raise InputError(f"{folder} is there and holds no {PLAN}; give another --output")
        before = Plan({"output": uuid.uuid4().hex, **about}, ())
    for key, value in about.items():
        if before.about.get(key) != value:
            raise InputError(f"{folder} is of {key} {before.about.get(key)}, not {value}; give another --output")
    planned = {name for shard in before.shards for name in shard}
    new = [name for name in source.names if name not in planned]
    size = SHARD if source.kind == "files" else 1
    added = tuple(tuple(new[start : start + size]) for start in range(0, len(new), size))
    plan = Plan(before.about, before.shards + added)
    if added:
        _write(folder / PLAN, plan)
    return plan, len(planned) + len(new) - len(source.names)


def _write(path: Path, plan: Plan) -> None:
    import pyarrow
    from pyarrow import parquet

    shards = [number for number, shard in enumerate(plan.shards) for _ in shard]
    names = [name for shard in plan.shards for name in shard]
    table = pyarrow.table({"shard": pyarrow.array(shards, pyarrow.int32()), "name": pyarrow.array(names)})
    with atomic_path(path) as temporary:
        parquet.write_table(table.replace_schema_metadata({"about": json.dumps(plan.about)}), temporary)


def _read(path: Path) -> Plan | None:
    from pyarrow import parquet

    if not path.exists():
        return None
    try:
        table = parquet.read_table(path)
        about = json.loads(table.schema.metadata[b"about"])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is damaged ({error}); give another --output") from error
    shards: dict[int, list[str]] = collections.defaultdict(list)
    for shard, name in zip(table.column("shard").to_pylist(), table.column("name").to_pylist(), strict=True):
        shards[shard].append(name)
    return Plan(about, tuple(tuple(shards[number]) for number in range(len(shards))))
