"""Several runs side by side: who belongs together, means over seeds, paired differences with their intervals."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from dshgan_tf.config import Objective, RunConfig
from dshgan_tf.errors import InputError
from training.presets import PUBLISHED

WITHOUT_GAN, WITH_GAN, NO_SYNTHETIC, PAPER = "without GAN", "with GAN", "no synthetic images", "paper"


@dataclasses.dataclass(frozen=True, order=True)
class Setting:
    """What runs must share to be compared.

    Args:
        dataset: name of the data set.
        protocol: name of the split protocol.
        num_bits: K.
        labels_per_class: labels used a class.
        steps: of training.
        variant: what else differs from the defaults and bears on every method: network, batch, encoder's learning rate.
    """

    dataset: str
    protocol: str
    num_bits: int
    labels_per_class: int
    steps: int
    variant: str = ""

    @property
    def data(self) -> str:
        """Protocol, whose name begins with the data set's where it is made for one, and the variant."""
        name = self.protocol if self.protocol.split("-")[0] == self.dataset else f"{self.dataset} ({self.protocol})"
        return f"{name}, {self.variant}" if self.variant else name


@dataclasses.dataclass(frozen=True)
class Entry:
    """One evaluated method on one seed.

    Args:
        setting: see there.
        method: its name in tables and pictures.
        seed: of the run.
        metrics: of `retrieval.evaluate`, and `accuracy`; None where one means nothing.
        seconds: of training.
        workdir: folder of the run.
        shift: kind of corruption -> MAP at severity 0 to 5, or None.
        is_baseline: whether it stands beside the run and is not the run itself.
    """

    setting: Setting
    method: str
    seed: int
    metrics: dict[str, float | None]
    seconds: float
    workdir: Path
    shift: dict[str, list[float]] | None = None
    is_baseline: bool = False


@dataclasses.dataclass(frozen=True)
class Difference:
    """A paired difference over the seeds that both sides have.

    Args:
        mean: of the differences.
        low: lower end of the 95% interval (Student's t), NaN for a single seed.
        high: its upper end.
        seeds: how many there are.
    """

    mean: float
    low: float
    high: float
    seeds: int

    def __str__(self) -> str:
        """Return the mean with its interval."""
        if self.seeds < 2:
            return f"{self.mean:+.3f}"
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def is_paper(results: dict[str, Any]) -> bool:
    """Whether a run minimised the published objective; fields that its version had not are the paper's."""
    paper = dataclasses.asdict(Objective.paper())
    return paper | results.get("objective", dataclasses.asdict(Objective())) == paper


def method_of(results: dict[str, Any]) -> str:
    """Name the method of a run: with or without GAN, the paper's, and what its objective changes."""
    if not results["gan"]:
        method = WITHOUT_GAN
    else:
        method = WITH_GAN if results["synthetic"] else NO_SYNTHETIC
        method += "" if results.get("unlabeled", True) else ", no unlabelled images"
    if is_paper(results):
        return PAPER if method == WITH_GAN else f"{PAPER}, {method}"
    default = dataclasses.asdict(Objective())
    objective = results.get("objective", default)
    changes = [f"{name} {value}" for name, value in objective.items() if value != default.get(name)]
    return ", ".join([method, *changes])


VARIANT_FIELDS = (
    "batch_size", "backbone", "weights", "trained_layers", "width", "norm", "encoder_learning_rate", "weight_decay",
    "precision", "sampling", "image_size",
)  # fmt: skip


def variant_of(config: RunConfig) -> str:
    """Say which of the fields that bear on every method are not the defaults; the paper's has a rate of its own."""
    default = RunConfig()
    changed = [name for name in VARIANT_FIELDS if getattr(config, name) != getattr(default, name)]
    if config.objective == Objective.paper() and "encoder_learning_rate" in changed:
        changed.remove("encoder_learning_rate")
    return ", ".join(f"{name} {getattr(config, name)}" for name in changed)


def departures(config: RunConfig) -> list[str]:
    """What a run changes of its method, but the objective, which `method_of` names."""
    default = RunConfig()
    usual = {name: getattr(default, name) for name in ("adversary", "generator_learning_rate")}
    if config.objective == Objective.paper():
        usual = PUBLISHED  # the encoder's rate too, which `variant_of` leaves to the method
    if not (config.gan and config.synthetic):
        usual = {name: value for name, value in usual.items() if name == "encoder_learning_rate"}
    return [f"{name} {getattr(config, name)}" for name, value in usual.items() if getattr(config, name) != value]


def read_entries(workdir: Path) -> list[Entry]:
    """Read a finished run and, where they were evaluated, its baselines and its shifted queries.

    Args:
        workdir: folder of the run.

    Returns:
        The run first, then the baselines.
    """
    results = json.loads((workdir / "results.json").read_text())
    config = RunConfig.load(workdir / "config.json")
    if is_paper(results):
        config = dataclasses.replace(config, objective=Objective.paper())
    named = {field.name: results[field.name] for field in dataclasses.fields(Setting) if field.name != "variant"}
    setting = Setting(**named, variant=variant_of(config))
    method, seed = ", ".join([method_of(results), *departures(config)]), results["seed"]
    shift = workdir / "shift.json"
    entries = [
        Entry(
            setting,
            method,
            seed,
            results["metrics"],
            results["train_seconds"],
            workdir,
            json.loads(shift.read_text())["map"] if shift.exists() else None,
        )
    ]
    baselines = workdir / "baselines.json"
    if baselines.exists():
        for name, baseline in json.loads(baselines.read_text()).items():
            # What is made from pixels is the same beside every method.
            own = f"{name} of '{method}'" if baseline["uses_model"] else name
            entries.append(Entry(setting, own, seed, baseline["metrics"], 0.0, workdir, None, is_baseline=True))
    return entries


def group(entries: list[Entry]) -> dict[tuple[Setting, str], dict[int, Entry]]:
    """Put the seeds of a method together.

    Args:
        entries: of all runs.

    Returns:
        (setting, method) -> seed -> entry; settings sorted, methods in the order of their first mention, runs before
        baselines.

    Raises:
        ValueError: two runs of one method with one seed.
    """
    groups: dict[tuple[Setting, str], dict[int, Entry]] = {}
    ordered = sorted(entries, key=lambda entry: (entry.setting, entry.is_baseline))
    for entry in ordered:
        seeds = groups.setdefault((entry.setting, entry.method), {})
        if entry.seed in seeds and not entry.is_baseline:
            there = seeds[entry.seed].workdir
            raise InputError(
                f"{there} and {entry.workdir} are the same method with the same seed ({entry.seed}); leave one out"
            )
        seeds.setdefault(entry.seed, entry)
    return groups


def mean_and_deviation(values: list[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (NaN for one value)."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def paired_difference(ours: dict[int, float], theirs: dict[int, float]) -> Difference | None:
    """Compare two methods on the seeds that both have.

    Args:
        ours: seed -> value.
        theirs: seed -> value.

    Returns:
        The difference, or None where they share no seed.
    """
    from scipy.stats import t

    seeds = sorted(set(ours) & set(theirs))
    if not seeds:
        return None
    mean, deviation = mean_and_deviation([ours[seed] - theirs[seed] for seed in seeds])
    half = deviation / np.sqrt(len(seeds)) * t.ppf(0.975, len(seeds) - 1) if len(seeds) > 1 else float("nan")
    return Difference(mean, mean - half, mean + half, len(seeds))
