"""HammingIndex: exact, in one order, addressed by ids, changed and saved without a trace."""

import json
import subprocess
import sys
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dshgan_tf.codes import hamming_distance, pack, unpack
from dshgan_tf.search import asymmetric_distances, faiss_scan, index_file, scan, scan_threads, word_comparison
from dshgan_tf.search.hamming_index import HammingIndex

NUM_BITS = [1, 8, 12, 32, 48, 64, 65, 128]


def random_codes(count: int, num_bits: int, seed: int = 0) -> np.ndarray:
    return pack(np.random.default_rng(seed).integers(0, 2, (count, num_bits)))


def repeated_codes(count: int, num_bits: int, seed: int = 0) -> np.ndarray:
    """Few distinct codes near each other, as learnt ones are: every distance has many."""
    rng = np.random.default_rng(seed)
    return pack(rng.random((max(2, count // 8), num_bits)) < 0.2)[rng.integers(0, max(2, count // 8), count)]


def random_relaxed(count: int, num_bits: int, seed: int = 1) -> np.ndarray:
    """Multiples of 1/8, so that sums are exact and some are equal."""
    return np.random.default_rng(seed).integers(0, 9, (count, num_bits)) / 8


def in_order(codes, ids, queries, num_bits, relaxed=None):
    """All distances (Q, N) and ids (Q, N), sorted by brute force."""
    distances = hamming_distance(queries, codes)
    asymmetric = np.zeros(distances.shape)
    if relaxed is not None:
        asymmetric = ((relaxed[:, None, :] - unpack(codes, num_bits)[None]) ** 2).sum(axis=2)
    orders = [np.lexsort((ids, near, far)) for near, far in zip(asymmetric, distances, strict=True)]
    return np.take_along_axis(distances, np.array(orders), axis=1), ids[np.array(orders)]


def filled(codes, num_bits, ids=None):
    index = HammingIndex(num_bits)
    index.add(codes, ids)
    return index


def assert_same(first, second):
    """The same content, and the same answers."""
    assert first.num_bits == second.num_bits
    np.testing.assert_array_equal(first.ids, second.ids)
    np.testing.assert_array_equal(first.codes, second.codes)
    if len(first):
        queries = random_codes(3, first.num_bits, 9)
        for one, other in zip(first.search(queries, len(first)), second.search(queries, len(first)), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.fixture(params=["numpy", "numpy in threads", "faiss"])
def engine(request, monkeypatch):
    """Each engine, also for few codes; blocks so small that there are several."""
    monkeypatch.setattr(scan, "FIRST_BLOCK", 32)
    monkeypatch.setattr(scan, "CANDIDATES", 2000)
    monkeypatch.setattr(word_comparison, "BLOCK", 64)
    monkeypatch.setattr(asymmetric_distances, "BLOCK", 64)
    monkeypatch.setattr(scan_threads, "cores", lambda: 3)
    if request.param == "numpy in threads":
        monkeypatch.setattr(scan, "SHARE", 16)
    if request.param == "faiss":
        monkeypatch.setattr(scan, "FAISS_FROM", 0)
        monkeypatch.setattr(scan, "FAISS_QUERIES", 1)
        monkeypatch.setattr(faiss_scan, "SHARE", 16)
    return request.param


@pytest.mark.parametrize("num_bits", NUM_BITS)
@pytest.mark.parametrize("make", [random_codes, repeated_codes])
@pytest.mark.parametrize("num_queries", [1, 25])
def test_search_equals_brute_force(engine, num_bits, make, num_queries):
    codes = make(200, num_bits)
    ids = np.random.default_rng(3).permutation(1000)[:200]
    index = HammingIndex(num_bits)
    index.add(codes[:120], ids[:120])
    index.add(codes[120:], ids[120:])
    relaxed = random_relaxed(num_queries, num_bits)
    queries = pack(relaxed > 0.5)
    for given_relaxed in (None, relaxed):
        all_distances, all_ids = in_order(codes, ids, queries, num_bits, given_relaxed)
        for k in (1, 7, 60, 200):
            distances, found = index.search(queries, k, given_relaxed)
            assert (distances.dtype, found.dtype) == (np.int32, np.int64)
            np.testing.assert_array_equal(distances, all_distances[:, :k])
            np.testing.assert_array_equal(found, all_ids[:, :k])
        for radius in {0, num_bits // 5, num_bits}:
            limits, distances, found = index.range_search(queries, radius, given_relaxed)
            assert (limits.dtype, distances.dtype, found.dtype) == (np.int64, np.int32, np.int64)
            inside = all_distances <= radius
            np.testing.assert_array_equal(limits, np.cumsum([0, *inside.sum(axis=1)]))
            np.testing.assert_array_equal(distances, all_distances[inside])
            np.testing.assert_array_equal(found, all_ids[inside])


@pytest.mark.parametrize("num_bits", [247, 248, 255, 256, 300, 1000])
def test_wide_codes(num_bits):
    # Distances above 255 do not fit in a byte.
    codes = np.concatenate([random_codes(50, num_bits), pack(np.array([[0] * num_bits, [1] * num_bits]))])
    queries = codes[-2:]
    all_distances, all_ids = in_order(codes, np.arange(52), queries, num_bits)
    distances, ids = filled(codes, num_bits).search(queries, 52)
    np.testing.assert_array_equal(distances, all_distances)
    np.testing.assert_array_equal(ids, all_ids)
    assert distances[0, -1] == num_bits


@pytest.mark.parametrize("num_queries", [1, 20])
@pytest.mark.parametrize("far", [0, 3])
def test_a_database_of_one_code(num_queries, far):
    # 100,000 equal codes behind 100,000 others: all tie, over many blocks; five nearer ones are between them.
    codes = np.full((200_000, 8), 255, np.uint8)
    codes[:100_000, 1] = 0
    codes[100_010:, 0] = 255 >> far
    codes[100_000:100_005, 0] = 255 >> far
    index = filled(codes, 64)
    queries = np.full((num_queries, 8), 255, np.uint8)
    expected = [*range(100_005, 100_010), *range(100_000, 100_005), *range(100_010, 100_015)]
    expected = expected if far else sorted(expected)
    for relaxed in (None, np.full((num_queries, 64), 0.9)):
        distances, ids = index.search(queries, 15, relaxed)
        np.testing.assert_array_equal(ids, np.tile(expected, (num_queries, 1)))
        np.testing.assert_array_equal(distances[0], [0] * 5 + [far] * 10)


@pytest.mark.parametrize("num_bits", [12, 64])
def test_many_queries_of_many_codes(num_bits):
    # At the sizes where FAISS is taken, and more than a block.
    codes, relaxed = random_codes(90_000, num_bits), random_relaxed(100, num_bits)
    queries = pack(relaxed > 0.5)
    index = filled(codes, num_bits)
    for given_relaxed in (None, relaxed):
        distances, ids = index.search(queries, 10, given_relaxed)
        for i in (0, 57, 99):
            one = None if given_relaxed is None else given_relaxed[[i]]
            all_distances, all_ids = in_order(codes, np.arange(90_000), queries[[i]], num_bits, one)
            np.testing.assert_array_equal(distances[i], all_distances[0, :10])
            np.testing.assert_array_equal(ids[i], all_ids[0, :10])
            for many, single in zip((distances, ids), index.search(queries[[i]], 10, one), strict=True):
                np.testing.assert_array_equal(many[[i]], single)


@pytest.mark.parametrize("k", [10, 500])
def test_the_memory_of_a_search_is_bounded(k):
    # 50 queries and 200,000 codes that all tie: the distances alone would take 40 MB as int32.
    index, queries = filled(np.full((200_000, 4), 15, np.uint8), 32), np.full((50, 4), 7, np.uint8)
    relaxed = unpack(queries, 32) * 0.5 + 0.25
    index.search(queries[:8], k, relaxed[:8])  # imports
    tracemalloc.start()
    for given_relaxed in (None, relaxed):
        index.search(queries, k, given_relaxed)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


def test_asymmetric_order_by_hand():
    # The query's bits are 1 1 1; the relaxed code is surest of the first. A code that differs in bit i alone costs
    # |2 h_i - 1| = 0.8, 0.2, 0.4: so bit 1 first, then bit 2, then bit 0, against the order of the ids.
    index = filled(pack(np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0], [1, 0, 1]])), 3)
    relaxed = np.array([[0.9, 0.6, 0.7]], np.float32)
    distances, ids = index.search(pack(relaxed > 0.5), 4, relaxed)
    assert (distances.tolist(), ids.tolist()) == ([[1, 1, 1, 1]], [[1, 3, 2, 0]])
    assert index.search(pack(relaxed > 0.5), 1, relaxed)[1].tolist() == [[1]]
    assert index.range_search(pack(relaxed > 0.5), 1, relaxed)[2].tolist() == [1, 3, 2, 0]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_equally_sure_bits_tie(dtype):
    # 0.9 and 0.1 are not exact in binary, but equally far from their bits.
    index = filled(pack(np.array([[0, 0], [1, 1], [0, 0]])), 2)
    relaxed = np.array([[0.9, 0.1]], dtype)
    assert index.search(pack(relaxed > 0.5), 3, relaxed)[1].tolist() == [[0, 1, 2]]


def test_asymmetric_distance_is_that_of_the_metrics():
    asymmetric = pytest.importorskip("dshgan_tf.retrieval.asymmetric")
    for dtype in (np.float16, np.float32, np.float64):
        for num_bits in (1, 12, 64, 100):
            relaxed = np.random.default_rng(0).random((2, num_bits)).astype(dtype)
            weights, shift = asymmetric.bit_weights(relaxed)
            below = np.sort(weights & np.uint64((1 << shift) - 1), axis=1)[:, -num_bits:]
            np.testing.assert_array_equal(
                np.sort(asymmetric_distances.bit_weights(relaxed), axis=1), below.astype(np.float64)
            )


def test_given_ids_and_their_continuation():
    index = HammingIndex(8)
    index.add(np.array([[0], [255]], np.uint8), ids=np.array([70, 3]))
    index.add(np.array([[15]], np.uint8))  # continues after the largest id
    distances, ids = index.search(np.array([[0]], np.uint8), k=3)
    np.testing.assert_array_equal(ids, [[70, 71, 3]])
    np.testing.assert_array_equal(distances, [[0, 4, 8]])
    assert index.ids.tolist() == [3, 70, 71] and index.codes.tolist() == [[255], [0], [15]]
    assert len(index) == 3


def test_ids_are_not_given_again(tmp_path):
    index = filled(random_codes(5, 8), 8)
    index.remove([3, 4])
    index.add(random_codes(1, 8))
    assert index.ids.tolist() == [0, 1, 2, 5]
    index.remove(index.ids)
    assert len(index) == 0
    index.save(tmp_path / "index")
    index = HammingIndex.load(tmp_path / "index")
    index.add(random_codes(2, 8))
    assert index.ids.tolist() == [6, 7]


def test_the_largest_id():
    index = filled(random_codes(1, 8), 8, ids=[2**63 - 1])
    with pytest.raises(ValueError, match="do not fit"):
        index.add(random_codes(1, 8))
    with pytest.raises(ValueError, match="at most 9223372036854775807, got 9223372036854775808"):
        index.add(random_codes(1, 8), ids=np.array([2**63], np.uint64))
    index.add(random_codes(1, 8), ids=[0])
    assert index.ids.tolist() == [0, 2**63 - 1]


def test_views_are_read_only():
    index = filled(random_codes(5, 8), 8)
    for view in (index.ids, index.codes):
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 1
    index.add(random_codes(5, 8))
    assert len(index) == 10


def test_an_index_takes_its_own_views():
    index = filled(np.arange(5, dtype=np.uint8)[:, None], 8, ids=[0, 2, 4, 6, 8])
    index.add(index.codes[3:], ids=[1, 3])
    assert (index.ids.tolist(), index.codes[:, 0].tolist()) == ([0, 1, 2, 3, 4, 6, 8], [0, 3, 1, 4, 2, 3, 4])
    index.remove(index.ids[1:4])
    assert (index.ids.tolist(), index.codes[:, 0].tolist()) == ([0, 4, 6, 8], [0, 2, 3, 4])


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


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1, 9], "in the index, got 9"),
        ([-1], "in the index, got -1"),
        ([1, 1], "given once, got 1"),
        ([1.0], "integers"),
        (1, "pass a list"),
    ],
)
def test_bad_ids_remove_nothing(ids, message):
    index = filled(random_codes(5, 8), 8)
    with pytest.raises(ValueError, match=message):
        index.remove(ids)
    assert index.ids.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="got 0"):
        HammingIndex(8).remove([0])


def test_nothing_is_added_and_removed():
    index = filled(random_codes(2, 8), 8)
    index.add(np.empty((0, 1), np.uint8))
    index.add(np.empty((0, 1), np.uint8), ids=[])
    index.remove([])
    assert index.ids.tolist() == [0, 1]
    distances, ids = index.search(np.empty((0, 1), np.uint8), 2)
    assert distances.shape == ids.shape == (0, 2)
    limits, distances, ids = index.range_search(np.empty((0, 1), np.uint8), 2)
    assert limits.tolist() == [0] and distances.shape == ids.shape == (0,)
    limits, distances, ids = HammingIndex(8).range_search(random_codes(3, 8), 8)
    assert limits.tolist() == [0, 0, 0, 0] and len(ids) == 0


def test_a_thousand_adds_and_removals():
    rng = np.random.default_rng(0)
    codes, largest = random_codes(3000, 48), 2999
    index, content = filled(codes, 48), dict(enumerate(codes))
    for step in rng.permutation(2000).tolist():
        if step % 2:
            codes, names = random_codes(3, 48, step), range(largest + 1, largest + 4)
            if step % 4 == 1:
                names = (10**6 * step + rng.choice(10**6, 3, replace=False)).tolist()  # anywhere, in any order
            index.add(codes, None if step % 4 == 3 else names)
            content |= zip(names, codes, strict=True)
            largest = max(largest, *names)
        else:
            gone = rng.choice(list(content), int(rng.integers(1, 4)), replace=False)
            index.remove(gone)
            for one in gone.tolist():
                del content[one]
    ids = rng.permutation(list(content))
    assert_same(index, filled(np.array([content[i] for i in ids.tolist()]), 48, ids))


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 4095)), max_size=6)),
            st.tuples(st.just("append"), st.lists(st.integers(0, 4095), max_size=6)),
            st.tuples(st.just("remove"), st.lists(st.integers(0, 60), max_size=6)),
            st.tuples(st.just("remove many"), st.integers(0, 1)),
        ),
        max_size=30,
    )
)
@settings(max_examples=200, deadline=None)
def test_any_adds_and_removals_leave_a_fresh_index(operations):
    index, content, largest = HammingIndex(12), {}, -1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dshgan_tf.search.code_rows.FEW", 3)  # both ways of removing
        for kind, values in operations:
            if kind in ("add", "append"):
                if kind == "append":
                    ids, values = None, [(largest + 1 + i, value) for i, value in enumerate(values)]
                else:
                    ids = np.array([i for i, _ in values], np.int64)
                codes = np.array([[v >> 4, v << 4 & 255] for _, v in values], np.uint8).reshape(-1, 2)
                names = [i for i, _ in values]
                if len(set(names)) < len(names) or content.keys() & set(names):
                    with pytest.raises(ValueError, match="unique"):
                        index.add(codes, ids)
                    continue
                index.add(codes, ids)
                content |= zip(names, codes.tolist(), strict=True)
                largest = max([largest, *names])
            else:
                ids = list(content)[values::2] if kind == "remove many" else values
                if len(set(ids)) < len(ids) or set(ids) - content.keys():
                    with pytest.raises(ValueError, match="ids must be"):
                        index.remove(np.array(ids))
                    continue
                index.remove(np.array(ids, np.int64))
                for i in ids:
                    del content[i]
    ids = np.array(list(content), np.int64)
    assert_same(index, filled(np.array(list(content.values()), np.uint8).reshape(-1, 2), 12, ids))


def test_errors_of_codes_and_k():
    index = HammingIndex(12)
    with pytest.raises(ValueError, match="k must be between 1 and the 0 codes"):
        index.search(random_codes(1, 12), k=1)
    index.add(random_codes(3, 12))
    for k in (0, 4, 1.5, True):
        with pytest.raises(ValueError, match=f"between 1 and the 3 codes in the index, got {k}"):
            index.search(random_codes(1, 12), k=k)
    for radius in (-1, 13, 0.5, True):
        with pytest.raises(ValueError, match=f"radius must be .* between 0 and num_bits=12, got {radius}"):
            index.range_search(random_codes(1, 12), radius)
    with pytest.raises(ValueError, match="shape"):
        index.add(random_codes(3, 24))
    for search in (index.search, index.range_search):
        with pytest.raises(ValueError, match="query_codes must have shape"):
            search(random_codes(1, 8), 1)
    for num_bits in (0, 65536):
        with pytest.raises(ValueError, match="num_bits"):
            HammingIndex(num_bits)


@pytest.mark.parametrize(
    ("relaxed", "message"),
    [
        (np.full((1, 8), 0.9), "shape"),
        (np.full((2, 7), 0.9), "shape"),
        (np.full((2, 8), 1.1), r"lie in \[0, 1\]"),
        (np.full((2, 8), np.nan), r"lie in \[0, 1\]"),
        (np.array([[0.9] * 8, [0.9] * 7 + [0.5]]), "others in row 1"),
    ],
)
def test_errors_of_relaxed_queries(relaxed, message):
    index = filled(random_codes(3, 8), 8)
    for search in (index.search, index.range_search):
        with pytest.raises(ValueError, match=message):
            search(np.full((2, 1), 255, np.uint8), 1, relaxed)


@pytest.mark.parametrize("memory_map", [False, True, None])
@pytest.mark.parametrize("num_bits", [1, 12, 64, 65])
def test_save_and_load(tmp_path, num_bits, memory_map):
    index = filled(random_codes(50, num_bits), num_bits, ids=np.arange(50) * 3)
    path = tmp_path / "made" / "codes.index"
    index.save(path)
    index.save(path)  # replaces
    assert [entry.name for entry in path.parent.iterdir()] == ["codes.index"]
    loaded = HammingIndex.load(path, memory_map)
    assert_same(loaded, index)
    loaded.save(path)  # over the file that it is mapped from
    assert_same(loaded, index)
    assert_same(HammingIndex.load(path), index)


def test_empty_index_is_saved_too(tmp_path):
    HammingIndex(9).save(tmp_path / "empty")
    for memory_map in (False, True, None):
        loaded = HammingIndex.load(tmp_path / "empty", memory_map)
        assert (len(loaded), loaded.num_bits) == (0, 9)


@pytest.mark.parametrize("num_bits", NUM_BITS)
def test_mapped_equals_in_memory(tmp_path, engine, num_bits):
    index = filled(repeated_codes(300, num_bits), num_bits)
    index.save(tmp_path / "index")
    mapped = HammingIndex.load(tmp_path / "index", memory_map=True)
    assert isinstance(mapped.codes.base, np.memmap) or isinstance(mapped.codes.base.base, np.memmap)
    relaxed = random_relaxed(20, num_bits)
    queries = pack(relaxed > 0.5)
    for arguments in ((queries, 9), (queries, 9, relaxed)):
        for first, second in zip(index.search(*arguments), mapped.search(*arguments), strict=True):
            np.testing.assert_array_equal(first, second)
    for first, second in zip(index.range_search(queries, 1), mapped.range_search(queries, 1), strict=True):
        np.testing.assert_array_equal(first, second)
    for change in (lambda: mapped.add(index.codes), lambda: mapped.remove([0])):
        with pytest.raises(ValueError, match="memory-mapped index cannot be changed"):
            change()


def test_large_files_are_mapped_by_default_of_none(tmp_path, monkeypatch):
    filled(random_codes(100, 64), 64).save(tmp_path / "index")  # 1,600 bytes
    for free, mapped in ((6401, False), (6399, True)):
        monkeypatch.setattr(index_file, "_free_memory", lambda free=free: free)
        assert HammingIndex.load(tmp_path / "index", None)._mapped is mapped
        assert HammingIndex.load(tmp_path / "index")._mapped is False
    monkeypatch.undo()
    assert index_file._free_memory() > 1 << 20


def test_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "codes.index"
    index = filled(random_codes(5, 8), 8)
    index.save(path)
    index.add(random_codes(5, 8))

    def interrupted(file, content):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(index_file, "write", interrupted)
    with pytest.raises(OSError, match="disk full"):
        index.save(path)
    assert len(HammingIndex.load(path)) == 5
    assert [entry.name for entry in tmp_path.iterdir()] == ["codes.index"]


def test_load_of_other_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        HammingIndex.load(tmp_path / "none")
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "first.npz", format="dshgan_tf.HammingIndex/1")
    for name, content in (("text", b"no index"), ("empty", b"")):
        (tmp_path / name).write_bytes(content)
    for name in ("text", "empty", "array.npy", "first.npz"):
        with pytest.raises(ValueError, match=f"{name} is no HammingIndex file .it is not of format"):
            HammingIndex.load(tmp_path / name)


def written(ids, codes, num_bits=12, **changes):
    """A file with a right checksum and wrong content."""
    about = {"num_bits": num_bits, "size": len(ids), "next_id": int(max(ids)) + 1} | changes
    data = f"{index_file.FORMAT}\n{json.dumps(about)}".encode().ljust(index_file.HEADER)
    data += np.array(ids, "<i8").tobytes() + np.array(codes, np.uint8).tobytes()
    return data + zlib.crc32(data).to_bytes(4, "little")


GOOD = [[1, 16], [2, 32], [3, 240]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (written([0, 2, 5], GOOD), None),
        (written([0, 2, 2], GOOD), "ids do not ascend"),
        (written([2, 0, 5], GOOD), "ids do not ascend"),
        (written([-1, 2, 5], GOOD), "ids lie in -1..5"),
        (written([0, 2, 5], GOOD, next_id=5), "ids lie in 0..5 and not in 0..4"),
        (written([0, 2, 5], [[1, 16], [2, 33], [3, 240]]), "padding bits"),
        (written([0, 2, 5], GOOD, size=4), "bytes and not 300"),
        (written([0, 2, 5], GOOD, size=2), "bytes and not 280"),
        (written([0, 2, 5], GOOD, size=10**30), "bytes and not"),
        (written([0, 2, 5], GOOD, num_bits=17), "bytes and not"),
        (written([0, 2, 5], GOOD, num_bits=0), "num_bits"),
        (written([0], np.zeros((0, 2)), size=0, num_bits=10**12), "header"),
        (written([0, 2, 5], GOOD, size=True), "header"),
        (written([0, 2, 5], GOOD, size=-3), "header"),
        (written([0, 2, 5], GOOD, size="3"), "header"),
        (written([0, 2, 5], GOOD, next_id=6.0), "header"),
        (written([0, 2, 5], GOOD, next_id=None), "header"),
        (written([0, 2, 5], GOOD)[:-1], "bytes and not"),
        (written([0, 2, 5], GOOD) + b"\0", "bytes and not"),
        (written([0, 2, 5], GOOD).replace(b"HammingIndex/2\n", b"HammingIndex/3\n"), "format"),
        (written([0, 2, 5], GOOD).replace(b'{"num', b'{"nun'), "num_bits"),
        (written([0, 2, 5], GOOD).replace(b"{", b"["), "is no HammingIndex file"),
        (written([0, 2, 5], GOOD).replace(b'{"num_bits"', b'["num_bits"'), "is no HammingIndex file"),
        (written([0, 2, 5], GOOD).replace(b"\1\20", b"\1\40"), "checksum"),
        (written([0, 2, 5], GOOD).replace(b'"next_id": 6', b'"next_id": 7'), "checksum"),
    ],
)
@pytest.mark.parametrize("memory_map", [False, True])
def test_damaged_files(tmp_path, content, message, memory_map):
    path = tmp_path / "odd.index"
    path.write_bytes(content)
    if message is None:
        assert HammingIndex.load(path, memory_map).ids.tolist() == [0, 2, 5]
        return
    with pytest.raises(ValueError, match=f"odd.index is no HammingIndex file .*{message}|odd.index {message}"):
        HammingIndex.load(path, memory_map)


def test_files_are_checked_across_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(index_file, "CHUNK", 4)
    index = filled(random_codes(30, 12), 12)
    index.save(tmp_path / "index")
    assert_same(HammingIndex.load(tmp_path / "index"), index)
    for place in (3, 4, 8):  # at the borders of chunks
        ids = np.arange(30)
        ids[place] = ids[place - 1]
        (tmp_path / "index").write_bytes(written(ids, random_codes(30, 12)))
        with pytest.raises(ValueError, match="do not ascend"):
            HammingIndex.load(tmp_path / "index")


def test_a_search_program_starts_on_numpy_alone(tmp_path):
    filled(random_codes(100, 64), 64).save(tmp_path / "index")
    program = f"""
import sys
import numpy as np
from dshgan_tf import HammingIndex
index = HammingIndex.load({str(tmp_path / "index")!r})
index.search(np.zeros((1, 8), np.uint8), 5, np.zeros((1, 64)))
index.range_search(np.zeros((1, 8), np.uint8), 30)
print(sorted({{"tensorflow", "keras", "numba", "scipy", "sklearn", "faiss"}} & set(sys.modules)))
"""
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


def test_faiss_keeps_its_number_of_threads():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # FAISS' SWIG wrappers
        import faiss
    before = faiss.omp_get_max_threads()
    filled(random_codes(90_000, 64), 64).search(random_codes(100, 64, 1), 10)
    assert faiss.omp_get_max_threads() == before
