"""The tables and curves of a run, as the page shows them."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from dshgan_tf.run import Run
from dshgan_tf.search.calibration import Calibration

# Plots of a run -> what they are called on the page.
PLOTS = {
    "learning_curves": "How the training went",
    "retrieval": "Queries and what they found: right green, wrong red",
    "code_map": "The codes of the queries in the plane, coloured by class",
    "calibration": "What a radius means: precision and recall expected, and those that the queries reached",
}


def tables_of(run: Path) -> str:
    """Return the tables that `dshgan evaluate` prints, in Markdown.

    Raises:
        InputError: no finished run.
    """
    from dshgan_tf.training.comparison import read_entries
    from dshgan_tf.training.tables import results_sheet, shift_sheet

    entries = read_entries(Run(run).require_finished())
    sheets = [sheet for sheet in (results_sheet(entries), shift_sheet(entries)) if sheet is not None]
    return "\n".join(sheet.to_markdown() for sheet in sheets)


def plots_of(run: Path) -> dict[str, Image.Image]:
    """Return the pictures that the run has, by the names of `PLOTS`."""
    found = {}
    for name in PLOTS:
        path = Run(run).path("plots") / f"{name}.png"
        if path.exists():
            with Image.open(path) as picture:
                found[name] = picture.convert("RGB")
    return found


def draw_calibration(calibration: Calibration) -> Image.Image:
    """Draw precision and recall by radius, with their intervals, as the index knows them."""
    from matplotlib.figure import Figure  # without pyplot, which is not for threads

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    radii = [e.radius for e in calibration.expectations]
    for panel, kind in zip(figure.subplots(1, 2, sharey=True), ("precision", "recall"), strict=True):
        low, middle, high = (
            [getattr(expected, f"{kind}{end}") for expected in calibration.expectations]
            for end in ("_low", "", "_high")
        )
        panel.fill_between(radii, low, high, alpha=0.2, label="95% interval")
        panel.plot(radii, middle, label=f"expected from {calibration.images} held-out images")
        panel.set(title=kind, xlabel="Hamming radius", ylim=(0, 1.02))
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=8)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=130)
    return Image.open(file)
