"""Imports go go from programs to the library, and importing the library loads nothing that it may not need."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

PROGRAMS = ("training", "export", "dshgan_tf.commands", "dshgan_tf.demo")
PACKAGES = ("dshgan_tf", "training", "export")


def is_for_types(node):
    return isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"


def imports(path, at_once=False):
    """What a file imports; `at_once` leaves out what functions import and what is for types alone."""
    waiting = list(ast.parse(path.read_text()).body)
    while waiting:
        node = waiting.pop()
        if at_once and (is_for_types(node) or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        waiting += ast.iter_child_nodes(node)


def modules():
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def home(name, known):
    """The module that an imported name is of."""
    while name not in known and "." in name:
        name = name.rpartition(".")[0]
    return name


def test_imports_have_no_circles():
    known = dict(modules())
    graph = {name: {home(found, known) for found in imports(path, at_once=True)} for name, path in known.items()}
    graph = {name: {found for found in others if found in known} - {name} for name, others in graph.items()}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


def test_the_library_imports_no_program():
    for name, path in modules():
        if not name.startswith(PROGRAMS):
            assert not [found for found in imports(path) if found.startswith(PROGRAMS)], name


@pytest.mark.parametrize(("package", "other"), [("training", "export"), ("export", "training")])
def test_programs_do_not_import_each_other(package, other):
    for path in (ROOT / package).rglob("*.py"):
        assert not [name for name in imports(path) if name.split(".")[0] == other], path


def test_import_is_light():
    heavy = (
        "tensorflow",
        "keras",
        "matplotlib",
        "gradio",
        "faiss",
        "tensorflow_datasets",
        "numba",
        "sklearn",
        "PIL.Image",
    )
    code = f"import sys, dshgan_tf; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
