"""The faults of benchmarks/mutants.py still have a place in the library; whether tests catch them takes an hour."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_mutant_changes_one_place():
    spec = importlib.util.spec_from_file_location("mutants", ROOT / "benchmarks" / "mutants.py")
    mutants = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mutants)
    for file, old, new in mutants.MUTANTS:
        assert (ROOT / "dshgan_tf" / file).read_text().count(old) == 1 and old != new, (file, old)
