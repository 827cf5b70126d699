"""A tiny index, its page, and images as they may be uploaded; for the tests of the page with a browser and without."""

import contextlib
import dataclasses
import io
import json
import re
import struct
import subprocess
import sys
import urllib.error
import urllib.request
import zlib

import pytest
from dshgan_tf.export.index_files import make_index
from dshgan_tf.training.presets import PRESETS
from dshgan_tf.training.runner import train_and_evaluate
from PIL import Image

import dshgan_tf as dsh
from dshgan_tf.run import Run
from dshgan_tf.search.image_index import ImageIndex
from dshgan_tf.search.index_update import update_from_folder

PROGRAM = [sys.executable, "-c", "from dshgan_tf.commands.main import entry; entry()", "demo"]


def digits_images():
    return dsh.data.load("digits").database.images


def png_of(image):
    file = io.BytesIO()
    Image.fromarray(image[..., 0]).save(file, "PNG")
    return file.getvalue()


def write_plots(splits, run, *_):
    """In the place of those of a run, which take longer than all the rest."""
    (run.path("plots")).mkdir()
    for name in ("learning_curves", "retrieval", "code_map"):
        Image.new("RGB", (600, 300), "#88aacc").save(run.path("plots") / f"{name}.png")


def make(folder):
    """Train a run of four steps into `folder`/run, and index 40 digits into `folder`/my.index."""
    config = dataclasses.replace(
        PRESETS["smoke"], method="dsh-gan", labels_per_class=10, num_bits=12, network=dsh.Network(width=4)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dshgan_tf.training.plots.draw_run", write_plots)
        patch.setattr("dshgan_tf.training.plots.draw_calibration", lambda *_: None)
        train_and_evaluate(config, folder / "run", verbose=0)
    make_index(Run(folder / "run"), folder / "my.index")
    (folder / "photos").mkdir()
    for number, image in enumerate(digits_images()[:40]):
        (folder / "photos" / f"{number:02d}.png").write_bytes(png_of(image))
    update_from_folder(ImageIndex(folder / "my.index", writable=True), folder / "photos")
    return folder


def bomb():
    """A PNG file of 60,000 x 60,000 pixels in a few bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))


def end_of(process):
    """Return the exit status. A page that does not end is killed, else who started it would wait for ever."""
    try:
        return process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


@contextlib.contextmanager
def serving(index, *flags, quiet=True):
    """Run `dshgan demo` on an index; its URL and the process. `quiet`: nothing goes wrong in it."""
    with subprocess.Popen([*PROGRAM, str(index), *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            lines = [process.stdout.readline().decode() for _ in range(2)]
            url = re.match(r"(http://127\.0\.0\.1:\d+/) ", lines[1])
            assert url, (lines, process.stderr.read().decode())
            yield url[1], process.pid
        finally:
            process.terminate()
            assert end_of(process) == 0
        assert not quiet or process.stderr.read() == b""


class Client:
    """Talks to the page as the browser does, without one."""

    def __init__(self, url):
        self.url = url
        self.config = json.loads(self.get("config")[1])

    def get(self, path, data=None, **headers):
        """Return status and body."""
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def upload(self, name, contents):
        """Send a file; the path under which the page keeps it."""
        body = b"".join(
            (
                b'--edge\r\nContent-Disposition: form-data; name="files"; filename="',
                name.encode(),
                b'"\r\nContent-Type: image/png\r\n\r\n',
                contents,
                b"\r\n--edge--\r\n",
            )
        )
        status, answer = self.get("gradio_api/upload", body, **{"Content-Type": "multipart/form-data; boundary=edge"})
        return json.loads(answer)[0] if status == 200 else status

    def search(self, path, session="s"):
        """Search with a file that was uploaded; what the page answers, as text."""
        (event,) = [item for item in self.config["dependencies"] if item["targets"][0][1] == "upload"]
        data = [{"path": path, "meta": {"_type": "gradio.FileData"}}, 5, 12]
        body = {"data": data, "fn_index": event["id"], "session_hash": session}
        status, _ = self.get("gradio_api/queue/join", json.dumps(body).encode(), **{"Content-Type": "application/json"})
        assert status == 200
        _, answer = self.get(f"gradio_api/queue/data?session_hash={session}")
        return answer.decode()
