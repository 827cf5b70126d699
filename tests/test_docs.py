"""The site builds without a warning and without the network, asks no other machine, and tells of every public name."""

import html.parser
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import dshgan_tf as dsh
from dshgan_tf.commands.main import SUBCOMMANDS

ROOT = Path(__file__).parent.parent
PAGES = {path.relative_to(ROOT / "docs").as_posix(): path.read_text() for path in sorted((ROOT / "docs").rglob("*.md"))}
BUILD = """
import socket
def refuse(*_):
    raise OSError("the build must not ask the network")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from mkdocs.__main__ import cli
cli()
"""
# What a browser fetches by itself, beside links that a reader follows.
FETCHED = {"script": "src", "img": "src", "source": "src", "iframe": "src", "link": "href", "use": "href"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs") / "site"
    built = subprocess.run(
        [sys.executable, "-c", BUILD, "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "DSHGAN_RUN_TUTORIALS": "0"},  # tests/test_tutorials.py runs them
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    return folder


class Fetched(html.parser.HTMLParser):
    """Collects addresses of scripts, styles, fonts and pictures, and ids of elements."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.ids = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids.add(attributes.get("id"))
        if tag in FETCHED and attributes.get("rel") != "canonical":
            self.addresses.append(attributes.get(FETCHED[tag]) or "")


def test_no_page_fetches_from_another_machine(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) >= len(PAGES)
    for page in pages:
        addresses = Fetched(page.read_text()).addresses
        assert addresses
        for address in addresses:
            assert not re.match(r"(https?:)?//", address), (page, address)
    for style in site.rglob("*.css"):
        for address in re.findall(r"url\(([^)]*)\)|@import\s+([^;]*)", style.read_text()):
            assert not re.match(r"[\"']?(https?:)?//", "".join(address)), (style, address)


def test_every_page_is_in_the_navigation(site):
    navigation = (ROOT / "mkdocs.yml").read_text().split("\nnav:")[1]
    assert sorted(re.findall(r"[\w/]+\.md", navigation)) == sorted(PAGES)
    for page in PAGES:
        assert (site / page).with_suffix(".html").exists()


def test_every_public_name_is_in_the_reference(site):
    told = set().union(*(Fetched(page.read_text()).ids for page in (site / "reference").glob("*.html")))
    assert {f"dshgan_tf.{name}" for name in dsh.__all__} <= told
    for part in ("callbacks", "data", "losses", "retrieval"):
        module = importlib.import_module(f"dshgan_tf.{part}")
        for name in module.__all__:
            if callable(getattr(module, name)):  # constants are told where they are used
                assert told & {f"dshgan_tf.{part}.{name}", f"dshgan_tf.{part}.{name}.{name}"}, (part, name)


def test_every_command_of_the_pages_exists():
    for name, text in PAGES.items():
        for command in re.findall(r"(?:`|^|\n|  )dshgan ([a-z][a-z-]*)", text):
            assert command in SUBCOMMANDS, (name, command)
        for target in re.findall(r"`make ([a-z-]+)\b", text):
            assert f"\n{target}:" in (ROOT / "Makefile").read_text(), (name, target)
        for script in re.findall(r"`?(?:python )?((?:benchmarks|tests)/\w+\.py)", text):
            assert (ROOT / script).exists(), (name, script)
        for module in re.findall(r"`(dshgan_tf/[\w/]+\.py)`", text):
            assert (ROOT / module).exists(), (name, module)


def test_the_python_of_the_pages_runs(tmp_path):
    blocks = [
        block
        for name, text in PAGES.items()
        if not name.startswith("tutorials/")
        for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    ]
    assert len(blocks) >= 2
    shortened = "\n".join(blocks).replace("epochs=20", "epochs=1")
    subprocess.run([sys.executable, "-c", shortened], check=True, cwd=tmp_path)
