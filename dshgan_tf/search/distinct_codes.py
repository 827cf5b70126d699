"""Which codes there are, and which images have each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dshgan_tf.search.word_comparison import as_words


class Distinct(NamedTuple):
    """Distinct codes and their images.

    Attributes:
        codes: (M, W) uint8, no two equal.
        starts: (M + 1,) int64; images of code i are at ``ids[starts[i]:starts[i + 1]]``.
        ids: (N,) int64, ascending among those of one code.
    """

    codes: np.ndarray
    starts: np.ndarray
    ids: np.ndarray


def distinct_codes(codes: np.ndarray, ids: np.ndarray) -> Distinct:
    """Group images by their codes.

    Args:
        codes: (N, W) uint8.
        ids: (N,) int64.

    Returns:
        The groups.
    """
    words = as_words(codes)
    order = np.lexsort((ids, *words.T))
    changes = np.zeros(len(codes), bool)
    changes[:1] = True
    for word in words.T:
        ordered = word[order]
        changes[1:] |= ordered[1:] != ordered[:-1]
    firsts = np.flatnonzero(changes)
    return Distinct(codes[order[firsts]], np.append(firsts, len(codes)), ids[order])
