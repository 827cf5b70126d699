"""A server that speaks TensorFlow Serving's protocols, for tests only. It is NOT TensorFlow Serving.

It loads versions through the session path (`tf.compat.v1.saved_model.load`), feeds the tensors that the SignatureDef
names, replays warm-up requests, and answers gRPC Predict, GetModelMetadata and GetModelStatus and their REST forms.

    python tests/protocol_server.py FOLDER [--port 0] [--batching] [--most-waiting 1000] [--patience 10]

serves a folder of versions until SIGTERM, and first prints its addresses. It is ready when `/v1/models/dshgan/metadata`
is answered with 200, and alive when anything is answered.
"""

import argparse
import base64
import json
import re
import signal
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from request_queue import Full, RequestQueue
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

Code = grpc.StatusCode
MOST_BYTES = 64 << 20  # of a request
MOST_CONNECTIONS = 512  # at a time
HTTP = {Code.INVALID_ARGUMENT: 400, Code.FAILED_PRECONDITION: 412, Code.NOT_FOUND: 404, Code.UNAVAILABLE: 503}


class Failure(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code, self.message = code, message


class Version:
    """One loaded version."""

    def __init__(self, folder):
        self.number = int(folder.name)
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        with self.session.graph.as_default():
            meta_graph = tf.compat.v1.saved_model.load(self.session, ["serve"], str(folder))
        self.signatures = {
            name: signature
            for name, signature in meta_graph.signature_def.items()
            if signature.method_name == "tensorflow/serving/predict"
        }
        self.replayed = 0
        warm_up = folder / "assets.extra" / "tf_serving_warmup_requests"
        for record in tf.compat.v1.io.tf_record_iterator(str(warm_up)) if warm_up.exists() else ():
            request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
            inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
            self.predict(request.model_spec.signature_name, inputs)
            self.replayed += 1

    def predict(self, name, inputs):
        name = name or "serving_default"
        if name not in self.signatures:
            raise Failure(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
        signature = self.signatures[name]
        if set(inputs) != set(signature.inputs):
            raise Failure(Code.INVALID_ARGUMENT, f"inputs must be {sorted(signature.inputs)}, got {sorted(inputs)}")
        feeds = {signature.inputs[key].name: value for key, value in inputs.items()}
        try:  # the session itself refuses what does not fit
            return self.session.run({key: info.name for key, info in signature.outputs.items()}, feeds)
        except (tf.errors.InvalidArgumentError, ValueError, TypeError) as error:
            raise Failure(Code.INVALID_ARGUMENT, getattr(error, "message", str(error))) from error


class Models:
    """The versions of one model, and its labels."""

    def __init__(self, name, base_path, labels, batching=False, most_waiting=1000):
        self.name, self.labels = name, labels
        folders = sorted((path for path in Path(base_path).iterdir() if path.name.isdigit()), key=lambda p: int(p.name))
        self.versions = {int(folder.name): Version(folder) for folder in folders}
        self.unavailable = 0  # so many requests are still refused as if the server were starting
        self.ending = False
        self.queue = RequestQueue(self.run, most_waiting, batching)

    def run(self, key, inputs):
        """Run a signature of a version; `key` is both, and the shapes and types of what may run together."""
        return self.versions[key[0]].predict(key[1], inputs)

    def predict(self, version, name, inputs):
        """Run a signature when its turn comes."""
        shapes = tuple((argument, value.shape[1:], str(value.dtype)) for argument, value in sorted(inputs.items()))
        if not inputs or any(value.ndim == 0 for value in inputs.values()):
            raise Failure(Code.INVALID_ARGUMENT, "inputs must be batches")
        try:
            return self.queue.ask((version.number, name, shapes), inputs)
        except Full as error:
            raise Failure(Code.UNAVAILABLE, str(error)) from error

    def find(self, name, version=None, label=None):
        if self.ending:
            raise Failure(Code.UNAVAILABLE, "ending")
        if self.unavailable:
            self.unavailable -= 1
            raise Failure(Code.UNAVAILABLE, "starting")
        if name != self.name:
            raise Failure(Code.NOT_FOUND, f"Servable not found for request: Latest({name})")
        if label is not None:
            if label not in self.labels:
                raise Failure(Code.INVALID_ARGUMENT, f"Unrecognized servable version label: {label}")
            version = self.labels[label]
        version = max(self.versions) if version is None else version
        if version not in self.versions:
            raise Failure(Code.NOT_FOUND, f"Servable not found for request: Specific({name}, {version})")
        return self.versions[version]

    def find_spec(self, spec):
        chosen = spec.WhichOneof("version_choice")
        version = spec.version.value if chosen == "version" else None
        return self.find(spec.name, version, spec.version_label if chosen == "version_label" else None)


class Grpc(prediction_service_pb2_grpc.PredictionServiceServicer, model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, models):
        self.models = models

    def Predict(self, request, context):
        response = predict_pb2.PredictResponse()
        try:
            version = self.models.find_spec(request.model_spec)
            inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
            outputs = self.models.predict(version, request.model_spec.signature_name, inputs)
        except Failure as failure:
            context.abort(failure.code, failure.message)
        response.model_spec.name, response.model_spec.version.value = self.models.name, version.number
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return response

    def GetModelMetadata(self, request, context):
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        try:
            version = self.models.find_spec(request.model_spec)
        except Failure as failure:
            context.abort(failure.code, failure.message)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in version.signatures.items():
            signatures.signature_def[name].CopyFrom(signature)
        response.model_spec.name, response.model_spec.version.value = self.models.name, version.number
        response.metadata["signature_def"].Pack(signatures)
        return response

    def GetModelStatus(self, request, context):
        if request.model_spec.name != self.models.name:
            context.abort(Code.NOT_FOUND, f"Could not find any versions of model {request.model_spec.name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for number in self.models.versions:
            status = response.model_version_status.add(version=number)
            status.state = get_model_status_pb2.ModelVersionStatus.AVAILABLE
        return response


def to_json(name, value):
    """Strings are base64 only where the output's name ends in _bytes, else text."""
    if value.dtype != object:
        return value.tolist()
    if name.endswith("_bytes"):
        return [{"b64": base64.b64encode(item).decode()} for item in value]
    return [item.decode() for item in value]


def from_json(value, info):
    if info.dtype == tf.string.as_datatype_enum:
        return np.array([base64.b64decode(item["b64"]) for item in value], object)
    try:
        return np.array(value, tf.as_dtype(info.dtype).as_numpy_dtype)
    except ValueError as error:
        raise Failure(Code.INVALID_ARGUMENT, f"ragged input: {error}") from error


class Rest(BaseHTTPRequestHandler):
    models = None

    def log_message(self, *_):
        pass

    def answer(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def place(self):
        pattern = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?(:predict|/metadata)?"
        found = re.fullmatch(pattern, self.path)
        if not found:
            raise Failure(Code.INVALID_ARGUMENT, f"Malformed request: {self.command} {self.path}")
        name, version, label, verb = found.groups()
        return self.models.find(name, int(version) if version else None, label), verb

    def do_GET(self):
        try:
            version, verb = self.place()
        except Failure as failure:
            return self.answer(HTTP[failure.code], {"error": failure.message})
        if verb == "/metadata":
            names = {
                name: {"inputs": sorted(s.inputs), "outputs": sorted(s.outputs)}
                for name, s in version.signatures.items()
            }
            return self.answer(200, {"metadata": {"signature_def": {"signature_def": names}}})
        states = [{"version": str(number), "state": "AVAILABLE"} for number in self.models.versions]
        self.answer(200, {"model_version_status": states})

    def do_POST(self):
        length = self.headers["Content-Length"] or ""
        if not length.isdecimal() or int(length) > MOST_BYTES:
            self.close_connection = True
            return self.answer(413, {"error": f"a request has a length of at most {MOST_BYTES} bytes"})
        body = self.rfile.read(int(length))
        try:
            version, _ = self.place()
            request = json.loads(body)
            name = request.get("signature_name", "serving_default")
            signature = version.signatures.get(name)
            if signature is None:
                raise Failure(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
            unknown = set(request["inputs"]) - set(signature.inputs)
            if unknown:
                raise Failure(Code.INVALID_ARGUMENT, f"unknown inputs {sorted(unknown)}")
            inputs = {key: from_json(value, signature.inputs[key]) for key, value in request["inputs"].items()}
            outputs = self.models.predict(version, name, inputs)
        except Failure as failure:
            return self.answer(HTTP[failure.code], {"error": failure.message})
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            return self.answer(400, {"error": f"Malformed request: {error!r}"})
        self.answer(200, {"outputs": {key: to_json(key, value) for key, value in outputs.items()}})


class RestServer(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = False  # a shutdown waits for those that answer

    def __init__(self, *arguments):
        self.free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__(*arguments)

    def process_request(self, request, client_address):
        self.free.acquire()  # others wait in the system's own queue, or are refused there
        super().process_request(request, client_address)

    def process_request_thread(self, request, client_address):
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.free.release()

    def handle_error(self, request, client_address):
        """A caller that went away is no fault of ours."""


class ProtocolServer:
    """Serve a folder of versions on the loopback.

    Args:
        name: of the model.
        base_path: folder of versions.
        labels: label -> version.
        port: of REST; 0 for a free one.
        patience: seconds that a caller may take to send a request.
        more: of `Models`.
    """

    def __init__(self, name, base_path, labels=None, port=0, patience=10, **more):
        self.models = Models(name, base_path, labels or {}, **more)
        self.grpc = grpc.server(
            futures.ThreadPoolExecutor(16), options=[("grpc.max_receive_message_length", MOST_BYTES)]
        )
        servicer = Grpc(self.models)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(servicer, self.grpc)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(servicer, self.grpc)
        self.grpc_address = f"127.0.0.1:{self.grpc.add_insecure_port('127.0.0.1:0')}"
        self.grpc.start()
        handler = type("Handler", (Rest,), {"models": self.models, "timeout": patience})
        self.rest = RestServer(("127.0.0.1", port), handler)
        self.rest_address = f"http://127.0.0.1:{self.rest.server_port}"
        self.thread = threading.Thread(target=self.rest.serve_forever, daemon=True)
        self.thread.start()

    def stop(self):
        """Take nothing more, finish what was taken, end."""
        self.models.ending = True
        self.rest.shutdown()
        self.thread.join()
        self.grpc.stop(30).wait()
        self.rest.server_close()
        self.models.queue.close()


def main():
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--batching", action="store_true")
    parser.add_argument("--most-waiting", type=int, default=1000)
    parser.add_argument("--patience", type=float, default=10)
    given = parser.parse_args()
    more = {"batching": given.batching, "most_waiting": given.most_waiting}
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    server = ProtocolServer("dshgan", given.folder, port=given.port, patience=given.patience, **more)
    print(json.dumps({"grpc": server.grpc_address, "rest": server.rest_address}), flush=True)
    # A signal that another thread receives does not wake this one, and its handler runs here alone.
    while not ended.wait(0.5):
        pass
    server.stop()


if __name__ == "__main__":
    main()
