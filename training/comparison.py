"""Several runs side by side: who belongs together, means over seeds, paired differences with their intervals."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from dshgan_tf.training.presets import PUBLISHED

from dshgan_tf.config import Objective, RunConfig
from dshgan_tf.errors import InputError
from dshgan_tf.run import Run

WITHOUT_GAN, WITH_GAN, NO_SYNTHETIC, PAPER = "without GAN", "with GAN", "no synthetic images", "paper"
METHOD_NAMES = {"dsh-gan": WITH_GAN, "semi-supervised": NO_SYNTHETIC, "supervised": WITHOUT_GAN}


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
        run: its folder.
        shift: kind of corruption -> MAP at severity 0 to 5, or None.
        is_baseline: whether it stands beside the run and is not the run itself.
    """

    setting: Setting
    method: str
    seed: int
    metrics: dict[str, float | None]
    seconds: float
    run: Run
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
    """Whether a run minimised the published objective."""
    return Objective(**results["objective"]).is_published


def method_of(results: dict[str, Any]) -> str:
    """Name the method of a run: with or without GAN, the paper's, and what its objective changes."""
    method = METHOD_NAMES[results["method"]]
    if method != WITHOUT_GAN and not results["unlabeled"]:
        method += ", no unlabelled images"
    if is_paper(results):
        return PAPER if method == WITH_GAN else f"{PAPER}, {method}"
    default = dataclasses.asdict(Objective())
    changes = [f"{name} {value}" for name, value in results["objective"].items() if value != default[name]]
    return ", ".join([method, *changes])


# Fields of a config, of its network and of its optimization that bear on every method.
VARIANT_FIELDS = (
    "batch_size",
    "precision",
    "sampling",
    "image_size",
    "unseen_classes",
    "unlabeled_unseen",
    "validation",
)
VARIANT_NETWORK = ("backbone", "weights", "trained_layers", "hidden_layer", "width", "norm", "ground")
VARIANT_OPTIMIZATION = ("encoder_learning_rate", "weight_decay")


def _settings(config: RunConfig, *parts: str) -> dict[str, Any]:
    """Return the fields of some parts of a config as one dictionary."""
    return {name: value for part in parts for name, value in dataclasses.asdict(getattr(config, part)).items()}


def _bears_on_all(config: RunConfig) -> dict[str, Any]:
    """Return the fields that bear on every method."""
    named = {name: getattr(config, name) for name in VARIANT_FIELDS}
    parts = _settings(config, "network", "optimization")
    return named | {name: parts[name] for name in (*VARIANT_NETWORK, *VARIANT_OPTIMIZATION)}


def variant_of(config: RunConfig) -> str:
    """Say which of the fields that bear on every method are not the defaults; the paper's has a rate of its own."""
    fields, default = _bears_on_all(config), _bears_on_all(RunConfig())
    if config.objective.is_published:
        del fields["encoder_learning_rate"]
    return ", ".join(f"{name} {value}" for name, value in fields.items() if value != default[name])


def departures(config: RunConfig) -> list[str]:
    """What a run changes of its method, but the objective, which `method_of` names."""
    is_paper = config.objective.is_published
    usual = _settings(RunConfig(**PUBLISHED) if is_paper else RunConfig(), "network", "optimization")
    own = _settings(config, "network", "optimization")
    # The paper's encoder has a rate of its own, which `variant_of` leaves to the method.
    names = ["instance_bits", *["encoder_learning_rate"] * is_paper]
    if config.method == "dsh-gan":
        names += ["adversary", "noise_dim", "generator", "generator_learning_rate"]
    changed = [f"{name} {own[name]}" for name in names if own[name] != usual[name]]
    if config.fine_tune:
        changed.append(f"{config.fine_tune} steps fine-tuned")
        if config.fine_tuned_layers != RunConfig().fine_tuned_layers:
            changed.append(f"fine_tuned_layers {config.fine_tuned_layers}")
    return changed


def data_name(config: RunConfig) -> str:
    """Return the name of a data set; of own data that of its folder, and of its table."""
    own = config.data_dir is not None and config.dataset in ("folder", "table")
    return "/".join(Path(config.data_dir).parts[-2 if config.dataset == "table" else -1 :]) if own else config.dataset


def read_entries(run: Run) -> list[Entry]:
    """Read a finished run and, where they were evaluated, its baselines and its shifted queries.

    Args:
        run: finished.

    Returns:
        The run first, then the baselines.
    """
    results, config = run.read("results"), run.config()
    named = {field.name: results[field.name] for field in dataclasses.fields(Setting) if field.name != "variant"}
    setting, seed = Setting(**named | {"dataset": data_name(config)}, variant=variant_of(config)), results["seed"]
    chosen = dataclasses.replace(config, method=results["method"])  # the config may leave it to the data
    method = ", ".join([method_of(results), *departures(chosen)])
    shift = run.read("shift")["map"] if run.path("shift").exists() else None
    entries = [
        Entry(
            setting,
            method,
            seed,
            results["metrics"],
            results["train_seconds"],
            run,
            shift,
        )
    ]
    if run.path("baselines").exists():
        for name, baseline in run.read("baselines").items():
            # What is made from pixels is the same beside every method.
            own = f"{name} of '{method}'" if baseline["uses_model"] else name
            entries.append(Entry(setting, own, seed, baseline["metrics"], 0.0, run, None, is_baseline=True))
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
            there = seeds[entry.seed].run.workdir
            raise InputError(
                f"{there} and {entry.run.workdir} are the same method with the same seed ({entry.seed}); leave one out"
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
