"""Retrieval on the validation part while a model trains."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from dshgan_tf import codes, retrieval
from dshgan_tf.data.splits import Splits


class RetrievalEvaluation(keras.callbacks.Callback):
    """Log `val_map`: MAP of the validation images over the labelled training images, by their semantic bits.

    Queries take no part, so what is chosen by `val_map` is not chosen by the test. Where the splits have no
    validation part (fewer than 5 labels a class, or all of them train) it says so once and logs nothing.

    Args:
        splits: the data that the model trains on.
        every: epochs between evaluations; the last epoch is always evaluated.
    """

    def __init__(self, splits: Splits, every: int = 1) -> None:
        super().__init__()
        self.splits, self.every = splits, every

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Say when there is nothing to validate on."""
        if not len(self.splits.validation):
            print(
                "RetrievalEvaluation: no validation part (fewer than 5 labels a class, or all of them train), so no "
                "val_map; the last weights count."
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add `val_map` to the epoch's logs."""
        if not len(self.splits.validation):
            return
        if (epoch + 1) % self.every and epoch + 1 != self.params.get("epochs"):
            return
        query, database = self.splits.validation, self.splits.labeled
        result = retrieval.evaluate(
            self._semantic_codes(query.images),
            query.labels,
            self._semantic_codes(database.images),
            database.labels,
            num_bits=self.model.encoder.semantic_bits,
        )
        if logs is not None:
            logs["val_map"] = result["map"]

    def _semantic_codes(self, images: Any) -> np.ndarray:
        """Hash images by the bits that train; the others are learnt when the training ends."""
        relaxed_codes = self.model.predict_streams(images)["relaxed_codes"]
        return codes.pack(codes.binarise(relaxed_codes[:, : self.model.encoder.semantic_bits]))
