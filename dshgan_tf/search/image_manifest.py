"""The manifest of an index: what it was made of, and what it holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dshgan_tf.errors import InputError

FORMAT = "dshgan_tf.ImageIndex/1"
MANIFEST = "manifest.json"
FIELDS = {
    "num_bits": int,
    "image_shape": list,
    "ground": int,
    "class_names": list,
    "multi_label": bool,
    "model_sha256": str,
}


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read and check the manifest of an index.

    Raises:
        InputError: no index there, or a damaged one.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise InputError(f"{folder} is no index (no {MANIFEST}); make one with dshgan index")
    try:
        manifest = json.loads(path.read_text())
        known = manifest["format"] == FORMAT
        fits = all(type(manifest[name]) is kind for name, kind in FIELDS.items())
        fits = fits and manifest["num_bits"] > 0 and len(manifest["image_shape"]) == 3
        fits = fits and 0 <= manifest["ground"] <= 255
        fits = fits and all(type(side) is int and side > 0 for side in manifest["image_shape"])
        fits = fits and all(type(name) is str for name in manifest["class_names"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"cannot read {path} ({error!r}); make the index again with dshgan index") from error
    if not known or not fits:
        raise InputError(f"{path} does not describe an index of format {FORMAT}; make it again with dshgan index")
    return manifest
