"""Quantise the LiteRT file of a deep network. Layers that would cost too many bits stay in float32."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ai_edge_litert.interpreter import Interpreter

CONVOLUTION, BY_CHANNEL, DENSE = "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"
# What lies between layers and is int8 as well. The scaling of pixels before, and what makes bits after, is not.
BETWEEN = ("ADD", "AVERAGE_POOL_2D", "CONCATENATION", "MAX_POOL_2D", "MEAN", "PAD", "RESHAPE")
SMALL = 32  # a layer with fewer weights than the largest has, divided by this, is small
FIRST = 6  # the first sixth of the convolutions; a network with so many is deep


class Layer(NamedTuple):
    """A layer with weights.

    Attributes:
        operation: its name in LiteRT.
        name: of what it puts out.
        weights: how many.
        dtype: of the weights.
    """

    operation: str
    name: str
    weights: int
    dtype: type


def quantize(float_file: Path, target: Path, variant: str, representative: np.ndarray) -> None:
    """Write a quantised copy of a LiteRT encoder.

    "dynamic" has weights of 8 bits in its large layers. Small layers and those that convolve each channel by itself
    have few weights and large errors: they stay in float32. "int8" has weights and activations of 8 bits. Only the
    first sixth of the convolutions stays in float32, since all others build on what these make of the pixels. Networks
    of fewer than 6 convolutions lose little, and TensorFlow's converter quantises them throughout (`convert`).

    Args:
        float_file: the encoder in float32.
        target: file to write.
        variant: "dynamic" or "int8".
        representative: (N, H, W, C) uint8, images that set the ranges of int8's activations.
    """
    from ai_edge_quantizer.quantizer import Quantizer  # heavy

    with contextlib.redirect_stdout(io.StringIO()):  # it prints a summary
        work, found = Quantizer(str(float_file)), layers(float_file)
        result = _dynamic(work, found) if variant == "dynamic" else _int8(work, found, representative)
        result.export_model(str(target))


def _dynamic(work: Any, found: list[Layer]) -> Any:
    from ai_edge_quantizer.qtyping import TFLOperationName

    for layer in large(found):
        work.add_dynamic_config(_only(layer), TFLOperationName(layer.operation), num_bits=8)
    return work.quantize()


def _int8(work: Any, found: list[Layer], representative: np.ndarray) -> Any:
    from ai_edge_quantizer.qtyping import TFLOperationName

    for name in (CONVOLUTION, BY_CHANNEL, DENSE, *BETWEEN):
        work.add_static_config(".*", TFLOperationName(name), activation_num_bits=8, weight_num_bits=8)
    for layer in first(found):
        work.update_quantization_recipe(_only(layer), TFLOperationName(layer.operation), algorithm_key="no_quantize")
    images = [{"images": image[None]} for image in representative]
    with warnings.catch_warnings():  # it keeps what all layers put out, which is what calibrating is
        warnings.filterwarnings("ignore", "Warning: Enabling `experimental_preserve_all_tensors`")
        return work.quantize(work.calibrate({"serving_default": images}))


def large(found: list[Layer]) -> list[Layer]:
    """Return the layers whose weights "dynamic" quantises."""
    least = max(layer.weights for layer in found) // SMALL
    return [layer for layer in found if layer.operation != BY_CHANNEL and layer.weights >= least]


def first(found: list[Layer]) -> list[Layer]:
    """Return the convolutions that "int8" leaves in float32."""
    convolutions = [layer for layer in found if layer.operation != DENSE]
    return convolutions[: len(convolutions) // FIRST]


def layers(path: Path) -> list[Layer]:
    """Return the layers with weights of a LiteRT file, in their order."""
    interpreter = Interpreter(str(path))
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    found = []
    for operation in interpreter._get_ops_details():  # nothing public lists them
        if operation["op_name"] in (CONVOLUTION, BY_CHANNEL, DENSE):
            weights, output = tensors[operation["inputs"][1]], tensors[operation["outputs"][0]]
            size = int(np.prod(weights["shape"]))
            found.append(Layer(operation["op_name"], output["name"], size, weights["dtype"]))
    return found


def _only(layer: Layer) -> str:
    """Return the pattern that finds this layer alone."""
    return f"^{re.escape(layer.name)};?$"
