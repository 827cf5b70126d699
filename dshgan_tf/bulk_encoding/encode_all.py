"""The driver: it plans shards, hands those that are missing to workers, and counts what came of them."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import fcntl
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dshgan_tf.bulk_encoding.encoders import Engine, engine_for, identity, open_encoder
from dshgan_tf.bulk_encoding.manifest import write_manifest
from dshgan_tf.bulk_encoding.plan import Plan, pinned_plan
from dshgan_tf.bulk_encoding.shard import Export, Shard, encode_shard
from dshgan_tf.bulk_encoding.sources import Source, find_source
from dshgan_tf.errors import InputError
from dshgan_tf.files import remove_leftovers

WAITING = 4  # shards a worker that the scheduler knows of; more would only take its memory
PATIENCE = 20  # seconds for a scheduler to answer
TRIES = 3  # of a shard whose place did not answer


@dataclasses.dataclass(frozen=True)
class Done:
    """What a call did.

    Attributes:
        manifest: of the output.
        hashed: images, in this call.
        gone: names that are in the output, and in the source no more.
    """

    manifest: dict[str, Any]
    hashed: int
    gone: int


def encode_all(
    source: str,
    model: Path,
    output: Path,
    workers: int | str | None = None,
    engine: Engine | None = None,
    relaxed: bool = False,
    progress: Callable[[int, int], None] = lambda images, shards: None,
) -> Done:
    """Hash all images of a source. Killed at any moment, the same call does what is missing.

    Args:
        source: as in `find_source`.
        model: an export, as in `engine_for`; workers on other machines see it, the source and the output by the same
            paths.
        output: folder of the Parquet files.
        workers: how many on this machine, None for one a core; or the address of a scheduler, "tcp://...".
        engine: as in `engine_for`.
        relaxed: keep relaxed codes, too.
        progress: called after each shard with the images that it held, and how many shards are left.

    Returns:
        What was done.

    Raises:
        InputError: nothing to be hashed, no export, an output of something else, or no scheduler.
        OSError: workers died again and again, or a place did not answer.
    """
    engine, checksum = engine_for(model, engine), identity(model)
    if isinstance(workers, int) and workers < 1:
        raise InputError(f"workers must be at least 1, got {workers}")
    found = find_source(source)
    encoder = open_encoder(model, engine, checksum)
    about = {
        "model_sha256": checksum,
        "engine": engine,
        "num_bits": encoder.num_bits,
        "image_shape": list(encoder.image_shape),
        "source": found.kind,
        "relaxed_codes": relaxed,
    }
    with _alone(output):
        plan, gone = pinned_plan(output, found, about)
        remove_leftovers(output, ".codes-*.part.parquet")
        hashed = 0
        if missing := plan.missing(output):
            with _elsewhere(workers) if isinstance(workers, str) else _here(workers, len(missing)) as (client, threads):
                tasks = (_task(plan, found, number, output) for number in missing)
                export = Export(str(model.resolve()), engine, checksum, threads)
                for done, images in enumerate(_results(client, tasks, (export, relaxed)), 1):
                    hashed += images
                    progress(images, len(missing) - done)
        return Done(write_manifest(output, plan, found.foreign), hashed, gone)


@contextlib.contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Let no other driver write to an output at the same time; their plans would differ."""
    output.mkdir(parents=True, exist_ok=True)
    with (output / ".dshgan.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"another call writes to {output}; wait for it, or give another --output") from error
        yield


def _task(plan: Plan, source: Source, number: int, output: Path) -> Shard:
    root = source.root if "://" in source.root else str(Path(source.root).resolve())
    return Shard(number, source.kind, root, plan.shards[number], str(output.resolve() / plan.file_of(number)))


@contextlib.contextmanager
def _elsewhere(address: str) -> Iterator[tuple[Any, None]]:
    """Yield a client of a scheduler that runs."""
    distributed = _distributed()
    try:
        client = distributed.Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise InputError(f"no scheduler answers at {address} ({error})") from error
    with client:
        try:
            client.wait_for_workers(1, PATIENCE)
        except TimeoutError as error:
            raise InputError(f"the scheduler at {address} has no workers; start some with dask worker") from error
        yield client, None


@contextlib.contextmanager
def _here(workers: int | None, tasks: int) -> Iterator[tuple[Any, int | None]]:
    """Yield a client of workers that start here, and the threads that an engine may take in each; None: its choice."""
    distributed = _distributed()
    cores = len(os.sched_getaffinity(0))
    count = min(workers or cores, tasks)
    with (
        tempfile.TemporaryDirectory(prefix="dshgan_cluster_") as scratch,
        distributed.LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            memory_limit=None,  # else a worker that needs much stands still without a word
            dashboard_address="127.0.0.1:0",  # any free port
            local_directory=scratch,
            silence_logs="CRITICAL",
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client, None if count == 1 else max(1, cores // count)


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise InputError(f"this needs dask.distributed ({error}): pip install dshgan-tf[cluster]") from error
    return distributed


def _results(client: Any, tasks: Iterator[Shard], arguments: tuple[Any, ...]) -> Iterator[int]:
    """Yield the rows of each shard as it is done; only so many wait at the scheduler."""
    import distributed

    def submit(count: int) -> list[Any]:
        some = itertools.islice(tasks, count)
        return [client.submit(encode_shard, task, *arguments, pure=False, retries=TRIES) for task in some]

    running = distributed.as_completed(submit(WAITING * max(1, len(client.scheduler_info()["workers"]))))
    for future in running:
        try:
            rows = future.result()
        except distributed.KilledWorker as error:
            raise ChildProcessError(f"a shard's workers died again and again, perhaps for memory: {error}") from error
        except concurrent.futures.CancelledError as error:
            raise ConnectionError("the scheduler was lost; the same command goes on") from error
        except ImportError as error:  # fsspec needs a package for this kind of URL
            raise InputError(f"a worker cannot open the source: {error}") from error
        future.release()
        for new in submit(1):
            running.add(new)
        yield rows
