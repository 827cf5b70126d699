"""An encoder run by TensorFlow Lite for Microcontrollers, as its own interpreter on this machine runs it."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

import dshgan_tf as dsh
from dshgan_tf.errors import ExportError, InputError

PIXEL_OFFSET = 128  # a pixel 0..255 less this is the int8 that the encoder takes
ARENA_STEP = 1024  # bytes; sizes of the arena are multiples of it
MOST_BYTES = 1 << 26  # of an arena that is tried; no microcontroller has as much
TRIAL = """
import sys
import numpy as np
from tflite_micro import runtime

interpreter = runtime.Interpreter.from_file(sys.argv[1], arena_size=int(sys.argv[2]))
interpreter.set_input(np.zeros(interpreter.get_input_details(0)["shape"], np.int8), 0)
interpreter.invoke()
interpreter.print_allocations()
"""


class MicroEncoder:
    """Hash images with a file for microcontrollers: one image at a time, int8 in, int8 relaxed codes out.

    Args:
        model: the file, of `dshgan export --quantize micro`.

    Raises:
        InputError: `tflite-micro` is not installed.
        ExportError: the file holds what the interpreter does not run, or is meant for phones.
    """

    def __init__(self, model: Path) -> None:
        try:
            from tflite_micro import runtime
        except ImportError as error:
            raise InputError(
                "an export for microcontrollers is checked by tflite-micro: pip install tflite-micro"
            ) from error
        self._model = model
        try:
            self._interpreter = runtime.Interpreter.from_file(str(model), arena_size=MOST_BYTES)
        except RuntimeError as error:
            raise ExportError(
                f"TensorFlow Lite for Microcontrollers does not run the encoder in {MOST_BYTES >> 20} MiB: {error}"
            ) from error
        given = self._interpreter.get_input_details(0)
        if given["dtype"] != np.int8:
            raise ExportError(f"{model} does not take int8: a microcontroller wants a file of --quantize micro")

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Hash images.

        Args:
            images: (N, H, W, C) uint8.

        Returns:
            (N, ceil(K/8)) uint8, most significant bit first. A bit is 1 where the relaxed code is above 0.5.
        """
        return dsh.codes.pack(np.concatenate([self._bits(image) for image in images]))

    def arena_bytes(self) -> int:
        """Return the memory, in steps of 1 KiB, that the interpreter of this machine needs to work in.

        Pointers have 8 bytes here. A processor of 32 bits needs less.

        Raises:
            ExportError: it does not say how much it took.
        """
        told = re.search(r"Arena allocation total (\d+) bytes", self.try_arena(MOST_BYTES).stderr)
        if told is None:
            raise ExportError("tflite-micro did not say how much memory the encoder takes; install another version")
        least = -(-int(told[1]) // ARENA_STEP) * ARENA_STEP
        # Laying out the tensors takes a little more for a while.
        return next(size for size in itertools.count(least, ARENA_STEP) if self.try_arena(size).returncode == 0)

    def try_arena(self, arena: int) -> subprocess.CompletedProcess[str]:
        """Hash in a process of its own, since an arena that is too small ends some with a segmentation fault.

        Args:
            arena: bytes.

        Returns:
            The process, which has ended: status 0 where the arena was enough.
        """
        command = [sys.executable, "-c", TRIAL, str(self._model), str(arena)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def _bits(self, image: np.ndarray) -> np.ndarray:
        pixels = (image[None].astype(np.int16) - PIXEL_OFFSET).astype(np.int8)
        self._interpreter.set_input(pixels, 0)
        self._interpreter.invoke()
        # The output's zero point is -128 and its scale 1/256, so that 0.5 is 0.
        return self._interpreter.get_output(0) > 0
