"""LiteRT conversions in a process of their own, since the converter leaks memory.

All conversions of a program share one such process, and so one start of TensorFlow.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from dshgan_tf.errors import ExportError


def convert(saved_model: str, target: str, variant: str, representative: str | None = None) -> None:
    """Convert a SavedModel's `serving_default` to a LiteRT file of builtin operations.

    Args:
        saved_model: folder.
        target: file to write.
        variant: "float32", "float16" (weights), "dynamic" (int8 weights), "int8" (weights and activations, channels
            scaled apart) or "micro" (as int8, with int8 input and output).
        representative: NumPy file of images (N, H, W, C) that set int8's ranges, in the type that the input has.
    """
    import numpy as np
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=["serving_default"])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if variant != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if variant in ("int8", "micro"):
        images = np.load(representative)
        converter.representative_dataset = lambda: ({"images": image[None]} for image in images)
        # Packing is int32 arithmetic, which TFLITE_BUILTINS holds; all else must be int8.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS]
    if variant == "micro":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    Path(target).write_bytes(converter.convert())


class Converter:
    """A process that converts, started at the first job and ended with this one.

    The converter leaks about 22 MB a conversion, so after ``MOST`` of them another process takes over.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self._process: subprocess.Popen[str] | None = None
        self._errors: Any = None  # file of what the process writes to stderr
        self._done = 0

    def run(self, job: dict[str, Any]) -> None:
        """Convert.

        Args:
            job: the arguments of `convert`, by name; relative paths count from this process' folder.

        Raises:
            ExportError: the converter refuses the job; the message names it.
        """
        if self._process is None or self._done >= MOST:
            self.close()
            self._start()
        self._done += 1
        # The other process stays in the folder in which it was started.
        job = job | {name: str(Path(job[name]).resolve()) for name in PATHS if job.get(name)}
        try:
            answer = self._ask(json.dumps(job))
        except BaseException:  # Ctrl-C: its answer would be taken for that of the next job
            self._process.kill()
            self.close()
            raise
        if answer.strip() != FINISHED:
            status = self._process.wait()
            self._errors.seek(0)
            reason = self._errors.read().strip()[-500:] or f"the converter ended with status {status}"
            self.close()
            raise ExportError(f"the converter refused {Path(job['target']).name} ({job['variant']}): {reason}")

    def _start(self) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by `close`
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._errors}
        self._process = subprocess.Popen([sys.executable, __file__], text=True, **pipes)
        self._done = 0

    def _ask(self, job: str) -> str:
        """Return the answer, "" where the process died."""
        try:
            self._process.stdin.write(job + "\n")
            self._process.stdin.flush()
            return self._process.stdout.readline()
        except BrokenPipeError:
            return ""

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.stdout.close()
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()  # the process ends where its input does
            self._process.wait()
            self._errors.close()
            self._process = None


PATHS = ("saved_model", "target", "representative")  # among the arguments of `convert`
MOST = 50  # conversions of one process
FINISHED = "finished"
CONVERTER = Converter()
atexit.register(CONVERTER.close)


def serve() -> None:
    """Convert the jobs on stdin, one a line, and write a line for each that is finished."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the converter prints; stdout is for the answers alone
    for line in sys.stdin:
        convert(**json.loads(line))
        print(FINISHED, file=answers, flush=True)


if __name__ == "__main__":
    serve()
