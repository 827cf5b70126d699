"""Imports go from programs to the library, and importing the library loads nothing that it may not need."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Where a package lies in the repository.
PACKAGES = {"dshgan_tf": "dshgan_tf", "dshgan_tf.training": "training", "dshgan_tf.export": "export"}
PROGRAMS = tuple(f"dshgan_tf.{name}" for name in ("training", "export", "commands", "demo"))
RUN = "dshgan_tf.run"  # the folder of a run: programs alone know it
CONTRACT = {"dshgan_tf.retrieval.evaluation.evaluate"}  # its ten parameters are the library's contract


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
    for package, folder in PACKAGES.items():
        for path in (ROOT / folder).rglob("*.py"):
            parts = (package, *path.relative_to(ROOT / folder).with_suffix("").parts)
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
            assert name == RUN or not [found for found in imports(path) if found.startswith(RUN)], name


def lines_of_code(function):
    """Lines of a function without those of its docstring."""
    first = function.body[0]
    documented = first.end_lineno - first.lineno + 1 if ast.get_docstring(function) else 0
    return function.end_lineno - function.lineno + 1 - documented


def test_the_listing_tells_the_architecture():
    """No module is over 300 lines, no function over 50, and none but a constructor takes more than 7 parameters."""
    for name, path in modules():
        text = path.read_text()
        assert len(text.splitlines()) <= 300, name
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                count = len([argument for argument in arguments if argument.arg not in ("self", "cls")])
                assert lines_of_code(node) <= 50, f"{name}.{node.name}"
                assert count <= 7 or node.name == "__init__" or f"{name}.{node.name}" in CONTRACT, f"{name}.{node.name}"


@pytest.mark.parametrize(("package", "other"), [("training", "export"), ("export", "training")])
def test_programs_do_not_import_each_other(package, other):
    for path in (ROOT / package).rglob("*.py"):
        assert not [name for name in imports(path) if name.startswith(f"dshgan_tf.{other}")], path


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
