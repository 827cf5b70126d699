"""What `fit` is given, as batches that fit the model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from dshgan_tf.data.feature_splits import seen_by
from dshgan_tf.data.splits import DRAWN, DRAWN_BYTES
from dshgan_tf.data.splits_to_train import splits_to_train
from dshgan_tf.data.triplets import triplets
from dshgan_tf.errors import InputError

FOREIGN = {"validation_data", "validation_split", "sample_weight", "class_weight"}


def as_batches(x: Any, y: Any, batch_size: int | None, model: keras.Model) -> tf.data.Dataset:
    """Return the training batches of a dataset, which is one already, or of arrays.

    Args:
        x: batches of `data.triplets`, or images (N, H, W, C).
        y: labels of the images.
        batch_size: of images in arrays; None for 64, or all images where there are fewer.
        model: that will train.

    Raises:
        ValueError: images without labels, a dataset with them, or arrays that do not fit.
    """
    if isinstance(x, tf.data.Dataset):
        if y is not None or batch_size is not None:
            raise InputError("a dataset has labels and batches of its own; leave y and batch_size out")
        return x
    if y is None:
        raise InputError(
            "fit takes images and labels (-1: unlabelled), fit(x, y), or batches of dsh.data.triplets(splits); "
            f"got {type(x).__name__} alone"
        )
    splits = splits_to_train(x, y, model.num_classes, model.multi_label)
    if splits.image_shape == model.image_shape:  # others are refused by `check_batches`
        splits = seen_by(model, splits)
    at_most = len(splits.labeled) + len(splits.unlabeled)
    return triplets(splits, min(64, at_most) if batch_size is None else batch_size)


def check_batches(dataset: tf.data.Dataset, arguments: dict[str, Any], model: keras.Model) -> None:
    """Compare what `fit` is given with the model before any step.

    Args:
        dataset: the batches.
        arguments: further ones of `fit`.
        model: that will train.

    Raises:
        ValueError: batches of another form or of other shapes, or validation data.
    """
    if foreign := sorted(FOREIGN & set(arguments)):
        raise InputError(
            f"fit does not take {', '.join(foreign)}; to validate give dsh.callbacks.RetrievalEvaluation(splits)"
        )
    spec = dataset.element_spec
    needed = {"image", "label", "negative_label"} | ({"unlabeled_image"} if model.uses_unlabeled else set())
    if not isinstance(spec, dict) or not needed <= set(spec):
        raise InputError(f"fit takes batches of dshgan_tf.data.triplets (dicts), got elements {spec}")
    of_features = model.encoder.head is not None and len(spec["image"].shape) == 2
    image_shape = (model.encoder.num_features,) if of_features else model.image_shape
    if model.trains_on_features and model.generator is not None and not of_features:
        raise InputError(
            "this model's generator makes features, so it trains on features; give fit arrays, or batches of "
            "dsh.data.triplets(dsh.data.feature_splits(splits, model.average_encoder))"
        )
    wanted = {"image": image_shape, "label": (model.num_classes,), "negative_label": (model.num_classes,)}
    if model.uses_unlabeled:
        wanted["unlabeled_image"] = image_shape
    for name, shape in wanted.items():
        if tuple(spec[name].shape[1:]) != shape:
            raise InputError(
                f"batches have {name} of shape {tuple(spec[name].shape[1:])}, the model takes {shape}; "
                "build it with the image_shape and num_classes of the splits"
            )
    batch_size, replicas = spec["image"].shape[0], model.distribute_strategy.num_replicas_in_sync
    if batch_size is not None and batch_size % replicas:
        raise InputError(f"batch_size {batch_size} is not divisible by {replicas} replicas; choose a multiple")


def some_images(dataset: tf.data.Dataset) -> np.ndarray:
    """Return training images for what is learnt without labels: those that `data.triplets` names, or the first ones.

    Args:
        dataset: of `data.triplets`, with its attribute `some_images`, or made of it.
    """
    if (draw := getattr(dataset, "some_images", None)) is not None:
        return draw()
    drawn: list[np.ndarray] = []
    for batch in dataset.as_numpy_iterator():
        drawn += [batch[name] for name in ("image", "unlabeled_image") if name in batch]
        if sum(map(len, drawn)) >= DRAWN or sum(images.nbytes for images in drawn) >= DRAWN_BYTES:
            break  # the dataset may have no end
    images = np.concatenate(drawn)
    return images[np.isfinite(images).all(axis=tuple(range(1, images.ndim)))]  # an update may skip what is broken


def tell_labels(dataset: tf.data.Dataset, model: keras.Model) -> None:
    """Tell the model how frequent the labels are, how many the rarest class has, and how features are distributed.

    The balance of the predicted classes is measured by the first; the threshold of pseudo-labels follows the second.

    Args:
        dataset: of `data.triplets`, with its attributes `label_frequency`, `fewest_labels` and, of features,
            `feature_moments`.
        model: compiled.

    Raises:
        ValueError: nobody has told how frequent the labels are.
    """
    if (moments := getattr(dataset, "feature_moments", None)) is not None:
        model.standardise(*moments)
    if (fewest := getattr(dataset, "fewest_labels", None)) is not None:
        model.threshold.assign(model.given_objective.threshold_for(fewest))
    if (frequency := getattr(dataset, "label_frequency", None)) is not None:
        model.label_frequency.assign(frequency)
    elif not ops.convert_to_numpy(model.label_frequency).any():
        raise InputError(
            "this dataset does not say how frequent the labels are; give the one that dsh.data.triplets returned, or "
            "set dataset.label_frequency = splits.label_frequency on what was made of it"
        )
