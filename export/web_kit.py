"""Write a folder that hashes pictures in a browser: encoders for one image, LiteRT.js, a module and a page."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from dshgan_tf.export.edge_folder import edge_folder
from dshgan_tf.export.held_out import Check, HeldOut
from dshgan_tf.export.model_card import ModelCard
from dshgan_tf.export.tflite import write_encoders

import dshgan_tf as dsh
from dshgan_tf.errors import InputError

VARIANTS = ("float32", "int8")
VERSION = "2.5.3"  # of LiteRT.js, whose codes were compared with LiteRT's
CORE, HELPER = "@litertjs/core", "@litertjs/wasm-utils"
# For browsers with and without relaxed SIMD, and for pages that may use threads.
RUNTIMES = ("litert_wasm_internal", "litert_wasm_compat_internal", "litert_wasm_threaded_internal")
PAGE = ("LICENSE.litert", "README.md", "encoder.d.ts", "encoder.js", "index.html", "page.js", "pixels.js")
PAGE += ("store.js", "style.css")


def export_web(
    model: dsh.DSHGAN,
    output: Path,
    held_out: HeldOut,
    about: dict[str, Any],
    card: ModelCard | None = None,
    litert_js: Path | None = None,
) -> list[Check]:
    """Export a folder for a web server.

    All is made and checked under a temporary name: an encoder below its floor leaves nothing behind.

    Args:
        model: the trained model.
        output: folder; made where it is missing.
        held_out: images to compare codes on, and those that set int8's ranges.
        about: what the sidecars say beside the facts of the model.
        card: of the run; None writes no model card.
        litert_js: a folder `node_modules` that holds LiteRT.js; None has npm fetch it.

    Returns:
        The comparison of each encoder with Keras, run by LiteRT on this machine.

    Raises:
        InputError: no LiteRT.js, or another version.
        ExportError: as `export_tflite`.
    """
    with edge_folder(output, "browsers") as folder:
        _copy_litert_js(litert_js or _fetched(folder.scratch), folder.made)  # first, since it may be missing
        checks = write_encoders(model, folder, held_out, about, VARIANTS, batch_size=1)
        for name in PAGE:
            text = (Path(__file__).parent / "web" / name).read_text()
            (folder.made / name).write_text(text.replace("{version}", VERSION))
        folder.publish(checks, card)
    return checks


def _fetched(folder: Path) -> Path:
    """Have npm fetch LiteRT.js."""
    remedy = f"install npm, or give --litert-js node_modules after 'npm install {CORE}@{VERSION}'"
    if (npm := shutil.which("npm")) is None:
        raise InputError(f"LiteRT.js comes by npm, which is not there; {remedy}")
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    command = [npm, "install", *quiet, "--prefix", str(folder), f"{CORE}@{VERSION}", f"{HELPER}@{VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InputError(f"npm cannot fetch LiteRT.js ({done.stderr.strip()[:300]}); {remedy}")
    return folder / "node_modules"


def _copy_litert_js(modules: Path, made: Path) -> None:
    """Copy what a page needs of LiteRT.js. Its one import of another package becomes that of a file beside it."""
    for package in (CORE, HELPER):
        try:
            version = json.loads((modules / package / "package.json").read_text())["version"]
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{modules} does not hold {package} ({error}); give a folder node_modules") from error
        if version != VERSION:
            raise InputError(
                f"{modules} holds {package} {version}; {VERSION} was tested: npm install {package}@{VERSION}"
            )
    try:
        core = (modules / CORE / "dist" / "index.js").read_text()
        (made / "litert.js").write_text(_unmapped(core.replace(f'"{HELPER}"', '"./litert_wasm_utils.js"')))
        helper = (modules / HELPER / "dist" / "index.js").read_text()
        (made / "litert_wasm_utils.js").write_text(_unmapped(helper))
        for name in RUNTIMES:
            for ending in ("js", "wasm"):
                shutil.copy(modules / CORE / "wasm" / f"{name}.{ending}", made)
    except FileNotFoundError as error:
        raise InputError(f"LiteRT.js lacks a file ({error}); npm install {CORE}@{VERSION} again") from error


def _unmapped(script: str) -> str:
    """Drop the line that names a source map, which is not copied."""
    return "\n".join(line for line in script.splitlines() if not line.startswith("//# sourceMappingURL=")) + "\n"
