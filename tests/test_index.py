"""HammingIndex: exact, addressed by ids, saved whole or not at all."""

import numpy as np
import pytest

from dshgan_tf.codes import hamming_distance, pack
from dshgan_tf.index import HammingIndex


def random_codes(count: int, num_bits: int, seed: int = 0) -> np.ndarray:
    return pack(np.random.default_rng(seed).integers(0, 2, (count, num_bits)))


@pytest.mark.parametrize("num_bits", [1, 7, 12, 32, 64, 100])
@pytest.mark.parametrize("k", [1, 10, 200])
def test_search_equals_brute_force(num_bits, k):
    database, queries = random_codes(200, num_bits), random_codes(9, num_bits, 1)
    index = HammingIndex(num_bits)
    index.add(database[:120])
    index.add(database[120:])
    distances, ids = index.search(queries, k)
    assert (distances.dtype, ids.dtype, distances.shape, ids.shape) == (np.int32, np.int64, (9, k), (9, k))
    every = hamming_distance(queries, database)
    np.testing.assert_array_equal(distances, np.sort(every, axis=1)[:, :k])
    np.testing.assert_array_equal(np.take_along_axis(every, ids, axis=1), distances)
    for row_distances, row in zip(distances, ids, strict=True):
        assert len(set(row)) == k
        assert list(zip(row_distances, row, strict=True)) == sorted(zip(row_distances, row, strict=True))


def test_given_ids_and_their_continuation():
    index = HammingIndex(8)
    index.add(np.array([[0], [255]], np.uint8), ids=np.array([70, 3]))
    index.add(np.array([[15]], np.uint8))  # continues after the largest id
    distances, ids = index.search(np.array([[0]], np.uint8), k=3)
    np.testing.assert_array_equal(ids, [[70, 71, 3]])
    np.testing.assert_array_equal(distances, [[0, 4, 8]])
    assert len(index) == 3


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([5, 5], "unique in the index, got 5"),
        ([7, 8], "unique in the index, got 7"),
        ([-1, 8], "at least 0, got -1"),
        ([1], r"\(2,\) integers"),
        ([1.0, 2.0], "integers"),
    ],
)
def test_bad_ids_add_nothing(ids, message):
    index = HammingIndex(8)
    index.add(np.zeros((1, 1), np.uint8), ids=[7])
    with pytest.raises(ValueError, match=message):
        index.add(np.zeros((2, 1), np.uint8), ids=np.array(ids))
    assert len(index) == 1


def test_errors_of_codes_and_k():
    index = HammingIndex(12)
    with pytest.raises(ValueError, match="k must be between 1 and the 0 codes"):
        index.search(random_codes(1, 12), k=1)
    index.add(random_codes(3, 12))
    for k in (0, 4):
        with pytest.raises(ValueError, match=f"between 1 and the 3 codes in the index, got {k}"):
            index.search(random_codes(1, 12), k=k)
    with pytest.raises(ValueError, match="shape"):
        index.add(random_codes(3, 24))
    with pytest.raises(ValueError, match="query_codes must have shape"):
        index.search(random_codes(1, 8), k=1)
    with pytest.raises(ValueError, match="num_bits"):
        HammingIndex(0)


@pytest.mark.parametrize("num_bits", [12, 64])
def test_save_and_load(tmp_path, num_bits):
    index = HammingIndex(num_bits)
    index.add(random_codes(50, num_bits), ids=np.arange(50) * 3)
    path = tmp_path / "made" / "codes.index"
    index.save(path)
    index.save(path)  # replaces
    assert [entry.name for entry in path.parent.iterdir()] == ["codes.index"]
    loaded = HammingIndex.load(path)
    assert loaded.num_bits == num_bits and len(loaded) == 50
    queries = random_codes(4, num_bits, 2)
    for first, second in zip(index.search(queries, 20), loaded.search(queries, 20), strict=True):
        np.testing.assert_array_equal(first, second)


def test_empty_index_is_saved_too(tmp_path):
    HammingIndex(9).save(tmp_path / "empty")
    loaded = HammingIndex.load(tmp_path / "empty")
    assert (len(loaded), loaded.num_bits) == (0, 9)


def test_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "codes.index"
    index = HammingIndex(8)
    index.add(random_codes(5, 8))
    index.save(path)
    index.add(random_codes(5, 8))

    def interrupted(*_args, **_kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(OSError, match="disk full"):
        index.save(path)
    assert len(HammingIndex.load(path)) == 5
    assert [entry.name for entry in tmp_path.iterdir()] == ["codes.index"]


def test_load_of_other_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        HammingIndex.load(tmp_path / "none")
    (tmp_path / "text").write_text("no index")
    with pytest.raises(ValueError, match="text is no HammingIndex file"):
        HammingIndex.load(tmp_path / "text")
    np.savez(tmp_path / "other.npz", a=1)
    with pytest.raises(ValueError, match="is not of format"):
        HammingIndex.load(tmp_path / "other.npz")
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(ValueError, match="no HammingIndex file"):
        HammingIndex.load(tmp_path / "array.npy")
