"""`dshgan train DATA --workdir DIR`: train and evaluate; the same command again resumes."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from dshgan_tf.commands import terminal
from dshgan_tf.config import RunConfig
from dshgan_tf.errors import InputError
from dshgan_tf.run import Run

# The methods by what they have.
SHORT_FLAGS = {
    "--no-gan": ("--method", "supervised"),
    "--no-synthetic": ("--method", "semi-supervised"),
    "--synthetic": ("--method", "dsh-gan"),
}
TABLES = (".csv", ".parquet")
DATA = "a preset, a folder with one subfolder a class, a .csv or .parquet table, or tfds:NAME"


def read_config(arguments: Sequence[str], name: str = "train") -> tuple[RunConfig, Path]:
    """Read the command line: the data or a config file, then any field of the config as a flag.

    Args:
        arguments: of the subcommand.
        name: of the subcommand, for its help.

    Returns:
        The config and the workdir.

    Raises:
        InputError: no data and no config file, both, or a value out of range.
        SystemExit: a flag that does not exist, or help.
    """
    import tyro

    from dshgan_tf.training.presets import FROZEN, PRESETS

    # The data are the first word: later on, a word that is no flag is the value of one.
    data = arguments[0] if arguments and not arguments[0].startswith("-") else None
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--workdir", type=Path)
    options, flags = parser.parse_known_args(arguments[data is not None :])
    helping = bool({"-h", "--help"} & set(flags))
    if not helping and (data is None) == (options.config is None):
        raise InputError(f"give DATA as the first word, or --config FILE; DATA is {DATA}")
    if not helping and options.workdir is None:
        raise InputError("give --workdir DIR, the folder of the run")
    flags = [word for flag in flags for word in SHORT_FLAGS.get(flag, (flag,))]
    default = RunConfig.load(options.config) if options.config else config_for(data or "digits")
    if not options.config and default.steps > FROZEN["steps"] and _freezes(flags):
        default = dataclasses.replace(default, **FROZEN)
    if flags.count("--method") > 1:
        raise InputError("give one of --method, --no-gan, --no-synthetic and --synthetic")
    config = tyro.cli(
        RunConfig,
        prog=f"dshgan {name} {{DATA | --config FILE}} --workdir DIR",
        description=f"DATA is {DATA}. Presets: {', '.join(PRESETS)}. The same command again resumes.",
        default=default,
        args=flags,
        config=(tyro.conf.OmitArgPrefixes,),
    )
    return config, options.workdir


def _freezes(flags: Sequence[str]) -> bool:
    """Whether the flags ask for a frozen trunk, in any of the forms that tyro takes."""
    words = [word for flag in flags for word in flag.replace("trained_layers", "trained-layers").split("=", 1)]
    return ("--trained-layers", "0") in itertools.pairwise(words)


def config_for(data: str) -> RunConfig:
    """Find out what the data are, and return the preset for them.

    Args:
        data: a preset's name, which goes before a file of that name; a folder; a table; or "tfds:NAME".

    Returns:
        The config, which knows where the data lie.

    Raises:
        InputError: nothing of that name.
    """
    from dshgan_tf.training.presets import PRESETS

    if data in PRESETS:
        return PRESETS[data]
    if data.startswith("tfds:") and data != "tfds:":
        return dataclasses.replace(PRESETS["tfds"], dataset=data)
    path = Path(data)
    if path.is_dir():
        return dataclasses.replace(PRESETS["folder"], data_dir=data)
    if path.suffix.lower() in TABLES and path.is_file():
        return dataclasses.replace(PRESETS["table"], data_dir=data)
    missing = "there is no such file; " if path.suffix.lower() in TABLES else ""
    raise InputError(f"cannot train on {data!r}: {missing}DATA is {DATA}; presets are {', '.join(PRESETS)}")


def command(arguments: Sequence[str]) -> None:
    """Run the subcommand."""
    config, workdir = read_config(arguments)
    from dshgan_tf.training.comparison import read_entries  # heavy imports only once the command line is right
    from dshgan_tf.training.near_copies import line_of
    from dshgan_tf.training.runner import train_and_evaluate
    from dshgan_tf.training.tables import results_sheet

    run = Run(workdir)
    done = run.path("results").exists()
    # The moving bar is for people; a log gets a line an epoch.
    train_and_evaluate(config, workdir, verbose=1 if sys.stdout.isatty() else 2)
    if not run.path("results").exists():
        return  # a worker that writes nothing
    console = terminal.output()
    if done:
        console.print(f"{workdir} is done; its results:", markup=False)
    if (line := line_of(run)) is not None:
        console.print(line, markup=False, soft_wrap=True, style="yellow")
    stages = [Run(run.path("frozen")), run] if config.fine_tune else [run]
    console.print(results_sheet([read_entries(stage)[0] for stage in stages]).to_rich())
