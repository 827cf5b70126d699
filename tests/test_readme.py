"""The README's Python runs, its commands exist, and its files are there."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_python_of_the_readme_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) >= 2
    shortened = "\n".join(blocks).replace("epochs=50", "epochs=1").replace("epochs=20", "epochs=1")
    assert shortened.count("epochs=1") == 2
    subprocess.run([sys.executable, "-c", shortened], check=True, cwd=tmp_path)
    assert (tmp_path / "digits.keras").exists() and (tmp_path / "digits.index").exists()


def test_the_commands_of_the_readme_exist():
    setup = (ROOT / "setup.py").read_text()
    for command in set(re.findall(r"dshgan-[a-z]+", README)):
        assert f'"{command}=' in setup, command
    for target in set(re.findall(r"make ([a-z]+)\b", README)):
        assert f"\n{target}:" in (ROOT / "Makefile").read_text(), target


def test_the_files_of_the_readme_exist():
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        if not link.startswith("http"):
            assert (ROOT / link).exists(), link
