"""What a radius means: by hand, against brute force, and the interval's coverage by simulation."""

import math

import numpy as np
import pytest

import dshgan_tf as dsh
from dshgan_tf.search.calibration import Calibration, calibrate, reached, wilson_interval


def test_by_hand():
    # Codes of 8 bits. Class 0: six codes 00000000 and class 1: six codes 00001111, but the last of class 1 is 00000001.
    codes = np.array([[0]] * 6 + [[0b1111]] * 5 + [[1]], np.uint8)
    labels = np.eye(2)[[0] * 6 + [1] * 6]
    calibration = calibrate(codes, labels, 8, similar_share=0.5)
    assert calibration.images == 12
    # 15 + 15 pairs share a label. At radius 0: 15 of class 0 and 10 of class 1 have equal codes. The last of class 1 is
    # 3 bits from its 5 fellows, so all 30 lie within 3. The other 36 pairs: six lie 1 bit apart (the odd one), the
    # other thirty 4 bits.
    near = [25 / 30, 25 / 30, 25 / 30, 1, 1, 1, 1, 1, 1]
    far = [0, 6 / 36, 6 / 36, 6 / 36, 1, 1, 1, 1, 1]
    for radius, (s, d) in enumerate(zip(near, far, strict=True)):
        expected = calibration.expectations[radius]
        assert expected.recall == pytest.approx(s) and expected.precision == pytest.approx(s / (s + d))
    # With similar pairs one in ten, precision falls: at radius 1 (0.1 * 25/30) / (0.1 * 25/30 + 0.9 / 6) = 5 / 14.
    rare = calibrate(codes, labels, 8, similar_share=0.1)
    assert rare.expectations[1].precision == pytest.approx(5 / 14)
    assert rare.expectations[1].recall == pytest.approx(25 / 30)


def test_wilson_by_hand():
    # 10 of 10, z = 1.959964: the lower end is n / (n + z^2) = 10 / 13.8415 = 0.72247, the upper 1.
    low, high = wilson_interval(1.0, 10)
    assert low == pytest.approx(0.722467, abs=1e-5) and high == pytest.approx(1)
    # Half of 100: 0.5 -+ z / (1 + z^2/100) sqrt(0.25/100 + z^2/40000) = 0.5 -+ 0.09617.
    low, high = wilson_interval(0.5, 100)
    assert (low, high) == (pytest.approx(0.403832, abs=1e-5), pytest.approx(0.596168, abs=1e-5))


def test_the_radius_for_a_precision():
    codes = np.array([[0]] * 6 + [[0b1111]] * 5 + [[1]], np.uint8)
    calibration = calibrate(codes, np.eye(2)[[0] * 6 + [1] * 6], 8, similar_share=0.5)
    # 1, 5/6, 5/6, 6/7, 1/2: a radius counts only where all smaller ones are good enough.
    assert calibration.radius_for(1.0).radius == 0
    assert calibration.radius_for(0.84).radius == 0
    assert calibration.radius_for(0.83).radius == 3
    assert calibration.radius_for(0.5).radius == 8
    for wanted in (0, -1, 1.01):
        with pytest.raises(dsh.InputError, match=r"precision must lie in \(0, 1\]"):
            calibration.radius_for(wanted)
    worse = calibrate(codes, np.eye(2)[[0] * 6 + [1] * 6], 8, similar_share=0.1)
    worse = Calibration(worse.images, worse.similar_share, worse.expectations[1:])
    with pytest.raises(dsh.InputError, match="no radius has a precision of 0.9; the highest is 0.40"):
        worse.radius_for(0.9)


def test_too_few_labels_give_none():
    codes = np.zeros((20, 1), np.uint8)
    assert calibrate(codes[:10], np.eye(10), 8, 0.1) is None  # no two share a label
    assert calibrate(codes, np.eye(10)[np.arange(20) % 10], 8, 0.1) is not None  # ten pairs
    assert calibrate(codes[:14], np.eye(10)[np.arange(14) % 10], 8, 0.1) is None  # four
    assert calibrate(codes, np.ones((20, 2)), 8, 0.1) is None  # nothing to tell apart


def test_what_is_found_nowhere_is_said():
    # All codes differ by 2 bits: nothing is within 0 or 1.
    codes = np.packbits(np.eye(12, dtype=bool), axis=1)
    calibration = calibrate(codes, np.eye(2)[[0] * 6 + [1] * 6], 12, 0.5)
    first = calibration.expectations[0]
    assert math.isnan(first.precision) and (first.precision_low, first.precision_high) == (0, 1) and first.recall == 0
    again = Calibration.from_dict(calibration.as_dict())
    assert math.isnan(again.expectations[0].precision) and again.images == 12
    for one, other in zip(again.expectations[2:], calibration.expectations[2:], strict=True):
        assert one.precision == pytest.approx(other.precision, abs=1e-6)
    for odd in (
        {},
        {"images": 3},
        calibration.as_dict() | {"precision": [[1, 2]]},
        calibration.as_dict() | {"recall": 3},
    ):
        with pytest.raises(dsh.InputError, match="no calibration"):
            Calibration.from_dict(odd)


def test_any_number_of_held_out_images():
    codes = np.random.default_rng(0).integers(0, 256, (50_000, 4), dtype=np.uint8)
    calibration = calibrate(codes, np.eye(10, dtype=np.uint8)[np.arange(50_000) % 10], 32, 0.1)
    assert calibration.images == 2000  # of which all pairs are counted, and no more


def test_how_often_two_images_share_a_label():
    images = np.zeros((400, 4, 4, 1), np.uint8)
    labels = np.repeat([0, 1, 2], [200, 100, 100])
    splits = dsh.data.from_arrays(images, labels, queries_per_class=10, labels_per_class=None)
    shares = np.bincount(splits.labeled.labels) / len(splits.labeled)
    assert splits.similar_share == pytest.approx((shares**2).sum())
    rows = np.eye(3, dtype=np.uint8)[labels]
    assert dsh.data.from_arrays(images, rows, 10, None).similar_share == pytest.approx((shares**2).sum(), abs=0.02)


def test_a_handful_of_pairs_promises_nothing():
    # 40 images, 16 bits, codes all over: within small radii there are a pair or two, all of them right by chance.
    rng = np.random.default_rng(3)
    labels = np.arange(40) % 2
    codes = rng.integers(0, 256, (40, 2), dtype=np.uint8)
    codes[2] = codes[0]  # two of one class with equal codes
    calibration = calibrate(codes, np.eye(2)[labels], 16, 0.5)
    distances = dsh.codes.hamming_distance(codes, codes)
    seen = set()
    for expected in calibration.expectations:
        involved = sum(np.delete(row, i).min() <= expected.radius for i, row in enumerate(distances))
        assert math.isnan(expected.precision) == (involved < 10)
        if involved >= 10:
            interval = wilson_interval(expected.precision, involved / 2)
            assert (expected.precision_low, expected.precision_high) == pytest.approx(interval)
            seen.add(involved)
    assert len(seen) > 1
    with pytest.raises(dsh.InputError, match="no radius has a precision of 0.9"):
        calibration.radius_for(0.9)


def test_reached_is_brute_force():
    rng = np.random.default_rng(0)
    query, database = (rng.integers(0, 4, (n, 1), dtype=np.uint8) for n in (7, 30))
    rows = [np.eye(3)[rng.integers(0, 3, n)] for n in (7, 30)]
    found = reached(query, rows[0], database, rows[1], 8)
    pairs = [
        (bin(int(q[0]) ^ int(d[0])).count("1"), bool(a @ b))
        for q, a in zip(query, rows[0], strict=True)
        for d, b in zip(database, rows[1], strict=True)
    ]
    for radius in range(9):
        within = [similar for distance, similar in pairs if distance <= radius]
        assert found["precision"][radius] == pytest.approx(np.mean(within))
        assert found["recall"][radius] == pytest.approx(sum(within) / sum(similar for _, similar in pairs))


@pytest.mark.parametrize("errors", [0.02, 0.1, 0.3])
def test_the_interval_covers(errors):
    # Ten classes, each with a code of its own; an image is hashed to another class' code with probability e. Then
    # s(0) = (1 - e)^2 + e^2 / 9, and precision(0) = s(0) at equal proportions, for d(0) = (1 - s(0)) / 9.
    rng = np.random.default_rng(1)
    class_codes = np.arange(10, dtype=np.uint8)[:, None] * 17
    truth = (1 - errors) ** 2 + errors**2 / 9
    covered = 0
    for _ in range(300):
        labels = np.arange(40) % 10
        wrong = rng.random(40) < errors
        hashed = np.where(wrong, (labels + rng.integers(1, 10, 40)) % 10, labels)
        expected = calibrate(class_codes[hashed], np.eye(10)[labels], 8, 0.1).expectations[0]
        covered += expected.precision_low <= truth <= expected.precision_high
    assert covered / 300 >= 0.9
