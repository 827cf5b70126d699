"""Time the retrieval evaluation against loops that sort the database for every query.

    python benchmarks/evaluation.py              all sizes, two to three minutes on two cores
    python benchmarks/evaluation.py --quick      a tenth of the queries
    python benchmarks/evaluation.py --codes FILE also the codes in FILE, a NumPy archive with query_codes, query_labels,
                                                 database_codes, database_labels (class ids) and num_bits

Two loops, both written here, both with the peers' policy (stable order, divisor retrieved, the whole ranking):

- "in use": distances as a product of +-1 vectors, then argsort, as in the usual collections; but sorted as integers,
  which NumPy 2 does three times as fast as their float32;
- "fastest": distances as popcount of XOR in uint8, for which NumPy's stable sort is a radix sort.

"With query_relaxed" is the same evaluation with ``map_asymmetric`` besides. The queries' relaxed codes are made up:
each bit is equally likely to be anywhere on its side of 0.5. Calls with and without take turns, so that both meet the
same load. The cases "repeated" have few distinct codes, equally many for each of ten classes, which differ from the
code of their class in 10% of the bits. An image has one of its class, and every tenth image one of any class.

Each case runs in a process of its own. Extra memory is the peak of the resident set during the first evaluation
above what it was just before, with codes and labels in memory and the loops compiled.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from dshgan_tf import retrieval
from dshgan_tf.codes import code_words, pack, unpack

Problem = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Case:
    """One table; ``flip`` is the chance of each bit to differ from its class' code, a half is random.

    With ``codes`` that many distinct codes are made so, and images draw from those of their class.
    """

    name: str
    queries: int
    database: int
    num_bits: int
    flip: float = 0.5
    codes: int | None = None
    loops: bool = True
    relaxed: bool = True
    repeats: int = 3
    file: str | None = None


def make_problem(case: Case) -> tuple[Problem, int]:
    """Make codes of ten classes, or read them."""
    if case.file is not None:
        with np.load(case.file) as archive:
            names = ("query_codes", "query_labels", "database_codes", "database_labels")
            return tuple(archive[name] for name in names), int(archive["num_bits"])
    rng = np.random.default_rng(0)
    count = case.queries + case.database
    labels = rng.integers(0, 10, count)
    if case.codes is not None:
        prototypes = rng.integers(0, 2, (10, 1, case.num_bits), dtype=np.uint8)
        bits = prototypes ^ (rng.random((10, case.codes // 10, case.num_bits)) < case.flip)
        classes = np.where(rng.random(count) < 0.1, rng.integers(0, 10, count), labels)
        codes = pack(bits[classes, rng.integers(0, case.codes // 10, count)])
    elif case.flip == 0.5 and case.num_bits % 8 == 0:
        codes = rng.integers(0, 256, (count, case.num_bits // 8), dtype=np.uint8)
    else:
        prototypes = rng.integers(0, 2, (10, case.num_bits), dtype=np.uint8)
        codes = pack(prototypes[labels] ^ (rng.random((count, case.num_bits)) < case.flip))
    split = case.queries
    return (codes[:split], labels[:split], codes[split:], labels[split:]), case.num_bits


def average_precision(relevant: np.ndarray) -> float:
    """AP of one ranking."""
    ranks = np.flatnonzero(relevant) + 1
    return float(np.mean(np.arange(1, len(ranks) + 1) / ranks)) if len(ranks) else 0.0


def loop_in_use(problem: Problem, num_bits: int) -> float:
    """MAP by a product of signs and an argsort for each query."""
    query_codes, query_labels, database_codes, database_labels = problem
    queries, database = (2 * unpack(codes, num_bits).astype(np.float32) - 1 for codes in (query_codes, database_codes))
    values = []
    for code, label in zip(queries, query_labels, strict=True):
        distances = 0.5 * (num_bits - database @ code)
        order = np.argsort(distances.astype(np.int32), kind="stable")
        values.append(average_precision(database_labels[order] == label))
    return float(np.mean(values))


def loop_fastest(problem: Problem, num_bits: int) -> float:
    """MAP by popcount and a stable radix sort for each query."""
    query_codes, query_labels, database_codes, database_labels = problem
    queries, database = code_words(query_codes), code_words(database_codes)
    kind = np.uint8 if num_bits < 256 else np.uint16
    values = []
    for code, label in zip(queries, query_labels, strict=True):
        order = np.argsort(np.bitwise_count(database ^ code).sum(axis=1, dtype=kind), kind="stable")
        values.append(average_precision(database_labels[order] == label))
    return float(np.mean(values))


def timed(function: Callable[[], object], repeats: int) -> float:
    """Median of the wall-clock seconds of some calls."""
    return timed_in_turns([function], repeats)[0]


def timed_in_turns(functions: list[Callable[[], object]], repeats: int) -> list[float]:
    """Median of the wall-clock seconds of some calls of each function, called in turns."""
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, measured in zip(functions, seconds, strict=True):
            start = time.perf_counter()
            function()
            measured.append(time.perf_counter() - start)
    return [statistics.median(measured) for measured in seconds]


def resident() -> int:
    """Bytes of the resident set (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def peak_extra_memory(function: Callable[[], object]) -> float:
    """MiB by which the resident set grows at most during a call, looked at every millisecond."""
    done, before, peak = threading.Event(), resident(), 0

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.001):
            peak = max(peak, resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    function()
    done.set()
    watcher.join()
    return max(peak - before, 0) / 2**20


def make_relaxed(codes: np.ndarray, num_bits: int) -> np.ndarray:
    """Make up relaxed codes, (Q, K) float32, on the right sides of 0.5."""
    below = np.random.default_rng(1).random((len(codes), num_bits), dtype=np.float32) / 2
    return np.where(unpack(codes, num_bits) == 1, 1 - np.minimum(below, 0.499), below).astype(np.float32)


def run_case(case: Case) -> dict[str, float | str]:
    """Measure one case."""
    problem, num_bits = make_problem(case)
    relaxed = make_relaxed(problem[0], num_bits)

    def evaluate(**options: object) -> dict[str, float | int | str]:
        return retrieval.evaluate(*problem, num_bits, **options)

    for policy in ({}, retrieval.PEER):  # compile, or read what an earlier run compiled
        retrieval.evaluate(*(part[:2] for part in problem), num_bits, query_relaxed=relaxed[:2], **policy)
    memory = peak_extra_memory(evaluate)
    shape = (len(problem[0]), len(problem[2]), num_bits)
    row: dict[str, float | str] = {"name": case.name, "shape": "{:,} x {:,}, {} bits".format(*shape), "memory": memory}
    if case.relaxed:
        row["relaxed_memory"] = peak_extra_memory(lambda: evaluate(query_relaxed=relaxed))
    for prefix, policy in (("", {}), ("peer_", retrieval.PEER))[: 2 if case.loops or case.codes else 1]:
        functions = [partial(evaluate, **policy)]
        if case.relaxed:
            functions.append(partial(evaluate, query_relaxed=relaxed, **policy))
        names = (f"{prefix}seconds", f"{prefix}relaxed_seconds")
        row |= dict(zip(names, timed_in_turns(functions, case.repeats), strict=False))
    if case.loops:
        row["loop_in_use"] = timed(lambda: loop_in_use(problem, num_bits), min(case.repeats, 3))
        row["loop_fastest"] = timed(lambda: loop_fastest(problem, num_bits), min(case.repeats, 3))
        row["map_difference"] = abs(evaluate(**retrieval.PEER)["map"] - loop_fastest(problem, num_bits))
    return row


def print_row(console: Console, row: dict[str, float | str]) -> None:
    """Print one case as soon as it is measured."""
    table = Table(title=f"{row['name']}: {row['shape']}", title_justify="left", show_header=True)
    for column in ("what", "seconds (median)", "times evaluate()"):
        table.add_column(column, justify="left" if column == "what" else "right")
    names = {
        "seconds": "evaluate(), defaults",
        "relaxed_seconds": "evaluate(), with query_relaxed",
        "peer_seconds": "evaluate(**PEER)",
        "peer_relaxed_seconds": "evaluate(**PEER), with query_relaxed",
        "loop_in_use": "loop in use (product, argsort)",
        "loop_fastest": "fastest loop (popcount, radix)",
    }
    for key, name in names.items():
        if key in row:
            table.add_row(name, f"{row[key]:.3f}", f"{row[key] / row['seconds']:.2f}")
    console.print(table)
    console.print(f"extra memory at the peak {row['memory']:.0f} MiB", end="")
    console.print(f", with query_relaxed {row['relaxed_memory']:.0f}" if "relaxed_memory" in row else "", end="")
    console.print(f"; MAP differs from the loop's by {row['map_difference']:.1e}" if "map_difference" in row else "")
    console.print()


def main() -> None:
    """Measure all cases and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the queries")
    parser.add_argument("--codes", metavar="FILE", help="NumPy archive with codes to measure too")
    arguments = parser.parse_args()
    scale = 10 if arguments.quick else 1
    cases = [
        Case("random", 1_000 // scale, 59_000, 48),
        Case("like trained (2% of the bits flipped)", 1_000 // scale, 59_000, 48, flip=0.02, repeats=7),
        Case(
            "repeated (1,000 distinct codes)", 1_000 // scale, 59_000, 48, flip=0.1, codes=1_000, loops=False, repeats=7
        ),
        Case(
            "repeated (5,000 distinct codes)", 1_000 // scale, 59_000, 48, flip=0.1, codes=5_000, loops=False, repeats=7
        ),
        Case("random", 10_000 // scale, 50_000, 48, relaxed=False, repeats=1 if scale == 1 else 3),
        Case("large", 1_000 // scale, 10_000_000, 64, loops=False, relaxed=False, repeats=1),
    ]
    if arguments.codes:
        cases.append(Case(Path(arguments.codes).name, 0, 0, 0, file=arguments.codes))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # for the cases' processes, which import the whole package
    console = Console()
    console.print(f"{platform.machine()}, {multiprocessing.cpu_count()} cores, NumPy {np.__version__}\n")
    for case in cases:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            print_row(console, process.submit(run_case, case).result())


if __name__ == "__main__":
    main()
