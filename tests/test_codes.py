"""Packed codes: NumPy and TensorFlow agree, and wrong input is named."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dshgan_tf import codes
from dshgan_tf.retrieval.code_statistics import code_statistics

WIDTHS = [1, 7, 8, 9, 12, 32, 48, 64, 65, 100, 1024]


def random_bits(count: int, num_bits: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, (count, num_bits), dtype=np.uint8)


def test_binarise_threshold_is_strict():
    np.testing.assert_array_equal(codes.binarise(np.array([[0.0, 0.5, 0.50001, 1.0]])), [[0, 0, 1, 1]])
    assert codes.binarise(np.zeros((0, 4))).shape == (0, 4)


@pytest.mark.parametrize("relaxed", [[[-0.1]], [[1.5]], [[np.nan]], [0.5]])
def test_binarise_rejects(relaxed):
    with pytest.raises(ValueError, match="relaxed_codes"):
        codes.binarise(np.array(relaxed))


def test_pack_by_hand():
    # 1000 0001 | 1 and seven padding zeros: 128 + 1 = 129, then 128
    np.testing.assert_array_equal(codes.pack(np.array([[1, 0, 0, 0, 0, 0, 0, 1, 1]])), [[129, 128]])


@pytest.mark.parametrize("num_bits", WIDTHS)
def test_pack_round_trip(num_bits):
    bits = random_bits(20, num_bits)
    packed = codes.pack(bits)
    assert packed.shape == (20, codes.code_width(num_bits)) and packed.dtype == np.uint8
    np.testing.assert_array_equal(codes.unpack(packed, num_bits), bits)
    np.testing.assert_array_equal(codes.pack(bits.astype(np.float32)), packed)
    np.testing.assert_array_equal(codes.pack(bits.astype(bool)), packed)


@settings(max_examples=50, deadline=None)
@given(num_bits=st.integers(1, 200), seed=st.integers(0, 2**32 - 1))
def test_hamming_distance_counts_differing_bits(num_bits, seed):
    queries, database = random_bits(3, num_bits, seed), random_bits(5, num_bits, seed + 1)
    expected = (queries[:, None] != database[None]).sum(axis=2)
    distances = codes.hamming_distance(codes.pack(queries), codes.pack(database))
    assert distances.dtype == np.int32
    np.testing.assert_array_equal(distances, expected)


@pytest.mark.parametrize("num_bits", [0, -1, 1.5, True])
def test_num_bits_out_of_range(num_bits):
    with pytest.raises(ValueError, match="num_bits must be an integer of at least 1"):
        codes.unpack(np.zeros((1, 1), np.uint8), num_bits)


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (np.zeros((2, 1), np.int64), "packed uint8, got dtype int64"),
        (np.zeros((2, 3), np.uint8), r"shape \(N, 2\) for num_bits=12, got \(2, 3\)"),
        (np.zeros(2, np.uint8), r"got \(2,\)"),
        (np.array([[0, 1]], np.uint8), "4 zero padding bits"),
    ],
)
def test_wrong_codes(packed, message):
    with pytest.raises(ValueError, match=message):
        codes.unpack(packed, 12)


@pytest.mark.parametrize("bits", [[[0, 2]], [[0.4, 1.0]], [0, 1], [[]]])
def test_pack_rejects(bits):
    with pytest.raises(ValueError, match="bits must"):
        codes.pack(np.array(bits))


def test_hamming_distance_rejects():
    good = np.zeros((1, 2), np.uint8)
    with pytest.raises(ValueError, match="same width, got 2 and 3"):
        codes.hamming_distance(good, np.zeros((1, 3), np.uint8))
    with pytest.raises(ValueError, match="database_codes must be"):
        codes.hamming_distance(good, good.astype(np.int32))


@pytest.mark.parametrize("num_bits", [1, 7, 8, 12, 64, 100])
def test_tensorflow_twins_in_a_graph_with_unknown_batch(num_bits):
    tf = pytest.importorskip("tensorflow")
    pack_graph = tf.function(codes.pack_tf, input_signature=[tf.TensorSpec((None, num_bits), tf.float32)])
    for count in (0, 1, 5):
        bits = random_bits(count, num_bits)
        packed = pack_graph(bits.astype(np.float32))
        assert packed.dtype == tf.uint8
        np.testing.assert_array_equal(packed.numpy(), codes.pack(bits))
    assert {operation.type for operation in pack_graph.get_concrete_function().graph.get_operations()} <= {
        "Placeholder", "Const", "Cast", "Pad", "Reshape", "Mul", "Sum", "Identity", "NoOp"
    }  # fmt: skip
    queries, database = codes.pack(random_bits(3, num_bits, 1)), codes.pack(random_bits(4, num_bits, 2))
    distances = codes.hamming_distance_tf(tf.constant(queries), tf.constant(database))
    np.testing.assert_array_equal(distances.numpy(), codes.hamming_distance(queries, database))


def test_pack_tf_rejects_unknown_width():
    tf = pytest.importorskip("tensorflow")
    with pytest.raises(ValueError, match="static K"):
        tf.function(codes.pack_tf, input_signature=[tf.TensorSpec((None, None), tf.int32)]).get_concrete_function()


def test_code_statistics_by_hand():
    # Codes 00, 01, 11, 11. First bit: p = 1/2. Second bit: p = 3/4, |2p - 1| = 1/2. Imbalance (0 + 1/2)/2 = 1/4.
    # Correlation: (P(both) - p q)/sqrt(p(1-p) q(1-q)) = (1/2 - 3/8)/sqrt(1/4 * 3/16) = (1/8)/(sqrt(3)/8) = 1/sqrt(3).
    # Whole codes have shares 1/4, 1/4, 1/2: 1/2 + 1/2 + 1/2 = 1.5 bits.
    # Bits: 1 bit, and 3/4 log2(4/3) + 1/4 * 2 = 0.811278 bits; mean 0.905639.
    bits = np.array([[0, 0], [0, 1], [1, 1], [1, 1]])
    relaxed = np.array([[0.1, 0.2], [0.0, 1.0], [0.9, 0.9], [1.0, 0.7]])  # errors .1 .2 0 0 .1 .1 0 .3: mean 0.1
    result = code_statistics(codes.pack(bits), 2, relaxed)
    expected = {
        "bit_imbalance": 0.25,
        "constant_bits": 0,
        "bit_correlation": 1 / np.sqrt(3),
        "distinct_codes": 3,
        "largest_code_share": 0.5,
        "code_entropy": 1.5,
        "bit_entropy": 0.905639,
        "quantization_error": 0.1,
    }
    assert result == pytest.approx(expected, abs=1e-6) and result.keys() == expected.keys()


@pytest.mark.parametrize("num_bits", [12, 100])
def test_code_statistics_of_collapsed_and_random_codes(num_bits):
    bits = np.repeat(random_bits(1, num_bits), 50, axis=0)
    collapsed = code_statistics(codes.pack(bits), num_bits)
    assert collapsed["constant_bits"] == num_bits and collapsed["distinct_codes"] == 1
    assert collapsed["code_entropy"] == collapsed["bit_correlation"] == collapsed["bit_entropy"] == 0
    bits = random_bits(500, num_bits)
    varied = code_statistics(codes.pack(bits), num_bits)
    correlation = np.abs(np.corrcoef(bits.T))[np.triu_indices(num_bits, k=1)]
    assert varied["bit_correlation"] == pytest.approx(correlation.mean())
    assert varied["distinct_codes"] == len({row.tobytes() for row in bits})


def test_code_statistics_errors():
    with pytest.raises(ValueError, match="got 0 rows"):
        code_statistics(np.zeros((0, 1), np.uint8), 8)
    with pytest.raises(ValueError, match="give the codes at the threshold"):
        code_statistics(codes.pack(np.ones((2, 4))), 4, np.zeros((2, 4)))
