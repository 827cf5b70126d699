"""Pictures of a run: who was found, where the codes lie, how the training went. As PNG and as SVG."""

from __future__ import annotations

import csv
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import dshgan_tf as dsh
from dshgan_tf.codes import unpack
from dshgan_tf.data import Splits
from dshgan_tf.files import atomic_path
from dshgan_tf.images.grid import write_png
from dshgan_tf.run import Run
from dshgan_tf.search.calibration import Calibration, reached

RIGHT, WRONG, QUERY = "#1a9850", "#d73027", "#333333"
MAP_POINTS = 1000  # codes in the map: t-SNE's time grows with them
TOP = 10  # images found for each query
MOST_PAIRS = 24
FEWEST_IN_MAP = 3  # fewer have no map


def draw_run(
    splits: Splits, run: Run, query_codes: np.ndarray, database_codes: np.ndarray, query_relaxed: np.ndarray
) -> None:
    """Write the pictures of one run to `plots/`: retrieval grid, map of codes, learning curves, and one query alone.

    Args:
        splits: the data of the run.
        run: its folder.
        query_codes: (Q, ceil(K/8)) uint8.
        database_codes: (N, ceil(K/8)) uint8.
        query_relaxed: (Q, K) float.
    """
    plots = run.path("plots")
    save_figure(retrieval_grid(splits, query_codes, database_codes, query_relaxed), plots / "retrieval")
    if len(query_codes) >= FEWEST_IN_MAP:
        save_figure(code_map(splits, query_codes, query_relaxed.shape[1]), plots / "code_map")
    image = splits.query.images[:1][0]
    write_png(plots / "query.png", image if image.shape[-1] == 3 else np.repeat(image, 3, axis=-1))
    if run.path("metrics").exists():
        save_figure(learning_curves(run.path("metrics")), plots / "learning_curves")


def retrieval_grid(
    splits: Splits, query_codes: np.ndarray, database_codes: np.ndarray, query_relaxed: np.ndarray
) -> Figure:
    """Draw one query a class with its nearest images, right ones framed green and wrong ones red.

    Args:
        splits: the data.
        query_codes: (Q, ceil(K/8)) uint8.
        database_codes: (N, ceil(K/8)) uint8.
        query_relaxed: (Q, K) float, which ranks equally near codes.

    Returns:
        The figure.
    """
    query_rows = splits.searched_rows(splits.query.labels)
    classes = np.flatnonzero(query_rows.any(axis=0))[:10]
    chosen = [int(np.flatnonzero(query_rows[:, label])[0]) for label in classes]
    index = dsh.HammingIndex(query_relaxed.shape[1])
    index.add(database_codes)
    distances, found = index.search(query_codes[chosen], min(TOP, len(database_codes)), query_relaxed[chosen])
    database_rows = splits.searched_rows(splits.database.labels)
    columns = found.shape[1] + 1
    size = {"figsize": (0.85 * columns, 0.95 * len(chosen)), "layout": "constrained", "squeeze": False}
    figure, axes = plt.subplots(len(chosen), columns, **size)
    figure.suptitle("Queries (left) and their nearest images: right green, wrong red, Hamming distance below", size=9)
    for row, query in enumerate(chosen):
        name = splits.searched_names[classes[row]]
        unlabeled = "\n(no labels)" if name in splits.unseen_names else ""
        _show(axes[row, 0], splits.query.images[[query]][0], QUERY, name + unlabeled)
        for column, (distance, item) in enumerate(zip(distances[row], found[row], strict=True), start=1):
            right = bool(query_rows[query] @ database_rows[item])
            _show(axes[row, column], splits.database.images[[item]][0], RIGHT if right else WRONG, str(distance))
    return figure


def draw_pairs(splits: Splits, pairs: np.ndarray, cosines: np.ndarray, path: Path) -> None:
    """Draw pairs of query and searched image, with their cosines.

    Args:
        splits: of pixels.
        pairs: (P, 2) rows of query and searched image, P at least 1.
        cosines: (P,) float.
        path: without suffix.
    """
    some = pairs[:MOST_PAIRS]
    columns = min(4, len(some))
    lines = -(-len(some) // columns)
    figure, axes = plt.subplots(lines, 2 * columns, figsize=(2.4 * columns, 1.5 * lines), squeeze=False)
    for unused in axes.flat[2 * len(some) :]:
        unused.set_axis_off()
    for number, ((query, image), cosine) in enumerate(zip(some, cosines, strict=False)):
        line, column = divmod(number, columns)
        _show(axes[line, 2 * column], splits.query.images[query : query + 1][0], "none", "query")
        _show(axes[line, 2 * column + 1], splits.database.images[image : image + 1][0], "none", f"{cosine:.3f}")
    figure.suptitle(f"{len(some)} of {len(pairs)} pairs of query and searched image", fontsize=9)
    save_figure(figure, path)


def _show(axes: plt.Axes, image: np.ndarray, colour: str, caption: str) -> None:
    axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(caption, size=7, labelpad=1)
    for spine in axes.spines.values():
        spine.set_visible(False)
    frame = Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, edgecolor=colour, linewidth=4)
    axes.add_patch(frame)


def learning_curves(metrics_csv: Path) -> Figure:
    """Draw the losses of both players, the scores of the adversary, and accuracy and `val_map`, over the epochs."""
    with metrics_csv.open(newline="") as file:
        rows = list(csv.DictReader(file))
    panels = {
        "encoder": [name for name in rows[0] if name.endswith("_loss") and not name.startswith("generator")],
        "generator": [name for name in rows[0] if name.startswith("generator")],
        "scores": ["accuracy", "triplet_accuracy", "real_score", "synthetic_score", "pseudo_label_rate", "val_map"],
    }
    panels = {
        title: [n for n in names if n in rows[0] and any(row[n] for row in rows)] for title, names in panels.items()
    }
    panels = {title: names for title, names in panels.items() if names}
    figure, axes = plt.subplots(1, len(panels), figsize=(5 * len(panels), 3.6), layout="constrained", squeeze=False)
    for panel, (title, names) in zip(axes[0], panels.items(), strict=True):
        for name in names:
            points = [(int(row["epoch"]), float(row[name])) for row in rows if row[name]]
            panel.plot(*zip(*points, strict=True), ".-", label=name.replace("_", " "), markersize=4)
        panel.set(title=title, xlabel="epoch")
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7)
    return figure


def code_map(splits: Splits, query_codes: np.ndarray, num_bits: int) -> Figure:
    """Draw the codes of up to 1,000 queries in the plane, by t-SNE of their Hamming distances, coloured by class.

    Args:
        splits: the data.
        query_codes: (Q, ceil(K/8)) uint8.
        num_bits: K.

    Returns:
        The figure; an image with several labels has the colour of its first.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    chosen = np.linspace(0, len(query_codes) - 1, min(MAP_POINTS, len(query_codes))).astype(int)
    bits = unpack(query_codes[chosen], num_bits).astype(np.float32)
    rows = splits.searched_rows(splits.query.labels)[chosen]
    perplexity = min(30.0, max(1.0, (len(chosen) - 1) / 3))
    # One thread: with more, 200 points wait for the threads of other programs longer than they compute.
    with threadpool_limits(1):
        places = TSNE(metric="hamming", init="random", perplexity=perplexity, random_state=0).fit_transform(bits)
    first = rows.argmax(axis=1)
    figure, axes = plt.subplots(figsize=(6.4, 5), layout="constrained")
    colours = plt.get_cmap("tab10" if rows.shape[1] <= 10 else "tab20")
    for label in np.unique(first):
        x, y = places[first == label].T
        axes.scatter(x, y, s=12, color=colours(label % colours.N), label=splits.searched_names[label])
    axes.set(
        xticks=[], yticks=[], title=f"{len(chosen)} queries, near where their codes differ in few of {num_bits} bits"
    )
    axes.title.set_size(10)
    figure.legend(loc="outside right center", frameon=False)
    return figure


def draw_calibration(
    calibration: Calibration, splits: Splits, run: Run, query_codes: np.ndarray, database_codes: np.ndarray
) -> None:
    """Write `plots/calibration`: precision and recall expected by radius, and those that the queries reached.

    Args:
        calibration: learnt from the validation part.
        splits: the data.
        run: its folder.
        query_codes: (Q, ceil(K/8)) uint8.
        database_codes: (N, ceil(K/8)) uint8.
    """
    num_bits = len(calibration.expectations) - 1
    rows = (splits.searched_rows(part.labels) for part in (splits.query, splits.database))
    query_rows, database_rows = rows
    found = reached(query_codes, query_rows, database_codes, database_rows, num_bits)
    radii = [e.radius for e in calibration.expectations]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
    for panel, kind in zip(axes, ("precision", "recall"), strict=True):
        low, middle, high = (
            [getattr(e, f"{kind}{end}") for e in calibration.expectations] for end in ("_low", "", "_high")
        )
        panel.fill_between(radii, low, high, alpha=0.2, label="95% interval")
        panel.plot(radii, middle, label=f"expected from {calibration.images} held-out images")
        panel.plot(radii, found[kind], "--", color=QUERY, label=f"reached by {len(query_codes)} queries")
        panel.set(title=kind, xlabel="Hamming radius", ylim=(0, 1.02))
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    save_figure(figure, run.path("plots") / "calibration")


def save_figure(figure: Figure, path: Path) -> list[Path]:
    """Write a figure as PNG and as SVG, and close it.

    Args:
        figure: to write.
        path: without suffix.

    Returns:
        Both files.
    """
    files = [path.with_name(f"{path.name}.{kind}") for kind in ("png", "svg")]
    for file in files:
        with atomic_path(file) as temporary:
            figure.savefig(temporary, dpi=130)
    plt.close(figure)
    return files
