"""Baselines on the split of a run: unsupervised hashing of pixels and of trunk features, and the class as a code."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from dshgan_tf.training.unseen_classes import codes_ranker, map_by_kind
from rich.progress import track

import dshgan_tf as dsh
from dshgan_tf.codes import pack
from dshgan_tf.data import Splits
from dshgan_tf.data.feature_splits import feature_splits
from dshgan_tf.files import write_json
from dshgan_tf.models.instance_bits import learn_projection
from dshgan_tf.run import Run
from dshgan_tf.teacher.nearest_graph import normalised_features
from dshgan_tf.teacher.teach import teach

Hasher = Callable[[np.ndarray], np.ndarray]  # features (N, F) float32 -> bits (N, K)


def fit_lsh(features: np.ndarray, num_bits: int, seed: int) -> Hasher:
    """Locality-sensitive hashing: signs of random projections of the centred features.

    Args:
        features: (N, F) float32 to learn from.
        num_bits: K.
        seed: of the projections.

    Returns:
        What makes bits of features.

    Reference:
        Charikar, STOC 2002.
    """
    mean = features.mean(axis=0)
    planes = np.random.default_rng(seed).standard_normal((features.shape[1], num_bits)).astype(np.float32)
    return lambda batch: (batch - mean) @ planes > 0


def fit_itq(features: np.ndarray, num_bits: int, seed: int) -> Hasher:
    """Iterative quantisation: principal components, rotated towards the corners of the cube (by FAISS).

    Args:
        features: (N, F) float32 to learn from, F at least K.
        num_bits: K.
        seed: unused by FAISS' own generator, which is fixed.

    Returns:
        What makes bits of features.

    Reference:
        Gong and Lazebnik, CVPR 2011.
    """
    weights, biases = learn_projection(features, num_bits)
    return lambda batch: batch @ weights + biases > 0


def fit_spectral(features: np.ndarray, num_bits: int, seed: int) -> Hasher:
    """Spectral hashing: signs of the smoothest eigenfunctions of a box along the principal components.

    Args:
        features: (N, F) float32 to learn from.
        num_bits: K.
        seed: unused; nothing is drawn.

    Returns:
        What makes bits of features.

    Reference:
        Weiss, Torralba and Fergus, NIPS 2008: eigenfunction sin(pi/2 + j pi x / (b - a)), eigenvalue growing with
        j / (b - a).
    """
    from sklearn.decomposition import PCA

    components = PCA(min(num_bits, features.shape[1]), svd_solver="covariance_eigh").fit(features).transform
    reduced = components(features)
    low, high = reduced.min(axis=0), reduced.max(axis=0)
    extent = np.maximum(high - low, 1e-12)
    frequencies = np.arange(1, num_bits + 1)[:, None] / extent  # (K, components) of j / (b - a)
    smoothest = np.argsort(frequencies, axis=None, kind="stable")[:num_bits]
    j, direction = np.unravel_index(smoothest, frequencies.shape)

    def bits(batch: np.ndarray) -> np.ndarray:
        place = (components(batch)[:, direction] - low[direction]) / extent[direction]
        return np.sin(np.pi / 2 + np.pi * (j + 1) * place) > 0

    return bits


HASHERS = {"LSH": fit_lsh, "ITQ": fit_itq, "spectral hashing": fit_spectral}
CLASS_AS_CODE = "class as code"


def evaluate_baselines(model: dsh.DSHGAN, splits: Splits, run: Run) -> dict[str, dict[str, Any]]:
    """Evaluate all baselines, learnt from the run's training images; write `baselines.json`.

    Hashers learn from labelled and unlabelled training images, without labels. Features are those that the trained
    trunk gives to its streams. The class as code has a bit a class, and only that of the classifier's answer is set:
    what hashing must beat, above all on classes that training never saw (Sablayrolles et al., ICASSP 2017).

    Args:
        model: the trained model of the run.
        splits: its data.
        run: its folder.

    Returns:
        Name -> `num_bits`, `uses_model` and `metrics` of `retrieval.evaluate`. With more bits than features there is
        no row of hashers on these features. Beside a frozen trunk there is none on pixels. Some rows need no hash: the
        cosine of pixels and of the trunk's features, and what label spreading over the nearest pixels, or features of a
        frozen trunk, says, as floats and as the class alone.
    """
    frozen = model.encoder.head is not None
    seen = feature_splits(splits, model.average_encoder, teach=False) if frozen else splits
    trained = [part.images for part in (seen.labeled, seen.unlabeled) if len(part)]
    sides = {"train": trained, "query": [seen.query.images], "database": [seen.database.images]}
    if frozen:
        features = {side: np.concatenate(parts) for side, parts in sides.items()}
        cases = [(name, "trunk", features) for name in HASHERS]
    else:
        trunk = model.average_encoder.trunk_features()
        pixels = {side: np.concatenate([_pixels(images) for images in parts]) for side, parts in sides.items()}
        features = {
            side: np.concatenate([_features(trunk, images) for images in parts]) for side, parts in sides.items()
        }
        cases = [(name, "pixels", pixels) for name in HASHERS] + [(name, "trunk", features) for name in HASHERS]
    rows = {}
    for name, of, values in track(cases, description="baselines", transient=True):
        if model.num_bits > values["train"].shape[1]:
            continue
        bits = HASHERS[name](values["train"], model.num_bits, splits.seed)
        codes = [pack(bits(values[side]).astype(np.uint8)) for side in ("query", "database")]
        rows[f"{name}, {of}"] = _row(codes, splits, model.num_bits, uses_model=of == "trunk")
    rows |= _rows_without_training(seen if frozen else _of_pixels(splits), "trunk" if frozen else "pixels")
    if not frozen:
        floats = cosine_features(features["query"], features["database"])
        rows["cosine, trunk, not coded"] = _floats(splits, *floats, uses_model=True)
    codes = [pack(_class_bits(model, images)) for images in (seen.query.images, seen.database.images)]
    rows[f"{CLASS_AS_CODE} ({model.num_classes} bits)"] = _row(codes, splits, model.num_classes, uses_model=True)
    write_json(run.path("baselines"), rows)
    return rows


def _rows_without_training(seen: Splits, of: str) -> dict[str, dict[str, Any]]:
    """Return what features are worth without a hash: their cosine, and labels that spread among them."""
    learnt = of == "trunk"
    rows = {f"cosine, {of}, not coded": _floats(seen, *features_by_cosine(seen), uses_model=learnt)}
    if not seen.unseen_names:
        spread = spread_over_all(seen)
        rows[f"label spreading, {of}, knows the queries, not coded"] = _floats(seen, *spread, uses_model=learnt)
        codes = [pack(class_bits(part, seen.multi_label)) for part in spread]
        name = f"class by label spreading, {of} ({seen.num_classes} bits)"
        rows[name] = _row(codes, seen, seen.num_classes, uses_model=learnt)
    return rows


def _floats(splits: Splits, query: np.ndarray, database: np.ndarray, uses_model: bool) -> dict[str, Any]:
    """Return the row of floats (N, D) that no hash makes bits of."""
    return {"num_bits": None, "uses_model": uses_model, "metrics": float_metrics(splits, query, database)}


def _of_pixels(splits: Splits) -> Splits:
    """Return the splits with rows of pixels (N, H W C) for images."""
    flat = {name: getattr(splits, name) for name in ("query", "labeled", "database")}
    return dataclasses.replace(
        splits, **{name: dataclasses.replace(part, images=_pixels(part.images)) for name, part in flat.items()}
    )


def features_by_cosine(seen: Splits) -> tuple[np.ndarray, np.ndarray]:
    """Return what `cosine_features` makes of splits of features."""
    return cosine_features(seen.query.images, seen.database.images)


def cosine_features(query: np.ndarray, database: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return features (N, F) of both sides whose inner products are their cosines, as the teacher has them."""
    both = normalised_features(np.concatenate([query, database]))
    return both[: len(query)], both[len(query) :]


def spread_over_all(seen: Splits) -> tuple[np.ndarray, np.ndarray]:
    """Spread the labels to queries and database at once, (N, L) each; a teacher that knows the queries beforehand.

    Args:
        seen: splits of features.
    """
    known = seen.multi_hot(seen.labeled.labels)
    searched = ~np.isin(seen.database.ids, seen.labeled.ids)
    parts = [seen.labeled.images, seen.query.images, seen.database.images[searched]]
    rows = np.concatenate([known, np.zeros((len(parts[1]) + len(parts[2]), seen.num_classes), known.dtype)])
    spread = teach(np.concatenate(parts), rows, seen.multi_label)
    query, others = spread[len(known) :][: len(seen.query)], spread[len(known) + len(seen.query) :]
    database = np.empty((len(seen.database), seen.num_classes), np.float32)
    database[searched] = others
    order = np.argsort(seen.labeled.ids)
    places = np.searchsorted(seen.labeled.ids, seen.database.ids[~searched], sorter=order)
    database[~searched] = known[order[places]]
    return query, database


def class_bits(probabilities: np.ndarray, multi_label: bool) -> np.ndarray:
    """Set the bit of the most probable class, or those of the probable labels, (N, L) uint8."""
    if multi_label:
        return (probabilities > 0.5).astype(np.uint8)
    return np.eye(probabilities.shape[1], dtype=np.uint8)[probabilities.argmax(axis=1)]


def float_metrics(splits: Splits, query: np.ndarray, database: np.ndarray) -> dict[str, float]:
    """Evaluate floats, ranked by their inner products; a query that nothing is like counts as 0.

    Args:
        splits: whose labels say what is relevant.
        query: (Q, D) float.
        database: (N, D) float.

    Returns:
        `map`, and what `map_by_kind` adds.
    """
    asked, searched = (splits.searched_rows(part.labels) for part in (splits.query, splits.database))

    def rank(queries: np.ndarray, images: np.ndarray) -> float:
        return _map_of_products(query[queries], database[images], asked[queries], searched[images])

    return {"map": _map_of_products(query, database, asked, searched), **map_by_kind(splits, rank)}


def _map_of_products(
    query: np.ndarray, database: np.ndarray, query_labels: np.ndarray, database_labels: np.ndarray
) -> float:
    from sklearn.metrics import label_ranking_average_precision_score as mean_average_precision

    total = 0.0
    for start in range(0, len(query), 256):
        block = slice(start, start + 256)
        relevant = query_labels[block] @ database_labels.T > 0
        some = relevant.any(axis=1)  # scikit-learn counts a query without as 1
        if some.any():
            total += some.sum() * mean_average_precision(relevant[some], (query[block] @ database.T)[some])
    return float(total / len(query))


def _pixels(images: Any) -> np.ndarray:
    return np.asarray(images[:], np.float32).reshape(len(images), -1) / 255


def _features(trunk: keras.Model, images: Any, batch_size: int = 64) -> np.ndarray:
    starts = range(0, len(images), batch_size)
    batches = (np.asarray(images[i : i + batch_size], np.float32) for i in starts)
    return np.concatenate([np.asarray(trunk(batch, training=False), np.float32) for batch in batches])


def _class_bits(model: dsh.DSHGAN, images: Any) -> np.ndarray:
    """Set the bit of the most probable class, (N, L) uint8."""
    return class_bits(model.predict_streams(images)["class_logits"], multi_label=False)


def _row(codes: list[np.ndarray], splits: Splits, num_bits: int, uses_model: bool) -> dict[str, Any]:
    query, database = codes
    metrics = dsh.retrieval.evaluate(query, splits.query.labels, database, splits.database.labels, num_bits)
    del metrics["k"], metrics["policy"]
    metrics |= map_by_kind(splits, codes_ranker(splits, query, database, num_bits))
    return {"num_bits": num_bits, "uses_model": uses_model, "metrics": metrics}
