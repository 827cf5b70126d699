"""Bad days of a served encoder: a full queue, a kill, a slow caller, floods of nonsense. The client goes through them.

The server is that of `protocol_server`, in a process of its own. It is NOT TensorFlow Serving.
"""

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import psutil
import pytest
from dshgan_tf.export.serving.client import HashingClient, RejectedError, UnavailableError
from request_queue import Full, RequestQueue

import dshgan_tf as dsh
from dshgan_tf.commands.main import main

SERVER = Path(__file__).parent / "protocol_server.py"
REQUESTS = int(os.environ.get("DSHGAN_REQUESTS", "2500"))
LEAKED = 20 << 10  # bytes a request at most


@pytest.fixture(scope="module")
def export(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "dshgan"
    assert main(["export", str(trained), "--format", "saved_model", "--output", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def images():
    return dsh.data.load("digits").query.images


@pytest.fixture(scope="module")
def expected(trained, images):
    return dsh.load_model(trained / "model.keras").encode(images)


@contextlib.contextmanager
def running(export, *flags):
    """Start a server, and kill it if it is still there."""
    command = [sys.executable, str(SERVER), str(export), *map(str, flags)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    )
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def is_ready(address):
    try:
        with urllib.request.urlopen(f"{address}/v1/models/dshgan/metadata", timeout=10) as answer:
            return answer.status == 200
    except urllib.error.HTTPError:
        return False


@pytest.mark.parametrize("batching", [(), ("--batching",)])
def test_many_callers_have_their_own_answers(export, images, expected, batching):
    with running(export, *batching) as (_, addresses):
        for address in addresses.values():
            client = HashingClient(address)
            with ThreadPoolExecutor(32) as callers:
                codes = list(callers.map(lambda i: client.encode(images[i : i + 1])[0], range(len(images))))  # noqa: B023
            np.testing.assert_array_equal(codes, expected)


def test_a_full_queue_refuses_and_the_client_comes_again(export, images, expected):
    some, codes = images[:50], expected[:50]
    with running(export, "--most-waiting", 1) as (_, addresses):
        impatient = HashingClient(addresses["rest"], attempts=1)

        def refused(_):
            try:
                impatient.encode(some)
            except UnavailableError as error:
                return "requests wait already" in str(error)
            return False

        with ThreadPoolExecutor(24) as callers:
            assert any(callers.map(refused, range(96)))
        patient = HashingClient(addresses["rest"], attempts=12)
        with ThreadPoolExecutor(12) as callers:
            for found in callers.map(lambda _: patient.encode(some), range(24)):
                np.testing.assert_array_equal(found, codes)


def test_the_queue_is_bounded_and_ends_with_its_work_done():
    """By hand: one worker, held up, and room for two."""
    go, taken = threading.Event(), threading.Event()

    def run(_, inputs):
        taken.set()
        go.wait()
        return {"twice": 2 * inputs["x"]}

    waiting = RequestQueue(run, most=2, workers=1)
    with ThreadPoolExecutor(8) as callers:
        first = callers.submit(waiting.ask, (), {"x": np.array([1])})
        assert taken.wait(60)
        others = [callers.submit(waiting.ask, (), {"x": np.array([i])}) for i in (2, 3)]
        deadline = time.monotonic() + 60
        while waiting._waiting.qsize() < 2:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        with pytest.raises(Full, match="2 requests wait"):
            waiting.ask((), {"x": np.array([4])})
        go.set()
        waiting.close()
        assert [call.result()["twice"].tolist() for call in (first, *others)] == [[2], [4], [6]]


def test_ended_it_answers_what_it_took(export, images, expected):
    with running(export) as (process, addresses):
        assert is_ready(addresses["rest"])
        client = HashingClient(addresses["rest"], attempts=1, timeout=60)
        many = np.concatenate([images] * 20)
        with ThreadPoolExecutor(4) as callers:
            calls = [callers.submit(client._transport.predict, "serving_default", {"images": many.astype(np.float32)})]
            calls += [callers.submit(client.encode, images) for _ in range(3)]
            next(as_completed(calls[1:])).result()  # the others are on their way; if they are not, they are refused
            process.send_signal(signal.SIGTERM)
            answered = 0
            for call in calls:
                try:
                    result = call.result()
                    codes = result["codes"].astype(np.uint8)[: len(images)] if isinstance(result, dict) else result
                    np.testing.assert_array_equal(codes, expected)
                    answered += 1
                except (UnavailableError, RejectedError) as error:
                    assert "ending" in str(error) or "refused" in str(error) or "reset" in str(error)
        assert process.wait(60) == 0 and answered
        with pytest.raises(UnavailableError):
            client.encode(images[:1])


def test_killed_and_started_again_the_client_goes_on(export, images, expected):
    with running(export) as (process, addresses):
        port = addresses["rest"].rsplit(":", 1)[1]
        client = HashingClient(addresses["rest"], attempts=12)
        np.testing.assert_array_equal(client.encode(images), expected)
        process.kill()
        process.wait()
        with ThreadPoolExecutor(1) as caller:
            call = caller.submit(client.encode, images)  # nobody is there yet
            with running(export, "--port", port):
                np.testing.assert_array_equal(call.result(), expected)


def test_a_slow_caller_holds_up_nobody(export, images, expected):
    with running(export, "--patience", 1) as (_, addresses):
        host, port = addresses["rest"].removeprefix("http://").split(":")
        slow = [socket.create_connection((host, int(port))) for _ in range(50)]
        for connection in slow:
            connection.sendall(b"POST /v1/models/dshgan:predict HTTP/1.1\r\nContent-Length: 1000\r\n\r\n{")
        np.testing.assert_array_equal(HashingClient(addresses["rest"], attempts=1).encode(images), expected)
        for connection in slow:  # the server lost its patience
            connection.settimeout(30)
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1000) == b""
            connection.close()


def test_an_oversized_body_is_refused_unread(export):
    with running(export) as (_, addresses):
        for length in ("1099511627776", "-1", "many", None):
            connection = http.client.HTTPConnection(addresses["rest"].removeprefix("http://"), timeout=30)
            connection.putrequest("POST", "/v1/models/dshgan:predict")
            if length is not None:
                connection.putheader("Content-Length", length)
            connection.endheaders()
            answer = connection.getresponse()
            assert answer.status == 413 and b"at most" in answer.read(), length
            connection.close()
            assert is_ready(addresses["rest"])


def nonsense(rng):
    """Bytes, JSON of another form, inputs of other names, shapes, kinds and depths."""
    odd = [
        None,
        True,
        "x",
        -1,
        1e308,
        [],
        {},
        [[1]],
        [[[[0]]]],
        {"b64": "!!"},
        [{"b64": "AA=="}],
        [[1], [2, 3]],
        "\ud800",
    ]
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randbytes(rng.randrange(200))
    if kind == 1:
        return json.dumps(rng.choice(odd)).encode()
    if kind == 2:
        return b"[" * rng.randrange(1, 20_000)
    names = ["images", "image_bytes", "x", ""]
    inputs = {rng.choice(names): rng.choice(odd) for _ in range(rng.randrange(3))}
    signature = rng.choice(["serving_default", "encode_bytes", "classify", "none", 3, None])
    return json.dumps({"signature_name": signature, "inputs": rng.choice([inputs, rng.choice(odd)])}).encode()


def test_thousands_of_malformed_requests(export, images, expected):
    rng = random.Random(0)
    with running(export, "--batching") as (process, addresses):
        client = HashingClient(addresses["rest"])
        client.encode(images)
        bodies = [nonsense(rng) for _ in range(REQUESTS)]
        before, refusals = psutil.Process(process.pid).memory_info().rss, []

        def send(part):
            connection = http.client.HTTPConnection(addresses["rest"].removeprefix("http://"), timeout=60)
            for body in part:
                connection.request("POST", "/v1/models/dshgan:predict", body)
                answer = connection.getresponse()
                answer.read()
                refusals.append(answer.status)

        with ThreadPoolExecutor(8) as callers:
            list(callers.map(send, (bodies[start::8] for start in range(8))))
        assert len(refusals) == REQUESTS and set(refusals) <= {400, 412}
        assert psutil.Process(process.pid).memory_info().rss - before < REQUESTS * LEAKED
        np.testing.assert_array_equal(client.encode(images), expected)
