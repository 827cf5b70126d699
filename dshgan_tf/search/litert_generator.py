"""The generator in a LiteRT file: synthetic images without TensorFlow."""

from __future__ import annotations

import os

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from dshgan_tf.errors import InputError
from dshgan_tf.images.preprocessing import to_uint8

BATCH = 16  # images at a time; fixed in the file, since the converter loses track of a free one from 32 pixels on


class LiteRTGenerator:
    """Make synthetic images with a LiteRT file.

    Args:
        model: the file, `generator.tflite` of an index.
        threads: of the processor; None for LiteRT's own choice.

    Raises:
        InputError: no such file, or not a generator.
    """

    def __init__(self, model: str | os.PathLike[str], threads: int | None = None) -> None:
        try:
            self._interpreter = Interpreter(str(model), num_threads=threads)
            self._runner = self._interpreter.get_signature_runner("serving_default")
            inputs = self._runner.get_input_details()
            self.noise_dim, self.num_classes = (int(inputs[name]["shape"][-1]) for name in ("noise", "labels"))
        except (ValueError, KeyError, OSError) as error:
            raise InputError(f"{model} is no LiteRT generator ({error}); index the run again") from error

    def generate(self, label_rows: np.ndarray, seed: int = 0) -> np.ndarray:
        """Make one image for each row of labels.

        Args:
            label_rows: (N, L) multi-hot, N at least 1.
            seed: of the noise.

        Returns:
            (N, H, W, C) uint8.
        """
        count = len(label_rows)
        noise = np.zeros((-(-count // BATCH) * BATCH, self.noise_dim), np.float32)
        noise[:count] = np.random.default_rng(seed).standard_normal((count, self.noise_dim))
        rows = np.zeros((len(noise), self.num_classes), np.float32)
        rows[:count] = label_rows
        parts = [
            self._runner(noise=noise[start : start + BATCH], labels=rows[start : start + BATCH])["images"]
            for start in range(0, len(noise), BATCH)
        ]
        return to_uint8(np.concatenate(parts)[:count])
