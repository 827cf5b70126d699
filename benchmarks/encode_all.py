"""Images a second of `dshgan encode-all` with one and two workers beside a plain loop over the same export.

    python benchmarks/encode_all.py PICTURES --model encoder_float32.tflite
    python benchmarks/encode_all.py PICTURES --model served/1 --engine openvino

PICTURES are several thousand, so that there are several shards. The three take turns. A rate counts from the end of the
first shard; start-up is the time until then, less one shard's.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from dshgan_tf.bulk_encoding.encode_all import encode_all
from dshgan_tf.bulk_encoding.encoders import AT_A_TIME, engine_for, identity, open_encoder
from dshgan_tf.images.find_images import find_images
from dshgan_tf.images.picture_files import read_image
from dshgan_tf.images.preprocessing import to_uint8

Measured = tuple[float, float]  # images a second, seconds of start-up


def plain_loop(pictures: Path, model: Path, engine: str) -> Measured:
    """Read and hash one batch after the other."""
    start = time.perf_counter()
    open_encoder.cache_clear()
    encoder = open_encoder(model, engine, identity(model))
    encoder.run(np.zeros((AT_A_TIME, *encoder.image_shape), np.uint8))
    ready = time.perf_counter()
    paths = list(find_images(pictures)[0].values())
    for first in range(0, len(paths), AT_A_TIME):
        batch = paths[first : first + AT_A_TIME]
        encoder.run(np.stack([to_uint8(read_image(path, encoder.image_shape)) for path in batch]))
    return len(paths) / (time.perf_counter() - ready), ready - start


def by_workers(pictures: Path, model: Path, engine: str, workers: int) -> Measured:
    """Let `encode_all` do it."""
    open_encoder.cache_clear()
    steps: list[tuple[float, int]] = []
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:

        def step(images: int, _: int) -> None:
            steps.append((time.perf_counter(), images))

        encode_all(str(pictures), model, Path(folder) / "codes", workers, engine, False, step)
    (first, _), (last, _) = steps[0], steps[-1]
    rate = sum(images for _, images in steps[1:]) / (last - first)
    return rate, first - start - steps[0][1] * workers / rate


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--engine")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    engine = engine_for(given.model, given.engine)
    ways = {
        "plain loop": lambda: plain_loop(given.pictures, given.model, engine),
        "one worker": lambda: by_workers(given.pictures, given.model, engine, 1),
        "two workers": lambda: by_workers(given.pictures, given.model, engine, 2),
    }
    found: dict[str, list[Measured]] = {name: [] for name in ways}
    for _ in range(given.rounds):
        for name, run in ways.items():
            found[name].append(run())
    table = Table("", "images/s", "of the plain loop", "start-up, s", title=f"{given.model} by {engine}")
    for name, measured in found.items():
        ratios = [own[0] / plain[0] for own, plain in zip(measured, found["plain loop"], strict=True)]
        rate, startup = np.median(np.array(measured), axis=0)
        table.add_row(name, f"{rate:,.0f}", f"{np.median(ratios):.2f}", f"{startup:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
