"""`dshgan encode RUN|INDEX|FILE.tflite IMAGE...`: print the codes of image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tyro.conf import Positional

from dshgan_tf.commands import terminal
from dshgan_tf.errors import InputError
from dshgan_tf.run import Run


def encode(model: Positional[Path], images: Positional[tuple[Path, ...]]) -> None:
    """Print the code of each image file in hexadecimal, most significant bit first.

    An index or a LiteRT file answers without TensorFlow.

    Args:
        model: Folder of a finished run or of an index, or an encoder_*.tflite file.
        images: Image files.
    """
    if not images:
        raise InputError("give at least one image file")
    for path, code in zip(images, _encode(model, images), strict=True):
        print(code.tobytes().hex(), terminal.printable(str(path)))


def _encode(model: Path, images: Sequence[Path]) -> list:
    from dshgan_tf.search.image_index import ImageIndex
    from dshgan_tf.search.image_manifest import MANIFEST
    from dshgan_tf.search.litert_encoder import LiteRTEncoder

    if (model / MANIFEST).exists():
        return list(ImageIndex(model).encode_files(images)[0])
    if model.suffix == ".tflite":
        encoder = LiteRTEncoder(model)
        return [encoder.encode_file(path) for path in images]
    return list(Run(model).load_model().encode(list(images)))


def command(arguments: Sequence[str]) -> None:
    """Run the subcommand."""
    terminal.parse(encode, arguments)
