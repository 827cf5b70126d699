"""The tab that searches with an image, and adds it to the index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from dshgan_tf.demo.actions import Actions, Query
from dshgan_tf.demo.answers import Answers
from dshgan_tf.demo.bits_picture import draw_bits, to_hex
from dshgan_tf.demo.galleries import gallery
from dshgan_tf.demo.lines import DONE, code, heading, line, with_message

CHOICES = 12  # images of the index to pick from


class ImageTab:
    """Search with an upload or with an image of the index.

    Args:
        actions: of the index.
        page: that holds the tab; the first search is made when it is loaded.
        head: of the page, which says how many images there are.
    """

    def __init__(self, actions: Actions, page: gr.Blocks, head: gr.HTML) -> None:
        self.actions, self.head = actions, head
        self.ids = gr.State([])
        with gr.Row():
            with gr.Column(scale=1, min_width=320):
                file = gr.File(label="Search with an image file (20 MB at most)", height=150, elem_id="upload")
                self.choices = gallery("or with one of the index", 6, "choices")
                others = gr.Button("Show others", size="sm")
                self.picture = gr.Image(
                    label="Query",
                    format="png",
                    height=190,
                    interactive=False,
                    buttons=[],
                    elem_id="query",
                    elem_classes="plot",
                )
                self.code = gr.HTML(elem_id="code")
                self.add = gr.Button(self._add_text(None), size="sm", interactive=False, elem_id="add")
            with gr.Column(scale=2, min_width=320):
                self.message = gr.HTML(elem_id="message")
                self.answers = Answers(actions, self.message)
                self.again = gr.Button("Search with the image clicked", size="sm", interactive=False)
        sliders = [self.answers.k, self.answers.radius]
        outputs = [self.message, self.picture, self.code, self.add, *self.answers.outputs]
        uploaded = file.upload(with_message(self.message, self._upload), [file, *sliders], outputs)
        uploaded.then(lambda: None, None, file, show_progress="hidden")  # room for the next
        self.choices.select(with_message(self.message, self._pick), [self.ids, *sliders], outputs)
        self.again.click(with_message(self.message, self._again), [self.answers.chosen, *sliders], outputs)
        self.answers.chosen.change(self._allow, self.answers.chosen, self.again, show_progress="hidden")
        self.add.click(with_message(self.message, self._add), [self.answers.query, *sliders], [head, *outputs])
        others.click(self._others, None, [self.choices, self.ids])
        page.load(with_message(self.message, self._start), sliders, [*outputs, self.choices, self.ids])

    def _others(self) -> dict[Any, Any]:
        some = self.actions.some(CHOICES, np.random.default_rng())
        return {
            self.choices: gr.Gallery([picture for _, picture in some], selected_index=None),
            self.ids: [item for item, _ in some],
        }

    def _start(self, k: int, radius: int) -> dict[Any, Any]:
        changed = self._others()
        if not changed[self.ids]:
            return changed | {self.message: line("The index holds no image yet: search with one, and add it.")}
        return changed | self._answer(self.actions.pick(changed[self.ids][0]), k, radius)

    def _upload(self, path: str, k: int, radius: int) -> dict[Any, Any]:
        return self._answer(self.actions.read(path, Path(path).read_bytes()), k, radius)

    def _pick(self, ids: list[int], k: int, radius: int, event: gr.SelectData) -> dict[Any, Any]:
        return self._answer(self.actions.pick(ids[event.index]), k, radius)

    def _again(self, chosen: int | None, k: int, radius: int) -> dict[Any, Any]:
        return {} if chosen is None else self._answer(self.actions.pick(chosen), k, radius)

    @staticmethod
    def _allow(chosen: int | None) -> gr.Button:
        return gr.Button(interactive=chosen is not None)

    def _add(self, query: Query | None, k: int, radius: int) -> dict[Any, Any]:
        query, added = self.actions.add(query)
        changed = {self.message: line(added, DONE), self.head: heading(self.actions.name, self.actions.summary())}
        return changed | self._answer(query, k, radius)

    def _add_text(self, query: Query | None) -> str:
        if not self.actions.writable:
            return "Add to the index: it cannot be written"
        missing = query is None or query.contents is None
        return "Add to the index: upload an image first" if missing else "Add to the index"

    def _answer(self, query: Query, k: int, radius: int) -> dict[Any, Any]:
        return {
            self.picture: query.picture,
            self.code: code(
                f"Code of {query.name}: dark squares are ones",
                draw_bits(query.relaxed_code),
                to_hex(query.relaxed_code > 0.5),
            ),
            self.add: gr.Button(
                self._add_text(query), interactive=query.contents is not None and self.actions.writable
            ),
            **self.answers.of(query, k, radius),
        }
