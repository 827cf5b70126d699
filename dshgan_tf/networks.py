"""The two networks: a conditional generator, and the shared CNN with its three streams."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers, ops

from dshgan_tf.backbones import application_trunk, file_trunk
from dshgan_tf.errors import InputError
from dshgan_tf.normalization import FusedBatchNormalization
from dshgan_tf.preprocessing import HALF_RANGE

LARGEST_SIDE = 1024  # pixels
MOST_CHANNELS = 8192  # of the last stage
SMALLEST_GRID = 4  # the trunk ends, and the generator starts, at about 4 x 4 cells


def _check_image_shape(image_shape: tuple[int, int, int]) -> None:
    if len(image_shape) != 3 or min(image_shape) < 1 or max(image_shape) > LARGEST_SIDE:
        raise InputError(f"image_shape must be (height, width, channels), each in 1..{LARGEST_SIDE}, got {image_shape}")
    if image_shape[2] not in (1, 3):
        raise InputError(f"images have 1 (grey) or 3 (RGB) channels, got {image_shape[2]}; convert them")


def _halvings(image_shape: tuple[int, int, int]) -> int:
    """How often the shorter side can be halved before it falls under the smallest grid."""
    return max(0, int(math.log2(max(1, min(image_shape[:2]) / SMALLEST_GRID))))


def _full_precision() -> str:
    """Dtype of what must not be rounded to 16 bits under mixed precision."""
    return "float64" if keras.config.floatx() == "float64" else "float32"


def _normalise(x: Any, norm: str, name: str) -> Any:
    if norm == "none":
        return x
    together = norm == "sync_batch"
    return FusedBatchNormalization(momentum=0.9, epsilon=1e-5, synchronized=together, name=name)(x)


def _convolution(x: Any, filters: int, norm: str, name: str, pool: bool = False) -> Any:
    x = layers.Conv2D(filters, 3, padding="same", use_bias=norm == "none", name=f"{name}_conv")(x)
    if pool:
        x = layers.MaxPooling2D(2, padding="same", name=f"{name}_pool")(x)
    return _normalise(x, norm, f"{name}_norm")


def _activate(x: Any) -> Any:
    return layers.LeakyReLU(negative_slope=0.1)(x)


def small_trunk(pixels: Any, width: int, norm: str) -> Any:
    """Trunk for small images: a stem, then stages of two convolutions that halve the grid and double the channels.

    The first convolution of a stage sees the finer grid and is pooled by its maxima: strides would cost a quarter, and
    learn less in the same time (docs/recipe.md).

    Args:
        pixels: (B, H, W, C) symbolic input, 0..255; the scaling to [-1, 1] is the first layer.
        width: channels of the stem; the stages have 2, 4, 8 ... times as many.
        norm: "batch", "sync_batch" (statistics over all replicas) or "none".

    Returns:
        (B, F) features, the mean and the maximum of every channel over the last grid.
    """
    # In float32 under mixed precision: 16 bits would round the pixels before they are centred.
    scaled = layers.Rescaling(1 / HALF_RANGE, -1.0, dtype=_full_precision(), name="scale")(pixels)
    x = _activate(_convolution(scaled, width, norm, "stem"))
    for stage in range(1, _halvings(tuple(pixels.shape[1:])) + 1):
        filters = width * 2**stage
        x = _activate(_convolution(x, filters, norm, f"stage{stage}_a", pool=True))
        x = _activate(_convolution(x, filters, norm, f"stage{stage}_b"))
    mean = layers.GlobalAveragePooling2D(name="mean_pool")(x)
    maximum = layers.GlobalMaxPooling2D(name="max_pool")(x)
    return layers.Concatenate(name="features")([mean, maximum])


def build_encoder(
    image_shape: tuple[int, int, int],
    num_bits: int,
    num_classes: int,
    backbone: str | dict[str, Any] = "small",
    weights: str | None = None,
    trained_layers: int | None = None,
    width: int = 16,
    norm: str = "sync_batch",
    adversary: str = "classes",
) -> keras.Model:
    """Build the shared CNN with its hash, adversary and classification streams.

    Args:
        image_shape: (H, W, C), C 1 or 3.
        num_bits: K, at least 1.
        num_classes: L, at least 2.
        backbone: "small", the name of a `keras.applications` model, or a description by `backbones.describe_file`.
        weights: of the backbone: None, "imagenet" or a file.
        trained_layers: how many of the backbone's last layers with weights train, the others stay as they are; None
            for all, 0 for none.
        width: channels of the small trunk's stem.
        norm: "batch", "sync_batch" (statistics over all replicas) or "none".
        adversary: "own" for a stream of its own (the paper's), or "classes": P(real) is the evidence for any class,
            the sigmoid of log sum exp of the class logits. Synthetic images are then class L + 1, whose logit is 0, and
            what the adversary learns of unlabelled images is learnt by the classes.

    Returns:
        A model from pixels (B, H, W, C), 0..255, to a dict of float32: `relaxed_codes` (B, K) in [0, 1],
        `adversary_logits` (B,) of P(real), `class_logits` (B, L).

    Raises:
        ValueError: a size out of range or an unknown backbone.

    Reference:
        Qiu et al., SIGIR 2017, section 3: a shared CNN with three streams. Salimans et al., NIPS 2016, section 5: the
        adversary by the evidence for the classes.
    """
    _check_image_shape(image_shape)
    most = width * 2 ** _halvings(image_shape)
    if backbone == "small" and most > MOST_CHANNELS:
        raise InputError(
            f"width {width} makes {most} channels of images {image_shape}, at most {MOST_CHANNELS} are built"
        )
    images = keras.Input(image_shape, name="images")
    if backbone == "small":
        features = small_trunk(images, width, norm)
    elif isinstance(backbone, dict):
        features = file_trunk(images, backbone, weights, trained_layers, norm)
    else:
        features = application_trunk(images, backbone, weights, trained_layers, norm)
    # The heads compute in float32 under mixed precision: a bit is a comparison with 0.5.
    precision = _full_precision()
    hash_logits = layers.Dense(num_bits, dtype=precision, name="hash")(features)
    class_logits = layers.Dense(num_classes, dtype=precision, name="classification")(features)
    if adversary == "own":
        adversary_logits = layers.Dense(1, dtype=precision, name="adversary")(features)
    else:
        adversary_logits = ops.logsumexp(class_logits, axis=-1, keepdims=True)
    outputs = {
        "relaxed_codes": layers.Activation("sigmoid", dtype=precision, name="relaxed_codes")(hash_logits),
        "adversary_logits": layers.Reshape((), dtype=precision, name="adversary_logits")(adversary_logits),
        "class_logits": class_logits,
    }
    return keras.Model(images, outputs, name="encoder")


def build_generator(
    image_shape: tuple[int, int, int], num_classes: int, noise_dim: int = 64, width: int = 16, norm: str = "sync_batch"
) -> keras.Model:
    """Build the conditional generator G(noise, labels).

    Args:
        image_shape: (H, W, C) of the images made.
        num_classes: L; labels enter as multi-hot vectors, so one label and many share one path.
        noise_dim: size of the noise vector.
        width: channels at the full resolution; each coarser grid has twice as many.
        norm: "batch", "sync_batch" (statistics over all replicas) or "none".

    Returns:
        A model from [noise (B, Z), labels (B, L)] to images (B, H, W, C) float32, pixels 0..255.

    Raises:
        ValueError: a size out of range.

    Reference:
        Qiu et al., SIGIR 2017, section 3, semi-supervised conditional GAN.
    """
    _check_image_shape(image_shape)
    height, width_pixels, channels = image_shape
    doublings = _halvings(image_shape)
    rows, columns = (math.ceil(side / 2**doublings) for side in (height, width_pixels))
    noise = keras.Input((noise_dim,), name="noise")
    labels = keras.Input((num_classes,), name="labels")
    filters = width * 2**doublings
    x = layers.Concatenate(name="condition")([noise, labels])
    x = layers.Dense(rows * columns * filters, use_bias=norm == "none", name="start")(x)
    x = layers.Reshape((rows, columns, filters), name="grid")(x)
    x = _activate(_normalise(x, norm, "start_norm"))
    for level in range(doublings):
        filters //= 2
        x = _activate(_convolution(x, filters, norm, f"level{level}"))  # before upsampling: a quarter of the cost
        x = layers.UpSampling2D(interpolation="nearest", name=f"level{level}_up")(x)
    x = _activate(_convolution(x, filters, norm, "full"))
    x = layers.Conv2D(channels, 3, padding="same", name="to_image")(x)
    top, left = (x.shape[1] - height) // 2, (x.shape[2] - width_pixels) // 2
    crop = ((top, x.shape[1] - height - top), (left, x.shape[2] - width_pixels - left))
    x = layers.Cropping2D(crop, name="crop")(x)
    image = layers.Activation("tanh", dtype=_full_precision(), name="image")(x)
    pixels = layers.Rescaling(HALF_RANGE, HALF_RANGE, dtype=_full_precision(), name="pixels")(image)
    return keras.Model([noise, labels], pixels, name="generator")
