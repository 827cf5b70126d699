"""Other data, by `dsh.data.from_arrays` and the recipe as it is: the three methods, gains.

    python benchmarks/unseen_data.py letters                  letters in 16 typefaces, on which no setting was chosen
    TFDS_DATA_DIR=... python benchmarks/unseen_data.py photographs       CIFAR-10 in grey, cut to 28 x 28

6,000 images of 28 x 28 in grey, ten classes, 100 queries and 10 labels a class (8 of which train), 32 bits, the same
steps for all.
"""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from dshgan_tf.training.comparison import paired_difference
from rich.console import Console
from rich.table import Table

import dshgan_tf as dsh

sys.path.append(str(Path(__file__).parent))
from small_pictures import letters, photographs

BITS, BATCH = 32, 64
METHODS = {
    "no GAN": {"gan": False},
    "no synthetic images": {"method": "semi-supervised"},
    "DSH-GAN": {"method": "dsh-gan"},
}


def run(splits, seed, steps, arguments):
    """Train and return MAP and seconds."""
    keras.utils.set_random_seed(seed)
    model = dsh.DSHGAN(
        num_bits=BITS, num_classes=splits.num_classes, image_shape=splits.image_shape, seed=seed, **arguments
    )
    model.compile()
    start = time.perf_counter()
    model.fit(dsh.data.triplets(splits, BATCH, seed=seed), epochs=1, steps_per_epoch=steps, verbose=0)
    seconds = time.perf_counter() - start
    query, database = (model.encode(part.images) for part in (splits.query, splits.database))
    found = dsh.retrieval.evaluate(query, splits.query.labels, database, splits.database.labels, num_bits=BITS)
    return found["map"], seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=("letters", "photographs"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=1000)
    options = parser.parse_args()
    images, labels = letters() if options.data == "letters" else photographs()
    console, maps = Console(), {name: {} for name in METHODS}
    for seed in options.seeds:
        splits = dsh.data.from_arrays(images, labels, queries_per_class=100, labels_per_class=10, seed=seed)
        for name, arguments in METHODS.items():
            maps[name][seed], seconds = run(splits, seed, options.steps, arguments)
            console.print(f"seed {seed}, {name}: MAP {maps[name][seed]:.3f} in {seconds:.0f} s", highlight=False)
    table = Table("", *(f"seed {seed}" for seed in options.seeds), "mean", "DSH-GAN's gain, 95%", title=options.data)
    for name, values in maps.items():
        gain = "" if name == "DSH-GAN" else str(paired_difference(maps["DSH-GAN"], values))
        mean = float(np.mean(list(values.values())))
        table.add_row(name, *(f"{value:.3f}" for value in (*values.values(), mean)), gain)
    console.print(table)


if __name__ == "__main__":
    main()
