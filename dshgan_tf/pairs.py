"""The two sides of a retrieval evaluation, checked and laid out for counting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from dshgan_tf.codes import check_codes, code_words, unpack
from dshgan_tf.errors import InputError

PART_BYTES = 1 << 24  # of codes and labels that are laid out at once


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


class Database:
    """A database for given queries: two arrays, or parts that come one after the other.

    Args:
        codes: (N, ceil(K/8)) uint8, or an iterable of such parts.
        labels: (N,) or (N, L), or an iterable of such parts.
        queries: whose bits and kind of labels the database must have.

    Raises:
        ValueError: if two arrays are of different lengths, or only the labels come in parts. What a part holds is
            checked when it is read.
    """

    def __init__(
        self, codes: np.ndarray | Iterable[np.ndarray], labels: np.ndarray | Iterable[np.ndarray], queries: Queries
    ) -> None:
        """Check what can be checked before reading; see the class."""
        whole = hasattr(codes, "__array__")
        self.codes: np.ndarray | Iterable[np.ndarray] = np.asarray(codes) if whole else codes
        if whole and not hasattr(labels, "__array__"):
            if not isinstance(labels, (list, tuple)):
                raise InputError(
                    f"database_labels must be an array like database_codes, got {type(labels).__name__}; "
                    "pass both as arrays, or the codes in parts too."
                )
            labels = np.asarray(labels)
        self.labels: np.ndarray | Iterable[np.ndarray] = np.asarray(labels) if hasattr(labels, "__array__") else labels
        self.queries = queries
        if whole:
            check_labels(self.labels[:0], 0, "database_labels", queries)
            if len(self.labels) != len(self.codes):
                raise InputError(
                    f"database_labels must have one row a code, got {len(self.labels)} rows for {len(self.codes)} "
                    "codes; pass labels and codes of the same images."
                )

    @property
    def rereadable(self) -> bool:
        """Whether the database can be read more than once."""
        sides = (self.codes, self.labels)
        return all(isinstance(side, np.ndarray) or iter(side) is not side for side in sides)

    def parts(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield codes (words, n) and labels (label words, n) of bounded size, uint64, in database order."""
        for codes, labels in self._given_parts():
            codes, labels = np.asarray(codes), np.asarray(labels)
            row_bytes = max(8 * -(-self.queries.num_bits // 64), labels[:1].nbytes, 8)
            rows = max(1, PART_BYTES // row_bytes)
            for start in range(0, len(codes), rows):
                part = check_codes(codes[start : start + rows], self.queries.num_bits, "database_codes")
                part_labels = labels[start : start + rows]
                check_labels(part_labels, len(part), "database_labels", self.queries)
                words = label_words(part_labels, none=-1)
                yield np.ascontiguousarray(code_words(part).T), np.ascontiguousarray(words.T)

    def _given_parts(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        if isinstance(self.codes, np.ndarray):
            yield self.codes, self.labels
            return
        if not isinstance(self.labels, np.ndarray):
            for codes, labels in zip_longest(self.codes, self.labels):
                lengths = [None if part is None else len(part) for part in (codes, labels)]
                if lengths[0] != lengths[1]:
                    raise InputError(
                        f"database_codes and database_labels must come in parts of the same lengths, got {lengths[0]} "
                        f"and {lengths[1]} rows; cut both at the same places."
                    )
                yield codes, labels
            return
        start = 0
        for codes in self.codes:
            yield codes, self.labels[start : start + len(codes)]
            start += len(codes)
        if start != len(self.labels):
            raise InputError(
                f"database_labels must have one row a code, got {len(self.labels)} rows for {start} codes in parts; "
                "pass labels and codes of the same images."
            )


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


def check_labels(labels: np.ndarray, count: int, name: str, queries: Queries | None = None) -> None:
    """Check labels against the number of codes and, for a database, against the queries' kind of labels.

    Args:
        labels: (N,) integer class ids of at least -1, or (N, L) multi-hot in {0, 1}.
        count: N.
        name: what the error messages call the labels.
        queries: None for the queries' own labels.

    Raises:
        ValueError: if shape, dtype, values or kind are wrong.
    """
    if labels.ndim not in (1, 2) or len(labels) != count:
        raise InputError(
            f"{name} must be ({count},) class ids or ({count}, L) multi-hot, one row a code, got {labels.shape}; "
            "pass labels and codes of the same images."
        )
    if labels.ndim == 1 and not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"{name} must be integer class ids, got dtype {labels.dtype}; number the classes from 0.")
    if labels.ndim == 1 and np.any(labels < -1):
        raise InputError(f"{name} must be class ids of at least -1, got {labels.min()}; use -1 for no label.")
    if labels.ndim == 2 and (not labels.shape[1] or (labels.dtype != bool and np.any((labels != 0) & (labels != 1)))):
        raise InputError(
            f"{name} of shape {labels.shape} must be multi-hot, every value 0 or 1; pass class ids as an (N,) array."
        )
    if queries is not None and (0 if labels.ndim == 1 else labels.shape[1]) != queries.num_labels:
        raise InputError(
            f"{name} must be of the queries' kind, {queries.num_labels or 'no'} multi-hot columns, got {labels.shape}; "
            "give query and database the same label encoding."
        )


def label_words(labels: np.ndarray, none: int) -> np.ndarray:
    """Lay out labels as (N, words) uint64, so that equality or common bits tell similarity.

    Args:
        labels: (N,) class ids, or (N, L) multi-hot.
        none: the id that stands for no label, different on the two sides, so that none is similar to none.

    Returns:
        (N, 1) class ids, or (N, ceil(L/64)) sets.
    """
    if labels.ndim == 1:
        return np.where(labels < 0, none, labels).astype(np.int64).view(np.uint64)[:, None]
    return code_words(np.packbits(labels != 0, axis=1))
