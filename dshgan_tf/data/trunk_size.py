"""Which size of images a pretrained trunk wants; found without TensorFlow."""

from __future__ import annotations

import json
import zipfile
from typing import Any

from dshgan_tf.config import Network

USUAL_SIDE = 224  # of the images that most trunks were trained on


def side_for(network: Network) -> int | None:
    """Return the side that image files are resized to for a trunk.

    Args:
        network: whose backbone is asked for.

    Returns:
        The side that a backbone's file takes, or 224 where it takes any; None for the small trunk.
    """
    if network.backbone == "small":
        return None
    if not network.backbone.endswith(".keras"):
        return USUAL_SIDE
    try:
        with zipfile.ZipFile(network.backbone) as file:
            shapes = list(_input_shapes(json.loads(file.read("config.json"))))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return None  # the error is named where the file is loaded
    return next((shape[1] for shape in shapes if len(shape) == 4 and shape[1]), USUAL_SIDE)


def _input_shapes(config: Any) -> Any:
    """Yield the shapes of the input layers within a Keras config, the outermost first."""
    if isinstance(config, dict):
        if config.get("class_name") == "InputLayer" and (shape := config.get("config", {}).get("batch_shape")):
            yield shape
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from _input_shapes(value)
