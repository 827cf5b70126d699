"""The folder of a training run: its files, what finished means, and where its data lie. Only programs know it."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dshgan_tf.errors import InputError

if TYPE_CHECKING:
    from dshgan_tf.config import RunConfig
    from dshgan_tf.data import Splits
    from dshgan_tf.models.dshgan import DSHGAN

FILES = {
    "config": "config.json",
    "splits": "splits.json",
    "metrics": "metrics.csv",
    "interrupted": "interrupted.json",
    "checkpoints": "checkpoints",
    "samples": "samples",
    "tensorboard": "tensorboard",
    "model": "model.keras",
    "frozen": "frozen",
    "codes": "codes.npz",
    "results": "results.json",
    "baselines": "baselines.json",
    "shift": "shift.json",
    "near_copies": "near_copies.json",
    "plots": "plots",
}


class Run:
    """One run's folder.

    Args:
        workdir: the folder.
        data_dir: where its data lie now; None for where they lay when it was trained.

    Raises:
        ValueError: by the methods, where there is no finished run or its data changed.
    """

    def __init__(self, workdir: str | os.PathLike[str], data_dir: str | None = None) -> None:
        self.workdir, self.data_dir = Path(workdir), data_dir

    def path(self, what: str) -> Path:
        """Return the path of a file or folder, by its key in `FILES`."""
        return self.workdir / FILES[what]

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.workdir.resolve().name

    @property
    def missing(self) -> list[str]:
        """Files that a finished run, trained to the end and evaluated, has and this one has not."""
        return [FILES[what] for what in ("results", "model") if not self.path(what).exists()]

    def require_finished(self) -> Run:
        """Return the run; raise an `InputError` where it is not finished."""
        if self.missing:
            raise InputError(
                f"{self.workdir} holds no finished run (no {', no '.join(self.missing)}); "
                "run dshgan train into it first"
            )
        return self

    def read(self, what: str) -> Any:
        """Return what a JSON file of the run holds."""
        return json.loads(self.path(what).read_text())

    def config(self) -> RunConfig:
        """Return its settings, with the place where the data lie now."""
        from dshgan_tf.config import RunConfig

        config = RunConfig.load(self.path("config"))
        return config if self.data_dir is None else dataclasses.replace(config, data_dir=self.data_dir)

    def splits(self) -> Splits:
        """Return the data as they were split, whatever today's code would draw; see `data.read_splits`."""
        from dshgan_tf.data import read_splits

        config = self.config()
        fields = (config.image_field, config.label_field)
        try:
            return read_splits(self.path("splits"), data_dir=config.data_dir, fields=fields)
        except InputError as error:
            if self.data_dir is None and config.data_dir is not None and not Path(config.data_dir).exists():
                raise InputError(f"{error}; the data of {self.workdir} moved: give --data-dir") from error
            raise

    def class_names(self) -> list[str]:
        """Return the names of the classes that it was trained on."""
        return self.read("splits")["class_names"]

    def load_model(self) -> DSHGAN:
        """Return the trained model."""
        from dshgan_tf.models.loading import load_model

        self.require_finished()
        return load_model(self.path("model"))


def load_data(config: RunConfig) -> Splits:
    """Load and split the data that a config names; see `data.load`."""
    from dshgan_tf.data import load
    from dshgan_tf.data.sources import FIXED_SIDES
    from dshgan_tf.data.trunk_size import side_for

    of_trunk = None if config.dataset in FIXED_SIDES else side_for(config.network)
    splits = load(
        config.dataset,
        config.labels_per_class,
        config.seeds["split"],
        config.protocol,
        config.data_dir,
        config.image_size or of_trunk,
        fields=(config.image_field, config.label_field),
        ground=config.network.ground,
        unseen_classes=config.unseen_classes,
        unlabeled_unseen=config.unlabeled_unseen,
        validation=config.validation,
    )
    return splits if config.unlabeled else splits.without_unlabeled()
