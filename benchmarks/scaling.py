"""Scaling over processes: one pinned to one core, two pinned to one each, on loopback; let nothing else run.

    python benchmarks/scaling.py                  about 2 minutes
    python benchmarks/scaling.py --norm batch     each process normalises by its own part of the batch

Strong: the same global batch of 64 on both; weak: 64 a process. This tells what the exchange of gradients, codes and
metrics costs, not how GPUs scale: none has been tried. Where two cores are two threads of one, or others use the
machine too, seconds tell little; processor seconds an image, over all processes, tell the work that was added.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from rich.console import Console
from rich.table import Table

SHAPE, STEPS, WARM_UP = (32, 32, 3), 45, 5


def worker(batch_size, norm):
    """Print the median seconds, and processor seconds, of a step, as `TF_CONFIG` says."""
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    cluster = "TF_CONFIG" in os.environ
    strategy = tf.distribute.MultiWorkerMirroredStrategy() if cluster else tf.distribute.get_strategy()
    import dshgan_tf as dsh

    images = np.random.default_rng(0).integers(0, 256, (6000, *SHAPE), np.uint8)
    splits = dsh.data.from_arrays(images, np.arange(6000) % 10, labels_per_class=100)
    with strategy.scope():
        model = dsh.DSHGAN(48, 10, SHAPE, "dsh-gan", network=dsh.Network(norm=norm))
        model.compile()
    ends = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: ends.append((time.perf_counter(), time.process_time()))
    )
    model.fit(dsh.data.triplets(splits, batch_size), steps_per_epoch=STEPS, verbose=0, callbacks=[note])
    taken = np.diff(np.array(ends[WARM_UP:]), axis=0)
    print(*np.median(taken, axis=0))


def measure(processes, batch_size, norm):
    """Seconds, and processor seconds of all, of a step with so many processes, each on a core of its own."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(processes)]
    hosts = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    running = []
    for i, core in enumerate(sorted(os.sched_getaffinity(0))[:processes]):
        task = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": i}}
        environment = os.environ | ({"TF_CONFIG": json.dumps(task)} if processes > 1 else {})
        command = ["taskset", "-c", str(core), sys.executable, __file__, str(batch_size), norm]
        running.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    said = [process.communicate()[0].split()[-2:] for process in running]
    return max(float(seconds) for seconds, _ in said), sum(float(worked) for _, worked in said)


def main(norm):
    cores = len(os.sched_getaffinity(0))
    if cores < 2:
        sys.exit("scaling needs 2 cores")
    one, work = measure(1, 64, norm)
    table = Table(title=f"Training steps, CIFAR-10's size, DSH-GAN, norm {norm}, one core a process")
    columns = ("processes", "global batch", "seconds a step", "images/s", "efficiency", "processor ms an image")
    for column in columns:
        table.add_column(column, justify="right")
    table.add_row("1", "64", f"{one:.3f}", f"{64 / one:.0f}", "", f"{1000 * work / 64:.2f}")
    for kind, size in (("strong", 64), ("weak", 128)):
        two, work = measure(2, size, norm)
        efficiency = f"{size / two / (2 * 64 / one):.0%} ({kind})"
        table.add_row("2", str(size), f"{two:.3f}", f"{size / two:.0f}", efficiency, f"{1000 * work / size:.2f}")
    Console(width=None if sys.stdout.isatty() else 100).print(table)


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].isdecimal():
        worker(int(sys.argv[1]), sys.argv[2])
    else:
        parser = argparse.ArgumentParser()
        parser.add_argument("--norm", default="sync_batch", choices=["sync_batch", "batch", "none"])
        main(parser.parse_args().norm)
