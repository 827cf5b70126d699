"""Hash images on a device: NumPy, Pillow and ai-edge-litert, no TensorFlow.

    python hash_images.py MODEL.tflite hash IMAGE_OR_FOLDER... [--output CODES.npz]
    python hash_images.py MODEL.tflite search CODES.npz IMAGE [--k 10]

`litert_encoder.py`, `preprocessing.py` and `errors.py` lie beside this file and are those that training used.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np

try:
    from dshgan_tf.images.picture_files import SUFFIXES
    from dshgan_tf.search.litert_encoder import LiteRTEncoder
except ImportError:  # on the device
    from litert_encoder import LiteRTEncoder
    from picture_files import SUFFIXES


def search(codes: np.ndarray, code: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest codes.

    Args:
        codes: (N, ceil(K/8)) uint8.
        code: (ceil(K/8),) uint8.
        k: how many.

    Returns:
        Hamming distances and positions, nearest first, ties in order of position.
    """
    distances = np.bitwise_count(codes ^ code).sum(axis=1, dtype=np.int32)
    nearest = np.argsort(distances, kind="stable")[:k]
    return distances[nearest], nearest


def find_images(paths: list[Path]) -> list[Path]:
    """Return the files named, and the image files under the folders named, sorted."""
    found = []
    for path in paths:
        inside = (
            sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        )
        if not inside:
            raise ValueError(f"{path} holds no image files ({', '.join(SUFFIXES)})")
        found += inside
    return found


def hash_command(encoder: LiteRTEncoder, options: argparse.Namespace) -> None:
    """Print the code of each image in hexadecimal, or write all to a file."""
    paths = find_images(options.images)
    codes = []
    for path in paths:
        codes.append(encoder.encode_file(path))
        if options.output is None:
            print(codes[-1].tobytes().hex(), path)
    if options.output is not None:
        temporary = options.output.with_name(f".{options.output.stem}.{os.getpid()}.npz")
        np.savez(temporary, codes=np.stack(codes), names=np.array([str(path) for path in paths]))
        os.replace(temporary, options.output)
        print(f"{len(paths)} codes in {options.output}")


def search_command(encoder: LiteRTEncoder, options: argparse.Namespace) -> None:
    """Print the images whose codes are nearest to an image's."""
    with np.load(options.codes) as stored:
        codes, names = stored["codes"], stored["names"]
    code = encoder.encode_file(options.image)
    if codes.shape[1:] != code.shape:
        raise ValueError(f"{options.codes} holds codes of {codes.shape[1]} bytes, the model makes {len(code)}")
    for distance, item in zip(*search(codes, code, options.k), strict=True):
        print(distance, names[item])


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(description="Hash images with a LiteRT encoder, and search their codes.")
    parser.add_argument("model", type=Path, metavar="MODEL.tflite")
    commands = parser.add_subparsers(required=True)
    hashing = commands.add_parser("hash", help="print or store codes")
    hashing.add_argument("images", nargs="+", type=Path, metavar="IMAGE_OR_FOLDER")
    hashing.add_argument("--output", type=Path, metavar="CODES.npz")
    hashing.set_defaults(run=hash_command)
    searching = commands.add_parser("search", help="find the nearest of stored codes")
    searching.add_argument("codes", type=Path, metavar="CODES.npz")
    searching.add_argument("image", type=Path, metavar="IMAGE")
    searching.add_argument("--k", type=int, default=10)
    searching.set_defaults(run=search_command)
    options = parser.parse_args(arguments)
    try:
        encoder = LiteRTEncoder(options.model)
        encoder.sidecar()  # refuses a model that another export's description lies beside
        options.run(encoder, options)
    except (OSError, ValueError) as error:
        print(f"hash_images: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
