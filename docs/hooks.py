"""Run the tutorials when the site is built, and show what they printed and drew.

A tutorial is a notebook in jupytext's Markdown: it has a kernel in its head, and is a page as it stands.
`DSHGAN_RUN_TUTORIALS=0` shows the pages without their outputs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page
from nbclient import NotebookClient

TUTORIALS = Path(__file__).parent / "tutorials"
SECONDS = 600  # that one cell may take
KERNEL = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "OMP_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTRAOP_THREADS": "1",
    "COLUMNS": "130",
    "PYTHONIOENCODING": "ascii:replace",  # IPython hands on a shell's output in pieces, and cuts longer characters
}
SHELL = "%%bash\n"
COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def run(tutorial: Path, folder: Path) -> nbformat.NotebookNode:
    """Run a tutorial in a folder of its own.

    Args:
        tutorial: the Markdown file.
        folder: where it writes what it makes.

    Returns:
        The notebook with its outputs.

    Raises:
        CellExecutionError: a cell failed.
    """
    notebook = jupytext.read(tutorial)
    programs = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {**os.environ, **KERNEL, "PATH": programs, "XDG_CACHE_HOME": str(folder / "cache")}
    client = NotebookClient(
        notebook, timeout=SECONDS, coalesce_streams=True, resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env=environment, stderr=subprocess.DEVNULL)  # what TensorFlow logs as it starts
    return notebook


def as_markdown(notebook: nbformat.NotebookNode) -> str:
    """Return the cells of a notebook as Markdown, each with its outputs below it."""
    parts = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        elif cell.cell_type == "code":
            shell = cell.source.startswith(SHELL)
            parts.append(f"```{'sh' if shell else 'python'}\n{cell.source.removeprefix(SHELL)}\n```")
            parts += [shown for output in cell.outputs if (shown := show(output))]
    return "\n\n".join(parts) + "\n"


def show(output: Any) -> str:
    """Return one output as Markdown: a picture, or what was printed; nothing for what the libraries log."""
    data = output.get("data", {})
    if "image/png" in data:
        picture = "".join(data["image/png"].split())
        return f"![What the cell drew](data:image/png;base64,{picture}){{ .output }}"
    text = output.get("text", "") if output.get("name") == "stdout" else data.get("text/plain", "")
    lines = [line.rstrip() for line in COLOURS.sub("", text).replace("\r\n", "\n").splitlines()]
    printed = "\n".join(lines).strip("\n")
    return f"```text {{ .output }}\n{printed}\n```" if printed else ""


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Show a tutorial with its outputs (called by MkDocs for every page)."""
    tutorial = Path(page.file.abs_src_path)
    if tutorial.parent != TUTORIALS or os.environ.get("DSHGAN_RUN_TUTORIALS", "1") == "0":
        return markdown
    with tempfile.TemporaryDirectory() as folder:
        return as_markdown(run(tutorial, Path(folder)))
