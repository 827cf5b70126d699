"""The training stream: batch t is a pure function of (seed, t), so a run can start anywhere in it."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
import tensorflow as tf

from dshgan_tf.data.splits import Splits
from dshgan_tf.errors import InputError


class TripletOrder:
    """Which images make batch t, and which labels their negatives have.

    An epoch is one pass over the unlabelled images (over the labelled ones where there are none), or one batch where
    they are fewer; the labelled ones are repeated, each time in a new order, within a batch too where they are few.

    Args:
        label_rows: (n, L) float32 multi-hot rows of the labelled images.
        num_unlabeled: unlabelled images; 0 makes the labelled ones play their part.
        batch_size: B.
        seed: of the order.
        sampling: of the labelled images: "uniform", each as often as any other, or "balanced", each class asked for
            as often as any other, so that rare ones are repeated; labels that occur together still come together.

    Raises:
        ValueError: no labelled image, batch_size below 1, or above the number of images where some are unlabelled, or
            another sampling.
    """

    def __init__(
        self, label_rows: np.ndarray, num_unlabeled: int, batch_size: int, seed: int, sampling: str = "uniform"
    ) -> None:
        most = len(label_rows) + num_unlabeled
        if not len(label_rows):
            raise InputError("there are no labelled images, so no triplets; give some a label")
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}")
        # More than all images is a slip, but where a few labelled ones are all that there is they fill a batch.
        if num_unlabeled and batch_size > most:
            raise InputError(f"batch_size must be 1..{most}, which is all images that train, got {batch_size}")
        if sampling not in ("uniform", "balanced"):
            raise InputError(f"sampling must be 'uniform' or 'balanced', got {sampling!r}")
        self.label_rows, self.batch_size, self.seed = label_rows, batch_size, seed
        self.num_unlabeled = num_unlabeled
        self.steps_per_epoch = max(1, (num_unlabeled or len(label_rows)) // batch_size)
        # Negatives are drawn as label sets, each as often as it occurs.
        self.label_sets, counts = np.unique(label_rows, axis=0, return_counts=True)
        self.set_weights = counts / counts.sum()
        self._shares = balanced_shares(label_rows) if sampling == "balanced" else None
        self._epoch = functools.lru_cache(maxsize=2)(self._draw_epoch)

    def _draw_epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (S, B) indices of labelled and of unlabelled images."""
        rng = np.random.default_rng([self.seed, epoch])
        size = self.steps_per_epoch * self.batch_size
        if self._shares is None:
            labeled = _passes(len(self.label_rows), size, rng)
        else:
            labeled = _by_shares(self._shares, size, rng)
        unlabeled = _passes(self.num_unlabeled, size, rng) if self.num_unlabeled else labeled
        shape = (self.steps_per_epoch, self.batch_size)
        return labeled.reshape(shape), unlabeled.reshape(shape)

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return batch `step`: labelled indices (B,), unlabelled indices (B,), negative label rows (B, L)."""
        epoch, position = divmod(step, self.steps_per_epoch)
        labeled, unlabeled = (indices[position] for indices in self._epoch(epoch))
        rng = np.random.default_rng([self.seed, epoch, position])
        return labeled, unlabeled, self._draw_negatives(self.label_rows[labeled], rng)

    def _draw_negatives(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw a label set that occurs and shares no label; where there is none, a single absent label."""
        allowed = (rows @ self.label_sets.T == 0) * self.set_weights
        allowed = allowed * (self.label_sets.sum(axis=1) > 0)
        negatives = np.zeros_like(rows)
        for i, weights in enumerate(allowed):
            if weights.sum() > 0:
                cumulative = np.cumsum(weights)
                choice = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
                negatives[i] = self.label_sets[min(choice, len(weights) - 1)]
            elif (absent := np.flatnonzero(rows[i] == 0)).size:
                negatives[i, rng.choice(absent)] = 1.0
        return negatives


def _passes(count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return `size` of `count` positions, all of them before any is repeated."""
    return np.concatenate([rng.permutation(count) for _ in range(-(-size // count))])[:size]


def balanced_shares(label_rows: np.ndarray) -> np.ndarray:
    """Return how often each image is drawn where every class is drawn equally often.

    Args:
        label_rows: (n, L) multi-hot; a row of zeros is never drawn.

    Returns:
        (n,) float, sum 1.
    """
    of_class = label_rows / np.maximum(label_rows.sum(axis=0), 1)  # each class in equal parts over its images
    shares = of_class.sum(axis=1)
    return shares / shares.sum()


def _by_shares(shares: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return `size` positions, each as often as its share to within one (systematic sampling), in random order."""
    order = rng.permutation(len(shares))
    places = (np.arange(size) + rng.random()) / size
    drawn = np.searchsorted(np.cumsum(shares[order]), places, side="right")
    return rng.permutation(order[np.minimum(drawn, len(shares) - 1)])


def triplets(
    splits: Splits, batch_size: int = 64, seed: int = 0, first_step: int = 0, sampling: str = "uniform"
) -> tf.data.Dataset:
    """Return the training batches; every iteration, finished or not, takes the next epoch.

    The synthetic members of a triplet are made in the training step, because the generator changes at every step.
    The first iteration starts at batch `first_step` of the stream, each later one where the one before it ended; an
    iteration always yields the same number of batches, those of one epoch.

    Args:
        splits: the data; where its images are features (N, F), so are those of the batches.
        batch_size: B, over all replicas.
        seed: of the order.
        first_step: batch to start at, at least 0; a resumed run gives the number of steps already done.
        sampling: as in `TripletOrder`.

    Returns:
        Dataset of dicts: `image` (B, H, W, C) float32 pixels, 0..255, `label` (B, L) float32, `negative_label` (B, L)
        float32 that shares no label with `label`, and `unlabeled_image` (B, H, W, C) float32 pixels. The dataset's
        attribute `label_frequency` (L,) says how frequent the labels are among all labelled images, and
        `fewest_labels` how many of these the rarest class has; `fit` reads both. Where a teacher has labelled the
        splits' unlabelled images, `taught_label` (B, L) are their probabilities. Of features, the attribute
        `feature_moments` holds mean and variance, (F,) each. `some_images` returns images of which nothing but the
        pixels is used.

    Raises:
        ValueError: batch_size below 1, or above the number of images where some are unlabelled; first_step negative.
    """
    if first_step < 0:
        raise InputError(f"first_step must be at least 0, got {first_step}")
    rows = splits.multi_hot(splits.labeled.labels)
    order = TripletOrder(rows, len(splits.unlabeled), batch_size, seed, sampling)
    unlabeled_images = splits.unlabeled.images if order.num_unlabeled else splits.labeled.images
    epoch_starts = itertools.count(first_step, order.steps_per_epoch)

    def read(step: np.ndarray) -> tuple[np.ndarray, ...]:
        labeled, unlabeled, negatives = order.batch(int(step))
        taught = () if splits.taught is None else (splits.taught[unlabeled],)
        return splits.labeled.images[labeled], rows[labeled], negatives, unlabeled_images[unlabeled], *taught

    def to_dict(step: tf.Tensor) -> dict[str, Any]:
        pixels = tf.as_dtype(splits.labeled.images.dtype)
        types = {"image": pixels, "label": tf.float32, "negative_label": tf.float32, "unlabeled_image": pixels}
        if splits.taught is not None:
            types["taught_label"] = tf.float32
        batch = dict(zip(types, tf.numpy_function(read, [step], [*types.values()], stateful=False), strict=True))
        for name, tensor in batch.items():
            is_image = name.endswith("image")
            tensor.set_shape((batch_size, *(splits.image_shape if is_image else (splits.num_classes,))))
            if is_image:
                batch[name] = tf.cast(tensor, tf.float32)
        return batch

    def next_epoch(_: tf.Tensor) -> tf.data.Dataset:
        start = tf.numpy_function(lambda: np.int64(next(epoch_starts)), [], tf.int64)
        return tf.data.Dataset.range(start, start + order.steps_per_epoch)

    steps = tf.data.Dataset.from_tensors(0).flat_map(next_epoch)
    batches = steps.map(to_dict, num_parallel_calls=2, deterministic=True)
    batches = batches.apply(tf.data.experimental.assert_cardinality(order.steps_per_epoch)).prefetch(2)
    # Nothing is left to tune; the end of an iterator may wait for the sleep of the tuner, which doubles to a minute.
    fixed = tf.data.Options()
    fixed.autotune.enabled = False
    batches = batches.with_options(fixed)
    # What is the same in every batch is no part of it.
    batches.label_frequency, batches.fewest_labels = splits.label_frequency, splits.fewest_labels
    batches.feature_moments, batches.some_images = splits.feature_moments, splits.some_images
    return batches
