"""`dshgan-train PRESET --workdir DIR [flags]`: train and evaluate; the same command again resumes."""

from __future__ import annotations

import os

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # before TensorFlow is imported: off by default on some CPUs
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import argparse
import sys
from pathlib import Path

import tyro
from rich.console import Console

from dshgan_tf.config import RunConfig
from dshgan_tf.errors import InputError
from training.presets import PRESETS, get_preset


def parse(arguments: list[str]) -> tuple[RunConfig, Path]:
    """Read the command line: a preset or a config file, then any field of the config as a flag.

    Args:
        arguments: without the program's name.

    Returns:
        The config and the workdir.

    Raises:
        ValueError: no preset and no config file, both, or a value out of range.
        SystemExit: a flag that does not exist.
    """
    parser = argparse.ArgumentParser("dshgan-train", add_help=False, allow_abbrev=False)
    parser.add_argument("preset", nargs="?")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--workdir", type=Path)
    options, flags = parser.parse_known_args(arguments)
    helping = bool({"-h", "--help"} & set(flags))
    if not helping and (options.preset is None) == (options.config is None):
        raise InputError(f"give one preset ({', '.join(PRESETS)}) or --config FILE")
    if not helping and options.workdir is None:
        raise InputError("give --workdir DIR, the folder of the run")
    default = RunConfig.load(options.config) if options.config else get_preset(options.preset or "digits")
    config = tyro.cli(
        RunConfig,
        prog="dshgan-train {PRESET | --config FILE} --workdir DIR",
        description=f"Train and evaluate; the same command again resumes. Presets: {', '.join(PRESETS)}.",
        default=default,
        args=flags,
        config=(tyro.conf.OmitArgPrefixes,),
    )
    return config, options.workdir


def _say(error: Exception, status: int) -> int:
    Console(stderr=True).print(f"dshgan-train: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
    return status


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    try:
        config, workdir = parse(sys.argv[1:] if arguments is None else arguments)
        from training.comparison import read_entries  # heavy imports only once the command line is right
        from training.runner import train_and_evaluate
        from training.tables import results_sheet

        done = (workdir / "results.json").exists()
        # The moving bar is for people; a log gets a line an epoch.
        train_and_evaluate(config, workdir, verbose=1 if sys.stdout.isatty() else 2)
    except ValueError as error:
        return _say(error, 2)
    except (OSError, ArithmeticError) as error:  # no room, a lost worker, or numbers that are not finite
        return _say(error, 1)
    if not (workdir / "results.json").exists():
        return 0  # a worker that writes nothing
    if done:
        console.print(f"{workdir} is done; its results:", highlight=False, markup=False)
    console.print(results_sheet(read_entries(workdir)[:1]).to_rich())
    return 0
