"""Per-query retrieval metrics from counts by Hamming distance, exact under ties.

A Hamming ranking is a row of groups, one a distance 0..K, each of ``size`` equally near codes of which ``relevant``
share a label with the query. Nothing orders the codes of a group, so the metrics here are expectations over all its
orders, in closed form (McSherry and Najork, "Computing information retrieval performance measures efficiently in
the presence of tied scores", ECIR 2008; He et al., "Hashing as tie-aware learning to rank", CVPR 2018).

In a group of n codes, r of them relevant, behind N codes with R relevant ones, the code at place t is relevant with
probability r/n, and of the t - 1 places before it (t - 1)(r - 1)/(n - 1) are expected to be, given that it is. So

    E[sum of precisions] = r/n * sum_t (R + 1 + (t - 1) s) / (N + t)          with s = (r - 1)/(n - 1)
                         = r/n * (p s + (R + 1 - s (N + 1)) * sum_t 1/(N + t))

over the first p places t = 1..p, where the last sum is a difference of harmonic numbers.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

SERIES_FROM = 256  # from here on the asymptotic series of the harmonic numbers is exact in float64


class Groups(NamedTuple):
    """The groups of equal distance of some queries, nearest first; every array is (Q, K+1) unless it says otherwise.

    A named tuple, since compiled functions take it as it is.

    Attributes:
        size: int64, codes in each group.
        relevant: int64, those that share a label with the query.
        shared: float64, sum of the numbers of shared labels.
        gain: float64, sum of the gains ``2**shared - 1``.
        before: int64, codes in nearer groups.
        relevant_before: int64, relevant ones among them.
        num_relevant: (Q,) int64, relevant codes in the database.
        levels: (Q, G+1) int64, codes of the database by number of shared labels.
    """

    size: np.ndarray
    relevant: np.ndarray
    shared: np.ndarray
    gain: np.ndarray
    before: np.ndarray
    relevant_before: np.ndarray
    num_relevant: np.ndarray
    levels: np.ndarray

    @classmethod
    def from_counts(cls, counts: np.ndarray) -> Groups:
        """Sum up counts, (Q, G+1, K+1) int64 by number of shared labels and distance."""
        size, relevant = counts.sum(axis=1), counts[:, 1:].sum(axis=1)
        grades = np.arange(counts.shape[1], dtype=np.float64)
        return cls(
            size=size,
            relevant=relevant,
            shared=np.einsum("qgd,g->qd", counts, grades),
            gain=np.einsum("qgd,g->qd", counts, 2.0**grades - 1.0),
            before=np.cumsum(size, axis=1) - size,
            relevant_before=np.cumsum(relevant, axis=1) - relevant,
            num_relevant=relevant.sum(axis=1),
            levels=counts.sum(axis=2),
        )


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide, with 0 where there is nothing to divide by."""
    return numerator / np.maximum(denominator, 1)


def harmonic_difference(start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Sum 1/i over start < i <= stop.

    Small numbers come from a table, large ones from the difference of the series ln n + 1/2n - 1/12n^2 + 1/120n^4,
    taken term by term: subtracting two harmonic numbers would lose the digits that they share.

    Args:
        start: integers of at least 0.
        stop: integers of at least ``start``, of a shape that broadcasts with it.

    Returns:
        float64 of the broadcast shape, to a relative error of about 1e-13.
    """
    table = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, SERIES_FROM + 1))])
    below = table[np.minimum(stop, SERIES_FROM)] - table[np.minimum(start, SERIES_FROM)]
    a, b = (np.maximum(n, SERIES_FROM).astype(np.float64) for n in (start, stop))
    above = np.log1p((b - a) / a) + (1 / b - 1 / a) / 2 - (1 / b**2 - 1 / a**2) / 12 + (1 / b**4 - 1 / a**4) / 120
    return below + above


def precision_sums(groups: Groups, k: int) -> np.ndarray:
    """Expect the sum of the precisions at the relevant ranks of each group, ranks up to k only.

    Args:
        groups: of Q queries.
        k: the cut, at least 1.

    Returns:
        (Q, K+1) float64.
    """
    places = np.clip(k - groups.before, 0, groups.size)
    slope = (groups.relevant - 1) / np.maximum(groups.size - 1, 1)
    level = groups.relevant_before + 1 - slope * (groups.before + 1)
    harmonic = harmonic_difference(groups.before, groups.before + places)
    return ratio(groups.relevant, groups.size) * (places * slope + level * harmonic)


def expected_average_precision(groups: Groups, k: int, divisor: str) -> np.ndarray:
    """Expect AP at k over the orders within equal distance.

    Args:
        groups: of Q queries.
        k: the cut, from 1 to N.
        divisor: ``"all"``, relevant codes in the database, or ``"retrieved"``, relevant codes within the cut. The
            latter depends on the order, so the expectation is that of the ratio, not the ratio of expectations.

    Returns:
        (Q,) float64, in [0, 1]; 0 for a query without a hit.
    """
    sums = precision_sums(groups, k)
    if divisor == "all" or k == groups.levels[0].sum():  # the two divisors are the same at the end of the ranking
        return ratio(sums.sum(axis=1), groups.num_relevant)

    from dshgan_tf.retrieval.counting import expected_ratio

    cut = np.argmax(groups.before + groups.size >= k, axis=1)
    rows = np.arange(len(cut))
    nearer = np.where(np.arange(sums.shape[1]) < cut[:, None], sums, 0.0).sum(axis=1)
    before, size = groups.before[rows, cut], groups.size[rows, cut]
    places = k - before
    harmonic = harmonic_difference(before, before + places)
    return expected_ratio(
        nearer, before, groups.relevant_before[rows, cut], size, groups.relevant[rows, cut], places, harmonic
    )


def expected_hits(groups: Groups, k: int) -> np.ndarray:
    """Expect the number of relevant codes within k, (Q,) float64."""
    places = np.clip(k - groups.before, 0, groups.size)
    return (ratio(groups.relevant, groups.size) * places).sum(axis=1)


def expected_cumulative_gain(groups: Groups, k: int) -> np.ndarray:
    """Expect the average number of shared labels within k (ACG, Järvelin and Kekäläinen 2000), (Q,) float64."""
    places = np.clip(k - groups.before, 0, groups.size)
    return (ratio(groups.shared, groups.size) * places).sum(axis=1) / k


@functools.lru_cache(maxsize=1)  # every block of queries asks for the same
def discount_sums(k: int) -> np.ndarray:
    """Return the cumulative sums of the discounts 1/log2(rank + 1) over ranks 1..k, (k+1,) float64, from 0 on."""
    discounts = np.arange(1.0, k + 2.0)  # in place from here on: k can be ten million
    discounts[0] = np.inf
    discounts[1:] = np.log2(discounts[1:], out=discounts[1:])
    np.divide(1.0, discounts, out=discounts)
    return np.cumsum(discounts, out=discounts)


def expected_discounted_gain(groups: Groups, k: int, discounts: np.ndarray) -> np.ndarray:
    """Expect DCG at k: gains ``2**shared - 1`` by discounts 1/log2(rank + 1), (Q,) float64.

    Args:
        groups: of Q queries.
        k: the cut, from 1 to N.
        discounts: (k+1,) float64 from ``discount_sums(k)``.

    Returns:
        (Q,) float64, at least 0.
    """
    first, last = np.minimum(groups.before, k), np.minimum(groups.before + groups.size, k)
    return (ratio(groups.gain, groups.size) * (discounts[last] - discounts[first])).sum(axis=1)


def ideal_discounted_gain(groups: Groups, k: int, discounts: np.ndarray) -> np.ndarray:
    """Compute the DCG at k of the best order of the database, (Q,) float64; arguments as above."""
    levels = groups.levels[:, :0:-1]  # most shared labels first; those that share none gain nothing
    gains = 2.0 ** np.arange(groups.levels.shape[1])[:0:-1] - 1.0
    last = np.cumsum(levels, axis=1)
    first = np.minimum(last - levels, k)
    return (gains * (discounts[np.minimum(last, k)] - discounts[first])).sum(axis=1)


def within_radius(groups: Groups) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute precision and recall of the codes within every Hamming radius, which ties do not touch.

    Args:
        groups: of Q queries.

    Returns:
        precision (Q, K+1) float64, 0 for an empty ball; recall (Q, K+1) float64, 0 for a query with nothing relevant;
        and empty (Q, K+1) bool.
    """
    size, relevant = np.cumsum(groups.size, axis=1), np.cumsum(groups.relevant, axis=1)
    return ratio(relevant, size), ratio(relevant, groups.num_relevant[:, None]), size == 0
