"""Binary codes: threshold, pack, unpack and compare them, in NumPy and (for graphs) in TensorFlow.

A packed code holds K bits in ceil(K/8) bytes, the most significant bit first; the bits that fill up the last byte
are zero. This is ``numpy.packbits(bits, bitorder="big")``, and what FAISS, pgvector and Qdrant-like stores expect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dshgan_tf.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf


def code_width(num_bits: int) -> int:
    """Return the number of bytes of a packed code.

    Args:
        num_bits: K, at least 1.

    Returns:
        ceil(K / 8).

    Raises:
        ValueError: if ``num_bits`` is below 1 or no integer.
    """
    if isinstance(num_bits, bool) or not isinstance(num_bits, (int, np.integer)) or num_bits < 1:
        raise InputError(f"num_bits must be an integer of at least 1, got {num_bits!r}; pass the K of the codes.")
    return -(-int(num_bits) // 8)


def check_codes(codes: np.ndarray, num_bits: int, name: str = "codes") -> np.ndarray:
    """Return packed codes as an array after checking that they are codes of ``num_bits`` bits.

    Args:
        codes: (N, ceil(K/8)) uint8.
        num_bits: K, at least 1.
        name: what the error messages call the argument.

    Returns:
        The same codes as a NumPy array, (N, ceil(K/8)) uint8.

    Raises:
        ValueError: if dtype, rank or width are wrong, or a padding bit of the last byte is set.
    """
    width = code_width(num_bits)
    codes = np.asarray(codes)
    if codes.dtype != np.uint8:
        raise InputError(f"{name} must be packed uint8, got dtype {codes.dtype}; pack bits with dshgan_tf.codes.pack.")
    if codes.ndim != 2 or codes.shape[1] != width:
        raise InputError(
            f"{name} must have shape (N, {width}) for num_bits={num_bits}, got {codes.shape}; "
            "pass the num_bits that the codes were packed with."
        )
    padding = 8 * width - num_bits
    if padding and np.any(codes[:, -1] & ((1 << padding) - 1)):
        raise InputError(
            f"{name} must have {padding} zero padding bits at the end of the last byte for num_bits={num_bits}, "
            "got set ones; pass the num_bits that the codes were packed with, most significant bit first."
        )
    return codes


def binarise(relaxed_codes: np.ndarray) -> np.ndarray:
    """Threshold relaxed codes: a bit is 1 where its relaxed code is above 0.5 (0.5 itself gives 0).

    Args:
        relaxed_codes: (N, K) float, in [0, 1].

    Returns:
        (N, K) uint8, in {0, 1}.

    Raises:
        ValueError: if the rank is not 2, or a value is outside [0, 1] or not a number.
    """
    relaxed_codes = np.asarray(relaxed_codes)
    if relaxed_codes.ndim != 2:
        raise InputError(f"relaxed_codes must have shape (N, K), got {relaxed_codes.shape}; add the missing axis.")
    if not np.all((relaxed_codes >= 0) & (relaxed_codes <= 1)):
        raise InputError(
            f"relaxed_codes must lie in [0, 1], got values from {relaxed_codes.min()} to {relaxed_codes.max()}; "
            "apply the hash stream's sigmoid first."
        )
    return (relaxed_codes > 0.5).astype(np.uint8)


def pack(bits: np.ndarray) -> np.ndarray:
    """Pack bits into bytes, the most significant bit first.

    Args:
        bits: (N, K) bool, integer or float, in {0, 1}; K at least 1.

    Returns:
        (N, ceil(K/8)) uint8, zero padded.

    Raises:
        ValueError: if the rank is not 2, K is 0, or a value is neither 0 nor 1.

    Example:
        >>> pack(np.array([[1, 0, 0, 0, 0, 0, 0, 1, 1]]))
        array([[129, 128]], dtype=uint8)
    """
    bits = np.asarray(bits)
    if bits.ndim != 2 or bits.shape[1] < 1:
        raise InputError(f"bits must have shape (N, K) with K >= 1, got {bits.shape}; add the missing axis.")
    if bits.dtype != bool and not np.all((bits == 0) | (bits == 1)):
        raise InputError(
            f"bits must be 0 or 1, got values from {bits.min()} to {bits.max()}; threshold relaxed codes with binarise."
        )
    return np.packbits(bits.astype(bool), axis=1, bitorder="big")


def unpack(codes: np.ndarray, num_bits: int) -> np.ndarray:
    """Undo ``pack``.

    Args:
        codes: (N, ceil(K/8)) uint8.
        num_bits: K, at least 1.

    Returns:
        (N, K) uint8, in {0, 1}.

    Raises:
        ValueError: if the codes are not codes of ``num_bits`` bits (see ``check_codes``).
    """
    return np.unpackbits(check_codes(codes, num_bits), axis=1, count=int(num_bits), bitorder="big")


def code_words(codes: np.ndarray) -> np.ndarray:
    """View packed codes as 64-bit words, zero padded, so that distances need an eighth of the operations.

    Args:
        codes: (N, W) uint8.

    Returns:
        (N, ceil(W/8)) uint64, C-contiguous. The order of the bits in a word is the machine's.
    """
    width = codes.shape[1]
    padded = np.zeros((len(codes), 8 * -(-width // 8)), np.uint8)
    padded[:, :width] = codes
    return padded.view(np.uint64)


def hamming_distance(query_codes: np.ndarray, database_codes: np.ndarray) -> np.ndarray:
    """Count the differing bits of every query and database code.

    The whole matrix is made; ``dshgan_tf.retrieval`` and ``HammingIndex`` are for databases where it would not fit.

    Args:
        query_codes: (Q, W) uint8, packed.
        database_codes: (N, W) uint8, packed with the same number of bits.

    Returns:
        (Q, N) int32, in [0, 8 W].

    Raises:
        ValueError: if a dtype is not uint8, a rank not 2, or the widths differ.
    """
    query_codes, database_codes = np.asarray(query_codes), np.asarray(database_codes)
    for name, codes in (("query_codes", query_codes), ("database_codes", database_codes)):
        if codes.dtype != np.uint8 or codes.ndim != 2:
            raise InputError(f"{name} must be (N, W) uint8, got {codes.shape} {codes.dtype}; pack bits with pack.")
    if query_codes.shape[1] != database_codes.shape[1]:
        raise InputError(
            f"query_codes and database_codes must have the same width, got {query_codes.shape[1]} and "
            f"{database_codes.shape[1]} bytes; encode both with the same model."
        )
    distances = np.zeros((len(query_codes), len(database_codes)), np.int32)
    for query_word, database_word in zip(code_words(query_codes).T, code_words(database_codes).T, strict=True):
        distances += np.bitwise_count(query_word[:, None] ^ database_word[None, :])
    return distances


def pack_tf(bits: tf.Tensor) -> tf.Tensor:
    """Pack bits into bytes inside a graph; equal to ``pack``, without its check of the values.

    Only int32 arithmetic, cast to uint8 at the end: a float sum breaks under full int8 quantisation, and TFLite has
    neither shift nor sum for uint8. All operations are TFLite builtins, and the batch may be unknown.

    Args:
        bits: (B, K) bool, integer or float tensor, in {0, 1}; K static.

    Returns:
        (B, ceil(K/8)) uint8, zero padded.

    Raises:
        ValueError: if K is not known when the graph is made, or is 0.
    """
    import tensorflow as tf

    bits = tf.convert_to_tensor(bits)
    if bits.shape.rank != 2 or not bits.shape[1]:
        raise InputError(f"bits must have shape (B, K) with a static K >= 1, got {bits.shape}; set the shape first.")
    width = code_width(bits.shape[1])
    padded = tf.pad(tf.cast(bits, tf.int32), [[0, 0], [0, 8 * width - bits.shape[1]]])
    place_values = tf.constant([128, 64, 32, 16, 8, 4, 2, 1], tf.int32)
    return tf.cast(tf.reduce_sum(tf.reshape(padded, [-1, width, 8]) * place_values, axis=-1), tf.uint8)


def hamming_distance_tf(query_codes: tf.Tensor, database_codes: tf.Tensor) -> tf.Tensor:
    """Count the differing bits of every query and database code inside a graph (not a TFLite builtin).

    Args:
        query_codes: (Q, W) uint8 tensor, packed.
        database_codes: (N, W) uint8 tensor, packed with the same number of bits.

    Returns:
        (Q, N) int32 tensor. A (Q, N, W) uint8 tensor is made on the way.
    """
    import tensorflow as tf

    different = tf.bitwise.bitwise_xor(query_codes[:, None, :], database_codes[None, :, :])
    return tf.reduce_sum(tf.cast(tf.raw_ops.PopulationCount(x=different), tf.int32), axis=-1)
