"""A bounded queue in front of a model, for `protocol_server`: it refuses too much, and finishes what it took."""

import dataclasses
import queue
import threading
import time
from concurrent.futures import Future

import numpy as np

WAIT = 0.002  # seconds that a request waits for others, as in export/serving/batching.config
BATCH = 64  # images that run together at most, as there


class Full(Exception):
    """As many requests wait as may."""


@dataclasses.dataclass
class Item:
    key: tuple  # requests of the same key may run together
    inputs: dict
    answer: Future = dataclasses.field(default_factory=Future)

    @property
    def size(self):
        return len(next(iter(self.inputs.values())))


class RequestQueue:
    """Run requests in a few threads.

    Args:
        run: key, inputs -> outputs, arrays with the batch first.
        most: requests that wait.
        batching: run requests of the same key together.
        workers: threads.
    """

    def __init__(self, run, most=1000, batching=False, workers=2):
        self._run, self._batching = run, batching
        self._waiting = queue.Queue(most)
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def ask(self, key, inputs):
        """Return the outputs, or raise what the model raised."""
        item = Item(key, inputs)
        try:
            self._waiting.put_nowait(item)
        except queue.Full:
            raise Full(f"{self._waiting.maxsize} requests wait already") from None
        return item.answer.result()

    def close(self):
        """Finish what was taken."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self):
        following = self._waiting.get()
        while following is not None:
            batch, following = self._together(following)
            self._answer(batch)
            following = following or self._waiting.get()
            if following is None:
                return

    def _together(self, first):
        """Wait for requests that can run with the first; the one after them starts the next batch."""
        batch, deadline = [first], time.monotonic() + WAIT
        while self._batching and sum(item.size for item in batch) < BATCH:
            try:
                item = self._waiting.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if item is None:
                self._waiting.put(None)
                break
            if item.key != first.key or sum(item.size for item in batch) + item.size > BATCH:
                return batch, item
            batch.append(item)
        return batch, None

    def _answer(self, batch):
        try:
            joined = {name: np.concatenate([item.inputs[name] for item in batch]) for name in batch[0].inputs}
            outputs = self._run(batch[0].key, joined if len(batch) > 1 else batch[0].inputs)
            ends = np.cumsum([item.size for item in batch])
            for item, end in zip(batch, ends, strict=True):
                item.answer.set_result({name: value[end - item.size : end] for name, value in outputs.items()})
        except Exception as error:  # the caller is told, the thread lives
            for item in batch:
                item.answer.set_exception(error)
