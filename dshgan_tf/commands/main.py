"""`dshgan SUBCOMMAND ...`: the table of subcommands, their help on one screen, and the way to each."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from rich.table import Table

from dshgan_tf.commands import terminal

# Subcommand -> an example, and what it does. Each has a module of its name here, imported when it is called.
SUBCOMMANDS = {
    "quickstart": ("", "a tour on digits, in minutes"),
    "data": ("check photos/", "what is wrong with pictures"),
    "train": ("photos/ --workdir runs/a", "train, evaluate; again: resume"),
    "evaluate": ("runs/a runs/b", "evaluate again, side by side"),
    "tune": ("digits --workdir runs/t --trials 9", "search for better settings"),
    "generate": ("runs/a cat --output cats.png", "draw what a generator learnt"),
    "export": ("runs/a --format tflite --output e", "write the encoder, for others"),
    "encode": ("runs/a one.jpg", "print codes of image files"),
    "encode-all": ("photos/ --model e --output o", "codes of millions of images"),
    "index": ("runs/a --images photos/ --output i", "make or update an index"),
    "search": ("i one.jpg --picture found.png", "find by image or by label"),
    "db": ("load codes/ URL --table t", "put codes into PostgreSQL"),
    "demo": ("i", "look at an index in a browser"),
    "cache": ("list", "what is kept on disk"),
    "tab-completion": ("bash", "print completions for a shell"),
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
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(no_wrap=True)
    for name, (example, what) in SUBCOMMANDS.items():
        table.add_row(f"dshgan {name} {example}".rstrip(), what)
    console = terminal.output()
    console.print("Short binary codes for images, from few labels. One example of each subcommand:\n")
    console.print(table)
    console.print("\ndshgan SUBCOMMAND --help tells more. --verbose shows what the libraries log.")


def entry() -> None:
    """The console script: as `main`, with the libraries silent."""
    if "--verbose" not in sys.argv:
        terminal.silence_libraries()
    sys.exit(main())
