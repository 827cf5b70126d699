"""A search of the recipe by keras-tuner, judged on the validation part."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
import keras_tuner as kt
from dshgan_tf.training.build import build
from dshgan_tf.training.devices import prepare_devices
from rich.table import Table

import dshgan_tf as dsh
from dshgan_tf.config import RunConfig
from dshgan_tf.data import Splits
from dshgan_tf.data.feature_splits import seen_by
from dshgan_tf.errors import InputError
from dshgan_tf.files import write_json
from dshgan_tf.run import load_data

ORACLES = ("random", "bayesian", "hyperband")
OBJECTIVE = kt.Objective("val_map", "max")


class Recipe(kt.HyperModel):
    """What is searched: learning rates, weights of the losses and threshold, around a run's own values.

    Args:
        config: the run that the search starts from.
        splits: its data.
    """

    def __init__(self, config: RunConfig, splits: Splits) -> None:
        super().__init__()
        self.config, self.splits = config, splits
        self._seen: Splits | None = None

    def config_for(self, hp: kt.HyperParameters) -> RunConfig:
        """Return the config of a trial; the defaults of all hyperparameters are the config that it starts from."""
        config, objective = self.config, self.config.objective
        start = objective.resolve(config.num_bits, self.splits.multi_label, config.network.has_hidden_layer)
        method = config.method_for(self.splits.multi_label)

        def around(name: str, value: float, factor: float) -> float:
            """A factor more or less, on a logarithmic scale; what is off stays off."""
            return hp.Float(name, value / factor, value * factor, sampling="log", default=value) if value else value

        weights = {"real_triplet_weight": 5, "similarity_weight": 3}
        if method != "supervised":
            weights |= {"pseudo_label_weight": 3, "balance_weight": 3}
        if method == "dsh-gan":
            weights |= {"triplet_weight": 5, "adversary_weight": 3, "synthetic_classification_weight": 3}
        searched = {name: around(name, getattr(start, name), factor) for name, factor in weights.items()}
        changes = {name: value for name, value in searched.items() if value != getattr(start, name)}
        # A teacher's labels need no threshold; it labels where nothing needs pixels.
        taught = config.network.frozen and (method != "dsh-gan" or config.network.generates_features)
        if method != "supervised" and objective.pseudo_label_weight and not taught:
            threshold = objective.threshold_for(self.splits.fewest_labels)
            choices = sorted({0.8, 0.9, 0.95, 0.98, threshold})
            chosen = hp.Choice("pseudo_label_threshold", choices, default=threshold)
            changes["pseudo_label_threshold"] = objective.pseudo_label_threshold if chosen == threshold else chosen
        optimization = config.optimization
        names = ["encoder_learning_rate"] + ["generator_learning_rate"] * (method == "dsh-gan")
        rates = {name: around(name, getattr(optimization, name), 4) for name in names}
        return dataclasses.replace(
            config,
            preset="tuned",
            objective=dataclasses.replace(objective, **changes),
            optimization=dataclasses.replace(optimization, **rates),
        )

    def build(self, hp: kt.HyperParameters) -> dsh.DSHGAN:
        """Build the model of a trial."""
        keras.utils.set_random_seed(self.config.seeds["weights"])
        return build(self.config_for(hp), self.splits)

    def fit(self, hp: kt.HyperParameters, model: dsh.DSHGAN, **kwargs: Any) -> dict[str, float]:
        """Train a trial on the batches that every trial sees; return its `val_map` at the end of the schedule.

        A later rung of Hyperband starts from the weights of the one before, with a schedule of its own.
        """
        config = self.config
        epochs = kwargs.pop("epochs", config.epochs) - kwargs.pop("initial_epoch", 0)  # Hyperband gives its own
        seen = self.seen_by(model)
        callbacks = [dsh.callbacks.RetrievalEvaluation(seen, every=epochs), *kwargs.pop("callbacks", [])]
        batches = dsh.data.triplets(seen, config.batch_size, config.seeds["order"], sampling=config.sampling)
        history = model.fit(batches, epochs=epochs, steps_per_epoch=config.epoch_length, callbacks=callbacks, **kwargs)
        return {"val_map": history.history["val_map"][-1]}

    def seen_by(self, model: dsh.DSHGAN) -> Splits:
        """Return what a trial trains on: the splits, or the features of a frozen trunk, the same for all trials."""
        if self._seen is None:
            self._seen = seen_by(model, self.splits)
        return self._seen


def tune(config: RunConfig, workdir: Path, trials: int | None = None, oracle: str = "bayesian") -> dict[str, Any]:
    """Search, or go on searching; write `best.json`, a config for `dshgan train --config`, and `trials.json`.

    The first trial is the config itself (but for Hyperband, whose trials have different lengths), so that the search
    says whether it improved on it.

    Args:
        config: the run that the search starts from; trials are as long as it.
        workdir: folder of the search.
        trials: how many in all, at least 2, None for 20; Hyperband plans them itself, by the number of epochs.
        oracle: "random", "bayesian" or "hyperband".

    Returns:
        `start` and `best`, the `val_map` of both, and `trials`; empty for a worker of a shared search.

    Raises:
        ValueError: no validation part, or too few labels for one, too few trials or any given to Hyperband, an unknown
            oracle, a strategy, or another search is there.
        RuntimeError: a trial failed; the same call tries it again.
    """
    if oracle not in ORACLES:
        raise InputError(f"oracle must be one of {', '.join(ORACLES)}, got {oracle!r}")
    if oracle == "hyperband" and trials is not None:
        raise InputError(f"hyperband plans its trials by the number of epochs; leave trials={trials} out")
    trials = 20 if trials is None else trials
    if trials < 2:
        raise InputError(f"trials must be at least 2 (the first is the start itself), got {trials}")
    if config.precision == "auto":
        raise InputError("all trials compute in one precision; name it instead of precision='auto'")
    if config.strategy != "none":
        raise InputError(
            f"a trial runs on one device; leave strategy={config.strategy!r} out (KERASTUNER_TUNER_ID shares a search "
            "between processes)"
        )
    if not config.validation:
        raise InputError("validation=False leaves nothing to judge trials on; leave --no-validation out")
    prepare_devices(config)
    splits = load_data(config)
    if not len(splits.validation):
        raise InputError(
            f"{len(splits.labeled) // splits.num_classes} labels a class leave no validation part to judge trials on; "
            "give --labels-per-class 5 or more"
        )
    _claim(workdir, config, oracle)
    tuner = _tuner(Recipe(config, splits), workdir, trials, oracle)
    logs = keras.callbacks.TensorBoard(str(workdir / "tensorboard"), write_graph=False)
    tuner.search(verbose=0, callbacks=[logs])
    return _report(tuner, workdir)


def _claim(workdir: Path, config: RunConfig, oracle: str) -> None:
    """Make sure that a resumed search is the one that was begun."""
    there, asked = workdir / "start.json", workdir / f"oracle.{oracle}"
    if there.exists() and (RunConfig.load(there) != config or not asked.exists()):
        raise InputError(f"{workdir} holds another search; take another --workdir or delete it")
    asked.touch()  # first, for a second process that comes, or a kill, in between
    config.save(there)


class _StartFirst:
    """Let the first trial of an oracle be the hyperparameters' defaults, the run that the search starts from.

    Its state is never half written, as keras-tuner's own is where a search is killed.
    """

    def save(self) -> None:
        write_json(self._get_oracle_fname(), self.get_state())

    def reload(self) -> None:
        super().reload()
        # Killed after a trial was written and before the oracle was: nobody would run it. It is drawn anew.
        for unknown in set(self.trials) - set(self.start_order):
            del self.trials[unknown]

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if not self.start_order:
            values = {parameter.name: parameter.default for parameter in self.hyperparameters.space}
            return {"status": kt.engine.trial.TrialStatus.RUNNING, "values": values}
        return super().populate_space(trial_id)


class _Random(_StartFirst, kt.oracles.RandomSearchOracle):
    pass


class _Bayesian(_StartFirst, kt.oracles.BayesianOptimizationOracle):
    pass


def _tuner(recipe: Recipe, workdir: Path, trials: int, oracle: str) -> kt.Tuner:
    place: dict[str, Any] = {"directory": str(workdir), "project_name": "search", "overwrite": False}
    common: dict[str, Any] = {"objective": OBJECTIVE, "seed": recipe.config.seed, "max_consecutive_failed_trials": 1}
    if oracle == "hyperband":
        return kt.Hyperband(recipe, max_epochs=recipe.config.epochs, hyperband_iterations=1, **common, **place)
    kind = _Bayesian if oracle == "bayesian" else _Random
    return kt.Tuner(oracle=kind(max_trials=trials, **common), hypermodel=recipe, **place)


def _report(tuner: kt.Tuner, workdir: Path) -> dict[str, Any]:
    """Write the trials and the best config; a worker of a shared search leaves that to the chief."""
    if not isinstance(tuner.oracle, kt.Oracle):
        return {"start": None, "best": None, "trials": []}
    done = [trial for trial in tuner.oracle.trials.values() if trial.score is not None]
    done.sort(key=lambda trial: trial.trial_id)
    rows = [{"trial": t.trial_id, "val_map": t.score, **t.hyperparameters.values} for t in done]
    best = max(done, key=lambda trial: trial.score)
    tuner.hypermodel.config_for(best.hyperparameters).save(workdir / "best.json")
    start = next((t.score for t in done if _is_start(tuner.hypermodel, t)), None)
    result = {"start": start, "best": best.score, "trials": rows}
    write_json(workdir / "trials.json", result)
    return result


def _is_start(recipe: Recipe, trial: Any) -> bool:
    return dataclasses.replace(recipe.config_for(trial.hyperparameters), preset=recipe.config.preset) == recipe.config


def trials_table(result: dict[str, Any]) -> Table:
    """Lay out the trials that `tune` returned, best first."""
    rows = sorted(result["trials"], key=lambda row: -row["val_map"])
    names = [name for name in rows[0] if not name.startswith("tuner/")]
    table = Table(title="Trials, best first; val_map is of the validation part")
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*(f"{row[name]:.3g}" if isinstance(row[name], float) else str(row[name]) for name in names))
    return table


def verdict(result: dict[str, Any]) -> str:
    """Say whether the search improved on what it started from."""
    best, start = result["best"], result["start"]
    if start is None:
        return f"best val_map {best:.3f}; the start itself was not among the trials"
    if best > start:
        return f"improved on the start: val_map {start:.3f} -> {best:.3f}"
    return f"no trial improved on the start (val_map {start:.3f})"
