"""Client of a served encoder: NumPy and the standard library over REST; over gRPC with tensorflow-serving-api.

It imports nothing of this project, so the file can be copied into a program that only asks a server.

    client = HashingClient("http://localhost:8501", model="dshgan")
    codes = client.encode(images)               # (N, H, W, C) pixels, 0..255 -> (N, ceil(K/8)) uint8
    codes = client.encode_files(["a.jpg"])      # JPEG or PNG of any size
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Outputs = dict[str, np.ndarray]
REQUEST_BYTES = 16 << 20


class RejectedError(ValueError):
    """The server answered with an error, and asking again would not help: its message says why."""


class UnavailableError(ConnectionError):
    """The server was not there, or busy, at every attempt."""


class Transport(Protocol):
    """How requests reach a server."""

    def predict(self, signature: str, inputs: dict[str, np.ndarray | list[bytes]]) -> Outputs:
        """Run a signature.

        Args:
            signature: name.
            inputs: argument -> numbers, or a list of byte strings.

        Returns:
            Output -> values.

        Raises:
            RejectedError: INVALID_ARGUMENT and its like.
            UnavailableError: UNAVAILABLE; worth another attempt.
        """


class HashingClient:
    """Ask a served encoder for codes.

    Args:
        address: "http://host:8501" for REST, "host:8500" for gRPC.
        model: name of the served model.
        version: a version to ask for; None for the newest.
        label: a version label to ask for, instead of a version.
        timeout: seconds for one attempt.
        attempts: how often a request is sent while the server is unavailable.
        batch_size: images a request at most; files of more than 16 MiB in all go in several requests.

    Raises:
        ValueError: version and label together, or no attempt.
    """

    def __init__(
        self,
        address: str = "http://localhost:8501",
        model: str = "dshgan",
        version: int | None = None,
        label: str | None = None,
        timeout: float = 10.0,
        attempts: int = 5,
        batch_size: int = 64,
    ) -> None:
        if version is not None and label is not None:
            raise ValueError(f"give a version ({version}) or a label ({label!r}), not both")
        if attempts < 1 or batch_size < 1:
            raise ValueError(f"attempts and batch_size must be at least 1, got {attempts} and {batch_size}")
        transport = RestTransport if address.startswith(("http://", "https://")) else GrpcTransport
        self._transport: Transport = transport(address, model, version, label, timeout)
        self._attempts, self._batch_size = attempts, batch_size

    def encode(self, images: Any) -> np.ndarray:
        """Hash pixels.

        Args:
            images: (N, H, W, C) uint8 or float, 0..255, of the size that the model takes, N at least 1.

        Returns:
            (N, ceil(K/8)) uint8, most significant bit first.

        Raises:
            RejectedError: the server refuses them, for their shape, say.
            UnavailableError: no answer at any attempt.
        """
        return self._ask("serving_default", "images", self._pixel_batches(images), "codes").astype(np.uint8)

    def encode_files(self, files: Iterable[str | os.PathLike[str] | bytes]) -> np.ndarray:
        """Hash JPEG or PNG files; the server decodes, turns and resizes them, and applies no colour profile.

        Args:
            files: paths or contents, at least one.

        Returns:
            (N, ceil(K/8)) uint8.

        Raises:
            RejectedError: a file is no image, or too large.
            UnavailableError: no answer at any attempt.
            OSError: a path cannot be read.
        """
        joined = self._ask("encode_bytes", "image_bytes", self._file_batches(files), "codes_bytes")
        return np.stack([np.frombuffer(code, np.uint8) for code in joined])

    def classify(self, images: Any) -> np.ndarray:
        """Classify pixels.

        Args:
            images: as in `encode`.

        Returns:
            (N, L) float32 probabilities.
        """
        return self._ask("classify", "images", self._pixel_batches(images), "probabilities").astype(np.float32)

    def _pixel_batches(self, images: Any) -> Iterator[np.ndarray]:
        images = np.asarray(images, np.float32)
        return (images[start : start + self._batch_size] for start in range(0, len(images), self._batch_size))

    def _file_batches(self, files: Iterable[str | os.PathLike[str] | bytes]) -> Iterator[list[bytes]]:
        """Read files as they are needed; a batch ends where it is long or large enough."""
        batch: list[bytes] = []
        for file in files:
            content = file if isinstance(file, bytes) else Path(file).read_bytes()
            if batch and (len(batch) == self._batch_size or sum(map(len, batch)) + len(content) > REQUEST_BYTES):
                yield batch
                batch = []
            batch.append(content)
        if batch:
            yield batch

    def _ask(self, signature: str, argument: str, batches: Iterable[Any], output: str) -> np.ndarray:
        parts = [
            self._patiently(lambda given=batch: self._transport.predict(signature, {argument: given}))[output]
            for batch in batches
        ]
        if not parts:
            raise ValueError("nothing was given to hash; pass at least one image")
        return np.concatenate(parts)

    def _patiently(self, call: Callable[[], Outputs]) -> Outputs:
        """Call again while the server is unavailable, waiting twice as long each time."""
        for attempt in range(1, self._attempts + 1):
            try:
                return call()
            except UnavailableError:
                if attempt == self._attempts:
                    raise
                time.sleep(0.1 * 2 ** (attempt - 1))
        raise AssertionError("unreachable")


class RestTransport:
    """The REST interface, by the standard library. Arguments as `HashingClient`."""

    def __init__(self, address: str, model: str, version: int | None, label: str | None, timeout: float) -> None:
        place = f"/versions/{version}" if version is not None else f"/labels/{label}" if label else ""
        self._url, self._timeout = f"{address.rstrip('/')}/v1/models/{model}{place}:predict", timeout

    def predict(self, signature: str, inputs: dict[str, np.ndarray | list[bytes]]) -> Outputs:
        """See `Transport`."""
        body = {"signature_name": signature, "inputs": {name: _to_json(value) for name, value in inputs.items()}}
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as response:
                outputs = json.load(response)["outputs"]
        except urllib.error.HTTPError as error:
            message = _message(error.read())
            if error.code in (429, 502, 503, 504):
                raise UnavailableError(f"{self._url}: {error.code} {message}") from error
            raise RejectedError(f"{self._url}: {error.code} {message}") from error
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            raise UnavailableError(f"{self._url}: {error!r}; is the server running?") from error
        except (ValueError, KeyError, TypeError) as error:
            raise RejectedError(f"{self._url}: the answer is not TensorFlow Serving's ({error!r})") from error
        return {name: _from_json(value) for name, value in outputs.items()}


class GrpcTransport:
    """The gRPC interface; needs tensorflow-serving-api. Arguments as `HashingClient`."""

    def __init__(self, address: str, model: str, version: int | None, label: str | None, timeout: float) -> None:
        import grpc
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        most = 4 * REQUEST_BYTES  # bytes of a message; gRPC's own limit is 4 MiB
        limits = [("grpc.max_send_message_length", most), ("grpc.max_receive_message_length", most)]
        channel = grpc.insecure_channel(address, limits)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self._model, self._version, self._label, self._timeout = model, version, label, timeout

    def predict(self, signature: str, inputs: dict[str, np.ndarray | list[bytes]]) -> Outputs:
        """See `Transport`."""
        import grpc
        from tensorflow import make_ndarray, make_tensor_proto
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = self._model, signature
        if self._version is not None:
            request.model_spec.version.value = self._version
        elif self._label is not None:
            request.model_spec.version_label = self._label
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(make_tensor_proto(value))
        try:
            response = self._stub.Predict(request, timeout=self._timeout)
        except grpc.RpcError as error:
            busy = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
            kind = UnavailableError if error.code() in busy else RejectedError
            raise kind(f"{self._model}: {error.code().name} {error.details()}") from error
        return {name: make_ndarray(tensor) for name, tensor in response.outputs.items()}


def _to_json(value: np.ndarray | list[bytes]) -> list[Any]:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [{"b64": base64.b64encode(item).decode()} for item in value]


def _from_json(value: list[Any]) -> np.ndarray:
    if value and isinstance(value[0], dict):
        return np.array([base64.b64decode(item["b64"]) for item in value], object)
    return np.array(value)


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body[:500].decode(errors="replace")
