"""`python latency.py MODEL.tflite...`: milliseconds for a batch, by this process and by litert-benchmark.

Medians of 50 batches of 1 and 32 images on 1 and 2 threads; litert-benchmark runs the batch in the file, which is 1.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from litert_encoder import LiteRTEncoder


def by_python(model: Path, batch_size: int, threads: int, repeats: int = 50) -> float:
    """Median milliseconds of a batch."""
    encoder = LiteRTEncoder(model, batch_size, threads)
    images = np.random.default_rng(0).integers(0, 256, (batch_size, *encoder.image_shape), np.uint8)
    seconds = []
    for _ in range(repeats + 5):
        start = time.perf_counter()
        encoder.encode(images)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[5:]) * 1000)


def by_litert_benchmark(model: Path, threads: int) -> float | None:
    """Median milliseconds of one image by ai-edge-litert's own tool; None where it is missing or fails."""
    tool = shutil.which("litert-benchmark", path=str(Path(sys.executable).parent)) or shutil.which("litert-benchmark")
    if tool is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [tool, "--model", str(model), "--num_threads", str(threads), "--result_json", str(report)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not report.exists():
            return None
        return float(json.loads(report.read_text())["latency"]["median_ms"])


def main() -> None:
    """Print the table."""
    print(f"{'model':<28}{'threads':>8}{'batch 1, ms':>13}{'batch 32, ms':>14}{'litert-benchmark, ms':>22}")
    for model in map(Path, sys.argv[1:]):
        for threads in (1, 2):
            times = [by_python(model, batch, threads) for batch in (1, 32)]
            theirs = by_litert_benchmark(model, threads)
            print(
                f"{model.name:<28}{threads:>8}{times[0]:>13.3f}{times[1]:>14.3f}"
                f"{'-' if theirs is None else format(theirs, '.3f'):>22}"
            )


if __name__ == "__main__":
    main()
