"""Many codes in mapped files: the flat kind answers as `HammingIndex`, the quick kinds nearly so."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from test_index import filled, random_codes, repeated_codes

import dshgan_tf as dsh
from dshgan_tf.search import large_index
from dshgan_tf.search.distinct_codes import distinct_codes
from dshgan_tf.search.large_index import LargeIndex, build_large_index

KINDS = ("flat", "inverted", "multi-hash")


def both(folder, codes, num_bits, kind, seed=0):
    """The same codes in a large index and in a plain one; ids in no order."""
    ids = np.random.default_rng(seed).permutation(10 * len(codes))[: len(codes)]
    build_large_index(folder, codes, ids, num_bits, kind)
    return LargeIndex(folder), filled(codes, num_bits, ids)


def same(found, expected):
    for own, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(own, other)
        assert own.dtype == other.dtype


@pytest.mark.parametrize("kind", ["flat", "multi-hash"])
@pytest.mark.parametrize("num_bits", [1, 12, 64, 65])
@pytest.mark.parametrize("make", [random_codes, repeated_codes])
def test_exact_kinds_are_the_plain_index_ties_and_all(make, num_bits, kind, tmp_path):
    large, plain = both(tmp_path / "index", make(500, num_bits), num_bits, kind)
    assert len(large) == 500 and large.num_bits == num_bits and large.kind == kind
    assert large.distinct == len(np.unique(plain.codes, axis=0))
    queries = np.concatenate([make(6, num_bits), plain.codes[:6]])
    for k in (1, 10, 250, 500):
        same(large.search(queries, k), plain.search(queries, k))
    for radius in (0, num_bits // 3, num_bits):
        same(large.range_search(queries, radius), plain.range_search(queries, radius))
    same(large.search(queries[:0], 3), plain.search(queries[:0], 3))
    same(large.range_search(queries[:0], 1), plain.range_search(queries[:0], 1))


@pytest.mark.parametrize("kind", ["flat", "multi-hash"])
def test_of_many_codes_at_one_distance_the_smallest_ids_are_found(kind, tmp_path):
    """All codes of 16 bits: 120 lie at distance 2 from each, and 560 at distance 3."""
    codes = np.arange(1 << 16, dtype=">u2").view(np.uint8).reshape(-1, 2)
    large, plain = both(tmp_path / "index", codes, 16, kind)
    for k in (1, 20, 100):
        same(large.search(codes[:5], k), plain.search(codes[:5], k))


@pytest.mark.parametrize("num_bits", [12, 64, 65])
@pytest.mark.parametrize("make", [random_codes, repeated_codes])
def test_inverted_lists_find_true_distances_and_nearly_all(make, num_bits, tmp_path):
    large, plain = both(tmp_path / "index", make(3000, num_bits), num_bits, "inverted")
    queries = make(20, num_bits)
    for k in (1, 10, 3000):
        distances, ids = large.search(queries, k)
        exact, _ = plain.search(queries, k)
        rows = np.searchsorted(plain.ids, ids)
        for query, found, row in zip(queries, distances, rows, strict=True):
            np.testing.assert_array_equal(found, dsh.codes.hamming_distance(query[None], plain.codes[row])[0])
            assert len(set(row)) == k and np.all(np.diff(found) >= 0)
        assert np.mean(distances <= exact[:, -1:]) > 0.85
    for radius in (0, num_bits // 4, num_bits):
        same(large.range_search(queries, radius), plain.range_search(queries, radius))


def test_multi_hash_misses_nothing_within_seven_bits(tmp_path, monkeypatch):
    """Of four tables of 16 bits one differs in at most one bit, where all 64 differ in at most seven."""
    codes = random_codes(5000, 64)
    large, plain = both(tmp_path / "index", codes, 64, "multi-hash")
    rng = np.random.default_rng(1)
    flips = np.zeros((50, 64), np.uint8)
    for row, bits in zip(flips, rng.integers(0, 8, 50), strict=True):
        row[rng.permutation(64)[:bits]] = 1
    queries = codes[:50] ^ dsh.codes.pack(flips)
    distances, _ = plain.search(queries, 1)
    assert distances.max() == 7  # so the bound is reached
    monkeypatch.setattr(LargeIndex, "_within", None)  # no look at every code is needed, or there
    monkeypatch.setattr(large, "_all", None)
    same(large.search(queries, 1), plain.search(queries, 1))


def test_an_inverted_index_that_looks_into_all_lists_is_exact(tmp_path, monkeypatch):
    monkeypatch.setattr(large_index, "VISITED", 10**6)
    codes = random_codes(2000, 64)  # no two equal, and k of them at distances that differ
    large, plain = both(tmp_path / "index", codes, 64, "inverted")
    np.testing.assert_array_equal(large.search(codes[:9], 10)[0], plain.search(codes[:9], 10)[0])


def test_the_kind_is_chosen_by_how_many_codes_differ(tmp_path, monkeypatch):
    monkeypatch.setattr(large_index, "FLAT", 100)
    for name, codes in (("few", np.repeat(random_codes(100, 64), 5, axis=0)), ("many", random_codes(101, 64))):
        build_large_index(tmp_path / name, codes, np.arange(len(codes)), 64)
    assert [LargeIndex(tmp_path / name).kind for name in ("few", "many")] == ["flat", "inverted"]


def test_distinct_codes_by_hand():
    codes = np.array([[2, 0, 1], [1, 0, 0], [2, 0, 1], [1, 0, 1]], np.uint8)
    distinct = distinct_codes(codes, np.array([9, 8, 3, 4]))
    groups = {
        tuple(code): distinct.ids[start:stop].tolist()
        for code, start, stop in zip(distinct.codes.tolist(), distinct.starts[:-1], distinct.starts[1:], strict=True)
    }
    assert groups == {(2, 0, 1): [3, 9], (1, 0, 0): [8], (1, 0, 1): [4]}


def test_what_cannot_be_indexed_or_searched_is_named(tmp_path):
    codes, ids = random_codes(10, 16), np.arange(10)
    with pytest.raises(dsh.InputError, match="there are no codes to index"):
        build_large_index(tmp_path / "none", codes[:0], ids[:0], 16)
    for wrong in ((codes, ids[:9], 16), (codes, ids / 2, 16), (codes, ids, 24)):
        with pytest.raises(dsh.InputError):
            build_large_index(tmp_path / "none", *wrong)
    with pytest.raises(dsh.InputError, match="an id is there twice"):
        build_large_index(tmp_path / "none", codes, np.zeros(10, int), 16)
    with pytest.raises(dsh.InputError, match="flat, inverted, multi-hash, got 'graph'"):
        build_large_index(tmp_path / "none", codes, ids, 16, "graph")
    assert not list(tmp_path.iterdir())
    large, _ = both(tmp_path / "index", codes, 16, "flat")
    with pytest.raises(dsh.InputError, match="is there already"):
        build_large_index(tmp_path / "index", codes, ids, 16)
    for k in (0, 11):
        with pytest.raises(dsh.InputError, match="between 1 and the 10 images"):
            large.search(codes, k)
    with pytest.raises(dsh.InputError, match="radius"):
        large.range_search(codes, 17)
    with pytest.raises(dsh.InputError, match="query_codes"):
        large.search(codes[:, :1], 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_folder_is_named(kind, tmp_path):
    build_large_index(tmp_path / "index", random_codes(100, 64), np.arange(100), 64, kind)
    for name in ("about.json", "codes.faiss", "starts.npy", "ids.npy"):
        path = tmp_path / "index" / name
        content = path.read_bytes()
        for damaged in (b"", content[: len(content) // 2]):
            path.write_bytes(damaged)
            with pytest.raises(dsh.InputError, match="build it again"):
                LargeIndex(tmp_path / "index")
        path.unlink()
        with pytest.raises(dsh.InputError, match="build it again"):
            LargeIndex(tmp_path / "index")
        path.write_bytes(content)
    assert len(LargeIndex(tmp_path / "index")) == 100


def test_a_build_that_ends_early_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(large_index, "write_json", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        build_large_index(tmp_path / "index", random_codes(10, 16), np.arange(10), 16)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["flat", "inverted"])
def test_codes_stay_on_disk(kind, tmp_path):
    """A process of its own opens and searches 24 MB of codes and ids, and holds less than 6 MB more."""
    codes = np.random.default_rng(0).integers(0, 256, (1_000_000, 8), np.uint8)
    build_large_index(tmp_path / "index", codes, np.arange(len(codes)), 64, kind)
    program = """
        import sys
        import numpy as np
        from dshgan_tf.search.large_index import LargeIndex

        def own():
            lines = open("/proc/self/status").read().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

        queries = np.random.default_rng(0).integers(0, 256, (20, 8), np.uint8)
        before = own()
        index = LargeIndex(sys.argv[1])
        index.search(queries, 10)
        print(own() - before)
    """
    said = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), tmp_path / "index"], capture_output=True, text=True, check=True
    )
    assert int(said.stdout) < 6 * 1024
