"""The installed package works outside the checkout, and installs one name."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CODE = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
for name in ("training.runner", "export.run", "data", "search.image_index", "commands.main", "models.dshgan"):
    module = importlib.import_module(f"dshgan_tf.{name}")
    assert module.__file__.startswith(sys.argv[1]), module.__file__
for name in ("training", "export", "tests"):
    assert importlib.util.find_spec(name) is None, name
"""


def pip(*arguments):
    subprocess.run([sys.executable, "-m", "pip", *map(str, arguments)], check=True, capture_output=True)


@pytest.mark.parametrize("form", ["checkout", "sdist"])
def test_installed_packages_import_outside_the_checkout(form, tmp_path):
    source = ROOT
    if form == "sdist":
        code = "import sys, setuptools.build_meta as m; print(m.build_sdist(sys.argv[1]))"
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, cwd=ROOT)
        source = next(tmp_path.glob("*.tar.gz"))
    pip("install", "--quiet", "--no-deps", "--target", tmp_path / "site", source)
    # -I: neither the current directory nor PYTHONPATH; the checkout is not on the path.
    subprocess.run([sys.executable, "-I", "-c", CODE, str(tmp_path / "site")], check=True, cwd=tmp_path)
    site = tmp_path / "site"
    assert (site / "bin" / "dshgan").exists()
    assert {path.name.split("-")[0] for path in site.iterdir()} == {"bin", "dshgan_tf"}
    for name in (
        "serving/models.config",
        "serving/docker-compose.yml",
        "edge/requirements.txt",
        "edge/README.md",
        "edge/HashImage.kt",
        "microcontroller/hash_image.cc",
        "web/index.html",
        "web/encoder.d.ts",
    ):
        assert (site / "dshgan_tf" / "export" / name).exists(), name


def test_the_editable_install_has_one_name_too(tmp_path):
    code = "import dshgan_tf.training.runner, dshgan_tf.export.run, importlib.util as u; "
    code += "assert u.find_spec('training') is None and u.find_spec('export') is None"
    subprocess.run([sys.executable, "-I", "-c", code], check=True, cwd=tmp_path)
