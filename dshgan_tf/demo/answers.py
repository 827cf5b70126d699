"""The right-hand side of the searching tabs: how many, how near, what to expect, and what was found."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dshgan_tf.demo.actions import Actions, Query
from dshgan_tf.demo.bits_picture import draw_bits
from dshgan_tf.demo.galleries import gallery
from dshgan_tf.demo.lines import PLAIN, code, line, with_message

MOST, FIRST = 60, 12  # images shown at most, and at the start
MEANING = "Precision: what share of the images found is right. Recall: what share of the right ones is found."


class Answers:
    """Sliders, the expected precision, and a gallery of neighbours.

    Args:
        actions: of the index.
        message: where errors go.
        by_distance: False where the class stream ranks, so that there is no radius.
    """

    def __init__(self, actions: Actions, message: gr.HTML, by_distance: bool = True) -> None:
        self.actions, self.by_distance = actions, by_distance
        self.query, self.found, self.chosen = gr.State(None), gr.State([]), gr.State(None)
        radius = actions.first_radius()
        with gr.Row():
            self.k = gr.Slider(1, MOST, FIRST, step=1, label="Images to show", buttons=[], min_width=200)
            self.radius = gr.Slider(
                0,
                actions.num_bits,
                radius,
                step=1,
                label="Radius in bits",
                buttons=[],
                min_width=200,
                visible=by_distance,
                elem_id="radius" if by_distance else None,
            )
            with gr.Column(min_width=250, visible=by_distance):
                self.expected = gr.HTML(line(actions.expectation(radius)), elem_classes="expected")
        if by_distance and actions.calibration is not None:
            gr.HTML(line(f"{MEANING} In brackets: 95% intervals.", "hint"))
        self.count = gr.HTML(elem_classes="count")
        self.gallery = gallery("Nearest images" if by_distance else "Most probable images", 6, "neighbours")
        self.detail = gr.HTML(elem_classes="detail")
        self.outputs = [self.query, self.found, self.chosen, self.count, self.gallery, self.detail]
        gr.on(
            [self.k.change, self.radius.change],
            with_message(message, self._moved),
            [self.query, self.k, self.radius],
            [message, self.expected, *self.outputs],
            show_progress="hidden",
            trigger_mode="always_last",
        )
        self.gallery.select(
            with_message(message, self._choose),
            [self.query, self.found],
            [message, self.detail, self.chosen],
            show_progress="hidden",
        )

    def of(self, query: Query, k: int, radius: int) -> dict[Any, Any]:
        """Return what changes when a query is answered."""
        found = self.actions.find(query, int(k), int(radius))
        hint = "Click an image to compare its code with the query's." if found.neighbours and self.by_distance else ""
        return {
            self.query: query,
            self.found: [neighbour.id for neighbour in found.neighbours],
            self.chosen: None,
            self.count: line(found.line, PLAIN),
            self.gallery: gr.Gallery(self.actions.shown(found.neighbours), selected_index=None),
            self.detail: line(hint, "hint"),
        }

    def _moved(self, query: Query | None, k: int, radius: int) -> dict[Any, Any]:
        expected = {self.expected: line(self.actions.expectation(int(radius)))}
        return expected if query is None else expected | self.of(query, k, radius)

    def _choose(self, query: Query | None, found: list[int], event: gr.SelectData) -> dict[Any, Any]:
        if query is None or event.index >= len(found):
            return {}
        item = found[event.index]
        if query.relaxed_code is None:
            return {self.chosen: item}
        name, bits = self.actions.compare(item)
        differ = int(((query.relaxed_code > 0.5) != bits).sum())
        heading = f"Code of {name}: {differ} of {len(bits)} bits differ{', framed red' if differ else ''}"
        return {self.detail: code(heading, draw_bits(bits, query.relaxed_code > 0.5)), self.chosen: item}
