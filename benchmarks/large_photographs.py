"""Large photographs: seconds and memory of reading them, reduced while they are decoded, beside whole.

    python benchmarks/large_photographs.py [--megapixels 12 48 200] [--side 224]

Each reading is a program of its own, whose memory is measured beyond what it takes with a small picture. Whole means
Pillow's full decoding, and then the same resizing.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

READ = """
import sys, time
from pathlib import Path
from dshgan_tf.images import picture_files

def peak():  # ru_maxrss would begin with the memory of the program that started this one
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024

if sys.argv[2] == "whole":
    picture_files.RATIOS = ()
    picture_files.MAX_BYTES = 1 << 40
side = int(sys.argv[3])
picture_files.read_image(sys.argv[4], (side, side, 3))
before, start = peak(), time.perf_counter()
picture_files.read_image(sys.argv[1], (side, side, 3))
print(time.perf_counter() - start, peak() - before)
"""
TIMES = 5


def photograph(path: Path, megapixels: float, progressive: bool) -> tuple[int, int]:
    """Write a JPEG file of 4 x 3 with as much detail as a camera's, about 2 bits a pixel."""
    height = int((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = height * 4 // 3
    rng = np.random.default_rng(0)
    tile = rng.normal(0, 12, (512, 512, 1)) + rng.normal(0, 4, (512, 512, 3))
    rows = np.tile(tile, (height // 512 + 1, width // 512 + 1, 1))[:height, :width]
    rows += np.linspace(40, 215, width)[None, :, None]
    Image.fromarray(np.clip(rows, 0, 255).astype(np.uint8)).save(path, quality=90, progressive=progressive)
    return width, height


def read(path: Path, how: str, side: int, small: Path) -> tuple[float, float]:
    """Return median seconds and MiB of reading a file `TIMES` times, in a new program each time."""
    rows = []
    for _ in range(TIMES):
        command = [sys.executable, "-c", READ, str(path), how, str(side), str(small)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(tuple(map(float, done.stdout.split())))
    return statistics.median(row[0] for row in rows), statistics.median(row[1] for row in rows)


def main() -> None:
    """Write and read the photographs, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megapixels", type=float, nargs="+", default=[12, 48, 200])
    parser.add_argument("--side", type=int, default=224)
    options = parser.parse_args()
    table = Table("megapixels", "file, MB", "reduced, s", "whole, s", "ratio", "reduced, MiB", "whole, MiB")
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder, "small.jpg")
        photograph(small, 0.1, progressive=False)
        for megapixels in options.megapixels:
            for progressive in (False, True):
                path = Path(folder, "large.jpg")
                photograph(path, megapixels, progressive)
                kind = f"{megapixels:g}{', progressive' if progressive else ''}"
                size = f"{path.stat().st_size / 1e6:.1f}"
                try:
                    reduced = read(path, "reduced", options.side, small)
                except subprocess.CalledProcessError as error:
                    table.add_row(kind, size, f"refused: {error.stderr.strip().splitlines()[-1][-70:]}")
                    continue
                whole = read(path, "whole", options.side, small)
                figures = (f"{reduced[0]:.3f}", f"{whole[0]:.3f}", f"{whole[0] / reduced[0]:.1f}")
                table.add_row(kind, size, *figures, f"{reduced[1]:.0f}", f"{whole[1]:.0f}")
    Console(width=150, highlight=False).print(table)


if __name__ == "__main__":
    main()
