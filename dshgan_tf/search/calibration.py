"""What a Hamming radius means: the precision and recall to expect within it, learnt from held-out labelled images.

Pairs of held-out images are of two kinds: those that share a label, and the others. Let s(r) and d(r) be the shares of
either kind that lie within radius r of each other, and p how often two images of the database share a label. Then

    precision(r) = p s(r) / (p s(r) + (1 - p) d(r))          recall(r) = s(r)

Both count pairs of query and image. Precision is the share of the found pairs that share a label; recall is the share
of the pairs with a common label that are found. Held-out images stand on both sides: the codes of training images are
better than those of others.

Intervals are Wilson's with n / 2 trials for n images. A pair is wrong when either of its two images is hashed wrongly,
so errors come in rows and columns of the matrix of pairs: a mean over pairs of n images varies as one over n / 2.
Precision rests on the pairs within the radius, so there n counts the images that have another one within it.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from dshgan_tf.codes import check_codes, hamming_distance
from dshgan_tf.errors import InputError

MOST_IMAGES = 2000  # all pairs of them are looked at
FEWEST_PAIRS = 5  # below which nothing is said
NORMAL_95 = 1.959964  # two-sided 95%


@dataclasses.dataclass(frozen=True)
class Expectation:
    """What to expect within one radius; low and high are the ends of 95% intervals.

    Args:
        radius: Hamming distance, from 0 to K.
        precision: share of what is found that is right, in [0, 1]; NaN where fewer than 10 held-out images have another
            one within the radius.
        precision_low: lower end.
        precision_high: upper end.
        recall: share of what is right that is found, in [0, 1].
        recall_low: lower end.
        recall_high: upper end.
    """

    radius: int
    precision: float
    precision_low: float
    precision_high: float
    recall: float
    recall_low: float
    recall_high: float

    def as_dict(self) -> dict[str, float | int | None]:
        """Return it as JSON wants it, without NaN."""
        values = dataclasses.asdict(self)
        return {name: None if math.isnan(value) else value for name, value in values.items()}

    def __str__(self) -> str:
        """Say it in a line."""
        if math.isnan(self.precision):
            return "hardly anything is likely to be found"
        precision = f"precision {self.precision:.2f} [{self.precision_low:.2f}, {self.precision_high:.2f}]"
        return f"{precision}, recall {self.recall:.2f} [{self.recall_low:.2f}, {self.recall_high:.2f}]"


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Precision and recall to expect by radius.

    Args:
        images: held-out images that it was learnt from.
        similar_share: how often two images of the database share a label, as assumed.
        expectations: for the radii 0 to K.
    """

    images: int
    similar_share: float
    expectations: tuple[Expectation, ...]

    def radius_for(self, precision: float) -> Expectation:
        """Choose the largest radius whose precision, and that of all smaller ones that find anything, is high enough.

        Args:
            precision: wanted, in (0, 1].

        Returns:
            What to expect there.

        Raises:
            InputError: a precision out of range, or one that no radius reaches.
        """
        if not 0 < precision <= 1:
            raise InputError(f"precision must lie in (0, 1], got {precision}")
        best = None
        for expectation in self.expectations:
            if math.isnan(expectation.precision):
                continue
            if expectation.precision < precision:
                break
            best = expectation
        if best is None:
            reached = max((e.precision for e in self.expectations if not math.isnan(e.precision)), default=0.0)
            raise InputError(f"no radius has a precision of {precision}; the highest is {reached:.2f}, ask for less")
        return best

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON wants it."""
        columns = {name: [] for name in ("precision", "recall")}
        for kind, rows in columns.items():
            for e in self.expectations:
                values = (getattr(e, kind), getattr(e, f"{kind}_low"), getattr(e, f"{kind}_high"))
                rows.append([None if math.isnan(value) else round(value, 6) for value in values])
        return {"images": self.images, "similar_share": self.similar_share, **columns}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Calibration:
        """Read what `as_dict` returned.

        Raises:
            InputError: something else.
        """
        try:
            pairs = zip(values["precision"], values["recall"], strict=True)
            expectations = tuple(
                Expectation(radius, *(math.nan if value is None else float(value) for value in (*precision, *recall)))
                for radius, (precision, recall) in enumerate(pairs)
            )
            return cls(int(values["images"]), float(values["similar_share"]), expectations)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"this is no calibration ({error!r}); make the index again") from error


def calibrate(codes: np.ndarray, labels: np.ndarray, num_bits: int, similar_share: float) -> Calibration | None:
    """Learn what to expect by radius from held-out labelled images.

    Args:
        codes: (n, ceil(K/8)) uint8, of images that took no part in training.
        labels: (n, L) multi-hot.
        num_bits: K.
        similar_share: how often two images of the database share a label, in (0, 1).

    Returns:
        The calibration; None where fewer than 5 pairs of these images share a label.

    Raises:
        InputError: codes that are not of K bits.
    """
    chosen = np.random.default_rng(0).permutation(len(codes))[:MOST_IMAGES]
    codes = check_codes(codes, num_bits)[chosen]
    rows = np.asarray(labels, np.float32)[chosen]
    upper = np.triu_indices(len(codes), 1)
    similar = (rows @ rows.T > 0)[upper]
    if similar.sum() < FEWEST_PAIRS or similar.all():
        return None
    distances = hamming_distance(codes, codes)
    near = [_within(distances[upper][kind], num_bits) for kind in (similar, ~similar)]
    np.fill_diagonal(distances, num_bits + 1)  # an image is no neighbour of itself
    involved = _within(distances.min(axis=1), num_bits)
    shares = zip(near[0] / similar.sum(), near[1] / (~similar).sum(), involved, strict=True)
    expectations = tuple(
        _expect(radius, found, wrong, similar_share, len(codes), images)
        for radius, (found, wrong, images) in enumerate(shares)
    )
    return Calibration(len(codes), similar_share, expectations)


def _within(distances: np.ndarray, num_bits: int) -> np.ndarray:
    """How many distances are at most 0, 1, ... K."""
    return np.cumsum(np.bincount(distances, minlength=num_bits + 1)[: num_bits + 1])


def _expect(radius: int, found: float, wrong: float, similar_share: float, images: int, involved: int) -> Expectation:
    recall = (found, *wilson_interval(found, images / 2))
    if involved < 2 * FEWEST_PAIRS:
        return Expectation(radius, math.nan, 0.0, 1.0, *recall)
    precision = similar_share * found / (similar_share * found + (1 - similar_share) * wrong)
    return Expectation(radius, precision, *wilson_interval(precision, involved / 2), *recall)


def wilson_interval(share: float, trials: float) -> tuple[float, float]:
    """Return the 95% interval of a share.

    Args:
        share: seen, in [0, 1].
        trials: that it was seen in, positive.

    Returns:
        The ends, in [0, 1].

    Reference:
        Wilson, Journal of the American Statistical Association, 1927.
    """
    z = NORMAL_95
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def reached(
    query_codes: np.ndarray,
    query_rows: np.ndarray,
    database_codes: np.ndarray,
    database_rows: np.ndarray,
    num_bits: int,
) -> dict[str, np.ndarray]:
    """Measure what a calibration foretells: precision and recall over all pairs of query and database, by radius.

    Args:
        query_codes: (Q, ceil(K/8)) uint8.
        query_rows: (Q, L) multi-hot.
        database_codes: (N, ceil(K/8)) uint8.
        database_rows: (N, L) multi-hot.
        num_bits: K.

    Returns:
        `precision` (K+1,) float64, NaN where nothing is found, and `recall` (K+1,).
    """
    counts = np.zeros((2, num_bits + 1), np.int64)
    for code, row in zip(query_codes, query_rows, strict=True):
        distances = hamming_distance(code[None], database_codes)[0]
        similar = np.asarray(database_rows) @ np.asarray(row) > 0
        for kind, chosen in enumerate((similar, ~similar)):
            counts[kind] += np.bincount(distances[chosen], minlength=num_bits + 1)
    right, wrong = np.cumsum(counts, axis=1)
    with np.errstate(invalid="ignore"):
        return {"precision": right / (right + wrong), "recall": right / max(right[-1], 1)}
