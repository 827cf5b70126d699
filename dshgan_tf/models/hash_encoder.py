"""The shared CNN with its three streams: from pixels to codes, judgement and classes. It is what is deployed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dshgan_tf import codes
from dshgan_tf.config import Network
from dshgan_tf.errors import InputError
from dshgan_tf.files import atomic_folder
from dshgan_tf.images.image_batches import image_batches
from dshgan_tf.models.backbones import application_trunk, describe_file, file_trunk
from dshgan_tf.models.instance_bits import learn_projection
from dshgan_tf.models.sizes import check_sizes
from dshgan_tf.models.streams import Sizes, feature_head, streams
from dshgan_tf.models.trunk import MOST_CHANNELS, check_image_shape, halvings, small_trunk

AT_A_TIME = 256  # images, where they are small
PIXELS_AT_A_TIME = 64 * 224 * 224


@keras.saving.register_keras_serializable(package="dshgan_tf")
class HashEncoder(keras.Model):
    """Shared CNN with a hash, an adversary and a classification stream.

    It maps pixels (B, H, W, C), 0..255, to a dict of float32: `relaxed_codes` (B, K) in [0, 1], `adversary_logits` (B,)
    of P(real), and `class_logits` (B, L). Scaling is its first layer.

    With `Network.adversary` "own" the adversary is a stream of its own, as in the paper. With "classes" P(real) is the
    evidence for any class: the sigmoid of log sum exp of the class logits. Synthetic images are then class L + 1, whose
    logit is 0, and what the adversary learns of unlabelled images is learnt by the classes.

    A code has two parts, semantic bits and then instance bits (see `streams`). The first tell the classes, the others
    single images, so that codes of classes that nobody labelled are told apart, too.

    Args:
        num_bits: K, in 1..4096.
        num_classes: L, in 2..100,000.
        image_shape: (H, W, C), C 1 or 3.
        network: architecture; a mapping of its fields is taken too, as a saved file has it.
        multi_label: whether an image may have several labels.
        trunk: description of a backbone from a `.keras` file, as a saved model has it; None to read the file.
        **kwargs: as in `keras.Model`.

    Raises:
        ValueError: a size out of range, or an unknown backbone.

    Example:
        >>> encoder = HashEncoder(num_bits=32, num_classes=10, image_shape=(8, 8, 1))
        >>> encoder.encode(np.zeros((5, 8, 8, 1), np.uint8)).shape
        (5, 4)

    Reference:
        Qiu et al., SIGIR 2017, section 3: a shared CNN with three streams. Salimans et al., NIPS 2016, section 5: the
        adversary by the evidence for the classes.
    """

    def __init__(
        self,
        num_bits: int,
        num_classes: int,
        image_shape: tuple[int, int, int],
        network: Network | Mapping[str, Any] | None = None,
        multi_label: bool = False,
        trunk: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        check_sizes(num_bits=num_bits, num_classes=num_classes)
        network = Network.of(network)
        image_shape = tuple(int(side) for side in image_shape)
        check_image_shape(image_shape)
        if trunk is None and network.backbone.endswith(".keras"):
            trunk = describe_file(network.backbone)
            network = dataclasses.replace(network, backbone="file", weights=network.backbone)
        images = keras.Input(image_shape, name="images")
        features, rows = _features(images, network, trunk)
        instance_bits = network.instance_bits_for(num_bits, num_classes, image_shape[-1], multi_label)
        sizes = Sizes(num_bits - instance_bits, instance_bits, num_classes, network.adversary)
        if network.has_hidden_layer:
            outputs = feature_head(features.shape[-1], sizes)(features)
        else:
            outputs = streams(features, rows, sizes)
        kwargs.setdefault("name", "encoder")
        super().__init__(images, outputs, **kwargs)
        self.num_bits, self.num_classes, self.image_shape = int(num_bits), int(num_classes), image_shape
        self.network, self.multi_label, self.trunk = network, multi_label, trunk
        self.semantic_bits, self.instance_bits = sizes.semantic_bits, instance_bits
        self._trunk_features, self._instance_rows = features, rows
        self._deployed: dict[str, Any] = {}

    @property
    def head(self) -> keras.Model | None:
        """Hidden layer and streams, (B, F) to what the encoder returns; None without a hidden layer."""
        return self.get_layer("head") if self.network.has_hidden_layer else None

    @property
    def num_features(self) -> int:
        """F, features that the trunk makes of an image."""
        return int(self._trunk_features.shape[-1])

    def streams(self, images: Any, training: bool = False) -> dict[str, Any]:
        """Run on pixels (B, H, W, C), or on what a frozen trunk made of them, (B, F), as losses need it.

        `relaxed_codes` are those of the semantic bits alone, (B, S).
        """
        outputs = self.network_for(images)(images, training=training)
        return outputs | {"relaxed_codes": outputs["relaxed_codes"][:, : self.semantic_bits]}

    def network_for(self, images: Any) -> keras.Model:
        """Return what takes them: the encoder for pixels (B, H, W, C), its head for features (B, F)."""
        return self.head if self.head is not None and len(images.shape) == 2 else self

    def trunk_features(self) -> keras.Model:
        """Return the trunk as a model of its own, from pixels (B, H, W, C) to features (B, F)."""
        return keras.Model(self.inputs[0], self._trunk_features)

    def learn_instance_bits(self, images: Any) -> None:
        """Learn the projection of the instance bits from training images, without labels.

        Args:
            images: (N, H, W, C) pixels, 0..255, or features (N, F) of a frozen trunk.
        """
        of_pixels = self.network_for(images) is self
        network = keras.Model(self.inputs[0], self._instance_rows) if of_pixels else None
        batches = self._batches(images, None)
        rows = [batch if network is None else network(batch, training=False).numpy() for batch in batches]
        rows = np.concatenate(rows).reshape(len(images), -1).astype(np.float32)
        (self.head or self).get_layer("instance").set_weights(learn_projection(rows, self.instance_bits))

    def predict_streams(self, images: Any, batch_size: int | None = None) -> dict[str, np.ndarray]:
        """Run the encoder on any number of images.

        Args:
            images: (N, H, W, C) uint8, or float in 0..255; see `image_batches` for the other forms. Where the trunk is
                frozen, (N, F) float of its features too.
            batch_size: images at a time; None for as many as fit into a few hundred megabytes.

        Returns:
            `relaxed_codes` (N, K) float32 in [0, 1], `class_logits` (N, L), `adversary_logits` (N,).

        Raises:
            ValueError: images that do not fit the model.
        """
        parts: list[dict[str, np.ndarray]] = [
            {
                "relaxed_codes": np.zeros((0, self.num_bits), np.float32),
                "class_logits": np.zeros((0, self.num_classes), np.float32),
                "adversary_logits": np.zeros(0, np.float32),
            }
        ]
        for batch in self._batches(images, batch_size):
            tensor = tf.convert_to_tensor(batch.astype(keras.config.floatx()))
            parts.append({name: value.numpy() for name, value in self._function(batch.ndim == 2)(tensor).items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    @property
    def images_at_a_time(self) -> int:
        """How many images run at a time where nobody says: as many as take a few hundred megabytes."""
        shapes = [layer.output.shape for layer in self.layers if isinstance(layer.output, keras.KerasTensor)]
        largest = max(shape[1] * shape[2] for shape in shapes if len(shape) == 4)  # a trunk may enlarge them
        return min(AT_A_TIME, max(1, PIXELS_AT_A_TIME // largest))

    def _batches(self, images: Any, batch_size: int | None) -> Iterator[np.ndarray]:
        if self.head is None or len(getattr(images, "shape", ())) != 2:
            size = self.images_at_a_time if batch_size is None else batch_size
            return image_batches(images, self.image_shape, size, self.network.ground)
        if images.shape[1] != self.num_features:
            raise InputError(f"features must have shape (N, {self.num_features}), got {tuple(images.shape)}")
        size = AT_A_TIME if batch_size is None else batch_size
        return (np.asarray(images[start : start + size]) for start in range(0, len(images), size))

    def _function(self, of_features: bool) -> Any:
        """Return the encoder as a compiled function, of pixels or of features."""
        kind = "features" if of_features else "pixels"
        if kind not in self._deployed:
            any_number = tf.TensorSpec(
                (None, self.num_features) if of_features else (None, *self.image_shape), keras.config.floatx()
            )
            network = self.head if of_features else self
            self._deployed[kind] = tf.function(lambda batch: network(batch), input_signature=[any_number])
        return self._deployed[kind]

    def encode(self, images: Any, batch_size: int | None = None) -> np.ndarray:
        """Hash images.

        Args:
            images: (N, H, W, C) array or tensor, uint8 or float in 0..255; a `tf.data.Dataset` of such images; or the
                path of an image file, or several of them, which are converted and resized.
            batch_size: images at a time; None for as many as fit into a few hundred megabytes.

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
        """Write a SavedModel with the signatures that serving offers.

        Args:
            filepath: folder to write; it must not exist, its parents are made.
            format: "tf_saved_model"; `dshgan export` writes the LiteRT files.
            class_names: L names that the signature `classify` answers with; None for the numbers.
            verbose: accepted as in Keras; nothing is printed.

        Raises:
            ValueError: another format, a folder that exists, or names that are not one a class.
        """
        from dshgan_tf.models.signatures import write_saved_model

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

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments; pretrained weights are in the saved file, and not read again."""
        return {
            "name": self.name,
            "num_bits": self.num_bits,
            "num_classes": self.num_classes,
            "image_shape": self.image_shape,
            "network": dataclasses.asdict(self.network) | {"weights": None},
            "multi_label": self.multi_label,
            "trunk": self.trunk,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> HashEncoder:
        """Build the encoder that `get_config` describes."""
        return cls(**config)


def _features(images: Any, network: Network, trunk: dict[str, Any] | None) -> tuple[Any, Any]:
    """Return features (B, F) of the images, by the backbone that the network names, and rows for the instance bits.

    These are the last grid of the small trunk, whose cells still know where things are, and else the features.
    """
    shape = tuple(images.shape[1:])
    pretrained = {"weights": network.weights, "trained_layers": network.trained_layers, "norm": network.norm}
    if trunk is not None:
        return (file_trunk(images, trunk, **pretrained),) * 2
    if network.backbone != "small":
        return (application_trunk(images, network.backbone, **pretrained),) * 2
    width = network.width_for(shape)
    most = width * 2 ** halvings(shape)
    if most > MOST_CHANNELS:
        raise InputError(f"width {width} makes {most} channels of images {shape}, at most {MOST_CHANNELS} are built")
    return small_trunk(images, width, network.norm)
