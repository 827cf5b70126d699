"""Galleries that show small pictures and can be clicked, nothing else."""

from __future__ import annotations

import gradio as gr


def gallery(label: str, columns: int, name: str, visible: bool = True) -> gr.Gallery:
    """Return an empty gallery.

    Args:
        label: above it.
        columns: pictures side by side.
        name: its class on the page.
        visible: whether it is shown.
    """
    return gr.Gallery(
        label=label,
        columns=columns,
        height="auto",
        format="png",
        object_fit="contain",
        allow_preview=False,
        interactive=False,
        buttons=[],
        visible=visible,
        elem_classes=["pictures", name],
    )
