"""Train the rows of docs/results/ and lay them side by side; what is there already is not trained again.

    python benchmarks/study.py --list           studies, their rows and their commands
    python benchmarks/study.py digits-labels    trains, evaluates, writes studies/digits-labels/results.md

Every row is a `dshgan train` in a process of its own, pinned to a core of its own, as many at a time as there are
cores. A study that was stopped goes on where it was.
"""

import argparse
import dataclasses
import functools
import json
import os
import queue
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path

from rich.console import Console
from rich.progress import track

from dshgan_tf.commands.train import read_config
from dshgan_tf.run import Run

METHODS = {"dsh_gan": ("--synthetic",), "no_synthetic": ("--no-synthetic",), "no_gan": ("--no-gan",)}
FAST = ("--precision", "mixed_bfloat16")
SHORT = (*FAST, "--steps", "1000", "--steps-per-epoch", "250")  # minutes on one core


@dataclasses.dataclass(frozen=True)
class Study:
    """Rows of one table.

    Args:
        rows: name -> arguments of `dshgan train`, the preset first; the seed is added.
        seeds: of every row.
        shift: whether corrupted queries are evaluated too.
    """

    rows: dict[str, tuple[str, ...]]
    seeds: tuple[int, ...]
    shift: bool = False


def over_budgets(preset, budgets, *common):
    """Every label budget, with every method and the paper's objective."""
    rows = {}
    for budget in budgets:
        given = ("--labels-per-class", str(budget), *common)
        rows |= {f"{name}_{budget}": (preset, *given, *flags) for name, flags in METHODS.items()}
        rows[f"paper_{budget}"] = (f"{preset}_paper", *given)
    return rows


NO_PSEUDO_LABELS = ("--pseudo-label-weight", "0")  # nor their triplets and balance, nor the weighing by knowledge
ABLATION = {
    "dsh_gan": (),
    "no_triplets": ("--triplet-weight", "0", "--real-triplet-weight", "0"),
    "no_adversary": ("--adversary-weight", "0"),
    # Pseudo-labels of a class stream that no label taught would name the classes anew.
    "no_classification": ("--classification-weight", "0", "--synthetic-classification-weight", "0", *NO_PSEUDO_LABELS),
    "real_triplets_only": ("--triplet-weight", "0"),
    "no_unlabeled": ("--no-unlabeled",),
    "no_pseudo_labels": NO_PSEUDO_LABELS,
    "random_generator": ("--generator-learning-rate", "1e-12"),
}

STUDIES = {
    "digits-labels": Study(over_budgets("digits", (1, 2, 5, 10)), seeds=(0, 1, 2, 3, 4), shift=True),
    "digits-ablation": Study(
        {name: ("digits", "--synthetic", *flags) for name, flags in ABLATION.items()}
        | {"no_synthetic": ("digits", "--no-synthetic")},
        seeds=(0, 1, 2, 3, 4),
    ),
    "digits-unseen": Study(
        {
            name: ("digits", "--protocol", "digits-unseen", "--num-bits", "64", *flags)
            for name, flags in {**METHODS, "all_semantic": ("--synthetic", "--instance-bits", "0")}.items()
        },
        seeds=tuple(range(10)),
    ),
    "cifar10-unseen": Study(
        {
            name: ("cifar10", "--protocol", "cifar10-unseen", "--num-bits", "64", *FAST, *flags)
            for name, flags in METHODS.items()
        },
        seeds=(0, 1, 2),
    ),
    "cifar10-labels": Study(
        # 5,000 labels take the preset's own 2,500 steps to learn.
        over_budgets("cifar10", (10, 50, 100), *SHORT) | over_budgets("cifar10", (500,), *FAST),
        seeds=(0, 1, 2),
        shift=True,
    ),
    "cifar10-bits": Study(
        {
            f"{bits}_bits": ("cifar10", "--protocol", "cifar10-1", "--num-bits", str(bits), *FAST)
            for bits in (12, 24, 32, 48)
        },
        seeds=(0,),
    ),
}


def command_of(row, seed, workdir):
    return ["dshgan", "train", *row, "--seed", str(seed), "--workdir", str(workdir)]


def is_done(row, seed, workdir):
    """Whether the run is there; one that another recipe made, a run of an older version, is refused."""
    if not (workdir / "results.json").exists():
        return False
    config, _ = read_config(command_of(row, seed, workdir)[2:])
    wanted, made = json.loads(json.dumps(dataclasses.asdict(config))), workdir / "config.json"
    if not made.exists() or json.loads(made.read_text()) != wanted:
        raise SystemExit(f"{workdir} was made with other settings than this row has now; move it away")
    return True


def train(study, folder, cores):
    """Train what is missing; return the folders of all runs."""
    jobs = {folder / f"{name}_{seed}": (row, seed) for seed in study.seeds for name, row in study.rows.items()}
    waiting = {workdir: job for workdir, job in jobs.items() if not is_done(*job, workdir)}
    free = queue.Queue()
    for core in cores:
        free.put(core)

    def run(workdir):
        core, command = free.get(), command_of(*waiting[workdir], workdir)
        try:
            with open(folder / f"{workdir.name}.log", "w") as log:
                program = [str(Path(sys.executable).parent / command[0]), *command[1:]]
                pinned = functools.partial(os.sched_setaffinity, 0, {core})
                done = subprocess.run(program, stdout=log, stderr=subprocess.STDOUT, preexec_fn=pinned, check=False)
            return f"{log.name} ended with {done.returncode}" if done.returncode else None
        finally:
            free.put(core)

    with ThreadPoolExecutor(len(cores)) as pool:
        failed = list(filter(None, track(pool.map(run, waiting), "training", total=len(waiting))))
    if failed:
        raise SystemExit(
            "\n".join([f"{len(failed)} of {len(waiting)} runs failed; the same command tries again:", *failed])
        )
    return list(jobs)


def finished(study, folder):
    """The folders of all runs of a study that are done, whatever was asked for this time."""
    runs = sorted(path.parent for path in folder.glob("*/results.json"))
    rows = [(study.rows.get(run.name.rpartition("_")[0]), run.name.rpartition("_")[2], run) for run in runs]
    return [run for row, seed, run in rows if row is not None and is_done(row, seed, run)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="?", choices=STUDIES)
    parser.add_argument("--list", action="store_true", help="show what would be run")
    parser.add_argument("--workdir", type=Path, default=Path("studies"))
    parser.add_argument("--seeds", type=int, nargs="+", help="instead of the study's own")
    parser.add_argument("--rows", nargs="+", help="instead of all; names or patterns, as dsh_gan_*")
    parser.add_argument("--cores", type=int, nargs="+", default=sorted(os.sched_getaffinity(0)), help="one run on each")
    options = parser.parse_args()
    console = Console()
    if options.list or options.study is None:
        for name, study in STUDIES.items():
            for row, arguments in study.rows.items():
                command = command_of(arguments, "S", f"{options.workdir}/{name}/{row}_S")
                console.print(f"{' '.join(command)}    # S in {study.seeds}", soft_wrap=True, highlight=False)
        return
    study = STUDIES[options.study]
    chosen = options.rows or ["*"]
    rows = {n: row for n, row in study.rows.items() if any(fnmatch(n, pattern) for pattern in chosen)}
    if not rows:
        parser.error(f"no row of {options.study} is named {' or '.join(chosen)}; they are {', '.join(study.rows)}")
    folder = options.workdir / options.study
    folder.mkdir(parents=True, exist_ok=True)
    workdirs = train(
        dataclasses.replace(study, rows=rows, seeds=tuple(options.seeds or study.seeds)), folder, options.cores
    )
    from dshgan_tf.training.evaluate import compare, evaluate_run

    if study.shift:
        for workdir in workdirs:
            if not (workdir / "shift.json").exists():
                evaluate_run(Run(workdir), shift=True)
    compare([Run(workdir) for workdir in finished(study, folder)], folder, console)


if __name__ == "__main__":
    main()
