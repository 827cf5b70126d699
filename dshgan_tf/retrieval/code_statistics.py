"""Statistics of codes that explain a MAP: are the bits balanced, independent, decided, and are there enough codes?"""

from __future__ import annotations

import numpy as np

from dshgan_tf.codes import binarise, check_codes, code_words, pack, unpack
from dshgan_tf.errors import InputError

ROWS = 1 << 16  # codes unpacked at once; sums of that many bits are exact in float32


def code_statistics(
    codes: np.ndarray, num_bits: int, relaxed_codes: np.ndarray | None = None
) -> dict[str, float | int]:
    """Summarise codes, without labels.

    Args:
        codes: (N, ceil(K/8)) uint8, packed, N at least 1.
        num_bits: K, from 1 on.
        relaxed_codes: (N, K) float in [0, 1], the same images before the threshold; adds ``quantization_error``.

    Returns:
        A flat dict:

        - ``bit_imbalance``: mean over bits of |2 p - 1| for a share p of ones, in [0, 1]; 0 is balanced;
        - ``constant_bits`` (int): bits that are the same in all codes, and so say nothing;
        - ``bit_correlation``: mean absolute correlation of two bits, in [0, 1], over the pairs of bits that are not
          constant; 0 is independent (in pairs), and the value where there is no such pair;
        - ``distinct_codes`` (int), and ``largest_code_share``: the share of the most frequent code, in (0, 1];
        - ``code_entropy``: entropy of the empirical distribution of whole codes in bits, from 0 to min(K, log2 N);
        - ``bit_entropy``: mean entropy of one bit, in [0, 1];
        - ``quantization_error``: mean distance of a relaxed value to its bit, in [0, 0.5].

    Raises:
        ValueError: if there is no code, the codes are not codes of ``num_bits`` bits, or ``relaxed_codes`` are not
            those that the codes were made from.
    """
    codes = check_codes(codes, num_bits)
    if not len(codes):
        raise InputError("codes has no code in it, got 0 rows; pass at least one.")
    ones, both = _bit_counts(codes, num_bits)
    share = ones / len(codes)
    _, counts = _distinct(codes)
    statistics: dict[str, float | int] = {
        "bit_imbalance": float(np.mean(np.abs(2 * share - 1))),
        "constant_bits": int(np.sum((ones == 0) | (ones == len(codes)))),
        "bit_correlation": _mean_correlation(share, both / len(codes)),
        "distinct_codes": len(counts),
        "largest_code_share": float(counts.max() / len(codes)),
        "code_entropy": _entropy(counts / len(codes)),
        "bit_entropy": float(np.mean([_entropy(np.array([p, 1 - p])) for p in share])),
    }
    if relaxed_codes is not None:
        relaxed_codes = np.asarray(relaxed_codes)
        if relaxed_codes.shape != (len(codes), num_bits) or not np.array_equal(pack(binarise(relaxed_codes)), codes):
            raise InputError(
                f"relaxed_codes must be ({len(codes)}, {num_bits}) and give the codes at the threshold 0.5, got "
                f"{relaxed_codes.shape}; pass the relaxed codes of the same images."
            )
        error = np.minimum(relaxed_codes, 1 - relaxed_codes)
        statistics["quantization_error"] = float(np.mean(error, dtype=np.float64))
    return statistics


def _bit_counts(codes: np.ndarray, num_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Count the codes with each bit set, (K,) float64, and with each pair of bits set, (K, K) float64."""
    both = np.zeros((num_bits, num_bits))
    for start in range(0, len(codes), ROWS):
        bits = unpack(codes[start : start + ROWS], num_bits).astype(np.float32)
        both += bits.T @ bits
    return np.diagonal(both).copy(), both


def _mean_correlation(share: np.ndarray, both: np.ndarray) -> float:
    varies = (share > 0) & (share < 1)
    share, both = share[varies], both[np.ix_(varies, varies)]
    deviation = np.sqrt(share * (1 - share))
    correlation = np.abs(both - np.outer(share, share)) / np.outer(deviation, deviation)
    pairs = correlation[np.triu_indices(len(share), k=1)]
    return float(pairs.mean()) if len(pairs) else 0.0


def _distinct(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    words = code_words(codes)
    return np.unique(words[:, 0] if words.shape[1] == 1 else words, axis=0, return_counts=True)


def _entropy(probabilities: np.ndarray) -> float:
    positive = probabilities[probabilities > 0]
    return float(abs(np.sum(positive * np.log2(positive))))  # abs: the sum is at most 0, and -0.0 looks odd
