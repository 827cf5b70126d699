"""Trunks that others have trained: models of `keras.applications` by name, or any model in a `.keras` file.

Each gets the pixels it was trained on: its own preprocessing is part of the graph, so it is the same in training, in
serving and on the device.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import keras
from keras import layers, ops

from dshgan_tf.errors import InputError
from dshgan_tf.models.normalization import FusedBatchNormalization, all_layers
from dshgan_tf.models.precision import full_precision


@keras.saving.register_keras_serializable(package="dshgan_tf")
class ApplicationInput(layers.Layer):
    """Turn pixels, 0..255, into what a `keras.applications` model expects: its own preprocessing, on RGB.

    Args:
        module: name of the module under `keras.applications`, for example "resnet_v2".
        **kwargs: as in `keras.layers.Layer`.
    """

    def __init__(self, module: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.module = module

    def call(self, images: Any) -> Any:
        """Return (B, H, W, 3) in the backbone's range."""
        if images.shape[-1] == 1:
            images = ops.repeat(images, 3, axis=-1)
        return getattr(keras.applications, self.module).preprocess_input(images)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "module": self.module}


def application_trunk(
    pixels: Any, name: str, weights: str | None, trained_layers: int | None = None, norm: str = "sync_batch"
) -> Any:
    """Trunk by the name of a `keras.applications` model.

    Args:
        pixels: (B, H, W, C) symbolic input, 0..255.
        name: for example "MobileNetV2"; the model's own preprocessing is applied.
        weights: None (random), "imagenet" (downloaded by Keras) or the path of a file, `.weights.h5` or `.keras`.
        trained_layers: how many of its last layers with weights train, batch normalisations not counted; None for all.
        norm: "sync_batch" takes the statistics of batch normalisation over all replicas.

    Returns:
        (B, F) features.

    Raises:
        ValueError: no such model, or weights that are not its.
    """
    build = getattr(keras.applications, name, None)
    if not callable(build):
        known = sorted(n for n in dir(keras.applications) if n[0].isupper())
        raise InputError(f"unknown backbone {name!r}; use 'small' or one of keras.applications: {', '.join(known)}")
    module = build.__module__.rsplit(".", 1)[-1]
    try:
        backbone = build(include_top=False, weights=weights, input_shape=(*pixels.shape[1:3], 3), pooling="avg")
    except Exception as error:  # Keras raises whatever a size or a file makes it stumble over
        size = "x".join(map(str, pixels.shape[1:3]))
        raise InputError(f"cannot build backbone {name!r} for {size} pixels, weights={weights!r}: {error}") from error
    backbone = adopt(backbone, norm)
    freeze(backbone, trained_layers)
    return backbone(ApplicationInput(module, name="application_input")(pixels))


def describe_file(path: str | Path) -> dict[str, Any]:
    """Describe a model in a `.keras` file, so that it can be built again without the file.

    Args:
        path: a file that Keras saved: one image in, as 0..255 (preprocessing belongs into the model, as layers), and
            features (B, F) or a grid of them (B, h, w, F) out.

    Returns:
        Keras' serialised form of the model; its weights stay in the file.

    Raises:
        ValueError: no such file, no model that is safe to load, or not one input and one output.
    """
    try:
        backbone = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever a damaged file makes it stumble over
        raise InputError(f"cannot load backbone {path} ({error}); give a .keras file without Lambda layers") from error
    single = isinstance(backbone, keras.Model) and len(backbone.inputs) == len(backbone.outputs) == 1
    if not single or len(backbone.inputs[0].shape) != 4 or len(backbone.outputs[0].shape) not in (2, 4):
        raise InputError(f"backbone {path} must turn one image into one row or grid of features; cut its head off")
    return keras.saving.serialize_keras_object(backbone)


def file_trunk(
    pixels: Any,
    description: dict[str, Any],
    weights: str | None,
    trained_layers: int | None = None,
    norm: str = "sync_batch",
) -> Any:
    """Trunk by a model from a `.keras` file.

    Args:
        pixels: (B, H, W, C) symbolic input, 0..255; resized where the model takes one other size.
        description: by `describe_file`.
        weights: the file, or None for random ones.
        trained_layers: how many of its last layers with weights train, batch normalisations not counted; None for all.
        norm: "sync_batch" takes the statistics of batch normalisation over all replicas.

    Returns:
        (B, F) features; the mean over the grid where the model has one.

    Raises:
        ValueError: images of another number of channels than the model takes.
    """
    backbone = keras.saving.deserialize_keras_object(copy.deepcopy(description), safe_mode=True)  # Keras empties it
    if weights is not None:
        backbone.load_weights(weights)
    backbone = adopt(backbone, norm)
    freeze(backbone, trained_layers)
    wanted = tuple(backbone.inputs[0].shape[1:])
    given = tuple(pixels.shape[1:])
    if wanted[-1] == 3 and given[-1] == 1:
        pixels = layers.Concatenate(name="backbone_channels")([pixels] * 3)
    if wanted[-1] not in (None, pixels.shape[-1]):
        raise InputError(f"the backbone takes images of {wanted}, the data have {given}; give images of its channels")
    if None not in wanted[:2] and wanted[:2] != given[:2]:
        pixels = layers.Resizing(*wanted[:2], dtype=full_precision(), name="backbone_size")(pixels)
    features = backbone(pixels)
    return features if len(features.shape) == 2 else layers.GlobalAveragePooling2D(name="backbone_pool")(features)


def adopt(backbone: keras.Model, norm: str) -> keras.Model:
    """Rebuild a model under the dtype policy now set, all of it to be trained, with our batch normalisation.

    Ours records one set of statistics over all replicas, and none of synthetic images.

    Args:
        backbone: the model.
        norm: "sync_batch" takes its statistics over all replicas.

    Returns:
        A model with the same layers and weights.
    """
    policy = keras.config.dtype_policy().name

    def rebuilt(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config() | {"dtype": policy, "trainable": True}
        if isinstance(layer, layers.BatchNormalization):
            return FusedBatchNormalization.from_config(config | {"synchronized": norm == "sync_batch"})
        return type(layer).from_config(config)

    own = keras.models.clone_model(backbone, clone_function=rebuilt, recursive=True)
    own.set_weights(backbone.get_weights())
    return own


def freeze(backbone: keras.Model, trained_layers: int | None) -> None:
    """Leave all before the last layers as they are, and every batch normalisation with its statistics.

    What a few batches say of the statistics is worse than what the backbone has seen.

    Args:
        backbone: the model.
        trained_layers: how many of its last layers with weights train, batch normalisations not counted; None for all.

    Raises:
        ValueError: it has fewer.
    """
    if trained_layers is None:
        return
    every = list(all_layers(backbone))
    for layer in every:
        layer.trainable = layer.trainable and not isinstance(layer, layers.BatchNormalization)
    weighted = [place for place, layer in enumerate(every) if layer.trainable_variables]
    if not 0 <= trained_layers <= len(weighted):
        raise InputError(f"the backbone has {len(weighted)} layers with weights, got trained_layers={trained_layers}")
    first = weighted[len(weighted) - trained_layers] if trained_layers else len(every)
    for layer in every[:first]:
        layer.trainable = False
