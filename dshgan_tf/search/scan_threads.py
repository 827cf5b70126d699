"""Share a scan among threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_for(pairs: int, share: int) -> int:
    """Return how many threads to take for so many pairs of query and code, with a ``share`` for each."""
    return max(1, min(cores(), pairs // share))


def in_threads(function: Callable, tasks: Sequence[tuple], threads: int) -> list[Any]:
    """Call a function for each tuple of arguments and return the results; the calling thread works too."""
    if threads == 1:
        return [function(*arguments) for arguments in tasks]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads - 1) as pool:
        futures = [pool.submit(function, *arguments) for arguments in tasks]
        # From the end, those that no other thread has begun.
        own = {i: function(*tasks[i]) for i in reversed(range(len(tasks))) if futures[i].cancel()}
        return [own[i] if i in own else future.result() for i, future in enumerate(futures)]


def ranges(size: int, parts: int) -> list[tuple[int, int]]:
    """Cut ``size`` things into ``parts`` ranges of about one size, none empty."""
    parts = max(1, min(parts, size))
    bounds = [size * i // parts for i in range(parts + 1)]
    return list(zip(bounds[:-1], bounds[1:], strict=True))


def groups(num_queries: int, group: int, threads: int) -> list[tuple[int, int]]:
    """Cut queries into groups of at most ``group``, one a thread; or four, so that a slow core does fewer."""
    parts = max(threads, min(4 * threads, num_queries // 16)) if threads > 1 else 1
    return ranges(num_queries, max(parts, -(-num_queries // group)))
