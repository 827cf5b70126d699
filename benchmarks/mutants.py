"""Would the tests have caught it? Faults put into the losses and the training step, one at a time.

    python benchmarks/mutants.py [--only WORD]

Each mutant is a copy of the library with one line changed. The tests of losses, players and model run on it until one
fails. A mutant that survives is printed; unless it is explained, the program ends with status 1. About 20 seconds a
mutant and core. On 2026-11-27 75 of 76 were caught, and the other one is explained. Of the later ones those of the
generator's terms, the anchors and the first stage were run on 2026-11-30, and caught.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
# The quick ones first; the others where these pass.
TESTS = (("tests/test_players.py", "tests/test_losses.py"), ("tests/test_model.py", "tests/test_watchdogs.py"))
TESTS_OF_FEATURES = (("tests/test_teacher.py",), ("tests/test_features.py",))
PUBLISHED, ADDITIONS, PLAYERS = (f"losses/{name}.py" for name in ("published", "additions", "players"))
STEP, AVERAGING, OBJECTIVE = "models/alternating_training.py", "models/averaging.py", "config/objective.py"
BATCH, BALANCE, DIVERSITY = (f"losses/{name}.py" for name in ("batch_triplets", "balance", "diversity"))
SIMILARITY, GENERATOR = "losses/similarity.py", "models/generator.py"
GRAPH, SPREADING = "teacher/nearest_graph.py", "teacher/label_spreading.py"
SEVERAL, ONE = "teacher/several_labels.py", "teacher/one_label.py"
LINEAR, FREQUENCY = "teacher/linear_classifier.py", "teacher/class_frequency.py"
PSEUDO, SCHEDULE, PLAYER = "losses/pseudo_labels.py", "models/warmup_linear_decay.py", "models/player.py"

# File, what stands there, what the fault puts in its place.
MUTANTS = [
    # The five faults that once passed every test.
    (PUBLISHED, "positives, negatives = ops.split(synthetic.relaxed_codes, 2)\n    triplets = triplet_loss(anchors,",
     "negatives, positives = ops.split(synthetic.relaxed_codes, 2)\n    triplets = triplet_loss(anchors,"),
    (PUBLISHED, "Term(objective.triplet_weight, triplets),\n        \"adversary_loss\"",
     "Term(7 * objective.triplet_weight, triplets),\n        \"adversary_loss\""),
    (PUBLISHED, "return -ops.softplus(logits)", "return ops.softplus(logits)"),
    (STEP, "ops.minimum(ops.cast(self.steps, \"float32\") / length, 1.0)",
     "1.0 - ops.minimum(ops.cast(self.steps, \"float32\") / length, 1.0)"),
    (OBJECTIVE, "num_bits / 4)", "num_bits / 40)"),
    # The published losses.
    (PUBLISHED, "margin - squared_distance(anchor, negative) +", "margin + squared_distance(anchor, negative) -"),
    (PUBLISHED, "ops.sum(ops.square(a - b), axis=-1)", "ops.mean(ops.square(a - b), axis=-1)"),
    (PUBLISHED, "ops.relu(margin - squared", "(margin - squared"),
    (PUBLISHED, "ops.softplus(-logits if real else logits)", "ops.softplus(logits if real else -logits)"),
    (PUBLISHED, "return ops.softplus(-logits)\n", "return ops.softplus(logits)\n"),
    (PUBLISHED, "ops.softplus(logits) - labels * logits", "ops.softplus(logits) + labels * logits"),
    (PUBLISHED, "-ops.sum(known * labels * ops.log_softmax", "-ops.sum(labels * ops.log_softmax"),
    (PUBLISHED, "(real + positive + negative) / 3", "(real + positive + negative) / 2"),
    (PUBLISHED, "unlabeled.adversary_logits, real=True))) / 2", "unlabeled.adversary_logits, real=False))) / 2"),
    (PUBLISHED, "adversary_loss(batch.synthetic.adversary_logits, real=False)",
     "adversary_loss(batch.synthetic.adversary_logits, real=True)"),
    (PUBLISHED, "triplets = triplet_loss(anchor_codes, positives, negatives",
     "triplets = triplet_loss(anchor_codes, negatives, positives"),
    (PUBLISHED, "real.relaxed_codes[:: objective.anchor_stride]",
     "real.relaxed_codes[: synthetic.labels.shape[0] // 2]"),
    (PUBLISHED, "\"generator_adversary_loss\": Term(objective.generator_adversary_weight",
     "\"generator_adversary_loss\": Term(-objective.generator_adversary_weight"),
    (PUBLISHED, "\"synthetic_classification_loss\": Term(objective.synthetic_classification_weight",
     "\"synthetic_classification_loss\": Term(objective.classification_weight"),
    # What the recipe adds.
    (ADDITIONS, "Term(objective.pseudo_label_weight * weight, values)", "Term(weight + 1, values)"),
    (ADDITIONS, "loss(unlabeled, [everyone.real, everyone.unlabeled])", "loss(unlabeled, [everyone.real])"),
    (ADDITIONS, "return ops.mean(everyone.unlabeled.known)", "return 1 - ops.mean(everyone.unlabeled.known) / 2"),
    (ADDITIONS, "multi_label, unlabeled.known)", "multi_label)"),
    (GENERATOR, "return images / HALF_RANGE", "return images"),
    (PLAYERS, "scale(terms, RESTS_ON_PSEUDO_LABELS, task.ramp)", "scale(terms, RESTS_ON_PSEUDO_LABELS, 1.0)"),
    (PLAYERS, "scale(terms, RESTS_ON_SYNTHETIC_IMAGES, objective.synthetic_weight)", "dict(terms)"),
    (PLAYERS, "task.ramp * additions.confident_share", "additions.confident_share"),
    (PLAYERS, "    terms |= additions.diversity(*made, task.objective)\n", ""),
    (BALANCE, "2 * ops.mean(relaxed_codes, axis=0) - 1", "ops.mean(relaxed_codes, axis=0) - 1"),
    (BALANCE, "divergence(1 - mean, 1 - prior)", "divergence(1 - mean, prior)"),
    (DIVERSITY, "apart > 1e-4", "apart > -1"),
    (DIVERSITY, "ops.maximum(ops.sum(same, axis=-1), 1)", "2"),
    (PSEUDO, "confidence >= ops", "confidence <= ops"),
    (PSEUDO, "ops.maximum(probabilities, 1 - probabilities)", "probabilities"),
    (BATCH, "side=\"left\"", "side=\"right\""),
    (BATCH, "common > 0.5", "common > 1.5"),
    (BATCH, "margin * shares if graded", "margin if graded"),
    (BATCH, "ops.logical_and(labelled, apart)", "apart"),
    (BATCH, "loss / ops.maximum(ops.sum(count, axis=-1), 1)", "loss / ops.maximum(ops.sum(similar, axis=-1), 1)"),
    # The step.
    (STEP, "ops.concatenate([self.anchors(data[\"label\"]), self.anchors(data[\"negative_label\"])])",
     "ops.concatenate([self.anchors(data[\"negative_label\"]), self.anchors(data[\"label\"])])"),
    (STEP, "with frozen_statistics(self.generator), frozen_statistics(encoder):", "with frozen_statistics(encoder):"),
    (STEP, "            with frozen_statistics(self.encoder):\n", "            if True:\n"),
    (STEP, "for _ in range(self.objective.encoder_steps):", "for _ in range(1):"),
    (STEP, "        self.steps.assign_add(1)\n", "        self.steps.assign_add(2)\n"),
    (STEP, "return self.average_encoder.streams(images, training=False)",
     "return self.encoder.streams(images, training=False)"),
    (STEP, "hole=self.objective.cut_labeled", "hole=True"),
    (STEP, "if self.generator is None or not self.objective.gan_share:", "if not self.objective.gan_share:"),
    (STEP, ">= first_stage", "> first_stage"),
    (STEP, "source = self.seed_generator if training else self.test_seed_generator", "source = self.seed_generator"),
    (AVERAGING, "keep * before + (1 - keep)", "(1 - keep) * before + keep"),
    (AVERAGING, "step / (step + 10.0)", "step / (step + 1.0)"),
    (SCHEDULE, "(1.0 - self.final) *", "self.final *"),
    (SCHEDULE, "tf.minimum(rise, fall)", "rise"),
    (PLAYER, "        undo(before, broken)\n", ""),
    # A frozen trunk: the teacher, what is learnt of it, and the generator of features.
    (SIMILARITY, "ops.square(alike -", "ops.abs(alike -"),
    (SIMILARITY, "2 * codes - 1, 2 * other_codes - 1", "codes, other_codes"),
    (SIMILARITY, "/ codes.shape[-1]", "* 1.0"),
    (SIMILARITY, "1 - ops.exp(-likeness)", "ops.minimum(likeness, 1.0)"),
    (PSEUDO, "(1 - own_share) * ops.cast(taught, own.dtype) + own_share * own",
     "own_share * ops.cast(taught, own.dtype) + (1 - own_share) * own"),
    (PSEUDO, "square = ops.square(mixed)", "square = mixed"),
    (STEP, "< self.total_steps, 0.0, 0.5)", "> self.total_steps, 0.0, 0.5)"),
    (OBJECTIVE, "5.0 if taught else 0.0", "0.0 if taught else 0.0"),
    (GENERATOR, "return images / ops.cast(", "return images * ops.cast("),
    (GENERATOR, "set_weights([deviation, mean,", "set_weights([variance, mean,"),
    (GRAPH, "rooted -= rooted.mean(axis=0)\n", "pass\n"),
    (GRAPH, "    np.sqrt(rooted, out=rooted)", "    pass"),
    (GRAPH, "graph = directed + directed.T", "graph = directed"),
    (GRAPH, "scale @ graph @ scale", "scale @ graph"),
    (SPREADING, "- rest * graph", "- graph / 2"),
    (SPREADING, "frequency / np.maximum(mass.sum(axis=0), 1e-12)", "frequency"),
    (SPREADING, "for _ in range(rounds):", "for _ in range(0):"),
    (SPREADING, "np.argsort(-probabilities[members", "np.argsort(probabilities[members"),
    (SEVERAL, "[absent, present]", "[present, absent]"),
    (SEVERAL, "spread(graph, labels, REST)", "spread(graph, labels)"),
    (SEVERAL, "(spreading + classify_each_label(rows, labels)) / 2", "spreading"),
    (SEVERAL, "1 - labels, 0)", "1 - labels, 1)"),
    (ONE, "(probabilities + classify(rows, labels)) / 2", "probabilities"),
    (ONE, "known.sum() >= MANY_LABELS", "known.sum() > MANY_LABELS"),
    (ONE, "        probabilities[known] = labels[known]", "        pass"),
    (LINEAR, "probabilities[:, model.classes_] =", "probabilities[:, : len(model.classes_)] ="),
    (FREQUENCY, "members[fold::FOLDS]", "members[:1]"),
    (FREQUENCY, "kept[held] = 0", "pass"),
    (FREQUENCY, "PULL / counts.min()", "0.0"),
    (FREQUENCY, "counts.min() < 2", "counts.min() < 1"),
    (FREQUENCY, "> CLEAR else", "> 0 else"),
    (FREQUENCY, "> CLEAR else", "> 5 else"),
    (FREQUENCY, "joint / joint.sum(axis=0)", "joint / joint.sum()"),
    (FREQUENCY, "/ labels.sum(axis=0)", "* labels.sum(axis=0)"),
    (OBJECTIVE, "0.0 if taught and not multi_label else 0.1", "0.0 if taught else 0.1"),
    (OBJECTIVE, "given(self.graded_margin, multi_label and taught)", "given(self.graded_margin, False)"),
]  # fmt: skip
FIRST_OF_FEATURES = next(place for place, mutant in enumerate(MUTANTS) if mutant[0] == SIMILARITY)


def is_caught(place: int) -> str | None:
    """Run the tests on mutant `place`; return the test that fails, or None."""
    file, old, new = MUTANTS[place]
    with tempfile.TemporaryDirectory(prefix="dshgan_mutant_") as folder:
        for name in ("dshgan_tf", "tests", "training", "export"):
            shutil.copytree(ROOT / name, Path(folder, name), ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        path = Path(folder, "dshgan_tf", file)
        text = path.read_text()
        if text.count(old) != 1:
            raise SystemExit(f"mutant {place}: {file} holds {text.count(old)} times {old!r}; write it anew")
        path.write_text(text.replace(old, new))
        suites = TESTS_OF_FEATURES if place >= FIRST_OF_FEATURES else TESTS
        return next(filter(None, (failing_test(tests, folder) for tests in suites)), None)


def failing_test(tests: tuple[str, ...], folder: str) -> str | None:
    """Run some tests in a folder until one fails; return its name, or None."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=no", *tests]
    limits = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | limits, check=False)
    failed = [line.split(" ")[1] for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return (failed or [f"status {done.returncode}"])[0] if done.returncode else None


# Survivors that change nothing that a test could see.
EXPLAINED = {'side="left"': "a pair that lies just at the margin adds max(0, 0), whether it is counted or not"}


def main() -> int:
    """Run all mutants, as many at a time as there are cores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="mutants whose file or text holds this word")
    word = parser.parse_args().only
    chosen = [place for place, mutant in enumerate(MUTANTS) if word in " ".join(mutant)]
    console, caught, unexplained = Console(width=150, highlight=False), 0, 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for place, test in zip(chosen, pool.map(is_caught, chosen), strict=True):
            file, old, new = MUTANTS[place]
            caught += test is not None
            told = f"caught by {test}" if test else f"SURVIVES; {EXPLAINED.get(old, 'not explained')}"
            unexplained += test is None and old not in EXPLAINED
            console.print(f"{place:2d} {file}: {old.strip()!r} -> {new.strip()!r}: {told}", markup=False)
    console.print(f"{caught} of {len(chosen)} mutants are caught")
    return int(unexplained > 0)


if __name__ == "__main__":
    sys.exit(main())
