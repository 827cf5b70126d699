"""Features of images, computed once by a frozen trunk and kept on disk under the checksum of trunk and pixels.

An image is found again by its pixels, so other splits, other seeds and other folders that hold it share its features.

A cache is a folder with two files that only grow: `features.f32`, rows of F float32, and `images.blake2`, 16 bytes for
the pixels of each row. Features are written first: what a killed process left half written is cut off by the next.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dshgan_tf.cache import keep_to_limit, use_entry

if TYPE_CHECKING:
    from dshgan_tf.models.hash_encoder import HashEncoder

BATCH = 64  # images at a time
DIGEST = 16  # bytes


def trunk_features(encoder: HashEncoder, images: Any, what: str = "") -> np.ndarray:
    """Return the features of images by the encoder's frozen trunk, computed now or found in the cache.

    Args:
        encoder: with a frozen trunk.
        images: (N, H, W, C) uint8, or a sequence that decodes on slicing.
        what: they are, for the progress bar.

    Returns:
        (N, F) float32, in memory.
    """
    (height, width, _), network = encoder.image_shape, encoder.network
    about = f"{network.weights or network.backbone}, {height} x {width}"
    cache = FeatureCache(use_entry("features", trunk_checksum(encoder), about), encoder.num_features)
    starts = range(0, len(images), BATCH)
    digests = np.concatenate([image_digests(images[:0]), *(image_digests(images[s : s + BATCH]) for s in starts)])
    rows = cache.find(digests)
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        _compute(encoder, images, missing, digests, cache, what)
        keep_to_limit()
        rows = cache.find(digests)
    return cache.features[rows]


def _compute(
    encoder: HashEncoder, images: Any, missing: np.ndarray, digests: np.ndarray, cache: FeatureCache, what: str
) -> None:
    import tensorflow as tf
    from rich.progress import track

    trunk = encoder.trunk_features()
    pixels = tf.TensorSpec((None, *encoder.image_shape), tf.float32)
    run = tf.function(lambda batch: trunk(batch, training=False), input_signature=[pixels])
    _, first = np.unique(digests[missing], axis=0, return_index=True)
    missing = missing[np.sort(first)]  # equal images once
    starts = range(0, len(missing), BATCH)
    for start in track(starts, f"features of {len(missing):,} {what} images", disable=not sys.stderr.isatty()):
        places = missing[start : start + BATCH]
        batch = tf.constant(np.asarray(images[places]), tf.float32)
        cache.add(digests[places], run(batch).numpy())


def trunk_checksum(encoder: HashEncoder) -> str:
    """Return the checksum of a trunk: of its layers, its weights and the size of its images."""
    trunk = encoder.trunk_features()
    layers = [[type(layer).__name__, _as_computed(layer.get_config())] for layer in trunk.layers]
    digest = hashlib.sha256(json.dumps([layers, encoder.image_shape], sort_keys=True, default=str).encode())
    for weight in trunk.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()[:32]


def _as_computed(config: Any) -> Any:
    """Return a layer's config without what bears on training alone: encoder and averaged encoder share features."""
    if isinstance(config, dict):
        return {key: _as_computed(value) for key, value in config.items() if key != "trainable"}
    return [_as_computed(value) for value in config] if isinstance(config, list | tuple) else config


def image_digests(images: Any) -> np.ndarray:
    """Return the checksums of images (N, H, W, C) uint8, (N, 16) uint8."""
    digests = [hashlib.blake2b(np.ascontiguousarray(image), digest_size=DIGEST).digest() for image in images]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST)


class FeatureCache:
    """Features on disk, found by the checksums of the images.

    Args:
        folder: of the cache; made where it is missing.
        size: F.
    """

    def __init__(self, folder: Path, size: int) -> None:
        """Open the cache; see the class."""
        folder.mkdir(parents=True, exist_ok=True)
        self._features, self._images, self._size = folder / "features.f32", folder / "images.blake2", size
        for path in (self._features, self._images):
            path.touch()

    def __len__(self) -> int:
        """Return the number of images whose features are whole."""
        return min(self._images.stat().st_size // DIGEST, self._features.stat().st_size // (4 * self._size))

    @property
    def features(self) -> np.ndarray:
        """All features, (M, F) float32, mapped into memory."""
        if not len(self):
            return np.empty((0, self._size), np.float32)
        return np.memmap(self._features, np.float32, "r", shape=(len(self), self._size))

    def find(self, digests: np.ndarray) -> np.ndarray:
        """Return the row of each image, (N,) int64; -1 where its features are not here."""
        there = self._images.read_bytes()[: DIGEST * len(self)]
        rows = {there[DIGEST * i : DIGEST * (i + 1)]: i for i in range(len(there) // DIGEST)}
        return np.array([rows.get(digest.tobytes(), -1) for digest in digests], np.int64)

    def add(self, digests: np.ndarray, features: np.ndarray) -> None:
        """Append the features (N, F) float32 of images with these checksums (N, 16)."""
        with self._locked():
            count = len(self)  # what lies behind, a killed process left
            _append(self._features, 4 * self._size * count, np.ascontiguousarray(features, np.float32).tobytes())
            _append(self._images, DIGEST * count, digests.tobytes())

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._images.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _append(path: Path, end: int, contents: bytes) -> None:
    with path.open("r+b") as file:
        file.truncate(end)
        file.seek(end)
        file.write(contents)
        file.flush()
        os.fsync(file.fileno())
