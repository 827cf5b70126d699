"""How long callers of a served encoder wait: an open loop, 1 to 256 callers, batching on and off.

    python benchmarks/serving.py EXPORT [--seconds 10] [--share 0.7]

EXPORT is a folder of `dshgan export --format saved_model`. The server is the one that the tests use
(`tests/protocol_server.py`), on this machine; it is NOT TensorFlow Serving. Callers share the machine with it. Requests
are due at times that were drawn beforehand, whether earlier ones are answered or not. A caller sends one at a time;
what waits counts from when it was due.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
from dshgan_tf.export.serving.client import HashingClient, UnavailableError
from rich.console import Console
from rich.table import Table

SERVER = Path(__file__).parent.parent / "tests" / "protocol_server.py"
CALLERS = (1, 4, 16, 64, 256)


@contextlib.contextmanager
def serving(export: Path, batching: bool) -> Iterator[tuple[str, psutil.Process]]:
    """Start the server, and end it.

    Yields:
        Its gRPC address, and the process.
    """
    command = [sys.executable, str(SERVER), str(export), *(["--batching"] if batching else [])]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    )
    try:
        yield json.loads(process.stdout.readline())["grpc"], psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def capacity(address: str, image: np.ndarray, seconds: float) -> float:
    """Return the requests a second that 16 callers get answered who send as soon as they can."""
    HashingClient(address).encode(image)  # imports what it needs
    ended, counts = time.perf_counter() + seconds, []

    def call() -> None:
        client, count = HashingClient(address), 0
        while time.perf_counter() < ended:
            client.encode(image)
            count += 1
        counts.append(count)

    threads = [threading.Thread(target=call) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def open_loop(address: str, image: np.ndarray, callers: int, rate: float, seconds: float) -> tuple[np.ndarray, int]:
    """Send requests at random times.

    Args:
        address: of the server.
        image: (1, H, W, C).
        callers: clients with connections of their own, which take turns.
        rate: requests a second, of all callers.
        seconds: for how long.

    Returns:
        Milliseconds from when each was due until its answer, and how many were refused.
    """
    due = np.cumsum(np.random.default_rng(0).exponential(1 / rate, max(1, int(rate * seconds))))
    clients = [HashingClient(address, attempts=1, timeout=60) for _ in range(callers)]
    clients[0].encode(image)
    started = time.perf_counter()

    def send(i: int) -> float:
        time.sleep(max(0, started + due[i] - time.perf_counter()))
        try:
            clients[i % callers].encode(image)
        except UnavailableError:
            return np.nan
        return (time.perf_counter() - started - due[i]) * 1000

    with ThreadPoolExecutor(callers) as threads:
        waited = np.array(list(threads.map(send, range(len(due)))))
    return waited[~np.isnan(waited)], int(np.isnan(waited).sum())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("export", type=Path)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--share", type=float, default=0.7, help="of what the server can do without batching")
    given = parser.parse_args()
    newest = max(int(path.name) for path in given.export.iterdir() if path.name.isdigit())
    shape = json.loads((given.export / str(newest) / "manifest.json").read_text())["image_shape"]
    image = np.random.default_rng(0).integers(0, 256, (1, *shape)).astype(np.float32)
    with serving(given.export, batching=False) as (address, _):
        most = capacity(address, image, given.seconds)
    title = f"{given.share * most:.0f} requests a second of one image; 16 callers get {most:.0f} answered"
    table = Table("batching", "callers", "answered", "refused", "ms, median", "95%", "99%", "MiB", title=title)
    for batching in (False, True):
        for callers in CALLERS:
            with serving(given.export, batching) as (address, process):
                waited, refused = open_loop(address, image, callers, given.share * most, given.seconds)
                memory = process.memory_info().rss >> 20
            figures = [f"{value:.1f}" for value in np.percentile(waited, (50, 95, 99))]
            counts = (str(callers), str(len(waited)), str(refused))
            table.add_row("on" if batching else "off", *counts, *figures, str(memory))
    Console().print(table)


if __name__ == "__main__":
    main()
