"""Run under qemu, as an ARM64 program: hash images with LiteRT files, and write the codes.

python hash_images.py IMAGES.npy CODES.npz ENCODER.tflite...
"""

import platform
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def codes_of(model: str, images: np.ndarray) -> np.ndarray:
    """Return the codes of images, one at a time."""
    runner = Interpreter(model, num_threads=1).get_signature_runner("serving_default")
    return np.concatenate([runner(images=image[None])["codes"] for image in images])


if __name__ == "__main__":
    given, made, *models = sys.argv[1:]
    np.savez(
        made, machine=platform.machine(), **{Path(model).stem: codes_of(model, np.load(given)) for model in models}
    )
