"""Codes of a browser beside those of LiteRT, for pictures of a folder: by PNG pixels and by the browser's JPEG decoder.

    python benchmarks/browser.py KIT PICTURES [--images 200]

KIT is a folder of `dshgan export --format web`. It needs Debian's chromium and `requirements-browser.txt`.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import functools
import http.server
import io
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.table import Table

import dshgan_tf as dsh
from dshgan_tf.images import picture_files, preprocessing
from dshgan_tf.images.find_images import find_images
from dshgan_tf.search.litert_encoder import LiteRTEncoder

HASH = """async ([variant, files]) => {
  const {Encoder} = await import("./encoder.js");
  window.encoders ??= {};
  const encoder = (window.encoders[variant] ??= await Encoder.load(variant));
  const answers = [];
  for (const [type, text] of files) {
    const blob = new Blob([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], {type});
    const start = performance.now();
    const code = await encoder.encode(blob);
    const whole = performance.now() - start;
    const [height, width, channels] = encoder.imageShape, pixels = new Uint8Array(height * width * channels);
    const before = performance.now();
    await encoder.run(pixels);
    answers.push([Array.from(code), whole, performance.now() - before]);
  }
  return answers;
}"""


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Python's own server of files, without its log."""

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def served(folder: Path, isolated: bool = False) -> Iterator[str]:
    """Serve a folder on loopback.

    Args:
        folder: of the kit.
        isolated: send the headers that let a page use threads.

    Yields:
        Its address.
    """

    class Handler(QuietHandler):
        def end_headers(self) -> None:
            if isolated:
                self.send_header("Cross-Origin-Opener-Policy", "same-origin")
                self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
            super().end_headers()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def opened(url: str) -> Iterator[Page]:
    """Open a page in Debian's chromium. At the end nothing was asked of another machine, and no script failed."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page, hosts, failed = browser.new_page(viewport={"width": 1100, "height": 900}), set(), []
        page.on("request", lambda request: hosts.add(urlparse(request.url).hostname))
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.goto(url)
        yield page
        browser.close()
        assert hosts - {None} == {"127.0.0.1"}, hosts
        assert not failed, failed


def hashed(page: Page, variant: str, files: Sequence[tuple[str, bytes]]) -> tuple[np.ndarray, dict[str, float]]:
    """Hash files in the browser, each by the module's `encode`.

    Args:
        page: of the kit.
        variant: "int8" or "float32".
        files: type ("image/png") and contents of each.

    Returns:
        (N, ceil(K/8)) uint8, and median milliseconds of all that `encode` does and of the network alone.
    """
    answers: list[Any] = []
    for start in range(0, len(files), 20):
        some = [[kind, base64.b64encode(data).decode()] for kind, data in files[start : start + 20]]
        answers += page.evaluate(HASH, [variant, some])
    times = {
        "whole": float(np.median([row[1] for row in answers])),
        "network": float(np.median([r[2] for r in answers])),
    }
    return np.array([row[0] for row in answers], np.uint8), times


def png(pixels: np.ndarray) -> bytes:
    """Write (H, W, C) uint8 pixels as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kit", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--images", type=int, default=200)
    options = parser.parse_args()
    paths = list(find_images(options.pictures)[0].values())
    paths = [paths[i] for i in np.random.default_rng(0).permutation(len(paths))[: options.images]]
    table = Table("encoder", "from", "pictures", "bits", "differ", "pictures that differ", "ms, all", "ms, network")
    with served(options.kit) as url, opened(url) as page:
        for variant in ("float32", "int8"):
            encoder = LiteRTEncoder(options.kit / f"encoder_{variant}.tflite", threads=1)
            whole = [np.asarray(picture_files.open_picture(path).convert("RGB")) for path in paths]
            small = [picture_files.read_image(path, encoder.image_shape) for path in paths]
            expected = encoder.encode(preprocessing.to_uint8(np.stack(small)))
            kinds = {
                "PNG, the encoder's size": [("image/png", png(preprocessing.to_uint8(image))) for image in small],
                "PNG, the picture's size": [("image/png", png(image)) for image in whole],
                "the file": [("image/jpeg", Path(path).read_bytes()) for path in paths],
            }
            for name, files in kinds.items():
                codes, times = hashed(page, variant, files)
                bits = dsh.codes.unpack(codes ^ expected, len(codes[0]) * 8)
                counts = [len(files), bits.size, int(bits.sum()), int(bits.any(axis=1).sum())]
                table.add_row(variant, name, *map(str, counts), f"{times['whole']:.1f}", f"{times['network']:.1f}")
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
