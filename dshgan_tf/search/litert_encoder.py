"""An encoder in a LiteRT file, run without TensorFlow: in a search, and on a device.

`dshgan export --format tflite` copies this file beside the encoders that it writes.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

try:
    from dshgan_tf.errors import InputError
    from dshgan_tf.images import picture_files, preprocessing
except ImportError:  # on the device, where all files lie in one folder
    import picture_files
    import preprocessing
    from errors import InputError


class LiteRTEncoder:
    """Hash images with a LiteRT file.

    Args:
        model: the file, `encoder_*.tflite` of an export or `encoder.tflite` of an index; its sidecar of the same name,
            `.json`, lies beside it.
        batch_size: images at a time.
        threads: of the processor; None for LiteRT's own choice.

    Raises:
        InputError: no such file, or not an encoder.
    """

    def __init__(self, model: str | os.PathLike[str], batch_size: int = 1, threads: int | None = None) -> None:
        self.model, self.batch_size = Path(model), batch_size
        if not self.model.is_file():
            raise InputError(f"{model} is no file; give an encoder_*.tflite file that dshgan export wrote")
        try:
            self._interpreter = Interpreter(str(model), num_threads=threads)
            self._runner = self._interpreter.get_signature_runner("serving_default")
            self._outputs = self._runner.get_output_details()
            (given,) = self._runner.get_input_details().values()
            self.image_shape = tuple(int(side) for side in given["shape"][1:])
            self.code_width = int(self._outputs["codes"]["shape"][-1])
        except (ValueError, KeyError, OSError) as error:
            raise InputError(f"{model} is no LiteRT encoder ({error}); export or index the run again") from error

    def operations(self) -> list[str]:
        """Names of the operations in the file, each once."""
        return sorted({operation["op_name"] for operation in self._interpreter._get_ops_details()})

    def predict_streams(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Run the encoder.

        Args:
            images: (N, H, W, C) uint8.

        Returns:
            `codes` (N, ceil(K/8)) uint8, `relaxed_codes` (N, K) float32; an index's encoder also has `class_logits`
            (N, L) float32.

        Raises:
            InputError: images of another shape or type.
        """
        if images.dtype != np.uint8 or images.shape[1:] != self.image_shape:
            raise InputError(
                f"images must be (N, {', '.join(map(str, self.image_shape))}) uint8, got {images.shape} {images.dtype}"
            )
        shapes = {name: (0, *details["shape"][1:]) for name, details in self._outputs.items()}
        parts = [{name: np.zeros(shape, self._outputs[name]["dtype"]) for name, shape in shapes.items()}]
        for start in range(0, len(images), self.batch_size):
            batch = images[start : start + self.batch_size]
            missing = self.batch_size - len(batch)
            # One size of batch, so that the interpreter plans its memory once.
            full = np.concatenate([batch, np.repeat(batch[:1], missing, axis=0)]) if missing else batch
            parts.append({name: values[: len(batch)] for name, values in self._runner(images=full).items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in shapes}

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Hash images (N, H, W, C) uint8 to codes (N, ceil(K/8)) uint8, most significant bit first."""
        return self.predict_streams(images)["codes"]

    def encode_file(self, path: str | os.PathLike[str]) -> np.ndarray:
        """Hash an image file, (ceil(K/8),) uint8; an InputError names a file that is no image."""
        image = picture_files.read_image(str(path), self.image_shape, ground=self.ground)
        return self.encode(preprocessing.to_uint8(image)[None])[0]

    @functools.cached_property
    def ground(self) -> int:
        """Grey level that shows where an image file is transparent, as in training; the sidecar says it."""
        return int(self.sidecar()["ground"])

    def sidecar(self) -> dict[str, Any]:
        """Return what the sidecar says of the model.

        Raises:
            InputError: it cannot be read, or is not of this model; the message names it.
        """
        path = self.model.with_suffix(".json")
        try:
            about = json.loads(path.read_text())
            num_bits, shape, ground = about["num_bits"], about["image_shape"], about["ground"]
            fits = type(num_bits) is int and (num_bits + 7) // 8 == self.code_width
            fits = fits and shape == list(self.image_shape) and about["bitorder"] == "big"
            fits = fits and type(ground) is int and 0 <= ground <= 255
            fits = fits and about["sha256"] == hashlib.sha256(self.model.read_bytes()).hexdigest()
        except KeyError as error:
            raise InputError(f"{path} does not say {error}: it is of an older export; export the run again") from error
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise InputError(f"cannot read {path} ({error!r}); copy it again from the export") from error
        if not fits:
            raise InputError(f"{path} does not describe {self.model}; copy both again from one export")
        return about
