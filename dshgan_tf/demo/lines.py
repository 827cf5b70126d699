"""Lines of text on the page. Names come from files and uploads, so everything is escaped."""

from __future__ import annotations

import functools
import html
import sqlite3
from collections.abc import Callable
from typing import Any

import gradio as gr

from dshgan_tf.errors import InputError

PLAIN, DONE, WRONG = "plain", "done", "wrong"


def line(text: str, kind: str = PLAIN) -> str:
    """Return a line as HTML; nothing for no text."""
    return f'<p class="line {kind}">{html.escape(text)}</p>' if text else ""


def heading(name: str, summary: str) -> str:
    """Return the head of the page as HTML."""
    return f'<h2>{html.escape(name)}</h2><p class="line">{html.escape(summary)}</p>'


def code(text: str, picture: str, digits: str = "") -> str:
    """Return the picture of a code as HTML, with a caption above it and its digits below."""
    below = f'<p class="line"><code>{html.escape(digits)}</code></p>' if digits else ""
    return f'<p class="line">{html.escape(text)}</p>{picture}{below}'


def with_message(message: gr.HTML, function: Callable[..., dict[Any, Any]]) -> Callable[..., dict[Any, Any]]:
    """Let a handler's errors become a line on the page, which goes on.

    Args:
        message: where the line goes; it is emptied when all is well.
        function: returns the components that change and their new values.
    """

    @functools.wraps(function)
    def handler(*arguments: Any) -> dict[Any, Any]:
        try:
            return {message: "", **function(*arguments)}
        except (InputError, OSError, sqlite3.Error) as error:
            return {message: line(str(error), WRONG)}

    return handler
