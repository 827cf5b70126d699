"""The queries of a retrieval evaluation, checked and laid out for counting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dshgan_tf.codes import check_codes, code_words, unpack
from dshgan_tf.errors import InputError
from dshgan_tf.retrieval.label_words import check_labels, label_words


@dataclass(frozen=True)
class Queries:
    """Queries as 64-bit words.

    Attributes:
        codes: (Q, words) uint64.
        labels: (Q, label words) uint64, one class id or the bits of a set.
        num_bits: K.
        class_ids: whether labels are class ids or sets.
        num_labels: L of multi-hot labels, 0 for class ids.
        max_shared: G, the most labels that a query can share with an image.
        relaxed: (Q, K) floating, the relaxed codes, or None.
    """

    codes: np.ndarray
    labels: np.ndarray
    num_bits: int
    class_ids: bool
    num_labels: int
    max_shared: int
    relaxed: np.ndarray | None = None

    @classmethod
    def from_arrays(
        cls, codes: np.ndarray, labels: np.ndarray, num_bits: int, relaxed: np.ndarray | None = None
    ) -> Queries:
        """Check and lay out queries; see ``retrieval.evaluate`` for the arguments and errors."""
        codes = check_codes(codes, num_bits, "query_codes")
        labels = np.asarray(labels)
        if not len(codes):
            raise InputError("query_codes has no code in it, got 0 queries; pass at least one.")
        check_labels(labels, len(codes), "query_labels")
        class_ids = labels.ndim == 1
        return cls(
            codes=code_words(codes),
            labels=label_words(labels, none=-2),
            num_bits=int(num_bits),
            class_ids=class_ids,
            num_labels=0 if class_ids else labels.shape[1],
            max_shared=1 if class_ids else max(1, int((labels != 0).sum(axis=1).max())),
            relaxed=None if relaxed is None else check_relaxed(relaxed, codes, int(num_bits)),
        )

    def __len__(self) -> int:
        """Return the number of queries."""
        return len(self.codes)

    def __getitem__(self, rows: slice) -> Queries:
        """Return some of the queries, with the same bounds."""
        bounds = (self.num_bits, self.class_ids, self.num_labels, self.max_shared)
        relaxed = None if self.relaxed is None else self.relaxed[rows]
        return Queries(self.codes[rows], self.labels[rows], *bounds, relaxed)


def check_relaxed(relaxed: np.ndarray, codes: np.ndarray, num_bits: int) -> np.ndarray:
    """Return the queries' relaxed codes as a floating array after checking them against their codes.

    Args:
        relaxed: (Q, K) float, in [0, 1].
        codes: (Q, ceil(K/8)) uint8, checked.
        num_bits: K.

    Returns:
        (Q, K) of the same floating dtype, float64 for any other dtype.

    Raises:
        ValueError: if the shape is wrong, a value is outside [0, 1] or not a number, or is on the other side of 0.5
            than its bit.
    """
    relaxed = np.asarray(relaxed)
    if relaxed.shape != (len(codes), num_bits):
        raise InputError(
            f"query_relaxed must have shape ({len(codes)}, {num_bits}), one row a query and one value a bit, got "
            f"{relaxed.shape}; pass the relaxed codes that query_codes were made from."
        )
    if not np.issubdtype(relaxed.dtype, np.floating):
        relaxed = relaxed.astype(np.float64)
    if not np.all((relaxed >= 0) & (relaxed <= 1)):
        raise InputError(
            f"query_relaxed must lie in [0, 1], got values from {relaxed.min()} to {relaxed.max()}; "
            "apply the hash stream's sigmoid first."
        )
    wrong = np.argwhere((relaxed > 0.5) != unpack(codes, num_bits))
    if len(wrong):
        query, bit = wrong[0].tolist()
        raise InputError(
            f"query_relaxed must be above 0.5 where query_codes have a 1 and nowhere else, got {relaxed[query, bit]} "
            f"for bit {bit} of query {query}; pass the relaxed codes that query_codes were binarised from."
        )
    return relaxed
