"""MAP by Hamming distance first and asymmetric distance second, against naive rankings and numbers by hand."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dshgan_tf import retrieval
from dshgan_tf.codes import pack
from dshgan_tf.retrieval import asymmetric, counting, evaluation, expected_precisions, radix
from dshgan_tf.retrieval import database as database_module
from dshgan_tf.retrieval.database import Database
from dshgan_tf.retrieval.queries import Queries

# --- by hand ---------------------------------------------------------------------------------------------------------

QUERY = np.array([[1.0, 0.625, 0.25]])  # bits 1 1 0, |2h - 1| = 1, 1/4, 1/2
BITS = np.array([[0, 1, 0], [1, 0, 0], [1, 1, 1], [1, 1, 0]])  # A, B, C at distance 1 by 1, 1/4, 1/2; D at 0


def evaluate_one(bits: np.ndarray, relevant: list[int], relaxed: np.ndarray = QUERY, **options) -> dict:
    """One query of class 1 against codes of class 1 where relevant and 0 elsewhere."""
    codes = pack(relaxed > 0.5), np.array([1]), pack(bits), np.array(relevant)
    return retrieval.evaluate(*codes, bits.shape[1], query_relaxed=relaxed, **options)


def test_order_within_a_distance():
    # B and C are relevant. D comes first, then B, C, A: relevance 0 1 1 0, AP = (1/2 + 2/3)/2 = 7/12.
    # By Hamming distance alone two of three tied codes are relevant, behind one that is not:
    # 2/3 * (1/2 + (1 + 1/2)/3 + (1 + 1)/4) / 2 = 1/2.
    result = evaluate_one(BITS, [0, 1, 1, 0])
    assert result["map_asymmetric"] == pytest.approx(7 / 12)
    assert result["map"] == pytest.approx(1 / 2)


@pytest.mark.parametrize(("ties", "expected"), [("expected", 13 / 24), ("index", 1 / 2)])
def test_equal_codes_still_tie(ties, expected):
    # An irrelevant E with the code of C comes before it in the database: D, B, {C, E}, A is 0 1 {1 0} 0.
    # Both orders: (1/2 + 2/3)/2 = 7/12 and (1/2 + 2/4)/2 = 1/2, on average 13/24. In database order E is first: 1/2.
    result = evaluate_one(BITS[[2, 0, 1, 2, 3]], [0, 0, 1, 1, 0], ties=ties)
    assert result["map_asymmetric"] == pytest.approx(expected)


@pytest.mark.parametrize("ties", ["expected", "index"])
def test_different_codes_of_equal_asymmetric_distance_tie(ties):
    # |2h - 1| = 1/4, 1/4, 1/2: first 1 0 0 and 0 1 0, tied, in the middle 0 0 1, all at distance 1. Only the last in
    # the database, 0 1 0, is relevant: rank 1 or 2, (1 + 1/2)/2 = 3/4; in database order rank 2.
    bits = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    result = evaluate_one(bits, [0, 0, 1], relaxed=np.array([[0.375, 0.375, 0.25]]), ties=ties)
    assert result["map_asymmetric"] == pytest.approx(3 / 4 if ties == "expected" else 1 / 2)


def test_the_closest_hamming_distance_comes_first():
    # 0 1 1 differs in two bits that are nearly 1/2, 1 0 0 in one that is certain. The latter is relevant and first.
    result = evaluate_one(np.array([[0, 1, 1], [1, 0, 0]]), [0, 1], relaxed=np.array([[0.0, 0.4375, 0.4375]]))
    assert result["map_asymmetric"] == 1.0


# --- a naive ranking -------------------------------------------------------------------------------------------------


def naive_average_precision(relaxed, label, bits, labels, ties: str) -> float:
    """Sort by (Hamming distance, squared Euclidean distance), then go through the ranks one by one."""
    hamming = [sum(a != b for a, b in zip((relaxed > 0.5).tolist(), row.tolist(), strict=True)) for row in bits]
    euclidean = [sum((h - b) ** 2 for h, b in zip(relaxed.tolist(), row.tolist(), strict=True)) for row in bits]
    if labels.ndim == 1:
        relevant = [label == other and label >= 0 for other in labels]
    else:
        relevant = [bool((label & other).any()) for other in labels]
    order = sorted(range(len(bits)), key=lambda i: (hamming[i], euclidean[i]))  # stable
    seen, hits, total = 0, 0, 0.0
    for _, group in itertools.groupby(order, key=lambda i: (hamming[i], euclidean[i])):
        group = list(group)
        hits_in_group = sum(relevant[i] for i in group)
        found = 0.0
        for place, i in enumerate(group):
            if ties == "index":
                found += relevant[i]
                total += relevant[i] * (hits + found) / (seen + place + 1)
            elif hits_in_group:
                others = place * (hits_in_group - 1) / max(len(group) - 1, 1)  # hits expected above a hit at this place
                total += hits_in_group / len(group) * (hits + 1 + others) / (seen + place + 1)
        seen, hits = seen + len(group), hits + hits_in_group
    return total / hits if hits else 0.0


def make_problem(num_bits: int, multi_label: bool, rng: np.random.Generator, queries: int = 7, database: int = 150):
    """Repeated codes; relaxed codes in sixteenths, whose squared distances are exact in float64 and often equal."""
    prototypes = rng.integers(0, 2, (12, num_bits))
    bits = prototypes[rng.integers(0, 12, database)] ^ (rng.random((database, num_bits)) < 0.05)
    relaxed = rng.integers(0, 17, (queries, num_bits)) / 16
    if multi_label:
        query_labels, labels = rng.integers(0, 2, (queries, 5)), (rng.random((database, 5)) < 0.2).astype(int)
        query_labels[0] = 0
    else:
        query_labels, labels = rng.integers(-1, 4, queries), rng.integers(-1, 4, database)
        query_labels[:2] = 9, -1  # not in the database, and no label
    return (pack(relaxed > 0.5), query_labels, pack(bits), labels), relaxed, bits


@pytest.mark.parametrize("num_bits", [1, 3, 12, 48, 64, 100, 200])
@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("ties", ["expected", "index"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_to_a_naive_ranking(num_bits, multi_label, ties, dtype):
    problem, relaxed, bits = make_problem(num_bits, multi_label, np.random.default_rng(num_bits))
    result = retrieval.evaluate(*problem, num_bits, ties=ties, top_k=20, query_relaxed=relaxed.astype(dtype))
    rows = zip(relaxed, problem[1], strict=True)
    expected = [naive_average_precision(row, label, bits, problem[3], ties) for row, label in rows]
    assert result["map_asymmetric"] == pytest.approx(np.mean(expected), rel=1e-12)
    del result["map_asymmetric"]
    assert result == retrieval.evaluate(*problem, num_bits, ties=ties, top_k=20)  # all others, to the last bit


@pytest.mark.parametrize("database", [300, 5000])
def test_equal_to_a_sort_in_floating_point(database):
    # Any values, few ties. The groups of 12 bits are larger than the sort's and the closed form's first cases.
    rng = np.random.default_rng(database)
    bits, relaxed = rng.integers(0, 2, (database, 12)), rng.random((10, 12))
    labels, query_labels = rng.integers(0, 3, database), rng.integers(0, 3, 10)
    values = []
    for row, label in zip(relaxed, query_labels, strict=True):
        order = np.lexsort([((bits - row) ** 2).sum(axis=1).round(12), (bits != (row > 0.5)).sum(axis=1)])
        ranks = np.flatnonzero(labels[order] == label) + 1
        values.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
    problem = (pack(relaxed > 0.5), query_labels, pack(bits), labels)
    result = retrieval.evaluate(*problem, 12, ties="index", query_relaxed=relaxed)
    assert result["map_asymmetric"] == pytest.approx(np.mean(values), rel=1e-12)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), num_bits=st.integers(1, 12), multi_label=st.booleans())
def test_expectation_is_the_mean_of_index_order_over_all_database_orders(seed, num_bits, multi_label):
    (codes, labels, *database), relaxed, _ = make_problem(num_bits, multi_label, np.random.default_rng(seed), 3, 4)
    expected = retrieval.evaluate(codes, labels, *database, num_bits, query_relaxed=relaxed)["map_asymmetric"]
    values = []
    for order in itertools.permutations(range(4)):
        parts = (part[list(order)] for part in database)
        result = retrieval.evaluate(codes, labels, *parts, num_bits, ties="index", query_relaxed=relaxed)
        values.append(result["map_asymmetric"])
    assert expected == pytest.approx(np.mean(values), abs=1e-12)


@pytest.mark.parametrize("ties", ["expected", "index"])
@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize(("low", "dtype"), [(0.0, float), (0.1, float), (0.1, np.float32), (0.25, np.float16)])
def test_equally_sure_bits_change_nothing(ties, multi_label, low, dtype):
    # 0.9 and 0.1 are not equally far from 0.5 in float32, but they are as far as float32 can tell beside 0.9.
    problem, relaxed, _ = make_problem(20, multi_label, np.random.default_rng(3))
    relaxed = np.where(relaxed > 0.5, 1 - low, low).astype(dtype)
    result = retrieval.evaluate(*problem, 20, ties=ties, query_relaxed=relaxed)
    assert result["map_asymmetric"] == pytest.approx(result["map"], rel=1e-13)


# --- parts, blocks and threads ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ties", ["expected", "index"])
@pytest.mark.parametrize("multi_label", [False, True])
def test_parts_blocks_and_threads_change_nothing(monkeypatch, ties, multi_label):
    problem, relaxed, _ = make_problem(20, multi_label, np.random.default_rng(5), 30, 2000)
    queries, (codes, labels) = problem[:2], problem[2:]
    options = {"num_bits": 20, "ties": ties, "query_relaxed": relaxed}
    whole = retrieval.evaluate(*problem, **options)
    with monkeypatch.context() as patch:
        patch.setattr(counting, "SMALL", 0)
        assert retrieval.evaluate(*problem, **options) == whole
    monkeypatch.setattr(asymmetric, "MERGE_FROM", 50)
    monkeypatch.setattr(database_module, "PART_BYTES", 1000)
    assert retrieval.evaluate(*problem, **options) == whole
    cuts = [0, 1, 1, 900, 1999, 2000]  # an empty part among them
    parts = [[array[a:b] for a, b in itertools.pairwise(cuts)] for array in (codes, labels)]
    assert retrieval.evaluate(*queries, *parts, **options) == whole
    assert retrieval.evaluate(*queries, parts[0], labels, **options) == whole
    if ties == "expected":  # the one reading makes the distinct codes, which serve everything
        assert retrieval.evaluate(*queries, *(iter(side) for side in parts), **options) == whole
    else:
        with pytest.raises(ValueError, match="reads the database twice"):
            retrieval.evaluate(*queries, *(iter(side) for side in parts), **options)
    monkeypatch.setattr(evaluation, "MAX_COUNTS", 300)  # blocks of a few queries
    assert retrieval.evaluate(*problem, **options)["map_asymmetric"] == pytest.approx(whole["map_asymmetric"], 1e-14)


def test_distinct_codes():
    database = np.array([[3], [1], [3], [1], [3]], np.uint8), np.array([5, -1, 4, -1, 5])
    queries = Queries.from_arrays(database[0], database[1], 8)
    distinct = asymmetric.DistinctCodes.from_database(Database(*database, queries), "expected")
    codes, labels, counts = distinct.entries()
    assert distinct.codes.view(np.uint8)[0, ::8].tolist() == [1, 3]
    assert distinct.starts.tolist() == [0, 1, 3]
    assert (codes.view(np.uint8)[0, ::8].tolist(), counts.tolist()) == ([1, 3, 3], [2, 1, 2])
    assert labels.view(np.int64).tolist() == [[-1, 4, 5]]
    distinct = asymmetric.DistinctCodes.from_database(Database(*database, queries), "index")
    assert (distinct.starts.tolist(), distinct.values.tolist()) == ([0, 2, 5], [1, 3, 0, 2, 4])


# --- compiled parts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 2, 24, 25, 1000, 5000])
@pytest.mark.parametrize("bits", [0, 1, 5, 33, 64])
def test_sort_is_stable(size, bits):
    rng = np.random.default_rng(size + bits)
    rows = rng.integers(0, 2**bits, (2, size), dtype=np.uint64, endpoint=False) if bits < 64 else None
    rows = rng.integers(0, 2**64 - 1, (2, size), dtype=np.uint64, endpoint=True) if rows is None else rows
    np.testing.assert_array_equal(radix.stable_order(rows[:1]), np.argsort(rows[0], kind="stable"))
    np.testing.assert_array_equal(radix.stable_order(rows), np.lexsort(rows))


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, 1), (3, 900), (0, 256), (255, 257), (256, 257), (256, 289), (256, 300), (5000, 10**6), (10**7, 10**7 + 1)],
)
def test_harmonic_difference(start, stop):
    expected = math.fsum(1.0 / i for i in range(start + 1, stop + 1))
    assert expected_precisions.harmonic_difference(start, stop) == pytest.approx(expected, rel=1e-13)


def test_keys_of_many_bits_fit():
    weights, shift = asymmetric.bit_weights(np.ones((1, 5000)))
    total = sum(weights[0].tolist())
    assert total >> shift == 5000 and total < 2**64
    assert (total & (2**shift - 1)) == 5000 << (shift - 13)  # 5,000 bits that are certain, whole ones from bit 13 down


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("relaxed", "message"),
    [
        (np.zeros((3, 16)), r"query_relaxed must have shape \(3, 12\), .* got \(3, 16\); pass the relaxed codes"),
        (np.zeros((2, 12)), r"query_relaxed must have shape \(3, 12\), .* got \(2, 12\)"),
        (np.zeros(12), r"query_relaxed must have shape \(3, 12\), .* got \(12,\)"),
        (np.full((3, 12), -0.25), r"query_relaxed must lie in \[0, 1\], got values from -0.25 to -0.25; apply"),
        (np.full((3, 12), 1.5), r"query_relaxed must lie in \[0, 1\], got values from 1.5 to 1.5"),
        (np.full((3, 12), np.nan), r"query_relaxed must lie in \[0, 1\], got values from nan to nan"),
        (np.full((3, 12), np.inf), r"query_relaxed must lie in \[0, 1\], got values from inf to inf"),
        (0.75 * np.eye(3, 12, 2), "where query_codes have a 1 .* got 0.75 for bit 2 of query 0; pass the relaxed"),
    ],
)
def test_errors(relaxed, message):
    codes, labels = np.zeros((3, 2), np.uint8), np.zeros(3, int)
    with pytest.raises(ValueError, match=message):
        retrieval.evaluate(codes, labels, codes, labels, 12, query_relaxed=relaxed)


def test_half_is_a_zero_and_integers_are_certain():
    codes, labels = pack(np.array([[0, 1, 1]])), np.zeros(1, int)
    with pytest.raises(ValueError, match="got 0.5 for bit 1 of query 0"):
        retrieval.evaluate(codes, labels, codes, labels, 3, query_relaxed=np.array([[0.5, 0.5, 1]]))
    assert retrieval.evaluate(codes, labels, codes, labels, 3, query_relaxed=np.array([[0, 1, 1]]))["map"] == 1.0


def test_empty_database():
    codes, labels = np.zeros((3, 2), np.uint8), np.zeros(3, int)
    for database in ((codes[:0], labels[:0]), ([], [])):
        with pytest.raises(ValueError, match="empty database"):
            retrieval.evaluate(codes, labels, *database, 12, query_relaxed=np.zeros((3, 12)))
