"""NUS-WIDE from its own distribution: image list, ground truth, concepts, image folder. Nobody may redistribute it.

Chua et al., CIVR 2009: 269,648 Flickr images, 81 concepts. Names and formats are those of its files: `Imagelist.txt`
(paths with backslashes), `Concepts81.txt`, and either `AllLabels/Labels_<concept>.txt`, one 0 or 1 a line in the order
of the image list, or `TrainTestLabels/Labels_<concept>_Train.txt` and `..._Test.txt` in the order of
`TrainImagelist.txt` and `TestImagelist.txt`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dshgan_tf.data.listing import Listing
from dshgan_tf.errors import InputError


def list_nuswide(root: str | Path, concepts: int = 21) -> Listing:
    """List the images of NUS-WIDE that have at least one of its most frequent concepts.

    Args:
        root: folder of the distribution; the text files may lie in any subfolder of it.
        concepts: how many, the most frequent first; 21 is the paper's protocol, 81 is all. Where there are fewer, all.

    Returns:
        The files in the order of the image list, concepts in the order of `Concepts81.txt`; listed images that are
        not in the folder are in `skipped`.

    Raises:
        ValueError: a file is missing or does not fit the others.
    """
    root = Path(root)
    names_of_concepts = _lines(_find(root, "Concepts81.txt"))
    if concepts < 2:
        raise InputError(f"concepts must be at least 2, got {concepts}")
    parts = _image_lists(root)
    images = [line.replace("\\", "/") for path, _ in parts for line in _lines(path)]
    truth = np.stack(
        [
            np.concatenate([_ground_truth(root, concept + suffix, len(_lines(path))) for path, suffix in parts])
            for concept in names_of_concepts
        ],
        axis=1,
    )
    frequent = np.sort(np.argsort(-truth.sum(axis=0), kind="stable")[:concepts])
    chosen = tuple(names_of_concepts[i] for i in frequent)
    rows = truth[:, frequent]
    folder = _image_folder(root, images)
    names, labels, skipped = [], [], {}
    for name, row in zip(images, rows, strict=True):
        if not row.any():
            continue
        if (folder / name).is_file():
            names.append(name)
            labels.append(tuple(chosen[i] for i in np.flatnonzero(row)))
        else:
            skipped[name] = "missing"
    return Listing(folder, tuple(names), tuple(labels), chosen, skipped)


def _image_lists(root: Path) -> list[tuple[Path, str]]:
    """The image lists and the ending of the ground truth that goes with each."""
    if list(root.rglob("AllLabels")):
        return [(_find(root, "Imagelist.txt"), "")]
    return [(_find(root, f"{part}Imagelist.txt"), f"_{part}") for part in ("Train", "Test")]


def _ground_truth(root: Path, name: str, size: int) -> np.ndarray:
    path = _find(root, f"Labels_{name}.txt")
    lines = _lines(path)
    if len(lines) != size:
        raise InputError(f"{path} has {len(lines)} lines for {size} images; both must be of one distribution")
    odd = next((i for i, line in enumerate(lines) if line not in ("0", "1")), None)
    if odd is not None:
        raise InputError(f"{path}, line {odd + 1}: a label is 0 or 1, got {lines[odd][:40]!r}")
    return np.array(lines, dtype=np.uint8)


def _image_folder(root: Path, images: list[str]) -> Path:
    """The folder that the image list's paths start from: the one with the first image that is anywhere."""
    folders = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
    for name in images[:1000]:
        for folder in folders:
            if (folder / name).is_file():
                return folder
    raise InputError(f"none of the first listed images, {images[0]!r} for one, is in {root} or a folder in it")


def _find(root: Path, name: str) -> Path:
    found = sorted(root.rglob(name))
    if not found:
        raise InputError(f"{root} has no {name}; it belongs to NUS-WIDE's distribution")
    return found[0]


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
