"""The database of a retrieval evaluation, checked and laid out for counting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest

import numpy as np

from dshgan_tf.codes import check_codes, code_words
from dshgan_tf.errors import InputError
from dshgan_tf.retrieval.label_words import check_labels, label_words
from dshgan_tf.retrieval.queries import Queries

PART_BYTES = 1 << 24  # of codes and labels that are laid out at once


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
            check_labels(self.labels[:0], 0, "database_labels", queries.num_labels)
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
                check_labels(part_labels, len(part), "database_labels", self.queries.num_labels)
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
