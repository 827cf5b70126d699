"""Pictures of several runs together: one curve a method, the mean over its seeds. As PNG and as SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
from dshgan_tf.training.comparison import Entry, Setting, group, mean_and_deviation
from dshgan_tf.training.plots import save_figure
from dshgan_tf.training.tables import mean_over_kinds
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import dshgan_tf as dsh

COLOURS = {"with GAN": "C0", "without GAN": "C1", "no synthetic images": "C4", "paper": "C3"}
OTHER_COLOURS = ("C2", "C5", "C6", "C7", "C8", "C9", "black", "gold", "navy", "teal")
Groups = dict[tuple[Setting, str], dict[int, Entry]]


def draw_comparison(entries: list[Entry], folder: Path) -> list[Path]:
    """Write precision-recall and precision-at-k curves, and MAP over labels and over severity where there are several.

    Args:
        entries: runs and baselines; curves are drawn of the runs.
        folder: where the pictures go.

    Returns:
        The files.
    """
    groups = group([entry for entry in entries if not entry.is_baseline])
    figures = {"precision_recall": precision_recall(groups), "precision_at_k": precision_at_k(groups)}
    if len({setting.labels_per_class for setting, _ in groups}) > 1:
        figures["map_over_labels"] = map_over_labels(groups)
    shifted = group([entry for entry in entries if entry.shift is not None])
    if shifted:
        figures["map_over_severity"] = map_over_severity(shifted)
    return [file for name, figure in figures.items() for file in save_figure(figure, folder / name)]


def precision_recall(groups: Groups) -> Figure:
    """Draw precision over recall within every Hamming radius, mean over the seeds at each radius."""
    figure, axes = _panel("recall", "precision", "Precision and recall within every Hamming radius")
    for key, seeds in groups.items():
        curves = [dsh.retrieval.precision_recall_curve(**_codes(entry)) for entry in seeds.values()]
        recall, precision = (np.mean([curve[name] for curve in curves], axis=0) for name in ("recall", "precision"))
        filled = np.mean([curve["empty_ball_share"] for curve in curves], axis=0) < 1
        axes.plot(recall[filled], precision[filled], ".-", markersize=4, **_style(groups, key))
    axes.set(xlim=(0, 1.01), ylim=(0, 1.01))
    axes.legend(loc="lower left", fontsize=8)
    return figure


def precision_at_k(groups: Groups) -> Figure:
    """Draw the share of relevant images among the first k."""
    figure, axes = _panel("images retrieved, k", "precision at k", "Precision of the first k images")
    for key, seeds in groups.items():
        runs = [_codes(entry) for entry in seeds.values()]
        smallest = min(len(codes["database_codes"]) for codes in runs)  # databases of unseen classes differ by seed
        cuts = np.unique(np.geomspace(1, smallest, 40).astype(int)).tolist()
        results = [dsh.retrieval.evaluate(**codes, cutoffs=cuts) for codes in runs]
        curves = [[result[f"precision_at_{cut}"] for cut in cuts] for result in results]
        axes.plot(cuts, np.mean(curves, axis=0), ".-", markersize=4, **_style(groups, key))
    axes.set(xscale="log", ylim=(0, 1.01))
    axes.legend(loc="lower left", fontsize=8)
    return figure


def map_over_labels(groups: Groups) -> Figure:
    """Draw MAP over the label budget, with the standard deviation over seeds."""
    figure, axes = _panel("labels a class", "MAP", "MAP over the label budget")
    lines: dict[tuple, list[tuple[int, float, float]]] = {}
    for (setting, method), seeds in groups.items():
        mean, deviation = mean_and_deviation([entry.metrics["map"] for entry in seeds.values()])
        point = (setting.labels_per_class, mean, 0.0 if np.isnan(deviation) else deviation)
        lines.setdefault((setting.data, setting.num_bits, setting.steps, method), []).append(point)
    several = len({key[:3] for key in lines}) > 1
    labels = [f"{key[3]}, {key[0]}, {key[1]} bits, {key[2]} steps" if several else key[3] for key in lines]
    for label, points in zip(labels, lines.values(), strict=True):
        x, y, error = zip(*sorted(points), strict=True)
        axes.errorbar(x, y, error, fmt="o-", capsize=3, label=label, color=_colour(label, labels))
    axes.set(xscale="log", ylim=(0, 1.01))
    ticks = sorted({setting.labels_per_class for setting, _ in groups})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.legend(loc="lower right", fontsize=8)
    return figure


def map_over_severity(groups: Groups) -> Figure:
    """Draw MAP over the severity of the corruption: the mean over all kinds, then each kind."""
    kinds = list(next(iter(next(iter(groups.values())).values())).shift)
    columns = 3
    rows = -(-(len(kinds) + 1) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(9.5, 2.6 * rows), layout="constrained", sharex=True, sharey=True, squeeze=False
    )
    for key, seeds in groups.items():
        style = _style(groups, key)
        curves = {"mean over the kinds": np.mean([mean_over_kinds(entry) for entry in seeds.values()], axis=0)}
        curves |= {kind: np.mean([entry.shift[kind] for entry in seeds.values()], axis=0) for kind in kinds}
        for panel, (name, curve) in zip(axes.flat, curves.items(), strict=False):
            panel.plot(range(len(curve)), curve, ".-", **style)
            panel.set_title(name.replace("_", " "), size=9)
            panel.grid(alpha=0.3)
    for panel in axes.flat[len(kinds) + 1 :]:
        panel.set_visible(False)
    figure.supxlabel("severity of the corruption of the queries (0: clean)", size=9)
    figure.supylabel("MAP", size=9)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=8)
    return figure


def _panel(x: str, y: str, title: str) -> tuple[Figure, Axes]:
    figure, axes = plt.subplots(figsize=(6, 4.5), layout="constrained")
    axes.set(xlabel=x, ylabel=y, title=title)
    axes.title.set_size(11)
    axes.grid(alpha=0.3)
    return figure, axes


def _style(groups: Groups, key: tuple[Setting, str]) -> dict[str, str]:
    """Label and colour of a curve: the method, and of the setting what tells it from the others."""
    setting, method = key
    settings = {other for other, _ in groups}
    words = {
        "data": setting.data,
        "num_bits": f"{setting.num_bits} bits",
        "labels_per_class": f"{setting.labels_per_class} labels a class",
        "steps": f"{setting.steps} steps",
    }
    telling = [text for name, text in words.items() if len({getattr(other, name) for other in settings}) > 1]
    maps = [entry.metrics["map"] for entry in groups[key].values()]
    label = ", ".join([method, *telling]) + f": MAP {np.mean(maps):.3f}"
    names = [name if len(settings) == 1 else (other, name) for other, name in groups]
    return {"label": label, "color": _colour(names[list(groups).index(key)], names)}


def _colour(name: object, names: list[object]) -> str:
    """A method's own colour, or the next of the others; with several settings every curve has one of the others."""
    if name in COLOURS:
        return COLOURS[name]
    others = [other for other in dict.fromkeys(names) if other not in COLOURS]
    return OTHER_COLOURS[others.index(name) % len(OTHER_COLOURS)]


def _codes(entry: Entry) -> dict[str, Any]:
    with np.load(entry.run.path("codes")) as codes:
        sides = [f"{side}_{what}" for side in ("query", "database") for what in ("codes", "labels")]
        return {name: codes[name] for name in sides} | {"num_bits": entry.setting.num_bits}
