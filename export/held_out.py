"""What every export is checked on: query images that training never saw, and their ranking of a database."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from dshgan_tf.export.parity import Parity, compare

import dshgan_tf as dsh
from dshgan_tf.data import Splits

QUERIES, DATABASE, REPRESENTATIVE = 1000, 4000, 200  # images at most
Encoder = Callable[[np.ndarray], np.ndarray]  # images (N, H, W, C) uint8 -> codes (N, ceil(K/8)) uint8


@dataclasses.dataclass(frozen=True)
class Check:
    """One exported encoder beside Keras.

    Args:
        name: of the export.
        kib: size of its files.
        parity: its bits beside Keras'.
        map: mean average precision of its codes, queries against a sample of the database.
        keras_map: the same of Keras' codes.
        milliseconds: median time for one image; LiteRT on one thread, the others on all.
    """

    name: str
    kib: float
    parity: Parity
    map: float
    keras_map: float
    milliseconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON wants it."""
        return dataclasses.asdict(self) | {"agreement": self.parity.agreement}


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Images to check exports on, with Keras' answers.

    Args:
        query_images: (Q, H, W, C) uint8, of the query part.
        query_labels: (Q,) or (Q, L).
        database_images: (N, H, W, C) uint8, a sample of the database.
        database_labels: (N,) or (N, L).
        relaxed_codes: (Q, K) of Keras.
        keras_map: of Keras' codes.
        keras_milliseconds: median time of the Keras model for one image.
        representative: (R, H, W, C) uint8 of the training parts, to calibrate int8.
        num_bits: K.
    """

    query_images: np.ndarray
    query_labels: np.ndarray
    database_images: np.ndarray
    database_labels: np.ndarray
    relaxed_codes: np.ndarray
    keras_map: float
    keras_milliseconds: float
    representative: np.ndarray
    num_bits: int

    @classmethod
    def from_splits(cls, model: dsh.DSHGAN, splits: Splits) -> HeldOut:
        """Draw the images by a fixed seed and ask Keras.

        Args:
            model: the trained model.
            splits: its data.
        """
        rng = np.random.default_rng(0)

        def draw(count: int, most: int) -> np.ndarray:
            return np.sort(rng.choice(count, min(count, most), replace=False))

        query, database = draw(len(splits.query), QUERIES), draw(len(splits.database), DATABASE)
        trained = splits.unlabeled if len(splits.unlabeled) else splits.labeled
        images = splits.query.images[query]
        relaxed_codes = model.predict_streams(images)["relaxed_codes"]
        labels = (splits.query.labels[query], splits.database.labels[database])
        database_images = splits.database.images[database]
        codes = (dsh.codes.pack(dsh.codes.binarise(relaxed_codes)), model.encode(database_images))
        return cls(
            query_images=images,
            query_labels=labels[0],
            database_images=database_images,
            database_labels=labels[1],
            relaxed_codes=relaxed_codes,
            keras_map=dsh.retrieval.evaluate(codes[0], labels[0], codes[1], labels[1], model.num_bits)["map"],
            keras_milliseconds=milliseconds(lambda: model.predict_streams(images[:1])),
            representative=trained.images[draw(len(trained), REPRESENTATIVE)],
            num_bits=model.num_bits,
        )

    def check(self, name: str, encode: Encoder, kib: float, encode_one: Encoder | None = None) -> Check:
        """Compare an exported encoder with Keras.

        Args:
            name: of the export.
            encode: the exported encoder.
            kib: size of its files.
            encode_one: what is timed with one image; None for `encode`.

        Returns:
            The comparison.
        """
        codes = encode(self.query_images)
        result = dsh.retrieval.evaluate(
            codes, self.query_labels, encode(self.database_images), self.database_labels, self.num_bits
        )
        one = self.query_images[:1]
        return Check(
            name=name,
            kib=round(kib, 1),
            parity=compare(codes, self.relaxed_codes),
            map=result["map"],
            keras_map=self.keras_map,
            milliseconds=milliseconds(lambda: (encode_one or encode)(one)),
        )


def milliseconds(call: Callable[[], object], repeats: int = 50) -> float:
    """Median wall-clock time of a call, after five that warm up."""
    seconds = []
    for _ in range(repeats + 5):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[5:]) * 1000)
