"""A folder of exported LiteRT files: made and checked under a temporary name, then moved to its place."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dshgan_tf.export.held_out import Check
from dshgan_tf.export.model_card import ModelCard

import dshgan_tf as dsh
from dshgan_tf.errors import InputError
from dshgan_tf.files import remove_leftovers, write_json

REPORT = "export_report.json"
ORDER = ("float32", "float16", "dynamic", "int8", "micro")
# What an export is for -> a file that each such folder holds, and no other.
MARKS = {"phones": "hash_images.py", "microcontrollers": "hash_image.cc", "browsers": "index.html"}


@dataclasses.dataclass(frozen=True)
class EdgeFolder:
    """An export on its way.

    Args:
        output: where it shall lie.
        scratch: a temporary folder, for what is needed on the way.
        made: a folder in it, for what shall be exported.
    """

    output: Path
    scratch: Path
    made: Path

    def publish(self, checks: Sequence[Check], card: ModelCard | None) -> None:
        """Move what was made to its place, and write the report and the model card.

        Args:
            checks: the comparison of each encoder with Keras.
            card: of the run; None writes no model card.
        """
        self.output.mkdir(exist_ok=True)
        # A model before its sidecar, whose checksum then fits or tells; the report last.
        for path in sorted(self.made.iterdir(), key=lambda path: (path.suffix == ".json", path.name)):
            os.replace(path, self.output / path.name)
        report = self._merged(checks)
        write_json(self.output / REPORT, report)
        if card is not None:
            card.write(self.output, report)

    def _merged(self, checks: Sequence[Check]) -> list[dict[str, Any]]:
        """The report's rows: those of this export, and those of earlier ones whose files are still there."""
        rows = {check.name: check.as_dict() for check in checks}
        report = self.output / REPORT
        for row in json.loads(report.read_text()) if report.exists() else []:
            if (self.output / row["name"]).exists():
                rows.setdefault(row["name"], row)
        return [rows[name] for name in map(file_name, ORDER) if name in rows]


@contextlib.contextmanager
def edge_folder(output: Path, purpose: str) -> Iterator[EdgeFolder]:
    """Make an export under a temporary name. What is not published is removed.

    Args:
        output: folder of the export; its parents are made where they are missing.
        purpose: what it is for, of `MARKS`.

    Yields:
        Where to make it.

    Raises:
        InputError: the folder is a file, or holds other things than an export for this.
    """
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file; give --output a folder")
    for other, mark in MARKS.items():
        if other != purpose and (output / mark).exists():
            raise InputError(f"{output} holds an export for {other}; give --output another folder")
    if output.is_dir() and any(output.iterdir()) and not (output / REPORT).exists():
        raise InputError(f"{output} holds files that are no export; give --output another folder")
    output.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(output.parent, f".{output.name}.*.part")
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", suffix=".part", dir=output.parent) as scratch:
        made = Path(scratch, "made")
        made.mkdir()
        yield EdgeFolder(output, Path(scratch), made)


def file_name(variant: str) -> str:
    """Return the name of a variant's LiteRT file."""
    return f"encoder_{variant}.tflite"


def sidecar_of(target: Path, model: dsh.DSHGAN, about: dict[str, Any]) -> dict[str, Any]:
    """Describe a LiteRT encoder, as `LiteRTEncoder.sidecar` checks it.

    Args:
        target: its file.
        model: which it was made of.
        about: what it says beside the facts of the model.
    """
    return {
        "num_bits": model.num_bits,
        "bitorder": "big",
        "image_shape": list(model.image_shape),
        "input": "uint8 0..255",
        "ground": model.average_encoder.network.ground,
        "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
        **about,
    }
