"""A folder of many JPEG files: decoding, memory of a training run, and the input pipeline beside the training step.

    python benchmarks/own_data.py --folder /tmp/jpegs        50,000 files, a few minutes on 2 cores

The files are made where they are missing: noise of 96 x 96 pixels under a gradient, ten classes, 500 labelled files a
class and the rest unlabelled. `dshgan train FOLDER` runs in a process of its own, whose largest resident memory is that
of the kernel's record.
"""

import argparse
import dataclasses
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

SIDE, STEPS, BATCH = 96, 40, 64
TRAIN = "import sys; from dshgan_tf.commands.main import main; sys.exit(main(['train', *sys.argv[1:]]))"


def write_files(folder, count):
    """Write what is missing of `count` files."""
    ramp = np.linspace(0, 128, SIDE)[:, None, None]
    for i in track(range(count), "JPEG files"):
        kind = i % 10
        path = folder / f"class{kind}" / f"{i:06d}.jpg" if i < 5000 else folder / f"{i:06d}.jpg"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(i).integers(0, 12 * (kind + 1), (SIDE // 4, SIDE // 4, 3))
            pixels = ramp + noise.repeat(4, axis=0).repeat(4, axis=1)
            Image.fromarray(pixels.astype(np.uint8)).save(path, quality=90)


def train(folder, cache, workdir, image_size):
    """Run the command; return its seconds a step and its largest resident memory in GiB, decoding included."""
    command = [sys.executable, "-c", TRAIN, "folder", "--data-dir", str(folder), "--workdir", str(workdir)]
    command += ["--synthetic", "--steps", str(STEPS), "--steps-per-epoch", "20", "--image-size", str(image_size)]
    subprocess.run(command, check=True, env=os.environ | {"XDG_CACHE_HOME": str(cache)}, stdout=subprocess.DEVNULL)
    last = (workdir / "metrics.csv").read_text().splitlines()
    seconds = float(dict(zip(last[0].split(","), last[-1].split(","), strict=True))["seconds"]) / 20
    assert json.loads((workdir / "results.json").read_text())["steps"] == STEPS
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20


def decoding(folder, cache, image_size, count=5000):
    """Files a second that are decoded, `count` of them, labelled ones."""
    os.environ["XDG_CACHE_HOME"] = str(cache)
    from dshgan_tf.data.folder import list_folder
    from dshgan_tf.data.pictures import decode

    listing = list_folder(folder)
    part = dataclasses.replace(listing, names=listing.names[-count:], labels=listing.labels[-count:])
    start = time.perf_counter()
    decode(part, (image_size, image_size, 3))
    return count / (time.perf_counter() - start)


def pipeline(folder, cache, image_size, batches=200):
    """Seconds of a batch of the input pipeline alone, images on disk."""
    os.environ["XDG_CACHE_HOME"] = str(cache)
    import dshgan_tf as dsh

    splits = dsh.data.load("folder", data_dir=str(folder), image_size=image_size)
    stream = iter(dsh.data.triplets(splits, BATCH).repeat())
    next(stream)
    start = time.perf_counter()
    for _ in range(batches):
        next(stream)
    return (time.perf_counter() - start) / batches


def main():
    parser = argparse.ArgumentParser(description="Decoding, memory and pipeline of a folder of JPEG files.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--count", type=int, default=50000)
    parser.add_argument("--image-size", type=int, default=64)
    options = parser.parse_args()
    write_files(options.folder, options.count)
    console = Console(width=None if sys.stdout.isatty() else 120)
    with tempfile.TemporaryDirectory() as temporary:
        cache = Path(temporary) / "cache"
        step, memory = train(options.folder, cache, Path(temporary) / "run", options.image_size)
        batch = pipeline(options.folder, cache, options.image_size)
        rate = decoding(options.folder, cache, options.image_size)
        console.print(
            f"{options.count:,} files, {options.image_size} x {options.image_size}: decoded once, {rate:,.0f} files/s; "
            f"largest resident memory {memory:.2f} GiB\n"
            f"a step of {BATCH} takes {step:.3f} s, the pipeline alone {batch:.4f} s a batch: {step / batch:.0f} times "
            "as fast",
            highlight=False,
        )


if __name__ == "__main__":
    main()
