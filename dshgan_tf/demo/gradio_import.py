"""Import Gradio without its type stubs.

Whenever Gradio 6 is imported it parses the source of each of its components and writes a stub beside it, for editors:
40% of the import's time. Where the source of a class cannot be found it leaves that, so for as long as the import
takes it is not found.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from dshgan_tf.errors import InputError


def import_gradio() -> None:
    """Import Gradio.

    Raises:
        InputError: it is not installed.
    """
    find = inspect.getfile

    def find_others(thing: Any) -> str:
        if isinstance(thing, type) and thing.__module__.startswith("gradio."):
            raise OSError("its stub is not wanted")
        return find(thing)

    inspect.getfile = find_others
    try:
        importlib.import_module("gradio")
    except ImportError as error:
        raise InputError(f"the page needs Gradio ({error}): pip install dshgan-tf[demo]") from error
    finally:
        inspect.getfile = find
