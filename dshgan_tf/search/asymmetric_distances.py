"""The asymmetric distance of a relaxed query code to the bits of codes.

The asymmetric distance of a relaxed code h to bits b is ||h - b||^2. With q the bits of h it equals

    ||h - q||^2 + the sum of |2 h_i - 1| over the bits i in which b differs from q,

and the first term is the same for all b. The weights |2 h_i - 1| are rounded as in `retrieval.asymmetric`: to 2^-23
for float32, its resolution just below 1, to 2^-10 for float16, and to 2^-40 for float64 (coarser from 4,096 bits on).
Then no sum is rounded, in whatever order it is made, and bits that are 0.9 and 0.1 in float32 are equally sure.

Reference:
    Gordo and Perronnin, "Asymmetric distances for binary embeddings", CVPR 2011.
"""

from __future__ import annotations

import functools

import numpy as np

FINEST = 40  # binary places of a weight at most
BLOCK = 1 << 16  # bytes of codes that are looked up together


def bit_weights(relaxed: np.ndarray) -> np.ndarray:
    """Return what each differing bit adds to the asymmetric distance; see the module.

    Args:
        relaxed: (Q, K) float, in [0, 1].

    Returns:
        (Q, K) float64, whole numbers.
    """
    if not np.issubdtype(relaxed.dtype, np.floating):
        relaxed = relaxed.astype(np.float64)
    # The sums stay below 2^53, up to which float64 holds all whole numbers.
    places = min(np.finfo(relaxed.dtype).nmant, FINEST, 64 - 2 * relaxed.shape[1].bit_length())
    return np.rint(np.ldexp(np.abs(2.0 * relaxed.astype(np.float64) - 1.0), places))


@functools.cache
def bits_of_bytes() -> np.ndarray:
    """Return the bits of all bytes, (8, 256) float64, the most significant first."""
    return np.unpackbits(np.arange(256, dtype=np.uint8)[None], axis=0).astype(np.float64)


class AsymmetricDistances:
    """Asymmetric distances of a relaxed query code to rows, up to a constant; see the module.

    Args:
        codes: (N, W) uint8.
        query: (W,) uint8, the bits of the relaxed code.
        weights: (K,) float64, from ``bit_weights``.
    """

    def __init__(self, codes: np.ndarray, query: np.ndarray, weights: np.ndarray) -> None:
        """Tabulate the sums of the weights of each byte."""
        self._codes, self._query = codes, query
        padded = np.zeros((len(query), 8))
        padded.reshape(-1)[: len(weights)] = weights
        self._sums = (padded @ bits_of_bytes()).reshape(-1)
        self._tables = np.arange(0, len(self._sums), 256)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return the distances of rows, (R,) float64."""
        total = np.empty(len(rows))
        step = max(1, BLOCK // len(self._query))
        for start in range(0, len(rows), step):
            different = self._codes[rows[start : start + step]] ^ self._query
            total[start : start + step] = self._sums.take(different + self._tables).sum(axis=1)
        return total
