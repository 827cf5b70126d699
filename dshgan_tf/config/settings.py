"""What all settings share: frozen dataclasses whose types and ranges pydantic checks."""

from __future__ import annotations

import difflib
import functools
from typing import Annotated, Any, TypeVar

import pydantic
import pydantic.dataclasses

from dshgan_tf.errors import InputError

Settings = TypeVar("Settings", bound=type)

Count = Annotated[int, pydantic.Field(ge=1)]
CountOrNone = Annotated[int, pydantic.Field(ge=1)] | None
Seed = Annotated[int, pydantic.Field(ge=0, lt=2**32)]
Share = Annotated[float, pydantic.Field(ge=0, le=1)]
Weight = Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]

STRICT = pydantic.ConfigDict(strict=True, extra="forbid")


def settings(cls: Settings) -> Settings:
    """Make a class a frozen dataclass that checks its fields when it is made.

    Types are checked strictly: a float is no whole number, and a text is no number.

    Args:
        cls: with annotated fields; their types may carry ranges.

    Returns:
        The dataclass. Its constructor raises an `InputError` that names every field that does not fit.
    """
    checked = pydantic.dataclasses.dataclass(frozen=True, config=STRICT)(cls)
    check = checked.__init__

    @functools.wraps(check)
    def construct(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            check(self, *args, **kwargs)
        except pydantic.ValidationError as error:
            raise InputError(explain(error, checked)) from None

    checked.__init__ = construct
    return checked


def explain(error: pydantic.ValidationError, cls: type) -> str:
    """Say in one line what does not fit.

    Args:
        error: what pydantic found.
        cls: the dataclass, whose fields are named where one is unknown.
    """
    return "; ".join(dict.fromkeys(_one_line(found, cls) for found in error.errors()))


def _one_line(found: Any, cls: type) -> str:
    kind, message = found["type"], found["msg"]
    place = [str(part) for part in found["loc"]]
    name = ".".join(part for part in place if not part.startswith(("constrained-", "function-")))
    if kind == "value_error":
        return str(found["ctx"]["error"])
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        close = difflib.get_close_matches(name, cls.__dataclass_fields__, n=1)
        known = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(cls.__dataclass_fields__)}"
        return f"unknown field {name!r}; {known}"
    if kind == "json_invalid":
        return message
    return f"{name or 'the whole'} {message.replace('Input should', 'must', 1)}, got {found['input']!r}"
