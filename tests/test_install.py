"""The installed package works outside the checkout."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_installed_packages_import_outside_the_checkout(tmp_path):
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(tmp_path / "site"),
        str(ROOT),
    ]
    subprocess.run(command, check=True, capture_output=True)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "import dshgan_tf, training, export, training.runner, export.run, dshgan_tf.data, dshgan_tf.search.image_index;"
        "import dshgan_tf.commands.main;"
        "assert all(m.__file__.startswith(sys.argv[1]) for m in (dshgan_tf, training, export, dshgan_tf.data))"
    )
    # -I: neither the current directory nor PYTHONPATH; the checkout is not on the path.
    subprocess.run([sys.executable, "-I", "-c", code, str(tmp_path / "site")], check=True, cwd=tmp_path)
    assert (tmp_path / "site" / "bin" / "dshgan").exists()
    for name in ("serving/models.config", "serving/docker-compose.yml", "edge/requirements.txt", "edge/README.md"):
        assert (tmp_path / "site" / "export" / name).exists(), name
