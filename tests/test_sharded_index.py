"""Many files answer as one index does, in this process and in others."""

import distributed
import numpy as np
import pytest
from test_index import filled, random_codes, random_relaxed, repeated_codes

import dshgan_tf as dsh
from dshgan_tf.search.sharded_index import ShardedIndex


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs="CRITICAL"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def files(folder, codes, num_bits, sizes, seed=0):
    """Files of given sizes, ids in no order among them, and one index of all."""
    ids = np.random.default_rng(seed).permutation(10 * len(codes))[: len(codes)]
    paths, start = [], 0
    for number, size in enumerate(sizes):
        paths.append(folder / f"{number}.index")
        filled(codes[start : start + size], num_bits, ids[start : start + size]).save(paths[-1])
        start += size
    assert start == len(codes)
    return paths, filled(codes, num_bits, ids)


def same(found, expected):
    for own, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(own, other)
        assert own.dtype == other.dtype


@pytest.mark.parametrize("where", ["here", "workers"])
@pytest.mark.parametrize("num_bits", [12, 64, 65])
@pytest.mark.parametrize("make", [random_codes, repeated_codes])
def test_files_answer_as_one_index(where, num_bits, make, request, tmp_path):
    paths, index = files(tmp_path, make(500, num_bits), num_bits, (300, 0, 199, 1))
    sharded = ShardedIndex(paths, request.getfixturevalue("client") if where == "workers" else None)
    assert len(sharded) == 500 and sharded.num_bits == num_bits
    relaxed = random_relaxed(6, num_bits)
    queries = dsh.codes.pack(dsh.codes.binarise(relaxed))
    for given in (None, relaxed):
        for k in (1, 10, 250, 500):
            same(sharded.search(queries, k, given), index.search(queries, k, given))
        for radius in (0, num_bits // 3, num_bits):
            same(sharded.range_search(queries, radius, given), index.range_search(queries, radius, given))


@pytest.mark.parametrize("where", ["here", "workers"])
def test_a_file_that_is_saved_anew_is_searched_anew(where, request, tmp_path):
    paths, index = files(tmp_path, random_codes(40, 16), 16, (20, 20))
    sharded = ShardedIndex(paths, request.getfixturevalue("client") if where == "workers" else None)
    query = random_codes(1, 16, 5)
    same(sharded.search(query, 40), index.search(query, 40))
    gone = dsh.HammingIndex.load(paths[0]).ids[:7]
    for changed, path in ((index, None), (dsh.HammingIndex.load(paths[0]), paths[0])):
        changed.remove(gone)
        if path is not None:
            changed.save(path)
    assert len(sharded) == 33
    same(sharded.search(query, 33), index.search(query, 33))


def test_what_is_no_one_index(tmp_path):
    filled(random_codes(5, 16), 16).save(tmp_path / "a")
    filled(random_codes(5, 16), 16).save(tmp_path / "b")
    filled(random_codes(5, 8), 8).save(tmp_path / "c")
    with pytest.raises(ValueError, match="at least one file"):
        ShardedIndex([])
    with pytest.raises(ValueError, match="c has codes of 8 bits, .*a of 16"):
        ShardedIndex([tmp_path / "a", tmp_path / "c"])
    both = ShardedIndex([tmp_path / "a", tmp_path / "b"])
    with pytest.raises(ValueError, match="ids must be unique in the index"):
        both.search(random_codes(1, 16), 10)
    with pytest.raises(ValueError, match="k must be between 1 and the 10 codes in the files, got 11"):
        both.search(random_codes(1, 16), 11)
    with pytest.raises(ValueError, match="query_codes"):
        both.search(random_codes(1, 8), 1)
