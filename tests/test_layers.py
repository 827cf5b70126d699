"""Imports go leftwards only, and importing the library loads nothing that it may not need."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

LAYERS = [
    {"files"},
    {"config", "codes", "losses", "batch_losses", "preprocessing", "decoding"},
    {
        "networks",
        "backbones",
        "normalization",
        "augmentation",
        "averaging",
        "schedules",
        "replicas",
        "pseudo_labels",
        "terms",
        "optimizers",
    },
    {"data", "retrieval", "pairs", "ranking", "counting", "metrics", "code_statistics"},
    {"deployed", "saving", "fitting", "non_finite", "tracking"},
    {"model", "callbacks", "index", "watchdogs"},
    {"__init__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_library_imports_leftwards():
    for path in (ROOT / "dshgan_tf").rglob("*.py"):
        parts = path.relative_to(ROOT / "dshgan_tf").parts
        own = parts[0].removesuffix(".py")
        for name in imports(path):
            top, *rest = name.split(".")
            assert top not in ("training", "export"), f"{path} imports {name}"
            if top == "dshgan_tf" and rest and rest[0] in LEVEL:
                assert LEVEL[rest[0]] <= LEVEL[own], f"{path} imports {name} from a later layer"


def test_every_module_has_a_layer():
    modules = {path.name.removesuffix(".py") for path in (ROOT / "dshgan_tf").iterdir() if path.name != "__pycache__"}
    assert modules == set(LEVEL)


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
