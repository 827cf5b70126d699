"""Is a label as good a query as a picture, and do the expectations of an index hold?

    python benchmarks/index_quality.py RUN...

Makes the index of every run's own database, as `dshgan index` does, and prints two tables. The runs are of pixels and
have a generator (`--synthetic`).

- Label queries: one a class, or, where images have several labels, one for each label set of the query images; MAP of
  the codes of the generator's images, beside MAP of picture queries and of the ranking by the class stream's
  probabilities. An image is right when it shares a label with the query ("any"), or has all of its labels ("all").
- Calibration: what the held-out images foretell, and what all pairs of query and database reached, at the radius that
  `--precision` chooses. "holds" is whether the reached value lies in the stated interval.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from dshgan_tf.export.index_files import make_index, names_of_database
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.metrics import average_precision_score

import dshgan_tf as dsh
from dshgan_tf.errors import InputError
from dshgan_tf.run import Run
from dshgan_tf.search.calibration import reached
from dshgan_tf.search.image_index import ImageIndex
from dshgan_tf.search.index_update import update_from_arrays


def open_index(run, folder):
    splits = make_index(Run(run), folder)
    index = ImageIndex(folder, writable=True)
    update_from_arrays(index, splits.database.images, names_of_database(splits))
    return index, splits


def label_sets(splits):
    """The label rows that are asked for."""
    if not splits.multi_label:
        return np.eye(splits.num_classes, dtype=np.uint8)
    return np.unique(splits.query.labels, axis=0)


def label_maps(index, splits):
    """MAP of label queries by codes and by probabilities, for both meanings of right."""
    database = splits.multi_hot(splits.database.labels) > 0
    _, probabilities = index.store.probabilities(splits.num_classes)
    codes = index.codes.codes
    found = {"codes, any": [], "probability, any": [], "codes, all": [], "probability, all": []}
    for row in label_sets(splits):
        query = index.label_query("|".join(np.array(index.class_names)[row > 0]))
        if query is None:
            raise InputError(f"{index.folder} has no generator; train the run with --synthetic")
        score = probabilities[:, row > 0].prod(axis=1)
        for meaning, right in (("any", database[:, row > 0].any(axis=1)), ("all", database[:, row > 0].all(axis=1))):
            if not right.any():
                continue
            result = dsh.retrieval.evaluate(
                query.code[None], np.array([1]), codes, right.astype(np.int64), index.num_bits,
                query_relaxed=query.relaxed_code[None],
            )  # fmt: skip
            found[f"codes, {meaning}"].append(result["map_asymmetric"])
            found[f"probability, {meaning}"].append(average_precision_score(right, score))
    return {name: float(np.mean(values)) for name, values in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--precisions", type=float, nargs="+", default=[0.9, 0.95])
    options = parser.parse_args()
    labels = Table(title="MAP of label queries")
    held = Table(title="Precision and recall: foretold [95% interval], and reached by the queries")
    for column in ("run", "picture queries", "codes, any", "probability, any", "codes, all", "probability, all"):
        labels.add_column(column, justify="left" if column == "run" else "right")
    for column in ("run", "asked", "radius", "precision", "reached", "holds", "recall", "reached", "holds"):
        held.add_column(column, justify="left" if column == "run" else "right")
    rows = []
    for run in track(options.runs, "indexing", console=Console(stderr=True)):
        with tempfile.TemporaryDirectory() as folder:
            index, splits = open_index(run, Path(folder, "index"))
            maps = label_maps(index, splits)
            picture = json.loads((run / "results.json").read_text())["metrics"]["map_asymmetric"]
            rows.append([picture, *maps.values()])
            labels.add_row(run.name, *(f"{value:.3f}" for value in rows[-1]))
            if index.calibration is not None:
                add_calibration(held, run.name, index, Run(run).splits(), options.precisions)
    labels.add_section()
    labels.add_row("mean", *(f"{value:.3f}" for value in np.mean(rows, axis=0)))
    for table in (labels, held):
        if table.row_count:
            Console(width=160).print(table)


def add_calibration(table, name, index, splits, precisions):
    streams = index.batch_encoder.predict_streams(np.asarray(splits.query.images[:]))
    sides = [splits.searched_rows(part.labels) for part in (splits.query, splits.database)]
    found = reached(streams["codes"], sides[0], index.codes.codes, sides[1], index.num_bits)
    for asked in precisions:
        try:
            told = index.calibration.radius_for(asked)
        except InputError as error:
            table.add_row(name, f"{asked}", str(error))
            continue
        cells = []
        for kind in ("precision", "recall"):
            low, middle, high = (getattr(told, f"{kind}{end}") for end in ("_low", "", "_high"))
            value = found[kind][told.radius]
            cells += [f"{middle:.3f} [{low:.3f}, {high:.3f}]", f"{value:.3f}", "yes" if low <= value <= high else "no"]
        table.add_row(name, f"{asked}", str(told.radius), *cells)


if __name__ == "__main__":
    main()
