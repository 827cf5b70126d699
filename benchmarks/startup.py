"""How long a subcommand takes to answer, its start included, beside `import tensorflow` in the same run.

    python benchmarks/startup.py                 an index of 10,000 images is made first, in a minute

Medians of 7 rounds; in each round every command runs once, so that all meet the same load. Files are warm: each command
runs once before.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

DSHGAN = [sys.executable, "-c", "from dshgan_tf.commands.main import entry; entry()"]
ROUNDS = 7


def make_index(folder, count):
    """An index of `count` noisy digits, by an encoder of few steps."""
    from sklearn.datasets import load_digits

    images = load_digits().images * (255 / 16)
    rng = np.random.default_rng(0)
    photos = folder / "photos"
    photos.mkdir()
    for i in range(count):
        noisy = images[i % len(images)] + rng.normal(0, 20, (8, 8))
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(photos / f"{i:05d}.png")
    run = [*DSHGAN, "train", "smoke", "--synthetic", "--workdir", folder / "run"]
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
    index = [*DSHGAN, "index", folder / "run", "--images", photos, "--output", folder / "photos.index"]
    subprocess.run(index, check=True)
    return folder / "photos.index", photos / "00007.png"


def seconds(command):
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="images in the index")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        index, query = make_index(Path(folder), options.count)
        commands = {
            "python -c 'import tensorflow'": [sys.executable, "-c", "import tensorflow"],
            "dshgan --help": [*DSHGAN, "--help"],
            "dshgan search INDEX IMAGE": [*DSHGAN, "search", index, query],
            "the same with --picture": [*DSHGAN, "search", index, query, "--picture", Path(folder, "found.png")],
            "dshgan search INDEX --labels 3": [*DSHGAN, "search", index, "--labels", "3"],
        }
        for command in commands.values():
            seconds(command)
        taken = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, command in commands.items():
                taken[name].append(seconds(command))
    table = Table(title=f"Seconds, median of {ROUNDS}; index of {options.count:,} images")
    for column in ("command", "seconds", "of import tensorflow"):
        table.add_column(column, justify="left" if column == "command" else "right")
    medians = {name: statistics.median(values) for name, values in taken.items()}
    whole = next(iter(medians.values()))
    for name, median in medians.items():
        table.add_row(name, f"{median:.3f}", f"{median / whole:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
