"""The tutorials run from the first cell to the last, and show results."""

import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))


def load_hooks():
    spec = importlib.util.spec_from_file_location("docs_hooks", DOCS / "hooks.py")
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    return hooks


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs(tutorial, tmp_path):
    hooks = load_hooks()
    page = hooks.as_markdown(hooks.run(tutorial, tmp_path))
    printed = "\n".join(re.findall(r"```text \{ \.output \}\n(.*?)\n```", page, flags=re.DOTALL))
    assert page.count("data:image/png;base64,") >= 2
    assert page.startswith("# ") and "%%" not in page
    check = {"first_codes": check_first_codes, "photos": check_photos}[tutorial.stem]
    check(printed)


def check_first_codes(printed):
    # Sixteen epochs, one label a class: 0.65 to 0.85 seen; the labels alone have 0.57 after all steps, chance 0.10.
    assert float(re.search(r"MAP (\d\.\d+)", printed)[1]) > 0.4
    assert "same codes: True" in printed


def check_photos(printed):
    # Two photos are easy: the MAP is the seventh column of the table, chance is 0.5.
    row = next(line for line in printed.splitlines() if "no synthetic images" in line)
    assert float(row.split("|")[7]) > 0.8
    assert "440 images" in printed and "within 2 bits" in printed
