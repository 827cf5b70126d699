"""Hash images on a device: NumPy, Pillow and ai-edge-litert, no TensorFlow.

    python hash_images.py MODEL.tflite hash IMAGE_OR_FOLDER... [--output CODES.npz]
    python hash_images.py MODEL.tflite search CODES.npz IMAGE [--k 10]

`preprocessing.py` lies beside this file and is the one that training used.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

try:
    from dshgan_tf import preprocessing
except ImportError:  # on the device
    import preprocessing

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


class Encoder:
    """A LiteRT encoder.

    Args:
        model: `encoder_*.tflite`; its sidecar `encoder_*.json` lies beside it.
        batch_size: images at a time.
        threads: of the processor; None for LiteRT's own choice.
    """

    def __init__(self, model: str | os.PathLike[str], batch_size: int = 1, threads: int | None = None) -> None:
        self.model, self.batch_size = Path(model), batch_size
        self._interpreter = Interpreter(str(model), num_threads=threads)
        (given,) = self._interpreter.get_input_details()
        self.image_shape = tuple(int(side) for side in given["shape"][1:])
        self._input = given["index"]
        self._interpreter.resize_tensor_input(self._input, (batch_size, *self.image_shape))
        self._interpreter.allocate_tensors()
        # The codes are the only output of bytes.
        (codes,) = [out for out in self._interpreter.get_output_details() if out["dtype"] == np.uint8]
        self._output = codes["index"]

    def operations(self) -> list[str]:
        """Names of the operations in the file, each once."""
        return sorted({operation["op_name"] for operation in self._interpreter._get_ops_details()})

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Hash images.

        Args:
            images: (N, H, W, C) uint8.

        Returns:
            (N, ceil(K/8)) uint8, most significant bit first.
        """
        codes = []
        for start in range(0, len(images), self.batch_size):
            batch = images[start : start + self.batch_size]
            missing = self.batch_size - len(batch)
            full = np.concatenate([batch, np.repeat(batch[:1], missing, axis=0)]) if missing else batch
            self._interpreter.set_tensor(self._input, full)
            self._interpreter.invoke()
            codes.append(self._interpreter.get_tensor(self._output)[: len(batch)])
        return np.concatenate(codes)

    def encode_file(self, path: str | os.PathLike[str]) -> np.ndarray:
        """Hash an image file, (ceil(K/8),) uint8; a ValueError names a file that is no image."""
        image = preprocessing.read_image(str(path), self.image_shape)
        return self.encode(np.rint(image).astype(np.uint8)[None])[0]

    def sidecar(self) -> dict:
        """Return what the sidecar says of the model.

        Raises:
            ValueError: it cannot be read, or is not of this model; the message names it.
        """
        path = self.model.with_suffix(".json")
        try:
            about = json.loads(path.read_text())
            num_bits, shape = about["num_bits"], about["image_shape"]
            (codes,) = [out for out in self._interpreter.get_output_details() if out["dtype"] == np.uint8]
            fits = type(num_bits) is int and (num_bits + 7) // 8 == int(codes["shape"][-1])
            fits = fits and shape == list(self.image_shape) and about["bitorder"] == "big"
            fits = fits and about["sha256"] == hashlib.sha256(self.model.read_bytes()).hexdigest()
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"cannot read {path} ({error!r}); copy it again from the export") from error
        if not fits:
            raise ValueError(f"{path} does not describe {self.model}; copy both again from one export")
        return about


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


def hash_command(encoder: Encoder, options: argparse.Namespace) -> None:
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


def search_command(encoder: Encoder, options: argparse.Namespace) -> None:
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
        encoder = Encoder(options.model)
        encoder.sidecar()  # refuses a model that another export's description lies beside
        options.run(encoder, options)
    except (OSError, ValueError) as error:
        print(f"hash_images: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
