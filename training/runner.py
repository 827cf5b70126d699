"""One run from config to results: `train_and_evaluate(config, workdir)`."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from dshgan_tf.training.advice import advice
from dshgan_tf.training.build import build
from dshgan_tf.training.checkpoints import Checkpoint, load_newest
from dshgan_tf.training.cost import describe, describe_features
from dshgan_tf.training.data_summary import what_the_data_are
from dshgan_tf.training.devices import is_chief, prepare_devices
from dshgan_tf.training.evaluate import evaluate_model
from dshgan_tf.training.fine_tuning import second_stage, taught_pixels, unfreeze
from dshgan_tf.training.health import health
from dshgan_tf.training.interruption import Interrupted, StopOnSignal
from dshgan_tf.training.precision import choose_precision
from dshgan_tf.training.progress import EpochSeconds, KeepMeans, MetricsFile, train_seconds, truncate_metrics

import dshgan_tf as dsh
from dshgan_tf.callbacks import RetrievalEvaluation, SampleGrid, StopOnNonFinite, WatchTheGan
from dshgan_tf.config import RunConfig
from dshgan_tf.data import Splits
from dshgan_tf.data.feature_splits import seen_by
from dshgan_tf.errors import InputError
from dshgan_tf.files import atomic_path, write_json
from dshgan_tf.images.nearest_images import NearestImages
from dshgan_tf.models.loading import load_model
from dshgan_tf.replicas import between_processes
from dshgan_tf.run import Run, load_data

# What a resumed run may be given anew: where the data lie, what is kept, on which devices it computes.
MAY_CHANGE = ("data_dir", "kept_checkpoints", "strategy", "logical_devices")


def train_and_evaluate(config: RunConfig, workdir: str | os.PathLike[str], verbose: int = 1) -> dict[str, Any]:
    """Train, or go on training, and evaluate.

    Everything about the run is in `workdir`: `config.json`, `splits.json`, `metrics.csv`, `tensorboard/`,
    `checkpoints/`, `samples/`, `model.keras`, `results.json`, `plots/`. The same call again resumes an interrupted run
    from its last checkpoint, or returns the results of a finished one.

    Args:
        config: the run.
        workdir: folder of the run; made where it is missing. Several workers share it, and one of them writes.
        verbose: as in `keras.Model.fit`.

    Returns:
        What `results.json` holds; empty for a worker that does not write.

    Raises:
        ValueError: `workdir` holds a run of another config, or the data do not fit the config.
        NotFinite: a loss or gradient is not finite, and the config says to stop there.
        Interrupted: SIGTERM or Ctrl-C while training; what was trained is saved.
        OSError: a file cannot be written, or (ConnectionError) another worker was lost.
    """
    run = Run(workdir)
    _check_claim(run, config)
    if run.path("results").exists():
        return run.read("results")
    strategy = prepare_devices(config)
    splits = load_data(config)
    _batches(config, splits, 0)  # refuses what does not fit, before anything is written
    if config.fine_tune:
        _fine_tune(config, run, splits, strategy, verbose)
    else:
        with strategy.scope():
            model = _load(run) or _begin(config, splits, verbose)
        _complete(config, config, model, splits, seen_by, run, verbose)
    return run.read("results") if is_chief(strategy) else {}


def _fine_tune(config: RunConfig, run: Run, splits: Splits, strategy: tf.distribute.Strategy, verbose: int) -> None:
    """Complete both stages of a run with `fine_tune` steps; the first is a run of its own in the folder `frozen`."""
    frozen_run, first, second = Run(run.path("frozen")), dataclasses.replace(config, fine_tune=0), second_stage(config)
    with strategy.scope():
        frozen = _load(frozen_run)
        if frozen is None:
            frozen = _begin(first, splits, verbose)
            unfreeze(frozen, second)  # refuses what does not fit, before anything is trained
    if is_chief(strategy):
        _claim(config, run)
    _complete(first, first, frozen, splits, seen_by, frozen_run, verbose)
    with strategy.scope():
        model = _load(run) or unfreeze(frozen, second)
    _complete(config, second, model, splits, lambda _, pixels: taught_pixels(frozen, pixels), run, verbose)


def _complete(
    config: RunConfig,
    stage: RunConfig,
    model: dsh.DSHGAN,
    splits: Splits,
    see: Callable[[dsh.DSHGAN, Splits], Splits],
    run: Run,
    verbose: int,
) -> None:
    """Train what is left of a run and evaluate it, unless that is done.

    Args:
        config: of the run.
        stage: how it trains: `config`, or what `second_stage` makes of it.
        model: as far as it is trained.
        splits: of pixels.
        see: returns what the model trains on.
        run: its folder.
        verbose: as in `keras.Model.fit`.
    """
    if run.path("results").exists():  # for every worker: training ends with what all of them do together
        return
    chief = is_chief(model.distribute_strategy)
    if verbose and chief and model.trains_on_features and not model.steps_done:
        print(describe_features(model, splits))
    seen = see(model, splits)
    if not chief:
        with tempfile.TemporaryDirectory() as elsewhere:
            _train(stage, model, splits, seen, Run(elsewhere), verbose=0)
        return
    _claim(config, run)
    _train(stage, model, splits, seen, run, verbose)
    metrics = evaluate_model(model, splits, config.top_k, run)
    write_json(run.path("results"), _results(config, splits, metrics, run.path("metrics")))


def _load(run: Run) -> dsh.DSHGAN | None:
    """Load a finished run's model, which alone has its instance bits, or else the newest checkpoint."""
    if run.path("results").exists():
        return load_model(run.path("model"))
    return load_newest(run.path("checkpoints"))


def _begin(config: RunConfig, splits: Splits, verbose: int) -> dsh.DSHGAN:
    """Build the model of a run that starts."""
    if config.precision == "auto":
        fastest, why = choose_precision(config, splits)
        if verbose:
            print(why)
        keras.utils.set_random_seed(config.seeds["weights"])  # as if nothing had been measured
        config = dataclasses.replace(config, precision=fastest)
    return build(config, splits)


def _train(config: RunConfig, model: dsh.DSHGAN, splits: Splits, seen: Splits, run: Run, verbose: int) -> None:
    """Train what is left to train, on `seen`: the splits, or the features that a frozen trunk makes of them."""
    _write_splits(run, splits)
    if verbose:
        for line in (*what_the_data_are(splits), *advice(config, splits)):
            print(line)
    truncate_metrics(run.path("metrics"), model.steps_done // config.epoch_length)
    if verbose and model.steps_done < config.steps:
        print(describe(model, config.batch_size))
    if within := model.steps_done % config.epoch_length:
        _fit(config, model, splits, seen, run, config.epoch_length - within, verbose)
    # With no step left, too: after the last one `fit` learns the instance bits, which no checkpoint has.
    _fit(config, model, splits, seen, run, config.epoch_length, verbose)
    with atomic_path(run.path("model")) as path:
        model.save(path)  # here, since it reads metrics that are summed over all workers, who are all here


def _fit(
    config: RunConfig, model: dsh.DSHGAN, splits: Splits, seen: Splits, run: Run, length: int, verbose: int
) -> None:
    """Run `fit`: to the end of the training, or to the end of an epoch of which `length` steps are left."""
    epoch = model.steps_done // config.epoch_length
    callbacks = _callbacks(config, run, splits, seen, whole=length == config.epoch_length)
    # A list of our own, so that callbacks know the last epoch of the run and not of this call.
    shown = {"add_progbar": verbose != 0, "verbose": verbose, "epochs": config.epochs, "steps": length}
    with callbacks["signal"].listening():
        try:
            model.fit(
                _batches(config, seen, model.steps_done),
                epochs=config.epochs if length == config.epoch_length else epoch + 1,
                initial_epoch=epoch,
                steps_per_epoch=length,
                total_steps=config.steps,
                callbacks=keras.callbacks.CallbackList([*callbacks.values()], add_history=True, model=model, **shown),
                verbose=verbose,
            )
        except Interrupted:
            if model.steps_done % config.epoch_length:
                callbacks["seconds"].interrupted()
            raise
        except tf.errors.OpError as error:
            if not between_processes(model.distribute_strategy):
                raise
            raise ConnectionError(
                f"a worker was lost ({type(error).__name__}); start all of them again: they resume from the last "
                "checkpoint"
            ) from error


def _callbacks(
    config: RunConfig, run: Run, splits: Splits, seen: Splits, whole: bool
) -> dict[str, keras.callbacks.Callback]:
    """In the order in which they act: what adds to the logs, what writes them, what stops."""
    tensorboard = str(run.path("tensorboard"))
    now_and_then = max(1, config.epochs // 10)
    # Generated features are shown by the images that have the most alike.
    nearest = None if seen.database is splits.database else NearestImages(seen.database.images, splits.database.images)
    checkpoint = Checkpoint(run.path("checkpoints"), config.kept_checkpoints)
    callbacks = {
        "seconds": EpochSeconds(run.path("interrupted")),
        "validation": RetrievalEvaluation(seen, every=now_and_then),
        "samples": SampleGrid(str(run.path("samples")), every=now_and_then, log_dir=tensorboard, nearest=nearest),
        "metrics": MetricsFile(run.path("metrics")),
        "tensorboard": keras.callbacks.TensorBoard(tensorboard, write_graph=False),
        "gan": WatchTheGan(),
        "checkpoint": checkpoint,
        "non_finite": StopOnNonFinite(seen, config.batch_size, config.seeds["order"], config.sampling, checkpoint.find),
        "signal": StopOnSignal(checkpoint),
    }
    if config.optimization.non_finite == "skip":
        del callbacks["non_finite"]
    return callbacks if whole else {"means": KeepMeans(), **callbacks}


def _batches(config: RunConfig, splits: Splits, first_step: int) -> tf.data.Dataset:
    """Batches are a pure function of seed and step: a resumed run sees what the other would have seen."""
    return dsh.data.triplets(splits, config.batch_size, config.seeds["order"], first_step, config.sampling)


def _claim(config: RunConfig, run: Run) -> None:
    """Write whose folder it is, and delete what a killed run left half written."""
    for half_written in run.workdir.rglob(".*.part*"):
        half_written.unlink()
    config.save(run.path("config"))


def _check_claim(run: Run, config: RunConfig) -> None:
    """Compare the config with the one that is there."""
    if not run.path("config").exists():
        return
    old, new = dataclasses.asdict(run.config()), dataclasses.asdict(config)
    different = [key for key in old if old[key] != new[key] and key not in MAY_CHANGE]
    if different:
        named = ", ".join(f"{key}: {old[key]!r} there, {new[key]!r} asked" for key in different)
        raise InputError(f"{run.workdir} holds another run ({named}); take another --workdir or delete it")


def _write_splits(run: Run, splits: Splits) -> None:
    """Write the split, or make sure that a resumed run has the one it began with."""
    description = splits.describe()
    if not run.path("splits").exists():
        write_json(run.path("splits"), description)
    elif run.read("splits")["sha256"] != description["sha256"]:
        raise InputError(
            f"the data changed since {run.workdir} was begun: its split has another checksum; start a new one"
        )


def _results(config: RunConfig, splits: Splits, metrics: dict[str, Any], metrics_file: Path) -> dict[str, Any]:
    with_labels = len(splits.labeled) + len(splits.validation)
    method = config.method_for(splits.multi_label)
    return {
        "preset": config.preset,
        "dataset": config.dataset,
        "protocol": splits.protocol,
        "seed": config.seed,
        "seeds": config.seeds,
        "num_bits": config.num_bits,
        "labels_per_class": config.labels_per_class or with_labels // splits.num_classes,
        "method": method,
        "unlabeled": config.unlabeled,
        "objective": dataclasses.asdict(config.objective),
        "steps": config.steps,
        "fine_tune": config.fine_tune,
        "train_seconds": round(train_seconds(metrics_file), 2),
        "health": health(metrics_file),
        "versions": {"dshgan_tf": dsh.__version__, "tensorflow": tf.__version__, "keras": keras.__version__},
        "git_commit": _git_commit(),
        "k": metrics.pop("k"),
        "policy": metrics.pop("policy"),
        "code_statistics": metrics.pop("code_statistics"),
        "metrics": metrics,
    }


def _git_commit() -> str | None:
    """Return the commit of the source tree, None where it was installed without git."""
    root = Path(__file__).resolve().parent.parent
    command = ["git", "-C", str(root), "rev-parse", "--show-toplevel", "HEAD"]
    try:
        toplevel, commit = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        return commit if Path(toplevel) == root else None
    except (OSError, subprocess.CalledProcessError):
        return None
