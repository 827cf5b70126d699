"""What a trained model does for its user: encode images, and make them."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from dshgan_tf import codes
from dshgan_tf.errors import InputError
from dshgan_tf.files import atomic_folder
from dshgan_tf.image_batches import image_batches
from dshgan_tf.labels import check_labels, multi_hot
from dshgan_tf.preprocessing import to_uint8


class Deployed:
    """Methods of `DSHGAN` that use the averaged encoder and the generator, and change neither."""

    def _compiled_encoder(self) -> Any:
        if self._deployed is None:
            encoder = functools.partial(self.average_encoder, training=False)
            any_number = tf.TensorSpec((None, *self.image_shape), keras.config.floatx())
            self._deployed = tf.function(lambda batch: encoder(batch), input_signature=[any_number])
        return self._deployed

    def predict_streams(self, images: Any, batch_size: int = 256) -> dict[str, np.ndarray]:
        """Run the deployed encoder on any number of images.

        Args:
            images: (N, H, W, C) uint8, or float in 0..255; see `image_batches` for the other forms.
            batch_size: images at a time.

        Returns:
            `relaxed_codes` (N, K) float32 in [0, 1], `class_logits` (N, L), `adversary_logits` (N,).

        Raises:
            ValueError: images that do not fit the model.
        """
        encoder = self._compiled_encoder()
        parts: list[dict[str, np.ndarray]] = [
            {
                "relaxed_codes": np.zeros((0, self.num_bits), np.float32),
                "class_logits": np.zeros((0, self.num_classes), np.float32),
                "adversary_logits": np.zeros(0, np.float32),
            }
        ]
        for batch in image_batches(images, self.image_shape, batch_size):
            tensor = tf.convert_to_tensor(batch.astype(keras.config.floatx()))
            parts.append({name: value.numpy() for name, value in encoder(tensor).items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def encode(self, images: Any, batch_size: int = 256) -> np.ndarray:
        """Hash images with the deployed (averaged) weights.

        Args:
            images: (N, H, W, C) array or tensor, uint8 or float in 0..255; a `tf.data.Dataset` of such images; or the
                path of an image file, or several of them, which are converted and resized.
            batch_size: images at a time.

        Returns:
            (N, ceil(K / 8)) uint8, most significant bit first, zero padded; a bit is 1 where H(x) > 0.5.

        Raises:
            ValueError: images that do not fit the model.
        """
        return codes.pack(codes.binarise(self.predict_streams(images, batch_size)["relaxed_codes"]))

    def export(
        self,
        filepath: str | os.PathLike[str],
        format: str = "tf_saved_model",
        *,
        class_names: Any = None,
        verbose: Any = None,
    ) -> None:
        """Write the deployed encoder as a SavedModel with the signatures that serving offers.

        Args:
            filepath: folder to write; it must not exist, its parents are made.
            format: "tf_saved_model"; `dshgan export` writes the LiteRT files.
            class_names: L names that the signature `classify` answers with; None for the numbers.
            verbose: accepted as in Keras; nothing is printed.

        Raises:
            ValueError: another format, a folder that exists, or names that are not one a class.
        """
        from dshgan_tf.signatures import write_saved_model

        target = Path(filepath)
        if format != "tf_saved_model":
            raise InputError(f"format must be 'tf_saved_model', got {format!r}; dshgan export writes the LiteRT files")
        if target.exists():
            raise InputError(f"{target} exists; choose a new folder, or delete it")
        names = [str(i) for i in range(self.num_classes)] if class_names is None else list(class_names)
        if len(names) != self.num_classes:
            raise InputError(f"{len(names)} class_names for {self.num_classes} classes; give one a class")
        with atomic_folder(target) as temporary:
            write_saved_model(self, temporary, names)

    def generate(self, labels: Any, seed: int = 0) -> np.ndarray:
        """Make one synthetic image for each label.

        Args:
            labels: (N,) class ids or (N, L) multi-hot.
            seed: of the noise; the training's noise is not touched.

        Returns:
            (N, H, W, C) uint8.

        Raises:
            ValueError: the model has no generator, or labels that do not fit.
        """
        if self.generator is None:
            raise InputError("this model has no generator (gan=False or synthetic=False); train one with both on")
        labels, _ = check_labels(labels, len(labels), self.num_classes)
        noise = keras.random.normal((len(labels), self.noise_dim), seed=seed)
        rows = tf.convert_to_tensor(multi_hot(labels, self.num_classes))
        return to_uint8(ops.convert_to_numpy(self.generator([noise, rows], training=False)))
