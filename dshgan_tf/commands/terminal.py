"""What all subcommands share: environment, quiet libraries, colours, error lines, exit statuses.

Nothing heavy is imported here: the environment must be set before TensorFlow is.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.console import Console

from dshgan_tf.errors import ExportError, InputError, NotFinite

# Exit statuses: all is well; the machine failed; the user can mend it; Ctrl-C.
DONE, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130
PLAIN_WIDTH = 160  # columns where the output is a file or a pipe


def set_environment(verbose: bool = False) -> None:
    """Set what TensorFlow reads when it is imported.

    Args:
        verbose: leave its log messages on.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # off by default on processors without AVX512-VNNI
    if not verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def silence_libraries() -> None:
    """Keep the terminal free of what libraries write to it.

    Their C++ parts write to file descriptor 2, past Python. It leads nowhere from here on, and Python's own standard
    error to where it led before. A crash still shows Python's stack.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    sys.stderr = os.fdopen(terminal, "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace")
    faulthandler.enable(sys.stderr)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    warnings.filterwarnings("default", category=UserWarning, module="dshgan_tf")
    warnings.showwarning = lambda message, *_, **__: say(str(message), "yellow")


def output() -> Console:
    """Return the console for answers, on standard output."""
    return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)


def say(message: str, style: str) -> None:
    """Write one line to standard error, whatever is in it."""
    Console(stderr=True).print(printable(message), style=style, markup=False, highlight=False, soft_wrap=True)


def printable(name: str) -> str:
    """Return a file name as text; bytes that are no text become escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def is_watched() -> bool:
    """Return whether progress is seen by a person, who wants a moving bar, and not by a file."""
    return sys.stderr.isatty()


def bar(doing: str) -> Callable[[Iterable[Any]], Iterable[Any]]:
    """Return what wraps things to show how many of them are done, where a person sees it."""

    def watched(things: Iterable[Any]) -> Iterable[Any]:
        from rich.progress import track

        return track(things, doing, console=Console(stderr=True), disable=not is_watched())

    return watched


def run(name: str, command: Callable[[Sequence[str]], Any], arguments: Sequence[str]) -> int:
    """Run a subcommand, and turn what the user or the machine is at fault for into one line.

    An error of ours is not caught: it ends the program with its traceback.

    Args:
        name: of the subcommand, for the line.
        command: called with the arguments.
        arguments: of the subcommand.

    Returns:
        The exit status.
    """
    try:
        return command(arguments) or DONE
    except InputError as error:
        say(f"dshgan {name}: {error}", "red")
        return REFUSED
    except (OSError, NotFinite, ExportError) as error:  # no room, a lost worker, a training that diverged, ...
        say(f"dshgan {name}: {error}", "red")
        return FAILED
    except KeyboardInterrupt:
        say(f"dshgan {name}: interrupted; the same command goes on", "yellow")
        return INTERRUPTED


def refuse_passwords(arguments: Sequence[str]) -> None:
    """Refuse addresses of databases with a password in them; lists of processes and lines of errors would show it.

    Raises:
        InputError: there is one.
    """
    if any(re.search(r"://[^/@]*:[^/]+@|password\s*=", argument) for argument in arguments):
        raise InputError("a password on the command line is seen by others; give it in PGPASSWORD or ~/.pgpass")


def parse(function: Callable[..., Any], arguments: Sequence[str], name: str | None = None) -> Any:
    """Call a function, or make a dataclass, with arguments from the command line; its docstring is the help.

    Args:
        function: whose annotated parameters, or fields, are the flags.
        arguments: without the names of program and subcommand.
        name: of the subcommand; None for the function's.

    Returns:
        What the function returns, or the dataclass.
    """
    import tyro

    name = name or function.__name__.lower().replace("_", "-")
    return tyro.cli(function, prog=f"dshgan {name}", args=list(arguments), config=(tyro.conf.FlagCreatePairsOff,))
