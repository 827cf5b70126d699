"""`dshgan quickstart`: the whole tour on digits, in one process."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from dshgan_tf.commands import terminal
from dshgan_tf.run import Run

STEPS = 2400  # fewer than the preset has: with a generator a step takes longer
LASTS = "3 to 4 minutes on two cores without AVX-512"


def quickstart(workdir: Path = Path("runs/quickstart")) -> None:
    """Train on digits with one label a class, by the whole method and by the labels alone; compare, export, search.

    Interrupted, the same command goes on.

    Args:
        workdir: Folder for all that is made.
    """
    # Operations of networks this small are over before a second thread has begun: a step takes 35 ms, with two 40 ms.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    from dshgan_tf.commands.index import index
    from dshgan_tf.commands.search import Search
    from dshgan_tf.export.run import export_run
    from dshgan_tf.training.evaluate import compare
    from dshgan_tf.training.presets import PRESETS
    from dshgan_tf.training.runner import train_and_evaluate

    console = terminal.output()
    verbose = 1 if sys.stdout.isatty() else 2
    gan, no_gan = workdir / "gan", workdir / "no_gan"
    console.rule(f"1 of 5: train on 10 labelled digits and 1,587 unlabelled ones; all five take {LASTS}")
    digits = dataclasses.replace(PRESETS["digits"], steps=STEPS)
    train_and_evaluate(dataclasses.replace(digits, method="dsh-gan"), gan, verbose)
    console.rule("2 of 5: the same encoder on the 10 labelled digits alone")
    train_and_evaluate(dataclasses.replace(digits, method="supervised"), no_gan, verbose)
    console.rule("3 of 5: export the encoder for servers and devices")
    for form in ("saved_model", "tflite"):
        target, checks, _ = export_run(Run(gan), form, "float32", workdir / "export" / form)
        different = sum(check.parity.different for check in checks)
        console.print(f"{target}: {different} of {sum(c.parity.bits for c in checks):,} bits differ from Keras'")
    console.rule("4 of 5: index the 1,597 digits of the database, and search by a picture and by a label")
    index(gan, output=workdir / "digits.index")
    index = workdir / "digits.index"
    Search(index, (gan / "plots" / "query.png",), picture=workdir / "plots" / "by_picture.png").run()
    Search(index, labels=("3",), picture=workdir / "plots" / "by_label.png").run()
    console.rule("5 of 5: what the unlabelled and the generated digits are worth together")
    compare([Run(no_gan), Run(gan)], workdir / "plots", console)
    console.print(f"\nLook at the pictures in {workdir / 'plots'}, {gan / 'plots'} and {gan / 'samples'}.")
    console.print(f"Next: dshgan demo {workdir / 'digits.index'}, or dshgan train with your own images.")


def command(arguments: Sequence[str]) -> None:
    """Run the subcommand."""
    terminal.parse(quickstart, arguments)
