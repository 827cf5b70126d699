"""How the two networks are built."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic

from dshgan_tf.config.settings import settings
from dshgan_tf.errors import InputError

# The bounds keep memory finite where a damaged file asks for too much.
Width = Annotated[int, pydantic.Field(ge=1, le=512)]
NoiseSize = Annotated[int, pydantic.Field(ge=1, le=4096)]
LayerCount = Annotated[int, pydantic.Field(ge=0)]
SEMANTIC_SHARE = 5 / 6  # of the bits, for the classes
OF_GREY_IMAGES = 3 / 8  # with the small trunk
WHITE = 255  # grey level
ENOUGH = 12  # semantic bits of grey images, where the classes need no more
GREY = 1  # channel


@settings
class Network:
    """Architecture of encoder and generator.

    Args:
        backbone: "small", the name of a `keras.applications` model, or a `.keras` file (see `backbones.describe_file`).
        weights: of the application: None, "imagenet" or a file.
        trained_layers: how many of the backbone's last layers with weights train; None for all. Where it is given,
            batch normalisations stay as they are, and are not counted. 0 freezes the backbone: its features are
            computed once.
        hidden_layer: whether a hidden layer lies between backbone and streams; None for where the backbone is
            frozen.
        width: channels of trunk and generator at full resolution; None for 32 up to 16 pixels a side, 16 above.
        noise_dim: size of the generator's noise.
        norm: "sync_batch" (by the statistics of all replicas, so that their number changes nothing), "batch" (each
            by its own, with fewer exchanges) or "none".
        generator: where one trains, "pixels" makes images, "features" what a frozen trunk would make of them; "auto"
            makes features where the trunk is frozen.
        ground: grey level, 0 (black) to 255 (white), that shows where an image file is transparent.
        instance_bits: how many bits of a code tell single images apart and know of no class (`instance_bits`); None for
            what suits the data, see `instance_bits_for`; 0 for none.
        adversary: "classes" judges real or synthetic by the evidence for any class; "own" by a stream of its own, which
            is the paper's (see `HashEncoder`).

    Raises:
        ValueError: a value out of range, or options that do not go together.
    """

    backbone: str = "small"
    weights: str | None = None
    trained_layers: LayerCount | None = None
    hidden_layer: bool | None = None
    width: Width | None = None
    noise_dim: NoiseSize = 64
    norm: Literal["sync_batch", "batch", "none"] = "sync_batch"
    generator: Literal["auto", "pixels", "features"] = "auto"
    ground: Annotated[int, pydantic.Field(ge=0, le=255)] = WHITE
    instance_bits: Annotated[int, pydantic.Field(ge=0, le=4096)] | None = None
    adversary: Literal["classes", "own"] = "classes"

    def __post_init__(self) -> None:
        """Check what goes together."""
        of_a_backbone = (self.weights, self.trained_layers, self.hidden_layer)
        if self.backbone == "small" and any(value is not None for value in of_a_backbone):
            raise InputError(
                "weights, trained_layers and hidden_layer need a pretrained backbone; give its name or file as backbone"
            )
        if self.backbone.endswith(".keras") and self.weights is not None:
            raise InputError(f"backbone {self.backbone} has its own weights; leave weights={self.weights!r} out")
        if self.frozen and self.hidden_layer is False:
            raise InputError("on a frozen trunk a hidden layer trains; leave hidden_layer=False out")
        if self.generator == "features" and not self.frozen:
            raise InputError("a generator of features needs a frozen trunk; give a backbone and trained_layers=0")

    @property
    def frozen(self) -> bool:
        """Whether the trunk is a pretrained one that does not train."""
        return self.trained_layers == 0

    @property
    def has_hidden_layer(self) -> bool:
        """Whether a hidden layer lies between trunk and streams, as it does where the trunk is or was frozen."""
        return self.frozen if self.hidden_layer is None else self.hidden_layer

    @property
    def generates_features(self) -> bool:
        """Whether the generator makes features of a frozen trunk instead of pixels."""
        return self.frozen and self.generator != "pixels"

    def instance_bits_for(self, num_bits: int, num_classes: int, channels: int, multi_label: bool) -> int:
        """Return how many bits of a code tell single images apart.

        The others tell the classes. They are five sixths of all bits. Of grey images with the small trunk they are
        three eighths, and no more than 12. They are at least twice as many as number the classes. Where images have
        several labels, and in the paper's network, all bits tell the classes (docs/method/unseen.md).

        Args:
            num_bits: K.
            num_classes: L.
            channels: C of the images, 1 or 3.
            multi_label: whether an image may have several labels.

        Raises:
            ValueError: no bit would be left for the classes.
        """
        if self.instance_bits is None:
            of_grey = min(math.ceil(OF_GREY_IMAGES * num_bits), ENOUGH)
            grey = self.backbone == "small" and channels == GREY
            share = of_grey if grey else math.ceil(SEMANTIC_SHARE * num_bits)
            semantic = max(share, 2 * math.ceil(math.log2(num_classes)))
            return 0 if multi_label or self.adversary == "own" else max(0, num_bits - semantic)
        if self.instance_bits >= num_bits:
            raise InputError(
                f"instance_bits={self.instance_bits} leaves no bit of {num_bits} for the classes; take fewer"
            )
        return self.instance_bits

    @classmethod
    def of(cls, given: Network | Mapping[str, Any] | None) -> Network:
        """Return the network that was given: itself, its fields, or None for the recipe's.

        Raises:
            ValueError: anything else, or fields that do not fit.
        """
        if isinstance(given, cls):
            return given
        if given is not None and not isinstance(given, Mapping):
            raise InputError(f"network must be a Network or a mapping of its fields, got {given!r}")
        return cls(**(given or {}))

    def width_for(self, image_shape: tuple[int, int, int]) -> int:
        """Return the channels at full resolution for images (H, W, C)."""
        if self.width is not None:
            return self.width
        return 32 if min(image_shape[:2]) <= 16 else 16
