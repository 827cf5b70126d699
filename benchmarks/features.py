"""Features of a frozen trunk: how fast they are computed and kept, beside the trunk's own `predict`.

    python benchmarks/features.py --backbone lite0.keras [--images 512] [--rounds 5]

Both see the same images, in turn, in batches of 64. Every round starts with an empty cache. Printed are the median
images a second of both, and their ratio.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import dshgan_tf as dsh
from dshgan_tf.data.feature_cache import BATCH, trunk_features
from dshgan_tf.data.trunk_size import side_for


def rate(work: Callable[[], object], count: int) -> float:
    """Return images a second."""
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


def main() -> None:
    """Time both in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", required=True, help="a .keras file")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    network = dsh.Network(backbone=given.backbone, trained_layers=0)
    side = side_for(network)
    images = np.random.default_rng(0).integers(0, 256, (given.images, side, side, 3), np.uint8)
    encoder = dsh.HashEncoder(48, 2, images.shape[1:], network)
    trunk = encoder.trunk_features()
    trunk.predict(images[:BATCH].astype(np.float32), batch_size=BATCH, verbose=0)
    plain, ours = [], []
    for _ in range(given.rounds):
        plain.append(rate(lambda: trunk.predict(images.astype(np.float32), batch_size=BATCH, verbose=0), len(images)))
        with tempfile.TemporaryDirectory() as folder:
            os.environ["XDG_CACHE_HOME"] = str(Path(folder))
            ours.append(rate(lambda: trunk_features(encoder, images), len(images)))
    medians = [statistics.median(rates) for rates in (plain, ours)]
    print(f"predict {medians[0]:.1f}, features {medians[1]:.1f} images a second, ratio {medians[1] / medians[0]:.2f}")


if __name__ == "__main__":
    main()
