import dataclasses

import numpy as np
import pytest
from dshgan_tf.training.baselines import (
    HASHERS,
    class_bits,
    evaluate_baselines,
    features_by_cosine,
    fit_itq,
    fit_lsh,
    fit_spectral,
    float_metrics,
    spread_over_all,
)
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity

import dshgan_tf as dsh
from dshgan_tf.codes import pack
from dshgan_tf.run import Run


def ranked(bits, labels):
    codes = pack(bits.astype(np.uint8))
    return dsh.retrieval.evaluate(codes[:50], labels[:50], codes[50:], labels[50:], bits.shape[1])["map"]


@pytest.mark.parametrize("name", HASHERS)
def test_hashers_keep_clusters_together(name):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 600)
    centres = 4 * rng.standard_normal((4, 20))
    features = (centres[labels] + 0.3 * rng.standard_normal((600, 20))).astype(np.float32)
    bits = HASHERS[name](features, 16, 0)(features)
    assert bits.shape == (600, 16) and bits.dtype == bool
    assert ranked(bits, labels) > 0.95 > 0.4 > ranked(bits, rng.permutation(labels))


def test_itq_quantises_with_less_error_than_the_components_alone():
    rng = np.random.default_rng(1)
    features = (rng.standard_normal((2000, 8)) * np.linspace(3, 0.5, 8)).astype(np.float32)
    bits = fit_itq(features, 8, 0)(features)
    # Undo the rotation by least squares: B R approximates V, so the residual is the quantisation error.
    centred = features - features.mean(axis=0)

    def error(signs):
        u, _, vt = np.linalg.svd(signs.T @ centred)
        return np.mean((signs @ (u @ vt) - centred) ** 2)

    assert error(np.where(bits, 1.0, -1.0)) < error(np.where(centred > 0, 1.0, -1.0))


def test_spectral_hashing_on_a_line_has_one_more_sign_change_a_bit():
    line = np.linspace(0, 1, 1001)[:, None] * np.array([[3.0, 4.0]])
    features = (line + np.array([[0.0, 0.0]])).astype(np.float32)[:, :1]
    bits = fit_spectral(features, 5, 0)(features)
    # The eigenfunctions of an interval are cos(j pi x), with j sign changes.
    changes = np.abs(np.diff(bits.astype(int), axis=0)).sum(axis=0)
    assert changes.tolist() == [1, 2, 3, 4, 5]


def test_spectral_hashing_spends_its_first_bits_on_the_longest_axis():
    rng = np.random.default_rng(2)
    box = (rng.random((4000, 2)) * [10, 1]).astype(np.float32)
    bits = fit_spectral(box, 6, 0)(box)
    along = np.argsort(box[:, 0])
    # Extents 10 and 1: the six smoothest eigenfunctions all run along the first axis.
    changes = np.abs(np.diff(bits[along].astype(int), axis=0)).sum(axis=0)
    np.testing.assert_allclose(changes, [1, 2, 3, 4, 5, 6], atol=40)
    assert changes.max() < 100  # a bit across the short axis would change some 2,000 times


def test_lsh_bits_differ_in_proportion_to_the_angle():
    features = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], np.float32)  # mean 0, angles of 90 degrees
    bits = fit_lsh(features, 20000, 0)(features)
    assert np.mean(bits[0] != bits[1]) == pytest.approx(0.5, abs=0.02) and (bits[0] != bits[2]).all()


def test_features_are_those_of_the_deployed_streams(model, digits):
    images = digits.query.images[:9].astype(np.float32)
    features = np.asarray(model.average_encoder.trunk_features()(images, training=False))
    kernel, bias = (np.asarray(weight) for weight in model.average_encoder.get_layer("hash").weights)
    relaxed = 1 / (1 + np.exp(-(features @ kernel + bias)))
    of_streams = model.predict_streams(digits.query.images[:9])["relaxed_codes"][:, : model.encoder.semantic_bits]
    np.testing.assert_allclose(relaxed, of_streams, atol=1e-5)


def test_hashers_that_need_more_features_are_left_out_and_the_class_is_a_code(digits, tmp_path):
    model = dsh.DSHGAN(
        num_bits=100, num_classes=10, image_shape=digits.image_shape, gan=False, network=dsh.Network(width=4)
    )
    model.compile()
    rows = evaluate_baselines(model, digits, Run(tmp_path))  # 64 pixels are fewer than 100 bits
    assert not any(name.endswith("pixels") for name in rows)
    flat = flat_pixels(digits)
    assert rows["cosine, pixels, not coded"]["metrics"]["map"] == float_metrics(flat, *features_by_cosine(flat))["map"]
    sides = [
        np.asarray(model.average_encoder.trunk_features()(part.images.astype(np.float32)))
        for part in (digits.query, digits.database)
    ]
    rooted = [np.sign(side) * np.sqrt(np.abs(side)) for side in sides]
    centred = [side - np.concatenate(rooted).mean(axis=0) for side in rooted]
    relevant = digits.query.labels[:, None] == digits.database.labels
    judged = [average_precision_score(*pair) for pair in zip(relevant, cosine_similarity(*centred), strict=True)]
    assert rows["cosine, trunk, not coded"]["metrics"]["map"] == pytest.approx(np.mean(judged), abs=1e-4)
    spread = rows["label spreading, pixels, knows the queries, not coded"]
    assert spread["metrics"]["map"] == float_metrics(flat, *spread_over_all(flat))["map"] > 0.7
    assert not spread["uses_model"] and "class by label spreading, pixels (10 bits)" in rows
    row = rows["class as code (10 bits)"]
    # All codes of one class are equal, all others differ in two bits: MAP follows from the answers alone.
    predicted = [
        model.predict_streams(part.images)["class_logits"].argmax(axis=1) for part in (digits.query, digits.database)
    ]
    values = []
    for answer, label in zip(predicted[0], digits.query.labels, strict=True):
        relevant = digits.database.labels == label
        first = predicted[1] == answer
        scores = np.where(first, 1.0, 0.0)
        values.append(expected_average_precision(scores, relevant))
    assert row["metrics"]["map"] == pytest.approx(np.mean(values), abs=0.01)


def flat_pixels(splits):
    flat = {name: getattr(splits, name) for name in ("query", "labeled", "unlabeled", "database", "validation")}
    flat = {
        name: dataclasses.replace(part, images=part.images.reshape(len(part), -1).astype(np.float32) / 255)
        for name, part in flat.items()
    }
    return dataclasses.replace(splits, **flat)


def expected_average_precision(scores, relevant, draws=40):
    rng = np.random.default_rng(0)
    total = 0.0
    for _ in range(draws):
        order = np.lexsort((rng.random(len(scores)), -scores))
        hits = relevant[order]
        total += np.sum(np.cumsum(hits) / np.arange(1, len(hits) + 1) * hits) / hits.sum()
    return total / draws


def test_floats_are_ranked_by_their_products(digits):
    """Against the definition, query by query; a query that nothing is like counts as 0."""
    rng = np.random.default_rng(1)
    query, database = (rng.normal(size=(len(part), 5)) for part in (digits.query, digits.database))
    lonely = dataclasses.replace(digits.query, labels=np.where(np.arange(len(query)) < 3, -1, digits.query.labels))
    splits = dataclasses.replace(digits, query=lonely)
    values = []
    for row, label in zip(query @ database.T, lonely.labels, strict=True):
        hits = (digits.database.labels == label)[np.argsort(-row)]
        values.append((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean() if hits.any() else 0.0)
    assert float_metrics(splits, query, database)["map"] == pytest.approx(np.mean(values), abs=1e-9)


def test_labels_are_spread_to_queries_and_database(digits):
    """As a teacher that is given all images at once; labelled ones keep their labels."""
    seen = flat_pixels(digits)
    query, database = spread_over_all(seen)
    assert query.shape == (len(digits.query), 10) and database.shape == (len(digits.database), 10)
    assert (query.argmax(axis=1) == digits.query.labels).mean() > 0.7
    assert (database.argmax(axis=1) == digits.database.labels).mean() > 0.7
    at = {image: place for place, image in enumerate(digits.database.ids)}
    there = [place for place, image in enumerate(digits.labeled.ids) if image in at]
    own = database[[at[digits.labeled.ids[place]] for place in there]]
    np.testing.assert_array_equal(own, digits.multi_hot(digits.labeled.labels)[there])
    assert class_bits(np.array([[0.6, 0.4], [0.7, 0.8]]), True).tolist() == [[1, 0], [1, 1]]
    assert class_bits(np.array([[0.6, 0.4], [0.7, 0.8]]), False).tolist() == [[1, 0], [0, 1]]
