"""How fast training is: peak of the machine, encoder beside PyTorch, whole steps beside a naive layout, the pipeline.

    python benchmarks/training.py                 a few minutes on 2 cores; let nothing else run
    pip install torch==2.13.0                     optional: the same encoder in PyTorch

Everything is measured side by side in rounds, and medians are compared; the naive layout is naive_layout.py's.
16 bits are left out on a CPU without AVX-512, where they are emulated at a fifteenth of the speed.
"""

import os
import sys

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from dshgan_tf.training.checkpoints import Checkpoint
from dshgan_tf.training.cost import count_flops, count_step_flops
from dshgan_tf.training.interruption import StopOnSignal
from dshgan_tf.training.precision import emulates_16_bits
from rich.console import Console
from rich.table import Table

import dshgan_tf as dsh
from dshgan_tf.callbacks import StopOnNonFinite, WatchTheGan
from dshgan_tf.models import player

BATCH, SHAPE, ROUNDS = 64, (32, 32, 3), 7
PRECISIONS = ("float32",) if emulates_16_bits() else ("float32", "mixed_bfloat16")


def seconds_of(works, repeats=2):
    """Median seconds of each piece of work, measured in turns after one call of each."""
    for work in works.values():
        work()
    taken = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            start = time.perf_counter()
            for _ in range(repeats):
                work()
            taken[name].append((time.perf_counter() - start) / repeats)
    return {name: statistics.median(values) for name, values in taken.items()}


def fake_splits():
    """CIFAR-10's sizes, without CIFAR-10: speed does not depend on what is in the pictures."""
    rng = np.random.default_rng(0)
    labels = np.arange(60000) % 10
    return dsh.data.from_arrays(rng.integers(0, 256, (60000, *SHAPE), np.uint8), labels, labels_per_class=500)


def step_of(splits, precision="float32", anchor_stride=4, method="dsh-gan"):
    """A compiled model and a function that makes one training step."""
    model = dsh.DSHGAN(48, 10, SHAPE, method, precision=precision)
    model.compile(objective=dsh.Objective(anchor_stride=anchor_stride))
    batch = next(iter(dsh.data.triplets(splits, BATCH)))
    step = tf.function(model.train_step)
    return model, lambda: step(batch)["encoder_loss"].numpy()


def peaks():
    """Fastest matrix product and 3x3 convolution, in GFLOP/s."""
    works, flops = {}, {}
    for dtype in (tf.float32, tf.bfloat16):
        a = tf.cast(tf.random.normal((2048, 2048)), dtype)
        x, k = (tf.cast(tf.random.normal(shape), dtype) for shape in ((128, 8, 8, 128), (3, 3, 128, 128)))
        product, convolution = tf.function(tf.matmul), tf.function(lambda x, k: tf.nn.conv2d(x, k, 1, "SAME"))
        works[f"matmul {dtype.name}"] = lambda f=product, a=a: f(a, a).numpy()
        works[f"convolution {dtype.name}"] = lambda f=convolution, x=x, k=k: f(x, k).numpy()
        flops |= {f"matmul {dtype.name}": 2 * 2048**3, f"convolution {dtype.name}": 2 * 128 * 64 * 9 * 128**2}
    return {name: flops[name] / taken / 1e9 for name, taken in seconds_of(works, repeats=5).items()}


def tensorflow_encoder(width, precision):
    """The encoder alone: forward, cross-entropy, backward."""
    keras.config.set_dtype_policy(precision)
    encoder = dsh.HashEncoder(48, 10, SHAPE, dsh.Network(width=width))
    keras.config.set_dtype_policy("float32")
    images, labels = tf.random.normal((128, *SHAPE)), tf.one_hot(tf.range(128) % 10, 10)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            logits = encoder(images, training=True)["class_logits"]
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels, logits))
        return [tf.reduce_sum(g) for g in tape.gradient(loss, encoder.trainable_variables) if g is not None]

    return encoder, lambda: step()[0].numpy()


def torch_encoder(width, precision):
    """The same network in PyTorch, channels last; None where it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    from torch import nn

    def convolution(given, filters):
        return nn.Conv2d(given, filters, 3, 1, 1, bias=False)

    class Stage(nn.Module):
        def __init__(self, given):
            super().__init__()
            self.a, self.a_norm = convolution(given, 2 * given), nn.BatchNorm2d(2 * given)
            self.b, self.b_norm = convolution(2 * given, 2 * given), nn.BatchNorm2d(2 * given)
            self.pool, self.act = nn.MaxPool2d(2), nn.LeakyReLU(0.1)

        def forward(self, x):
            x = self.act(self.a_norm(self.pool(self.a(x))))
            return self.act(self.b_norm(self.b(x)))

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            stages = [Stage(width * 2**i) for i in range(3)]
            stem = [convolution(3, width), nn.BatchNorm2d(width), nn.LeakyReLU(0.1)]
            self.trunk = nn.Sequential(*stem, *stages)
            self.classes = nn.Linear(16 * width, 10)

        def forward(self, x):
            x = self.trunk(x)
            return self.classes(torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1))

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    encoder = Encoder().to(memory_format=torch.channels_last)
    images = torch.randn(128, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(128) % 10
    mixed = precision == "mixed_bfloat16"

    def step():
        encoder.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            loss = nn.functional.cross_entropy(encoder(images), labels)
        loss.backward()

    return step


def overhead(splits, rounds=15, steps=20):
    """Shares of a step that watchdogs and a checkpoint every 100 steps cost, each as median and quartiles.

    `fit` runs plain and watched in turns, and each round gives a ratio. Seconds are those of the processor, over all
    threads: on a machine that others use too, the clock on the wall tells a few percent from nothing only by luck.
    """
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Checkpoint(Path(folder))
        watching = [WatchTheGan(), StopOnNonFinite(splits, BATCH), StopOnSignal(checkpoint)]
        works, look = {}, player.is_broken
        for name, callbacks in (("plain", []), ("watched", watching)):
            player.is_broken = look if callbacks else (lambda values: tf.zeros(()))
            model = dsh.DSHGAN(48, 10, SHAPE, "dsh-gan")
            model.compile()
            batches = dsh.data.triplets(splits, BATCH)
            works[name] = lambda m=model, b=batches, c=callbacks: m.fit(
                b, epochs=1, steps_per_epoch=steps, callbacks=c, verbose=0
            )
            works[name]()  # traced with the looking, or without
        checkpoint.set_model(model)
        works["checkpoint"] = checkpoint.save
        shares = {"watchdogs": [], "checkpoint": []}
        for _ in range(rounds):
            taken = {}
            for name, work in works.items():
                start = time.process_time()
                work()
                taken[name] = time.process_time() - start
            shares["watchdogs"].append(taken["watched"] / taken["plain"] - 1)
            shares["checkpoint"].append(taken["checkpoint"] / (100 * taken["plain"] / steps))
    return {name: np.percentile(values, (50, 25, 75)) for name, values in shares.items()}


def table_of(title, columns, rows):
    table = Table(title=title)
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left")
    for row in rows:
        table.add_row(*(f"{cell:,.3g}" if isinstance(cell, float) else str(cell) for cell in row))
    return table


def main():
    console, splits = Console(width=None if sys.stdout.isatty() else 120), fake_splits()
    console.print(table_of("Peak", ("work", "GFLOP/s"), peaks().items()))

    rows = []
    for width in (16, 32):
        for precision in PRECISIONS:
            encoder, work = tensorflow_encoder(width, precision)
            works = {"TensorFlow": work}
            if (other := torch_encoder(width, precision)) is not None:
                works["PyTorch"] = other
            for name, taken in seconds_of(works).items():
                achieved = 3 * count_flops(encoder) * 128 / taken / 1e9
                rows.append((name, width, precision, round(128 / taken), achieved))
    columns = ("encoder alone", "width", "precision", "images/s", "GFLOP/s")
    console.print(table_of("Training the encoder alone, batches of 128", columns, rows))

    works, models = {}, {}
    for name, arguments in (
        ("DSH-GAN", {}), ("DSH-GAN, bfloat16", {"precision": "mixed_bfloat16"}),
        ("every image an anchor", {"anchor_stride": 1}),
        ("every image an anchor, bfloat16", {"anchor_stride": 1, "precision": "mixed_bfloat16"}),
        ("no synthetic images", {"method": "semi-supervised"}), ("no GAN", {"method": "supervised"}),
    ):  # fmt: skip
        if arguments.get("precision", "float32") in PRECISIONS:
            models[name], works[name] = step_of(splits, **arguments)
    naive = [sys.executable, str(Path(__file__).with_name("naive_layout.py"))]
    naive = subprocess.run(naive, capture_output=True, text=True, check=True).stdout
    taken = seconds_of(works) | {"naive layout": float(naive.split()[-1])}
    flops = {name: count_step_flops(model, BATCH) / 1e9 for name, model in models.items()}
    triplets = {name: BATCH // model.objective.anchor_stride for name, model in models.items() if model.generator}
    triplets |= {"naive layout": BATCH}  # of a real image and two synthetic ones, of a step
    rows = [
        (
            name, t, BATCH / t, triplets[name] / t if name in triplets else "", taken["naive layout"] / t,
            flops[name] / t if name in flops else "",
        )
        for name, t in taken.items()
    ]  # fmt: skip
    columns = ("step", "seconds", "labelled images/s", "triplets/s", "times the naive layout's images", "GFLOP/s")
    console.print(table_of(f"Whole steps of {BATCH} labelled and {BATCH} unlabelled images, 32x32", columns, rows))

    batches = iter(dsh.data.triplets(splits, BATCH).repeat())
    alone = seconds_of({"pipeline": lambda: next(batches)}, repeats=50)["pipeline"]
    console.print(f"input pipeline alone: {BATCH / alone:,.0f} labelled images/s, {taken['no GAN'] / alone:.0f} times "
                  "what the fastest step takes", highlight=False)  # fmt: skip
    for name, (median, low, high) in overhead(splits).items():
        every = " every 100 steps" if name == "checkpoint" else ""
        console.print(f"{name}{every}: {median:+.1%} of a step, quartiles {low:+.1%} and {high:+.1%}", highlight=False)


if __name__ == "__main__":
    main()
