"""`dshgan SUBCOMMAND ...`: the table of subcommands, their help on one screen, and the way to each."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from rich.table import Table

from dshgan_tf.commands import terminal

# Subcommand -> what it does, and one example. Each has a module of its name here, imported when it is called.
SUBCOMMANDS = {
    "quickstart": ("the whole tour on digits, in minutes", "dshgan quickstart"),
    "train": ("train and evaluate; again: resume", "dshgan train photos/ --workdir runs/photos"),
    "evaluate": ("evaluate runs again, side by side", "dshgan evaluate runs/photos runs/no_gan"),
    "tune": ("search for better settings", "dshgan tune digits --labels-per-class 10 --workdir runs/tune"),
    "generate": ("draw what the generator has learnt", "dshgan generate runs/photos cat --output cats.png"),
    "export": ("write the encoder for servers, devices", "dshgan export runs/photos --format tflite --output edge"),
    "encode": ("print the codes of image files", "dshgan encode runs/photos one.jpg"),
    "index": ("make a searchable index, or update it", "dshgan index runs/photos --images photos/ --output my.index"),
    "search": ("find images by image or by label", "dshgan search my.index one.jpg --picture found.png"),
    "demo": ("look at an index in the browser", "dshgan demo my.index"),
    "tab-completion": ("print completions for your shell", "dshgan tab-completion bash > dshgan.sh"),
}
HELP = ("-h", "--help", "help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit status.

    Args:
        arguments: without the program's name; None for those of the process.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    verbose = "--verbose" in given
    if verbose:
        given.remove("--verbose")
    terminal.set_environment(verbose)
    if not given or given[0] in HELP:
        show_help()
        return terminal.DONE if given else terminal.REFUSED
    if given[0] == "--version":
        from dshgan_tf import __version__

        print(f"dshgan_tf {__version__}")
        return terminal.DONE
    name, rest = given[0], given[1:]
    if name not in SUBCOMMANDS:
        terminal.say(f"dshgan: no subcommand {name!r}; there are {', '.join(SUBCOMMANDS)}", "red")
        return terminal.REFUSED
    module = importlib.import_module(f"dshgan_tf.commands.{name.replace('-', '_')}")
    return terminal.run(name, module.command, rest)


def show_help() -> None:
    """Show all subcommands on one screen."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("subcommand", style="cyan", no_wrap=True)
    table.add_column("what it does", no_wrap=True)
    table.add_column("example", style="dim")
    for name, (what, example) in SUBCOMMANDS.items():
        table.add_row(name, what, example)
    console = terminal.output()
    console.print("Short binary codes for images, from few labels. dshgan SUBCOMMAND --help tells more of each.\n")
    console.print(table)
    console.print("\n--verbose shows what the libraries log; --version says which version this is.")


def entry() -> None:
    """The console script: as `main`, with the libraries silent."""
    if "--verbose" not in sys.argv:
        terminal.silence_libraries()
    sys.exit(main())
