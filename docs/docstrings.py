"""How the API reference reads docstrings: what griffe does not know of this project's style."""

from __future__ import annotations

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^( *)Example:$", flags=re.MULTILINE)


class Dataclass(griffe.ExprName):
    """The decorator `dataclasses.dataclass`, wherever it is named."""

    canonical_path = "dataclasses.dataclass"


class OurStyle(griffe.Extension):
    """Show "Example:" as code, and the fields of settings as parameters of their class."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rename the section, which griffe knows as "Examples:" (called by griffe for every object)."""
        if obj.docstring is not None:
            obj.docstring.value = EXAMPLE.sub(r"\1Examples:", obj.docstring.value)

    def on_class_instance(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        """Take the decorator of settings for what it wraps, `dataclasses.dataclass` (called by griffe)."""
        for decorator in cls.decorators:
            if str(decorator.value) == "settings":
                decorator.value = Dataclass("settings")
