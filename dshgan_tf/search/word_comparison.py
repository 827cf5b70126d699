"""Compare packed codes with a query, a machine word at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

BLOCK = 1 << 16  # words that one call of NumPy compares


def as_words(codes: np.ndarray) -> np.ndarray:
    """View packed codes as words, as wide ones as fit; a width that is no multiple of a word is padded and copied.

    Args:
        codes: (N, W) uint8, C-contiguous.

    Returns:
        (N, words) unsigned integers of 1, 2, 4 or 8 bytes.
    """
    width = codes.shape[1]
    size = 8 if width > 4 else 1 << (width - 1).bit_length()
    if width % size:
        padded = np.zeros((len(codes), -(-width // size) * size), np.uint8)
        padded[:, :width] = codes
        codes = padded
    return codes.view(f"u{size}")


def block_size(width: int) -> int:
    """Return how many codes of W bytes one call of NumPy compares."""
    return max(1, BLOCK // -(-width // 8))


def blocks(start: int, stop: int, first: int, later: int) -> Iterator[tuple[int, int]]:
    """Cut a range of rows into a block of ``first`` rows and blocks of ``later`` rows."""
    while start < stop:
        yield start, min(start + first, stop)
        start, first = start + first, later


class Comparison:
    """Count the bits in which codes differ from a query, in buffers that are made once.

    Args:
        width: W, bytes of a code.
        size: most codes of one call.
    """

    def __init__(self, width: int, size: int) -> None:
        """Make the buffers; see the class."""
        self._different = np.empty(size, as_words(np.empty((0, width), np.uint8)).dtype)
        self._distances = np.empty(size, np.uint8 if width < 32 else np.uint16)
        self._more = np.empty(size, np.uint8)
        self._wanted = np.empty(size, bool)

    def __call__(self, words: np.ndarray, query: Sequence[np.integer]) -> np.ndarray:
        """Return the distances of N codes, (N,) uint8 or uint16, valid until the next call.

        Args:
            words: (words, N) unsigned integers, the columns of ``as_words``.
            query: one word of the query for each.
        """
        size = words.shape[1]
        different, distances, more = self._different[:size], self._distances[:size], self._more[:size]
        np.bitwise_xor(words[0], query[0], out=different)
        np.bitwise_count(different, out=distances)
        for column, word in zip(words[1:], query[1:], strict=True):
            np.bitwise_xor(column, word, out=different)
            np.bitwise_count(different, out=more)
            np.add(distances, more, out=distances)
        return distances

    def within(self, distances: np.ndarray, limit: int) -> np.ndarray:
        """Return the places of the distances of at most ``limit``, which is at least 0."""
        return np.less_equal(distances, limit, out=self._wanted[: len(distances)]).nonzero()[0]
