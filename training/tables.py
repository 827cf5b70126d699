"""Runs as a table, once: shown by rich on the terminal and written as Markdown."""

from __future__ import annotations

import dataclasses

import numpy as np
from dshgan_tf.training.comparison import (
    NO_SYNTHETIC,
    PAPER,
    WITHOUT_GAN,
    Entry,
    Setting,
    group,
    mean_and_deviation,
    paired_difference,
)
from dshgan_tf.training.unseen_classes import KINDS
from rich.table import Table

REFERENCES = (PAPER, WITHOUT_GAN, NO_SYNTHETIC)
SEVERITY = 3  # of 1 to 5, to which the drop is told


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A table before it is drawn.

    Args:
        title: what it shows.
        columns: headings.
        rows: cells as text, one tuple a row.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def to_rich(self) -> Table:
        """Return it for the terminal; columns that hold numbers are aligned to the right."""
        table = Table(title=self.title)
        for name, cells in zip(self.columns, zip(*self.rows, strict=True), strict=True):
            is_number = all(cell[:1].isdigit() or cell[:1] in "+-" for cell in cells)
            table.add_column(name, justify="right" if is_number else "left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def to_markdown(self) -> str:
        """Return it as Markdown, the title as a paragraph before it."""
        lines = [self.columns, tuple("---" for _ in self.columns), *self.rows]
        return f"{self.title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def results_sheet(entries: list[Entry]) -> Sheet:
    """Lay runs out by setting and method: mean and standard deviation over seeds, gains over the simpler methods.

    A gain is a mean over the seeds that both methods have, with its 95% interval (Student's t, paired).

    Args:
        entries: of all runs.

    Returns:
        The table; empty columns are left out.

    Raises:
        ValueError: two runs of one method with one seed.
    """
    groups = group(entries)
    columns = ("data", "bits", "labels/class", "steps", "method", "seeds", "MAP", *KINDS.values())
    columns += tuple(f"gain over {name}" for name in REFERENCES) + ("P@r<=2", "accuracy", "seconds")
    rows = []
    for (setting, method), seeds in groups.items():
        is_baseline = next(iter(seeds.values())).is_baseline
        gains = ["-" if is_baseline else _gain(groups, setting, method, reference) for reference in REFERENCES]
        rows.append(
            (
                setting.data,
                str(setting.num_bits),
                str(setting.labels_per_class),
                str(setting.steps),
                method,
                _seeds(list(seeds)),
                *(_spread(list(_values(seeds, metric).values())) for metric in ("map", *KINDS)),
                *gains,
                _spread(list(_values(seeds, "precision_radius_2").values())),
                _spread(list(_values(seeds, "accuracy").values())),
                "-" if is_baseline else f"{_mean_seconds(seeds):.0f}",
            )
        )
    return _without_empty("Retrieval by Hamming distance, queries against database", columns, rows)


def shift_sheet(entries: list[Entry]) -> Sheet | None:
    """Lay out what corrupted queries cost: MAP at every severity, mean over the kinds, and the drop to one severity.

    Args:
        entries: of all runs; those without shifted queries are passed over.

    Returns:
        The table, or None where no run has shifted queries.
    """
    groups = group([entry for entry in entries if entry.shift is not None])
    if not groups:
        return None
    rows = []
    for (setting, method), seeds in groups.items():
        curves = {seed: mean_over_kinds(entry) for seed, entry in seeds.items()}
        drops = _drops(seeds)
        simpler = {name: _drops(groups.get((setting, name), {})) for name in rivals_of(method)}
        differences = {name: paired_difference(drops, others) for name, others in simpler.items()}
        rows.append(
            (
                setting.data,
                str(setting.num_bits),
                str(setting.labels_per_class),
                method,
                _seeds(list(seeds)),
                *(f"{value:.3f}" for value in np.mean(list(curves.values()), axis=0)),
                _spread(list(drops.values())),
                *(str(difference) if (difference := differences.get(name)) else "-" for name in REFERENCES),
            )
        )
    columns = ("data", "bits", "labels/class", "method", "seeds", "clean", *(f"severity {i}" for i in range(1, 6)))
    columns += (f"drop to {SEVERITY}", *(f"drop less that of {name}" for name in REFERENCES))
    return _without_empty("MAP of corrupted queries, mean over the kinds of corruption", columns, rows)


def rivals_of(method: str) -> tuple[str, ...]:
    """Name the methods that a method is compared with: those before it in `REFERENCES`."""
    return REFERENCES[: REFERENCES.index(method)] if method in REFERENCES else REFERENCES


def _drops(seeds: dict[int, Entry]) -> dict[int, float]:
    return {seed: (curve := mean_over_kinds(entry))[0] - curve[SEVERITY] for seed, entry in seeds.items()}


def mean_over_kinds(entry: Entry) -> np.ndarray:
    """Return (6,) MAP at severity 0 to 5, mean over the kinds of corruption."""
    return np.mean(list(entry.shift.values()), axis=0)


def _without_empty(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Sheet:
    kept = [i for i in range(len(columns)) if any(row[i] != "-" for row in rows)]
    return Sheet(title, tuple(columns[i] for i in kept), [tuple(row[i] for i in kept) for row in rows])


def _gain(groups: dict[tuple[Setting, str], dict[int, Entry]], setting: Setting, method: str, reference: str) -> str:
    """Return the gain in MAP over a simpler method; a reference is not compared with itself or what is richer."""
    if reference not in rivals_of(method):
        return "-"
    others = groups.get((setting, reference), {})
    difference = paired_difference(_values(groups[setting, method], "map"), _values(others, "map"))
    return str(difference) if difference else "-"


def _values(seeds: dict[int, Entry], metric: str) -> dict[int, float]:
    found = {seed: entry.metrics.get(metric) for seed, entry in seeds.items()}
    return {seed: value for seed, value in found.items() if value is not None}


def _spread(values: list[float]) -> str:
    if not values:
        return "-"
    mean, deviation = mean_and_deviation(values)
    return f"{mean:.3f}" if len(values) < 2 else f"{mean:.3f} ± {deviation:.3f}"


def _mean_seconds(seeds: dict[int, Entry]) -> float:
    return float(np.mean([entry.seconds for entry in seeds.values()]))


def _seeds(seeds: list[int]) -> str:
    seeds = sorted(seeds)
    if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}-{seeds[-1]}"
    return ", ".join(map(str, seeds))
