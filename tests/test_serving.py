"""The served encoder at the level of TensorFlow Serving's protocols; not on TensorFlow Serving itself.

`TF_SERVING_ADDRESS=host:grpc_port,http://host:rest_port TF_SERVING_WORKDIR=workdir` runs the same cases against a real
TensorFlow Serving that serves versions 1 and 2 of that workdir's export as `dshgan`, `stable` being 1,
without batching.
"""

import io
import json
import os
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from dshgan_tf.export.serving.client import HashingClient, RejectedError, UnavailableError
from google.protobuf import text_format
from PIL import Image
from protocol_server import ProtocolServer
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2
from test_decoding import jpeg_header, png_header

import dshgan_tf as dsh
from dshgan_tf.commands.main import main

KIT = Path(__file__).parent.parent / "export" / "serving"


class RealServing:
    """A TensorFlow Serving that somebody started."""

    def __init__(self, addresses):
        self.grpc_address, self.rest_address = addresses.split(",")


@pytest.fixture(scope="module", params=["protocol level", "TensorFlow Serving"])
def served(request, trained, tmp_path_factory):
    """A server, and the workdir whose export it serves."""
    if request.param == "TensorFlow Serving":
        if "TF_SERVING_ADDRESS" not in os.environ:
            pytest.skip("TF_SERVING_ADDRESS names no TensorFlow Serving")
        yield RealServing(os.environ["TF_SERVING_ADDRESS"]), Path(os.environ["TF_SERVING_WORKDIR"])
        return
    folder = tmp_path_factory.mktemp("served") / "dshgan"
    for _ in range(2):
        assert main(["export", str(trained), "--format", "saved_model", "--output", str(folder)]) == 0
    server = ProtocolServer("dshgan", folder, {"stable": 1})
    yield server, trained
    server.stop()


@pytest.fixture(params=["grpc", "rest"])
def client(request, served):
    return HashingClient(getattr(served[0], f"{request.param}_address"), attempts=1)


def png(image):
    file = io.BytesIO()
    Image.fromarray(image.squeeze()).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def model(served):
    return dsh.load_model(served[1] / "model.keras")


@pytest.fixture(scope="module")
def pixels(served):
    return dsh.data.read_splits(served[1] / "splits.json").query.images[:200]


@pytest.fixture(scope="module")
def expected(model, pixels):
    return model.encode(pixels)


def test_both_input_styles_give_keras_codes(client, pixels, expected):
    np.testing.assert_array_equal(client.encode(pixels), expected)
    np.testing.assert_array_equal(client.encode_files([png(image) for image in pixels]), expected)


def test_files_are_read_from_disk(client, pixels, expected, tmp_path):
    (tmp_path / "one.png").write_bytes(png(pixels[0]))
    np.testing.assert_array_equal(client.encode_files([tmp_path / "one.png"]), expected[:1])
    with pytest.raises(OSError, match="missing.png"):
        client.encode_files([tmp_path / "missing.png"])


def test_classes_are_those_of_keras(client, model, pixels):
    probabilities = client.classify(pixels[:20])
    logits = model.predict_streams(pixels[:20])["class_logits"]
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


def test_a_malformed_file_in_a_batch_is_rejected_and_the_server_goes_on(client, pixels, expected):
    good, jpeg = png(pixels[0]), io.BytesIO()
    Image.fromarray(np.repeat(pixels[0], 3, axis=-1)).save(jpeg, "JPEG")
    bad = {
        "empty": b"",
        "short": b"\x89PNG",
        "text": b"not an image at all, but long enough for a header",
        "truncated PNG": good[: len(good) // 2],
        "truncated JPEG": jpeg.getvalue()[:200],
        "GIF": b"GIF89a" + bytes(40),
        "PNG of 20,000 x 20,000": png_header(20_000, 20_000),
        "JPEG of 20,000 x 20,000": jpeg_header(20_000, 20_000),
    }
    for content in bad.values():
        with pytest.raises(RejectedError):
            client.encode_files([good, content, good])
        np.testing.assert_array_equal(client.encode_files([good]), expected[:1])


def test_wrong_shapes_are_rejected_with_a_reason(client, pixels):
    for images in (pixels[:2, :4], pixels[:2, ..., 0], np.repeat(pixels[:2], 3, axis=-1)):
        with pytest.raises(RejectedError, match="[Ss]hape|rank|size|dim|inhomogeneous"):
            client.encode(images)
    with pytest.raises(ValueError, match="at least one image"):
        client.encode(pixels[:0])


def test_large_files_go_in_several_requests(client, pixels, expected, monkeypatch):
    from dshgan_tf.export.serving import client as module

    sent, predict = [], client._transport.predict
    monkeypatch.setattr(module, "REQUEST_BYTES", 600)
    monkeypatch.setattr(
        client._transport, "predict", lambda name, inputs: sent.append(inputs["image_bytes"]) or predict(name, inputs)
    )
    files = [png(image) for image in pixels[:20]]
    np.testing.assert_array_equal(client.encode_files(files), expected[:20])
    assert len(sent) > 3 and all(sum(map(len, batch)) <= 600 for batch in sent)
    assert [file for batch in sent for file in batch] == files


def test_a_wrong_signature_is_rejected(client, pixels):
    with pytest.raises(RejectedError, match="hash_me"):
        client._transport.predict("hash_me", {"images": pixels[:1].astype(np.float32)})


@pytest.mark.parametrize("kind", ["grpc", "rest"])
def test_versions_and_labels(served, kind, pixels, expected):
    address = getattr(served[0], f"{kind}_address")
    for choice in ({"version": 1}, {"version": 2}, {"label": "stable"}):
        np.testing.assert_array_equal(HashingClient(address, **choice).encode(pixels[:3]), expected[:3])
    for choice in ({"version": 77}, {"label": "nobody"}, {"model": "other"}):
        with pytest.raises(RejectedError):
            HashingClient(address, **choice).encode(pixels[:1])
    with pytest.raises(ValueError, match="not both"):
        HashingClient(address, version=1, label="stable")


def test_metadata_and_status(served):
    server, _ = served
    channel = grpc.insecure_channel(server.grpc_address)
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "dshgan"
    answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).GetModelMetadata(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    answer.metadata["signature_def"].Unpack(signatures)
    found = {name: (set(s.inputs), set(s.outputs)) for name, s in signatures.signature_def.items() if s.inputs}
    assert found["serving_default"] == ({"images"}, {"codes", "relaxed_codes"})
    assert found["encode_bytes"] == ({"image_bytes"}, {"codes", "relaxed_codes", "codes_bytes"})
    assert found["classify"] == ({"images"}, {"probabilities", "class_id", "class_name"})
    with urllib.request.urlopen(f"{server.rest_address}/v1/models/dshgan/metadata") as response:
        assert set(found) <= set(json.load(response)["metadata"]["signature_def"]["signature_def"])
    status_request = get_model_status_pb2.GetModelStatusRequest()
    status_request.model_spec.name = "dshgan"
    status = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(status_request)
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert {(s.version, s.state) for s in status.model_version_status} >= {(1, available), (2, available)}
    channel.close()


def test_64_callers_at_once(served, pixels, expected):
    server, _ = served

    def ask(caller):
        address = server.grpc_address if caller % 2 else server.rest_address
        own = [caller % len(pixels), (7 * caller) % len(pixels)]
        client = HashingClient(address)
        files = client.encode_files([png(pixels[item]) for item in own])
        return own, client.encode(pixels[own]), files

    with ThreadPoolExecutor(64) as callers:
        for own, codes, files in callers.map(ask, range(64)):
            np.testing.assert_array_equal(codes, expected[own])
            np.testing.assert_array_equal(files, expected[own])


def test_warm_up_holds_a_request_for_each_signature(served):
    server = served[0]
    if isinstance(server, RealServing):
        pytest.skip("what a real server replays is in its log")
    assert [version.replayed for version in server.models.versions.values()] == [3, 3]


def test_an_unavailable_server_is_asked_again(served, pixels, expected):
    server, _ = served
    if isinstance(server, RealServing):
        pytest.skip("a real server cannot be told to be unavailable")
    for address in (server.grpc_address, server.rest_address):
        server.models.unavailable = 2
        np.testing.assert_array_equal(HashingClient(address, attempts=3).encode(pixels[:1]), expected[:1])
        server.models.unavailable = 2
        with pytest.raises(UnavailableError, match="starting"):
            HashingClient(address, attempts=2).encode(pixels[:1])
        server.models.unavailable = 0


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "127.0.0.1:9"])
def test_a_missing_server_is_said(address, pixels):
    with pytest.raises(UnavailableError, match="127.0.0.1:9|dshgan: UNAVAILABLE"):
        HashingClient(address, attempts=1, timeout=5).encode(pixels[:1])


def test_the_kits_model_config_is_one():
    config = text_format.Parse((KIT / "models.config").read_text(), model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert (model.name, model.model_platform) == ("dshgan", "tensorflow")
    assert model.model_version_policy.HasField("all") and dict(model.version_labels) == {"stable": 1}


def test_the_compose_file_mounts_what_the_kit_holds():
    text = (KIT / "docker-compose.yml").read_text()
    # What the package of protocols has no message for, batching and monitoring, is not parsed here.
    for name in ("models.config", "batching.config", "monitoring.config"):
        assert f"./{name}:/config/{name}:ro" in text and f"=/config/{name}" in text and (KIT / name).exists()
