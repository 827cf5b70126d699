"""Work on many items in threads, with results in order and a bounded number of them waiting."""

from __future__ import annotations

import collections
import concurrent.futures
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any


def in_order(work: Callable[..., Any], items: Iterable[tuple], ahead: int = 256) -> Iterator[Any]:
    """Yield the results of `work(*item)`, in the order of the items.

    Meant for work that leaves the interpreter's lock, as Pillow does where it decodes.

    Args:
        work: what is done to each item.
        items: arguments of `work`.
        ahead: results that may wait to be taken.

    Yields:
        One result an item.
    """
    waiting: collections.deque[concurrent.futures.Future] = collections.deque()
    pool = concurrent.futures.ThreadPoolExecutor(max(2, os.cpu_count() or 2))
    try:
        for item in items:
            waiting.append(pool.submit(work, *item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)  # where nobody takes the rest, it is not made
