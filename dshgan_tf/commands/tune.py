"""`dshgan tune DATA --workdir DIR --trials N`: search the recipe by keras-tuner, judged on the validation part."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from dshgan_tf.commands import terminal
from dshgan_tf.commands.train import read_config

ABOUT = """Search learning rates, weights of the losses and the threshold of pseudo-labels, on the validation part.
Every field of the configuration is a flag, as in dshgan train. The same command again goes on. Several processes share
one search by keras-tuner's own variables: KERASTUNER_TUNER_ID=chief for one, another id for each worker, and
KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT for all."""


def command(arguments: Sequence[str]) -> int:
    """Run the subcommand."""
    parser = argparse.ArgumentParser("dshgan tune", description=ABOUT, add_help=False, allow_abbrev=False)
    parser.add_argument("--trials", type=int, help="in all, with earlier calls (default 20); not for hyperband")
    parser.add_argument("--oracle", default="bayesian", help="random, bayesian (default) or hyperband")
    options, rest = parser.parse_known_args(arguments)
    if {"-h", "--help"} & set(rest):
        parser.print_help()
    config, workdir = read_config(rest, "tune")
    from dshgan_tf.training.tune import trials_table, tune, verdict

    workdir.mkdir(parents=True, exist_ok=True)
    try:
        result = tune(config, workdir, options.trials, options.oracle)
    except (OSError, RuntimeError) as error:  # a trial failed, or the disk is full
        terminal.say(f"dshgan tune: {error}\nthe same command goes on with this trial", "red")
        return terminal.FAILED
    if result["trials"]:
        console = terminal.output()
        console.print(trials_table(result))
        console.print(verdict(result))
        console.print(f"best config: {workdir / 'best.json'}", markup=False, soft_wrap=True)
    return terminal.DONE
