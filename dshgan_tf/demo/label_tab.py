"""The tab that searches without an image: by labels, and what the generator draws for them."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dshgan_tf.demo.actions import Actions
from dshgan_tf.demo.answers import Answers
from dshgan_tf.demo.bits_picture import draw_bits, to_hex
from dshgan_tf.demo.galleries import gallery
from dshgan_tf.demo.lines import code, line, with_message

DRAWN = 24  # images shown
NO_GENERATOR = (
    "This index has no generator, so nothing is drawn: its images are ranked by the probability that the class stream "
    "gives the labels."
)


class LabelTab:
    """Draw chosen classes, and search with their code.

    Args:
        actions: of the index.
        tab: the first drawing is made when it is opened.
    """

    def __init__(self, actions: Actions, tab: gr.Tab) -> None:
        self.actions = actions
        several, names = actions.index.manifest["multi_label"], actions.index.class_names
        self.seed = gr.State(0)
        with gr.Row():
            with gr.Column(scale=1, min_width=320):
                labels = gr.Dropdown(
                    names,
                    value=names[:1] if several else names[0],
                    multiselect=several,
                    label="Labels" if several else "Class",
                    info="Several labels mean an image that has all of them." if several else None,
                    elem_id="labels",
                )
                self.drawn = gallery("What the generator draws", 6, "drawn", visible=actions.draws)
                again = gr.Button("Draw again", size="sm", visible=actions.draws, elem_id="draw")
                self.code = gr.HTML(visible=actions.draws)
                self.spread = gr.HTML(visible=actions.draws)
            with gr.Column(scale=2, min_width=320):
                self.message = gr.HTML()
                if not actions.draws:
                    gr.HTML(line(NO_GENERATOR))
                self.answers = Answers(actions, self.message, by_distance=actions.draws)
        inputs = [labels, self.answers.k, self.answers.radius]
        outputs = [self.message, self.drawn, self.code, self.spread, self.seed, *self.answers.outputs]
        gr.on([tab.select, labels.input], with_message(self.message, self._draw), inputs, outputs)
        again.click(with_message(self.message, self._draw), [*inputs, self.seed], outputs)

    def _draw(self, labels: str | list[str] | None, k: int, radius: int, seed: int = -1) -> dict[Any, Any]:
        seed += 1
        chosen = [labels] if isinstance(labels, str) else labels or []
        drawing = self.actions.draw(chosen, DRAWN, seed)
        changed = {self.seed: seed, **self.answers.of(drawing.query, k, radius)}
        if drawing.query.relaxed_code is None:
            return changed
        return changed | {
            self.drawn: gr.Gallery(drawing.pictures, selected_index=None),
            self.code: code(
                f"Code of {' and '.join(chosen)}: the majority of the drawn images' bits",
                draw_bits(drawing.query.relaxed_code),
                to_hex(drawing.query.relaxed_code > 0.5),
            ),
            self.spread: line(drawing.line, "hint"),
        }
