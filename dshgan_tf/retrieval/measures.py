"""The metrics of a block of queries, made from counts by Hamming distance, and their means over all blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dshgan_tf.retrieval import ranking
from dshgan_tf.retrieval.database import Database
from dshgan_tf.retrieval.queries import Queries


class Means:
    """Means over the queries, gathered block by block."""

    def __init__(self, num_bits: int) -> None:
        """Start with no block; K is `num_bits`."""
        self._values: list[dict[str, np.ndarray]] = []
        self._distances = np.arange(num_bits + 1)
        self._distance_sums = np.zeros(2, np.int64)  # of dissimilar and similar pairs
        self._pair_counts = np.zeros(2, np.int64)

    def add(self, groups: ranking.Groups, values: dict[str, np.ndarray]) -> None:
        """Take a block of queries and its metrics, (q,) each."""
        self._values.append(values)
        by_similarity = np.stack([groups.size - groups.relevant, groups.relevant]).sum(axis=1)
        self._distance_sums += by_similarity @ self._distances
        self._pair_counts += by_similarity.sum(axis=1)

    def of_values(self, cutoffs: Sequence[int]) -> dict[str, float]:
        """Return the mean of each metric, those at the i-th cutoff under its rank."""
        means = {
            name: float(np.mean(np.concatenate([part[name] for part in self._values]))) for name in self._values[0]
        }
        at = {
            f"{name}_at_{c}": means[f"{name}#{i}"] for i, c in enumerate(cutoffs, 1) for name in ("precision", "recall")
        }
        return {name: value for name, value in means.items() if "#" not in name} | at

    def of_distances(self) -> dict[str, float]:
        """Return the mean distances of similar and of dissimilar pairs; NaN without such pairs."""
        pairs = zip(self._distance_sums, self._pair_counts, strict=True)
        dissimilar, similar = (float(total / count) if count else float("nan") for total, count in pairs)
        return {"mean_distance_similar": similar, "mean_distance_dissimilar": dissimilar}


def expected_values(groups: ranking.Groups, cuts: np.ndarray, divisor: str) -> dict[str, np.ndarray]:
    """Compute the metrics that depend on the order, as expectations over it; each is (q,) float64."""
    k, whole = int(cuts[0]), int(groups.levels[0].sum())
    discounts = ranking.discount_sums(k)
    average_precision = ranking.expected_average_precision(groups, whole, divisor)
    hits = [ranking.expected_hits(groups, int(cut)) for cut in cuts]
    at_k = average_precision if k == whole else ranking.expected_average_precision(groups, k, divisor)
    gain = ranking.expected_discounted_gain(groups, k, discounts)
    acg = ranking.expected_cumulative_gain(groups, k)
    return {"map": average_precision, "map_at_k": at_k} | _at_cuts(groups, cuts, hits, gain, acg, discounts)


def index_values(
    groups: ranking.Groups,
    cuts: np.ndarray,
    divisor: str,
    queries: Queries,
    database: Database,
) -> dict[str, np.ndarray]:
    """Compute the same in database order, by a second pass over the database."""
    from dshgan_tf.retrieval import counting

    ranks = np.stack([groups.before, groups.relevant_before], axis=1)
    sums, hits_at = np.zeros((len(queries), 4)), np.zeros((len(queries), len(cuts)), np.int64)
    by_query = (queries.codes, queries.labels, ranks, sums, hits_at)
    for codes, labels in database.parts():
        common = (counting.Part(codes, labels, queries.class_ids), cuts)
        counting.over_queries(counting.rank_range, by_query, common, codes.shape[1])
    at_k = ranking.ratio(sums[:, 1], groups.num_relevant if divisor == "all" else hits_at[:, 0])
    average_precision = ranking.ratio(sums[:, 0], groups.num_relevant)
    others = _at_cuts(
        groups, cuts, list(hits_at.T), sums[:, 3], sums[:, 2] / cuts[0], ranking.discount_sums(int(cuts[0]))
    )
    return {"map": average_precision, "map_at_k": at_k} | others


def _at_cuts(
    groups: ranking.Groups,
    cuts: np.ndarray,
    hits: list[np.ndarray],
    discounted_gain: np.ndarray,
    acg: np.ndarray,
    discounts: np.ndarray,
) -> dict[str, np.ndarray]:
    """Name the metrics at k, and precision and recall at the i-th cutoff as ``precision#i`` and ``recall#i``."""
    ideal = ranking.ideal_discounted_gain(groups, int(cuts[0]), discounts)
    ndcg = np.divide(discounted_gain, ideal, out=np.zeros(len(ideal)), where=ideal > 0)
    values = {"ndcg_at_k": ndcg, "acg_at_k": acg}
    for i, (cut, hit) in enumerate(zip(cuts, hits, strict=True)):
        suffix = f"#{i}" if i else "_at_k"
        values[f"precision{suffix}"] = hit / cut
        values[f"recall{suffix}"] = ranking.ratio(hit, groups.num_relevant)
    return values


def order_free_values(groups: ranking.Groups) -> dict[str, np.ndarray]:
    """Compute the metrics within distance 2, whose groups are whole; each is (q,)."""
    precision, recall, empty = ranking.within_radius(groups)
    radius = min(2, precision.shape[1] - 1)
    return {
        "precision_radius_2": precision[:, radius],
        "recall_radius_2": recall[:, radius],
        "empty_ball_share": empty[:, radius],
        "no_relevant_share": groups.num_relevant == 0,
    }
