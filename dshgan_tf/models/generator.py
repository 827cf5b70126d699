"""The conditional generator G(noise, labels), of pixels or of the features of a frozen trunk."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from dshgan_tf.config import Network
from dshgan_tf.images.preprocessing import HALF_RANGE, to_uint8
from dshgan_tf.labels import check_labels, multi_hot
from dshgan_tf.models.precision import full_precision
from dshgan_tf.models.sizes import check_sizes
from dshgan_tf.models.trunk import activate, check_image_shape, convolution, halvings, normalise

HIDDEN = 512  # units of each hidden layer that makes features
FEATURES = "features"  # the layer that gives them their mean and deviation
LEAST_VARIANCE = 1e-6  # of a feature


@keras.saving.register_keras_serializable(package="dshgan_tf")
class Generator(keras.Model):
    """Make images of given labels from noise.

    It maps [noise (B, Z), labels (B, L)] to images (B, H, W, C) float32, pixels 0..255. Where the trunk is frozen, an
    image is a feature vector (B, F): two hidden layers make it in standard deviations from the mean, then it gets the
    real ones' deviation and mean. Labels enter as multi-hot vectors, so one label and many take one path.

    Args:
        num_classes: L.
        image_shape: (H, W, C) of the images made, or (F,) of features.
        network: architecture; a mapping of its fields is taken too, as a saved file has it.
        **kwargs: as in `keras.Model`.

    Raises:
        ValueError: a size out of range.

    Reference:
        Qiu et al., SIGIR 2017, section 3, semi-supervised conditional GAN.
    """

    def __init__(
        self,
        num_classes: int,
        image_shape: tuple[int, ...],
        network: Network | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        check_sizes(num_classes=num_classes)
        network = Network.of(network)
        image_shape = tuple(int(side) for side in image_shape)
        if len(image_shape) != 1:
            check_image_shape(image_shape)
        noise = keras.Input((network.noise_dim,), name="noise")
        labels = keras.Input((num_classes,), name="labels")
        kwargs.setdefault("name", "generator")
        make = _features if len(image_shape) == 1 else _pixels
        super().__init__([noise, labels], make(noise, labels, image_shape, network), **kwargs)
        self.num_classes, self.image_shape, self.network = int(num_classes), image_shape, network

    @property
    def noise_dim(self) -> int:
        """Z, size of the noise."""
        return self.network.noise_dim

    @property
    def makes_features(self) -> bool:
        """Whether an image is a feature vector here."""
        return len(self.image_shape) == 1

    def scaled(self, images: Any) -> Any:
        """Return images as the networks see them: pixels in units of 127.5, features in standard deviations."""
        if self.makes_features:
            return images / ops.cast(ops.convert_to_tensor(self.get_layer(FEATURES).gamma), images.dtype)
        return images / HALF_RANGE

    def standardise(self, mean: np.ndarray, variance: np.ndarray) -> None:
        """Give what it makes the mean and the variance (F,) of real features."""
        deviation = np.sqrt(np.maximum(variance, LEAST_VARIANCE))
        self.get_layer(FEATURES).set_weights([deviation, mean, np.zeros_like(mean), np.ones_like(mean)])

    def generate(self, labels: Any, seed: int = 0, batch_size: int = 256) -> np.ndarray:
        """Make one image for each label.

        Args:
            labels: (N,) class ids or (N, L) multi-hot.
            seed: of the noise; the training's noise is not touched.
            batch_size: images at a time.

        Returns:
            (N, H, W, C) uint8, or features (N, F) float32.

        Raises:
            ValueError: labels that do not fit.
        """
        labels, _ = check_labels(labels, len(labels), self.num_classes)
        rows = multi_hot(labels, self.num_classes)
        noise = ops.convert_to_numpy(keras.random.normal((len(rows), self.noise_dim), seed=seed))
        finish = np.asarray if self.makes_features else to_uint8
        parts = [np.zeros((0, *self.image_shape), np.float32 if self.makes_features else np.uint8)]
        for start in range(0, len(rows), batch_size):
            batch = slice(start, start + batch_size)
            made = self([noise[batch], rows[batch]], training=False)
            parts.append(finish(ops.convert_to_numpy(made)))
        return np.concatenate(parts)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "name": self.name,
            "num_classes": self.num_classes,
            "image_shape": self.image_shape,
            "network": dataclasses.asdict(self.network),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Generator:
        """Build the generator that `get_config` describes."""
        return cls(**config)


def _pixels(noise: Any, labels: Any, image_shape: tuple[int, int, int], network: Network) -> Any:
    """Return the images: a coarse grid, whose sides double and whose channels halve at every level."""
    height, width, channels = image_shape
    norm, doublings = network.norm, halvings(image_shape)
    filters = network.width_for(image_shape) * 2**doublings
    rows, columns = (math.ceil(side / 2**doublings) for side in (height, width))
    x = layers.Concatenate(name="condition")([noise, labels])
    x = layers.Dense(rows * columns * filters, use_bias=norm == "none", name="start")(x)
    x = layers.Reshape((rows, columns, filters), name="grid")(x)
    x = activate(normalise(x, norm, "start_norm"))
    for level in range(doublings):
        filters //= 2
        x = activate(convolution(x, filters, norm, f"level{level}"))  # before upsampling: a quarter of the cost
        x = layers.UpSampling2D(interpolation="nearest", name=f"level{level}_up")(x)
    x = activate(convolution(x, filters, norm, "full"))
    x = layers.Conv2D(channels, 3, padding="same", name="to_image")(x)
    top, left = (x.shape[1] - height) // 2, (x.shape[2] - width) // 2
    crop = ((top, x.shape[1] - height - top), (left, x.shape[2] - width - left))
    x = layers.Cropping2D(crop, name="crop")(x)
    image = layers.Activation("tanh", dtype=full_precision(), name="image")(x)
    return layers.Rescaling(HALF_RANGE, HALF_RANGE, dtype=full_precision(), name="pixels")(image)


def _features(noise: Any, labels: Any, image_shape: tuple[int], network: Network) -> Any:
    """Return the features; a step of the training changes neither their mean nor their deviation."""
    x = layers.Concatenate(name="condition")([noise, labels])
    for level in range(2):
        x = layers.Dense(HIDDEN, use_bias=network.norm == "none", name=f"hidden{level}")(x)
        x = activate(normalise(x, network.norm, f"hidden{level}_norm"))
    x = layers.Dense(image_shape[0], dtype=full_precision(), name="deviations")(x)
    return layers.BatchNormalization(epsilon=0.0, trainable=False, dtype=full_precision(), name=FEATURES)(x)
