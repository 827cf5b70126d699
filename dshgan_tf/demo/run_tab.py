"""The tab with the curves and tables of the training run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from dshgan_tf.demo.actions import Actions
from dshgan_tf.demo.lines import line, with_message
from dshgan_tf.demo.run_report import PLOTS, draw_calibration, plots_of, tables_of

ROWS = (("learning_curves",), ("retrieval", "code_map"), ("calibration",))  # side by side where there is room


class RunTab:
    """Show a run, or say how to, and what a radius of the index means.

    Args:
        actions: of the index.
        tab: the pictures are read when it is opened.
        run: folder of the run, or None.
    """

    def __init__(self, actions: Actions, tab: gr.Tab, run: Path | None) -> None:
        self.actions, self.run = actions, run
        self.message = gr.HTML()
        if run is None:
            gr.HTML(line("Start the page with --run and the folder of the training run to see its curves and tables."))
        self.tables = gr.Markdown(visible=run is not None)
        self.plots = {}
        for names in ROWS if run is not None else [("calibration",)] if actions.calibration is not None else []:
            with gr.Row():
                for name in names:
                    self.plots[name] = gr.Image(
                        label=PLOTS[name],
                        format="png",
                        interactive=False,
                        visible=False,
                        buttons=["fullscreen"],
                        min_width=480,
                        elem_id=name,
                        elem_classes="plot",
                    )
        if actions.calibration is None:
            gr.HTML(line(actions.expectation(0)))
        tab.select(with_message(self.message, self._show), None, [self.message, self.tables, *self.plots.values()])

    def _show(self) -> dict[Any, Any]:
        pictures = {} if self.run is None else plots_of(self.run)
        if "calibration" not in pictures and self.actions.calibration is not None:
            pictures["calibration"] = draw_calibration(self.actions.calibration)
        changed = {self.plots[name]: gr.Image(picture, visible=True) for name, picture in pictures.items()}
        return changed if self.run is None else {self.tables: tables_of(self.run), **changed}
