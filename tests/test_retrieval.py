"""Retrieval metrics against numbers worked out by hand, an enumeration of all orders, and scikit-learn."""

import itertools
import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from dshgan_tf import retrieval
from dshgan_tf.codes import pack
from dshgan_tf.retrieval import counting, evaluation, ranking
from dshgan_tf.retrieval import database as database_module

ORDERED = ("map", "map_at_k", "precision_at_k", "recall_at_k", "ndcg_at_k", "acg_at_k")


def bits_at(distances: list[int], num_bits: int) -> np.ndarray:
    """Codes at given distances from the code of all zeros."""
    return pack(np.array([[1] * d + [0] * (num_bits - d) for d in distances]))


def numbers(result: dict) -> dict:
    return {name: value for name, value in result.items() if name != "policy"}


def evaluate_one(distances: list[int], relevant: list[int], num_bits: int = 8, **policy) -> dict:
    """One query of class 1 and code 0 against codes at these distances, of class 1 where relevant and 0 elsewhere."""
    database = bits_at(distances, num_bits)
    return retrieval.evaluate(
        np.zeros_like(database[:1]), np.array([1]), database, np.array(relevant), num_bits, **policy
    )


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_without_ties():
    # Relevance in rank order 1 0 1 0: AP = (1/1 + 2/3)/2 = 5/6. Cut 2: retrieved (1/1)/1 = 1, all (1/1)/2 = 1/2.
    # Distances 0 1 2 3: within radius 2 lie 1 0 1, precision 2/3, recall 1. Similar pairs: (0 + 2)/2, others (1 + 3)/2.
    # NDCG@2: DCG 1/log2(2) = 1; ideal 1 + 1/log2(3).
    result = evaluate_one([0, 1, 2, 3], [1, 0, 1, 0], top_k=2)
    assert result["map"] == pytest.approx(5 / 6)
    assert result["map_at_k"] == pytest.approx(1.0)
    assert result["precision_at_k"] == result["recall_at_k"] == result["acg_at_k"] == pytest.approx(0.5)
    assert result["ndcg_at_k"] == pytest.approx(1 / (1 + 1 / math.log2(3)))
    assert result["precision_radius_2"] == pytest.approx(2 / 3)
    assert result["recall_radius_2"] == 1.0
    assert (result["mean_distance_similar"], result["mean_distance_dissimilar"]) == (1.0, 2.0)
    assert (result["k"], result["num_queries"], result["num_database"]) == (2, 1, 4)
    assert result["policy"] == "ties=expected divisor=retrieved"
    assert evaluate_one([0, 1, 2, 3], [1, 0, 1, 0], top_k=2, divisor="all")["map_at_k"] == pytest.approx(0.5)


def test_one_tie():
    # Two equally near codes, one relevant: the orders 1 0 and 0 1 have AP 1 and 1/2, expected 3/4.
    # Cut 1: retrieved gives 1 or, without a hit, 0: 1/2. A ratio of expectations would say (1/2)/(1/2) = 1.
    # Recall at 1 is 1 or 0.
    result = evaluate_one([4, 4], [0, 1], top_k=1)
    assert result["map"] == pytest.approx(3 / 4)
    assert result["map_at_k"] == result["recall_at_k"] == result["precision_at_k"] == pytest.approx(1 / 2)
    assert result["empty_ball_share"] == 1.0 and result["precision_radius_2"] == 0.0
    # In database order the irrelevant one comes first.
    result = evaluate_one([4, 4], [0, 1], top_k=1, **retrieval.PEER)
    assert (result["map"], result["map_at_k"]) == (0.5, 0.0)
    assert result["policy"] == "ties=index divisor=retrieved"


def test_cut_inside_a_tie_group():
    # Rank 1 is relevant; then three tied codes, two relevant, and the cut is 3, so two of the three get in.
    # In: both relevant (1 of 3 pairs): (1 + 1 + 1)/3 = 1. One relevant (2 of 3 pairs), first or second alike:
    # (1 + 2/2)/2 = 1 or (1 + 2/3)/2 = 5/6. Expected 1/3 + 2/3 * (1 + 5/6)/2 = 17/18.
    # Divisor all, 3 relevant: 1/3 * 1 + 2/3 * ((2 + 5/3)/2)/3 = 1/3 + 11/27 = 20/27.
    assert evaluate_one([0, 3, 3, 3], [1, 1, 0, 1], top_k=3)["map_at_k"] == pytest.approx(17 / 18)
    assert evaluate_one([0, 3, 3, 3], [1, 1, 0, 1], top_k=3, divisor="all")["map_at_k"] == pytest.approx(20 / 27)


def test_queries_without_a_hit_count_zero():
    # Query class 1 finds its one code first (AP 1); class 7 is not in the database, -1 is no label: 0 each, mean 1/3.
    database = bits_at([0, 1], 8)
    queries = np.zeros((3, 1), np.uint8)
    result = retrieval.evaluate(queries, np.array([1, 7, -1]), database, np.array([1, -1]), 8)
    assert result["map"] == pytest.approx(1 / 3)
    assert result["no_relevant_share"] == pytest.approx(2 / 3)
    multi = retrieval.evaluate(queries, np.array([[0, 1], [1, 0], [0, 0]]), database, np.array([[0, 1], [0, 0]]), 8)
    assert multi["map"] == pytest.approx(1 / 3)


def test_graded_relevance():
    # Shared labels in rank order: 1, 2, 0. Gains 2^1 - 1 = 1 and 2^2 - 1 = 3.
    # NDCG@2 = (1 + 3/log2(3)) / (3 + 1/log2(3)); ACG@2 = (1 + 2)/2.
    database = bits_at([0, 1, 2], 8)
    labels = np.array([[1, 0, 0], [1, 1, 1], [0, 0, 1]])
    result = retrieval.evaluate(np.zeros((1, 1), np.uint8), np.array([[1, 1, 0]]), database, labels, 8, top_k=2)
    assert result["ndcg_at_k"] == pytest.approx((1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3)))
    assert result["acg_at_k"] == pytest.approx(1.5)


def test_precision_recall_curve_by_hand():
    # Distances 0, 1, 3 of class 1 0 1. Radii 0..3: precision 1, 1/2, 1/2, 2/3; recall 1/2, 1/2, 1/2, 1.
    # With the code at distance 3 alone, the balls of radius 0 to 2 are empty: precision 0.
    database = bits_at([0, 1, 3], 3)
    query = (np.zeros((1, 1), np.uint8), np.array([1]))
    curve = retrieval.precision_recall_curve(*query, database, np.array([1, 0, 1]), 3)
    np.testing.assert_allclose(curve["precision"], [1, 1 / 2, 1 / 2, 2 / 3])
    np.testing.assert_allclose(curve["recall"], [1 / 2, 1 / 2, 1 / 2, 1])
    np.testing.assert_array_equal(curve["radius"], [0, 1, 2, 3])
    np.testing.assert_array_equal(curve["empty_ball_share"], [0, 0, 0, 0])
    far = retrieval.precision_recall_curve(*query, database[2:], np.array([1]), 3)
    np.testing.assert_array_equal(far["precision"], [0, 0, 0, 1])
    np.testing.assert_array_equal(far["empty_ball_share"], [1, 1, 1, 0])


# --- all orders of small tie groups ----------------------------------------------------------------------------------


def metrics_of_order(shared: list[int], every: list[int], k: int, divisor: str) -> list[float]:
    """The metrics of one ranking, from their definitions; ``every`` is the whole database in any order."""
    relevant = [s > 0 for s in shared]
    precisions = [sum(relevant[: i + 1]) / (i + 1) if relevant[i] else 0.0 for i in range(len(shared))]
    total, hits = sum(relevant), sum(relevant[:k])
    bottom = hits if divisor == "retrieved" else total
    gain = sum((2**s - 1) / math.log2(i + 2) for i, s in enumerate(shared[:k]))
    ideal = sum((2**s - 1) / math.log2(i + 2) for i, s in enumerate(sorted(every, reverse=True)[:k]))
    return [
        sum(precisions) / total if total else 0.0,
        sum(precisions[:k]) / bottom if bottom else 0.0,
        hits / k,
        hits / total if total else 0.0,
        gain / ideal if ideal else 0.0,
        sum(shared[:k]) / k,
    ]


def oracle(query_bits, query_labels, database_bits, database_labels, k: int, ties: str, divisor: str) -> list[float]:
    """Mean over queries of the mean over all orders within equal distance (or of the stable order)."""
    per_query = []
    for bits, labels in zip(query_bits.tolist(), query_labels.tolist(), strict=True):
        distances = [sum(a != b for a, b in zip(bits, row, strict=True)) for row in database_bits.tolist()]
        shared = [sum(a and b for a, b in zip(labels, row, strict=True)) for row in database_labels.tolist()]
        groups = [[s for s, e in zip(shared, distances, strict=True) if e == d] for d in sorted(set(distances))]
        orders = [groups] if ties == "index" else itertools.product(*(itertools.permutations(g) for g in groups))
        values = [metrics_of_order(list(itertools.chain(*order)), shared, k, divisor) for order in orders]
        per_query.append([math.fsum(column) / len(values) for column in zip(*values, strict=True)])
    return [math.fsum(column) / len(per_query) for column in zip(*per_query, strict=True)]


@pytest.mark.parametrize("num_bits", [1, 7, 12, 32, 48, 64, 100])
@pytest.mark.parametrize("multi_label", [False, True])
def test_equal_to_all_orders_enumerated(num_bits, multi_label):
    rng = np.random.default_rng(num_bits)
    for round_number in range(3):
        prototypes = rng.integers(0, 2, (2 + round_number, num_bits))  # few distinct codes: large groups
        query_bits = prototypes[rng.integers(0, len(prototypes), 4)]
        database_bits = prototypes[rng.integers(0, len(prototypes), 6)]
        if multi_label:
            query_labels, database_labels = rng.integers(0, 2, (4, 3)), rng.integers(0, 2, (6, 3))
            query_labels[0] = 0  # a query without a hit
            given = (query_labels, database_labels)
        else:
            ids = rng.integers(0, 3, 4), rng.integers(0, 2, 6)  # class 2 has no hit
            query_labels, database_labels = (np.eye(3, dtype=int)[side] for side in ids)
            given = ids
        for k, ties, divisor in itertools.product((1, 2, 4, 6), ("expected", "index"), ("retrieved", "all")):
            expected = oracle(query_bits, query_labels, database_bits, database_labels, k, ties, divisor)
            result = retrieval.evaluate(
                pack(query_bits), given[0], pack(database_bits), given[1], num_bits, k, ties, divisor
            )
            assert [result[name] for name in ORDERED] == pytest.approx(expected, abs=1e-12), (k, ties, divisor)


def exact_expected_ratio(before, relevant_before, size, relevant, places, precision_sum) -> float:
    """The hypergeometric expectation in exact fractions, term by term from the definition."""
    total = Fraction(0)
    for hits in range(max(0, places - size + relevant), min(places, relevant) + 1):
        ways = math.comb(relevant, hits) * math.comb(size - relevant, places - hits)
        weight = Fraction(ways, math.comb(size, places))
        tied = Fraction(0)
        for t in range(1, places + 1):
            follow = Fraction((t - 1) * (hits - 1), places - 1) if places > 1 else 0
            tied += Fraction(hits, places) * (relevant_before + 1 + follow) / (before + t)
        if relevant_before + hits:
            total += weight * (precision_sum + tied) / (relevant_before + hits)
    return float(total)


@pytest.mark.parametrize(
    "case", [(0, 0, 300, 30, 100), (50, 7, 300, 299, 150), (500, 0, 200, 1, 1), (3, 3, 90, 90, 40), (9, 2, 50, 0, 20)]
)
def test_cut_of_a_large_group(case):
    before, relevant_before, size, relevant, places = case
    precision_sum = Fraction(relevant_before, 2)
    harmonic = ranking.harmonic_difference(np.array([before]), np.array([before + places]))
    columns = [np.array([value]) for value in case]
    ratio = counting.expected_ratio(np.array([float(precision_sum)]), *columns, harmonic)
    assert ratio[0] == pytest.approx(exact_expected_ratio(*case, precision_sum), rel=1e-12)


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 0), (0, 1), (3, 900), (255, 257), (256, 300), (10**7, 10**7 + 1), (10**6, 10**6 + 5)]
)
def test_harmonic_difference(start, stop):
    expected = math.fsum(1.0 / i for i in range(start + 1, stop + 1))
    assert ranking.harmonic_difference(np.array([start]), np.array([stop]))[0] == pytest.approx(expected, rel=1e-13)


def sort_loop(query_codes, query_labels, database_codes, database_labels, k: int) -> float:
    """MAP at k as everybody computes it: a stable sort for each query."""
    bits, queries = np.unpackbits(database_codes, axis=1), np.unpackbits(query_codes, axis=1)
    values = []
    for code, label in zip(queries, query_labels, strict=True):
        order = np.argsort((bits != code).sum(axis=1), kind="stable")[:k]
        ranks = np.flatnonzero(database_labels[order] == label) + 1
        values.append(np.mean(np.arange(1, len(ranks) + 1) / ranks) if len(ranks) else 0.0)
    return float(np.mean(values))


@pytest.mark.parametrize("k", [1, 100, 2999, 5000])
def test_peer_policy_equals_a_sort_loop(k):
    rng = np.random.default_rng(0)
    codes = pack(rng.integers(0, 2, (5020, 12)))
    labels = rng.integers(0, 10, 5020)
    problem = (codes[:20], labels[:20], codes[20:], labels[20:])
    result = retrieval.evaluate(*problem, 12, top_k=k, **retrieval.PEER)
    assert result["map_at_k"] == pytest.approx(sort_loop(*problem, k), abs=1e-12)


# --- scikit-learn ----------------------------------------------------------------------------------------------------


def test_equal_to_scikit_learn_without_ties():
    rng = np.random.default_rng(0)
    for _ in range(10):
        distances = rng.permutation(33)
        relevant = rng.integers(0, 2, 33)
        result = evaluate_one(distances.tolist(), relevant.tolist(), num_bits=32)
        assert result["map"] == pytest.approx(average_precision_score(relevant, -distances))


def test_difference_from_scikit_learn_with_ties():
    # scikit-learn takes a tie group as one threshold: each relevant code of it counts with the precision at the end
    # of the group, 1/2 here. The mean over the two orders is (1 + 1/2)/2 = 3/4. Not the same thing, so not the same
    # number; where every distance is taken once both are AP.
    assert average_precision_score([0, 1], [-4, -4]) == pytest.approx(1 / 2)
    assert evaluate_one([4, 4], [0, 1])["map"] == pytest.approx(3 / 4)


# --- properties ------------------------------------------------------------------------------------------------------


@st.composite
def problems(draw, max_database: int = 12):
    num_bits = draw(st.integers(1, 20))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, queries = draw(st.integers(1, max_database)), draw(st.integers(1, 4))
    prototypes = rng.integers(0, 2, (draw(st.integers(1, 6)), num_bits))
    bits = prototypes[rng.integers(0, len(prototypes), count + queries)]
    labels = rng.integers(-1, 3, count + queries)
    if draw(st.booleans()):
        labels = rng.integers(0, 2, (count + queries, draw(st.integers(1, 70))))
    return bits[:queries], labels[:queries], bits[queries:], labels[queries:], draw(st.integers(1, count + 2))


@settings(max_examples=60, deadline=None)
@given(problem=problems(), divisor=st.sampled_from(["retrieved", "all"]), data=st.data())
def test_database_order_does_not_matter(problem, divisor, data):
    query_bits, query_labels, bits, labels, k = problem
    order = data.draw(st.permutations(range(len(bits))))
    queries = (pack(query_bits), query_labels)
    first = retrieval.evaluate(*queries, pack(bits), labels, bits.shape[1], k, divisor=divisor)
    second = retrieval.evaluate(*queries, pack(bits[order]), labels[order], bits.shape[1], k, divisor=divisor)
    np.testing.assert_equal(first, second)


@settings(max_examples=15, deadline=None)
@given(problem=problems(max_database=5), divisor=st.sampled_from(["retrieved", "all"]))
def test_expectation_is_the_mean_of_index_order_over_all_database_orders(problem, divisor):
    query_bits, query_labels, bits, labels, k = problem
    queries = (pack(query_bits), query_labels)
    expected = retrieval.evaluate(*queries, pack(bits), labels, bits.shape[1], k, divisor=divisor)
    orders = [list(order) for order in itertools.permutations(range(len(bits)))]
    results = [
        retrieval.evaluate(*queries, pack(bits[order]), labels[order], bits.shape[1], k, "index", divisor)
        for order in orders
    ]
    for name in ORDERED:
        assert expected[name] == pytest.approx(np.mean([result[name] for result in results]), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(problem=problems(), ties=st.sampled_from(["expected", "index"]), constant=st.integers(1, 70))
def test_constant_bits_change_nothing_and_ranges_hold(problem, ties, constant):
    query_bits, query_labels, bits, labels, k = problem
    result = retrieval.evaluate(pack(query_bits), query_labels, pack(bits), labels, bits.shape[1], k, ties)
    longer = [np.concatenate([np.ones((len(part), constant), int), part], axis=1) for part in (query_bits, bits)]
    same = retrieval.evaluate(pack(longer[0]), query_labels, pack(longer[1]), labels, longer[1].shape[1], k, ties)
    assert numbers(same) == pytest.approx(numbers(result), abs=1e-12, nan_ok=True)
    for name, value in result.items():
        if isinstance(value, float) and "distance" not in name and name != "acg_at_k":
            assert 0 <= value <= 1 + 1e-12, name
    assert result["k"] == min(k, len(bits))


# --- streams and blocks ----------------------------------------------------------------------------------------------


def large_problem(multi_label: bool):
    rng = np.random.default_rng(1)
    codes = pack(rng.integers(0, 2, (5030, 20)))
    labels = rng.integers(0, 2, (5030, 5)) if multi_label else rng.integers(0, 4, 5030)
    return codes[:30], labels[:30], codes[30:], labels[30:]


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("ties", ["expected", "index"])
def test_streaming_is_equal_to_the_last_bit(monkeypatch, multi_label, ties):
    query_codes, query_labels, codes, labels = large_problem(multi_label)
    monkeypatch.setattr(evaluation, "MAX_COUNTS", 300)  # blocks of a few queries
    whole = retrieval.evaluate(query_codes, query_labels, codes, labels, 20, 700, ties, cutoffs=(10,))
    cuts = [0, 1, 1, 2500, 4999, 5000]  # an empty part among them
    code_parts = [codes[a:b] for a, b in itertools.pairwise(cuts)]
    label_parts = [labels[a:b] for a, b in itertools.pairwise(cuts)]
    arguments = (20, 700, ties)
    assert retrieval.evaluate(query_codes, query_labels, code_parts, label_parts, *arguments, cutoffs=(10,)) == whole
    assert retrieval.evaluate(query_codes, query_labels, code_parts, labels, *arguments, cutoffs=(10,)) == whole
    monkeypatch.setattr(database_module, "PART_BYTES", 4096)
    assert retrieval.evaluate(query_codes, query_labels, codes, labels, *arguments, cutoffs=(10,)) == whole
    if ties == "expected":
        streams = (iter(code_parts), iter(label_parts))
        assert retrieval.evaluate(query_codes, query_labels, *streams, *arguments, cutoffs=(10,)) == whole
        curve = retrieval.precision_recall_curve(query_codes, query_labels, codes, labels, 20)
        stream = retrieval.precision_recall_curve(query_codes, query_labels, iter(code_parts), iter(label_parts), 20)
        np.testing.assert_equal(stream, curve)
        assert curve["precision"][2] == pytest.approx(whole["precision_radius_2"])
    else:
        with pytest.raises(ValueError, match="reads the database twice"):
            retrieval.evaluate(query_codes, query_labels, iter(code_parts), iter(label_parts), *arguments)


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("ties", ["expected", "index"])
def test_threads_and_block_size_change_nothing(monkeypatch, multi_label, ties):
    problem = large_problem(multi_label)
    first = retrieval.evaluate(*problem, 20, 700, ties)
    monkeypatch.setattr(counting, "SMALL", 0)
    assert retrieval.evaluate(*problem, 20, 700, ties) == first
    monkeypatch.setattr(evaluation, "MAX_COUNTS", 1)
    assert numbers(retrieval.evaluate(*problem, 20, 700, ties)) == pytest.approx(numbers(first), rel=1e-14)


def test_1024_bits():
    rng = np.random.default_rng(2)
    codes, labels = pack(rng.integers(0, 2, (330, 1024))), rng.integers(0, 3, 330)
    problem = (codes[:30], labels[:30], codes[30:], labels[30:])
    result = retrieval.evaluate(*problem, 1024, top_k=50, **retrieval.PEER)
    assert result["map_at_k"] == pytest.approx(sort_loop(*problem, 50), abs=1e-12)


def test_cutoffs():
    result = evaluate_one([0, 1, 2, 3], [1, 0, 1, 0], cutoffs=(1, 3, 9))
    assert [result[f"precision_at_{c}"] for c in (1, 3, 9)] == pytest.approx([1, 2 / 3, 1 / 2])  # 9 is cut to 4
    assert [result[f"recall_at_{c}"] for c in (1, 3, 9)] == pytest.approx([1 / 2, 1, 1])


# --- errors and documented limits ------------------------------------------------------------------------------------


def test_k_beyond_the_database_is_cut():
    result = evaluate_one([0, 1, 1], [1, 0, 1], top_k=10)
    assert result["k"] == 3
    assert result == evaluate_one([0, 1, 1], [1, 0, 1])


def test_no_pair_of_a_kind_gives_nan():
    result = evaluate_one([0, 1], [1, 1])
    assert result["mean_distance_similar"] == 0.5 and math.isnan(result["mean_distance_dissimilar"])


CODES, IDS = np.zeros((3, 2), np.uint8), np.zeros(3, int)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_bits": 0}, "num_bits must be an integer of at least 1, got 0"),
        ({"num_bits": 17}, r"query_codes must have shape \(N, 3\) for num_bits=17"),
        ({"database_codes": np.zeros((3, 3), np.uint8)}, r"database_codes must have shape \(N, 2\)"),
        ({"database_codes": np.full((3, 2), 255, np.uint8)}, "database_codes must have 4 zero padding bits"),
        ({"query_codes": np.zeros((3, 2))}, "query_codes must be packed uint8, got dtype float64"),
        ({"query_codes": CODES[:0], "query_labels": IDS[:0]}, "0 queries"),
        ({"database_codes": CODES[:0], "database_labels": IDS[:0]}, "empty database"),
        ({"database_codes": [], "database_labels": []}, "empty database"),
        ({"query_labels": IDS[:2]}, "query_labels must be .* one row a code, got"),
        ({"database_labels": IDS[:2]}, "got 2 rows for 3 codes"),
        ({"database_labels": np.zeros((3, 4), int)}, "same label encoding"),
        ({"query_labels": np.zeros(3)}, "integer class ids, got dtype float64"),
        ({"query_labels": np.array([0, 1, -2])}, "at least -1, got -2"),
        ({"query_labels": np.array([[0], [1], [2]])}, "must be multi-hot, every value 0 or 1"),
        ({"query_labels": np.eye(3), "database_labels": np.zeros((3, 4))}, "3 multi-hot columns, got"),
        ({"database_labels": iter([IDS])}, "pass both as arrays"),
        ({"database_codes": [CODES], "database_labels": [IDS[:2]]}, "parts of the same lengths, got 3 and 2"),
        ({"database_codes": [CODES, CODES], "database_labels": [IDS]}, "parts of the same lengths, got 3 and None"),
        ({"database_codes": [CODES[:2]]}, "got 3 rows for 2 codes in parts"),
        ({"top_k": 0}, "top_k must be integers of at least 1, got 0"),
        ({"top_k": 2.5}, "top_k must be integers of at least 1, got 2.5"),
        ({"cutoffs": (1, 0)}, "cutoffs must be integers of at least 1, got 0"),
        ({"ties": "random"}, "ties must be"),
        ({"divisor": "min"}, "divisor must be"),
    ],
)
def test_errors(changes, message):
    arguments = {
        "query_codes": CODES, "query_labels": IDS, "database_codes": CODES, "database_labels": IDS, "num_bits": 12
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        retrieval.evaluate(**(arguments | changes))


def test_database_parts_too_many_rows_for_the_labels():
    with pytest.raises(ValueError, match="one row a code"):
        retrieval.evaluate(CODES, IDS, [CODES, CODES], IDS, 12)


def test_import_stays_light():
    # A bare package object stands in for dshgan_tf/__init__.py, which imports the model and so Keras.
    code = """
import sys, types, importlib.util
package = types.ModuleType("dshgan_tf")
package.__path__ = list(importlib.util.find_spec("dshgan_tf").submodule_search_locations)
sys.modules["dshgan_tf"] = package
import dshgan_tf.retrieval, dshgan_tf.search.hamming_index, dshgan_tf.retrieval.code_statistics
print(sorted({"tensorflow", "keras", "numba", "faiss", "sklearn", "matplotlib"} & set(sys.modules)))
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
