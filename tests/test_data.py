import dataclasses
import itertools
import json

import numpy as np
import pytest
import tensorflow as tf

import dshgan_tf as dsh
from dshgan_tf.data import Part, Protocol, TripletOrder
from dshgan_tf.data.protocols import split
from dshgan_tf.data.source import Source
from dshgan_tf.data.splits import PARTS, checksum
from dshgan_tf.data.triplets import balanced_shares
from dshgan_tf.run import load_data


def arrays(images=60, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (images, 8, 8, 1), np.uint8), np.arange(images) % classes


def test_digits_protocol_counts():
    splits = dsh.data.load("digits", labels_per_class=10, seed=4)
    # 1,797 digits; 20 queries a class; 10 labels a class, a fifth of them validates.
    assert {part: len(getattr(splits, part)) for part in PARTS} == {
        "query": 200,
        "labeled": 80,
        "unlabeled": 1797 - 200 - 100,
        "database": 1597,
        "validation": 20,
    }
    assert splits.image_shape == (8, 8, 1) and splits.labeled.images.max() == 255
    assert np.bincount(splits.labeled.labels).tolist() == [8] * 10
    assert np.bincount(splits.validation.labels).tolist() == [2] * 10


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("cifar10", (1000, 4000, 54000, 54000, 1000)),
        ("cifar10-1", (1000, 4000, 54000, 59000, 1000)),
        ("cifar10-2", (10000, 40000, 0, 50000, 10000)),
    ],
)
def test_cifar10_protocol_counts(name, counts):
    labels = np.random.default_rng(0).permutation(np.arange(60000) % 10)
    images = np.zeros((60000, 1, 1, 1), np.uint8)
    protocol = dsh.data.PROTOCOLS[name]
    splits = split(Source(images, labels, tuple("0123456789")), protocol, seed=0, name="cifar10")
    assert tuple(len(getattr(splits, part)) for part in PARTS) == counts


def test_a_split_is_a_function_of_its_seed():
    first, again, other = (dsh.data.load("digits", 2, seed=seed).describe() for seed in (1, 1, 2))
    assert first["sha256"] == again["sha256"] != other["sha256"]


def test_unlabelled_images_can_be_taken_from_training_and_are_still_searched():
    config = dsh.RunConfig(labels_per_class=1)
    whole, without = (load_data(dataclasses.replace(config, unlabeled=asked)) for asked in (True, False))
    assert len(whole.unlabeled) == 1587 and len(without.unlabeled) == 0
    for part in set(PARTS) - {"unlabeled"}:
        np.testing.assert_array_equal(getattr(whole, part).ids, getattr(without, part).ids)
    batch = next(iter(dsh.data.triplets(without, batch_size=10)))
    np.testing.assert_array_equal(batch["unlabeled_image"], batch["image"])


def test_few_labels_leave_no_validation_part_and_hidden_labels_are_gone():
    splits = dsh.data.load("digits", labels_per_class=4)
    assert len(splits.validation) == 0 and splits.unlabeled.labels is None


def test_what_would_validate_can_train():
    config = dsh.RunConfig(labels_per_class=5)
    fewer, all_of_them = (load_data(dataclasses.replace(config, validation=asked)) for asked in (True, False))
    assert len(fewer.labeled) == 40 and len(all_of_them.labeled) == 50 and len(all_of_them.validation) == 0
    assert sorted(all_of_them.labeled.ids) == sorted([*fewer.labeled.ids, *fewer.validation.ids])
    for part in ("query", "unlabeled", "database"):
        np.testing.assert_array_equal(getattr(fewer, part).ids, getattr(all_of_them, part).ids)


def test_overlap_is_refused(digits):
    leaky = Part(digits.query.images[:1], digits.query.labels[:1], digits.query.ids[:1])
    with pytest.raises(ValueError, match="query and database overlap in 1 images"):
        dataclasses.replace(digits, database=leaky)
    seen = Part(digits.query.images[:1], None, digits.query.ids[:1])
    with pytest.raises(ValueError, match="query and unlabeled overlap"):
        dataclasses.replace(digits, unlabeled=seen)


def test_bad_arrays_are_refused_with_value_and_remedy():
    images, labels = arrays()
    bad = [
        (
            images[..., 0],
            labels,
            r"shape \(60, 8, 8\); these are grey images without their last axis: pass images\[..., None\]",
        ),
        (images.astype(np.int32), labels, "got dtype int32"),
        (np.full(images.shape, np.nan, np.float32), labels, "NaN or infinity, first in image 0"),
        (images.astype(np.float32) / 255, labels, "multiply them by 255"),
        (images.astype(np.float32) - 9, labels, r"must lie in 0..255"),
        (images, labels[:-1], "59 labels for 60 images"),
        (images, labels - 2, "label -2 is out of range"),
        (images, labels + 0.5, "labels must be integers"),
        (images, labels * 0, "at least 2 classes"),
        (images, np.where(labels == 1, 3, labels), "class '1' has 0 images left"),
    ]
    for some_images, some_labels, message in bad:
        with pytest.raises(ValueError, match=message):
            dsh.data.from_arrays(some_images, some_labels, queries_per_class=2, labels_per_class=2)
    with pytest.raises(ValueError, match="18 images left for 50 labels; ask for fewer"):
        dsh.data.from_arrays(images, labels, queries_per_class=2, labels_per_class=50)
    with pytest.raises(ValueError, match="label 2 is out of range; class ids are 0..1"):
        dsh.data.from_arrays(images, labels, 2, 2, class_names=("a", "b"))
    with pytest.raises(ValueError, match="unknown data set 'imagenet'; choose from digits, cifar10"):
        dsh.data.load("imagenet")


def test_a_class_without_labelled_images_is_refused(digits):
    keep = digits.labeled.labels != 3
    part = Part(digits.labeled.images[keep], digits.labeled.labels[keep], digits.labeled.ids[keep])
    with pytest.raises(ValueError, match="class '3' has no labelled image"):
        dataclasses.replace(digits, labeled=part)


def test_images_without_labels_train_and_are_not_searched():
    images, labels = arrays()
    labels[:9] = -1
    splits = dsh.data.from_arrays(images, labels, queries_per_class=2, labels_per_class=2)
    assert set(range(9)) <= set(splits.unlabeled.ids) and not set(range(9)) & set(splits.database.ids)


def test_batches_have_the_contract(digits):
    dataset = dsh.data.triplets(digits, batch_size=32, seed=0)
    assert int(dataset.cardinality()) == len(digits.unlabeled) // 32 == sum(1 for _ in dataset)
    batch = next(iter(dataset))
    for name in ("image", "unlabeled_image"):
        assert batch[name].shape == (32, 8, 8, 1) and batch[name].dtype == tf.float32
        assert batch[name].numpy().min() == 0 and batch[name].numpy().max() == 255  # pixels, not [-1, 1]
    assert batch["label"].shape == batch["negative_label"].shape == (32, 10)
    assert (batch["label"].numpy().sum(1) == 1).all()
    assert not (batch["label"].numpy() * batch["negative_label"].numpy()).any()
    # The pixels are those of an image with that label.
    pixels = batch["image"].numpy()
    for image, label in zip(pixels, batch["label"].numpy().argmax(1), strict=True):
        same = (digits.labeled.images == image).all(axis=(1, 2, 3))
        assert label in digits.labeled.labels[same]


def test_an_epoch_is_one_pass_over_the_unlabelled_images():
    order = TripletOrder(np.eye(3, dtype=np.float32), num_unlabeled=20, batch_size=4, seed=0)
    epochs = [np.concatenate([order.batch(5 * epoch + i)[1] for i in range(5)]) for epoch in range(2)]
    for seen in epochs:
        assert sorted(seen) == list(range(20))
    assert not np.array_equal(*epochs)


def test_the_stream_starts_anywhere(digits):
    def first(dataset, count):
        stream = itertools.chain.from_iterable(iter(dataset) for _ in range(3))
        return [{name: value.numpy() for name, value in batch.items()} for batch in itertools.islice(stream, count)]

    start = len(digits.unlabeled) // 256 + 3  # into the second epoch
    whole = first(dsh.data.triplets(digits, 256, seed=5), start + 4)
    resumed = first(dsh.data.triplets(digits, 256, seed=5, first_step=start), 4)
    for a, b in zip(whole[start:], resumed, strict=True):
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


def test_negatives_of_many_labels_share_none():
    rows = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [1, 1, 1, 0], [1, 1, 1, 1]], np.float32)
    order = TripletOrder(rows, num_unlabeled=0, batch_size=5, seed=0)
    for step in range(20):
        labeled, _, negatives = order.batch(step)
        assert not (rows[labeled] * negatives).any()
        for row, negative in zip(rows[labeled], negatives, strict=True):
            # Every label present: there is nothing that shares none. Else a set that occurs, or a single label.
            assert negative.any() == (row.sum() < 4)


def test_balanced_sampling_draws_every_class_equally_often():
    ids = np.repeat([0, 1, 2], [80, 15, 5])
    rows = np.eye(3, dtype=np.float32)[ids]
    order = TripletOrder(rows, num_unlabeled=600, batch_size=60, seed=0, sampling="balanced")
    drawn = np.concatenate([order.batch(step)[0] for step in range(10)])
    np.testing.assert_allclose(np.bincount(ids[drawn]), 200, atol=5)
    # Within a class all images are drawn equally often, and every batch has some of each class.
    counts = np.bincount(drawn, minlength=100)
    assert set(counts[:80]) == {2, 3} and set(counts[80:95]) <= {13, 14} and set(counts[95:]) == {40}
    assert all(np.bincount(ids[order.batch(step)[0]], minlength=3).min() > 5 for step in range(10))
    # Several labels: 8 images of a alone, 1 of a and b. Of 18 draws, b's half is the one image's, which is a's as well.
    rows = np.array([[1, 0]] * 8 + [[1, 1]], np.float32)
    np.testing.assert_allclose(balanced_shares(rows), [1 / 18] * 8 + [10 / 18])
    # What unlabelled images are to be predicted as is not what is drawn, but how frequent the classes are.
    images = np.zeros((130, 4, 4, 1), np.uint8)
    splits = dsh.data.from_arrays(images, np.repeat([0, 1, 2], [90, 25, 15]), 5, None)
    batches = dsh.data.triplets(splits, batch_size=6, sampling="balanced")
    frequency = np.bincount(splits.labeled.labels) / len(splits.labeled)
    np.testing.assert_allclose(batches.label_frequency, frequency, rtol=1e-6)
    assert set(batches.element_spec) == {"image", "label", "negative_label", "unlabeled_image"}
    with pytest.raises(ValueError, match="'balanced', got 'odd'"):
        TripletOrder(rows, 0, 4, 0, sampling="odd")


def test_fewer_unlabelled_images_than_a_batch_are_repeated():
    order = TripletOrder(np.eye(9, dtype=np.float32), num_unlabeled=5, batch_size=12, seed=0)
    labeled, unlabeled, _ = order.batch(1)
    assert order.steps_per_epoch == 1
    assert sorted(np.bincount(labeled)) == [1] * 6 + [2] * 3 and sorted(np.bincount(unlabeled)) == [2, 2, 2, 3, 3]
    with pytest.raises(ValueError, match="batch_size must be 1..14, .*got 15"):
        TripletOrder(np.eye(9, dtype=np.float32), num_unlabeled=5, batch_size=15, seed=0)


def test_few_labelled_images_without_unlabelled_ones_fill_a_batch():
    order = TripletOrder(np.eye(5, dtype=np.float32), num_unlabeled=0, batch_size=12, seed=0)
    labeled, unlabeled, _ = order.batch(3)
    assert sorted(np.bincount(labeled)) == [2, 2, 2, 3, 3] and (labeled == unlabeled).all()
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        TripletOrder(np.eye(5, dtype=np.float32), num_unlabeled=0, batch_size=0, seed=0)
    with pytest.raises(ValueError, match="no labelled images"):
        TripletOrder(np.zeros((0, 5), np.float32), num_unlabeled=0, batch_size=4, seed=0)


def test_rows_by_names(digits):
    rows = digits.rows_named(["3", "0|9"])
    assert rows.tolist() == [[0, 0, 0, 1, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]]
    with pytest.raises(ValueError, match="no class 'x'; there are 0, 1, 2"):
        digits.rows_named(["x"])


def test_all_labelled_repeats_them_as_unlabelled():
    images, labels = arrays()
    splits = split(Source(images, labels, ("a", "b", "c")), Protocol("all", 2, None), 0, "arrays")
    batch = next(iter(dsh.data.triplets(splits, batch_size=8)))
    np.testing.assert_array_equal(batch["image"], batch["unlabeled_image"])


def test_unseen_classes_are_asked_for_and_never_trained_on():
    splits = dsh.data.load("digits", protocol="digits-unseen", seed=3)
    _, labels, names = dsh.data.sources.read_digits()
    unseen = {int(name) for name in splits.unseen_names}
    assert len(unseen) == 3 and splits.num_classes == 7 and splits.searched_names[7:] == splits.unseen_names
    for part in ("labeled", "unlabeled", "validation"):
        assert not unseen & set(labels[getattr(splits, part).ids])
    for part in (splits.query, splits.database):
        # The new numbers name the same classes as the data set's.
        assert [splits.searched_names[i] for i in part.labels] == [names[i] for i in labels[part.ids]]
    assert np.bincount(splits.query.labels).tolist() == [20] * 10
    assert len(splits.database) == len(labels) - 200 and len(splits.labeled) + len(splits.validation) == 7 * 20
    other = dsh.data.load("digits", protocol="digits-unseen", seed=4)
    assert other.unseen_names != splits.unseen_names


@pytest.mark.parametrize("unlabeled_unseen", [False, True])
def test_images_of_unseen_classes_may_train_without_labels(unlabeled_unseen):
    images, labels = arrays(classes=4)
    labels = np.append(labels, -1)  # one of which nobody knows anything
    images = np.concatenate([images, images[:1]])
    protocol = Protocol("arrays", 2, 3, unseen_classes=1, unlabeled_unseen=unlabeled_unseen)
    splits = split(Source(images, labels, tuple("abcd")), protocol, 0, "arrays")
    unseen = "abcd".index(splits.unseen_names[0])
    of_unseen = np.setdiff1d(np.flatnonzero(labels == unseen), splits.query.ids)
    nameless = len(labels) - 1
    expected = {*of_unseen, nameless} if unlabeled_unseen else set()
    assert expected == {i for i in splits.unlabeled.ids if labels[i] in (unseen, -1)}
    assert not np.isin(splits.labeled.ids, of_unseen).any() and np.isin(of_unseen, splits.database.ids).all()
    assert nameless not in splits.database.ids


def test_a_query_of_an_unseen_class_asks_for_that_alone():
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 2, (400, 6), np.uint8)
    protocol = Protocol("arrays", 5, 5, unseen_classes=2)
    splits = split(Source(np.zeros((400, 4, 4, 1), np.uint8), rows, tuple("abcdef")), protocol, 0, "arrays")
    order = ["abcdef".index(name) for name in splits.searched_names]
    assert not rows[splits.labeled.ids][:, order[4:]].any() and splits.labeled.labels.shape[1] == 4
    np.testing.assert_array_equal(splits.database.labels, rows[splits.database.ids][:, order])
    true = rows[splits.query.ids][:, order]
    asks_for_unseen = true[:, 4:].any(axis=1)
    assert 0 < asks_for_unseen.sum() < len(true)
    np.testing.assert_array_equal(splits.query.labels[~asks_for_unseen], true[~asks_for_unseen])
    np.testing.assert_array_equal(splits.query.labels[:, 4:], true[:, 4:])
    assert not splits.query.labels[asks_for_unseen, :4].any()


def test_what_unseen_classes_cannot_be_is_refused():
    images, labels = arrays(classes=4)
    source = Source(images, labels, tuple("abcd"))
    with pytest.raises(ValueError, match=r"unseen_classes must leave 2 of 4 classes, got 3; take 0\.\.2"):
        split(source, Protocol("arrays", 2, 2, unseen_classes=3), 0, "arrays")
    with pytest.raises(ValueError, match="give unseen_classes too"):
        split(source, Protocol("arrays", 2, 2, unlabeled_unseen=True), 0, "arrays")
    with pytest.raises(ValueError, match="load got unseen; beside its own arguments it takes fields, ground, "):
        dsh.data.load("digits", unseen=3)
    splits = dsh.data.load("digits", unseen_classes=4, unlabeled_unseen=True, seed=1)
    assert len(splits.unseen_names) == 4 and len(splits.unlabeled) == 1797 - 200 - 6


@pytest.mark.parametrize("protocol", ["digits", "digits-2", "digits-unseen"])
def test_splits_are_read_back(protocol, tmp_path):
    splits = dsh.data.load("digits", protocol=protocol, seed=6)
    path = tmp_path / "splits.json"
    path.write_text(json.dumps(splits.describe()))
    again = dsh.data.read_splits(path)
    assert again.describe() == splits.describe()
    for name in PARTS:
        np.testing.assert_array_equal(getattr(again, name).images, getattr(splits, name).images)
        np.testing.assert_array_equal(getattr(again, name).labels, getattr(splits, name).labels)


def test_splits_of_arrays_are_read_back_with_their_arrays(tmp_path):
    images, labels = arrays()
    splits = dsh.data.from_arrays(images, labels, 2, 5, class_names=("x", "y", "z"))
    path = tmp_path / "splits.json"
    path.write_text(json.dumps(splits.describe()))
    assert dsh.data.read_splits(path, images, labels).describe() == splits.describe()
    with pytest.raises(ValueError, match="labels of 'arrays' are not those"):
        dsh.data.read_splits(path, images, labels[::-1].copy())
    with pytest.raises(ValueError, match="names images outside 0..8"):
        dsh.data.read_splits(path, images[:9], labels[:9])
    with pytest.raises(ValueError, match="unknown data set 'arrays'"):
        dsh.data.read_splits(path)


def test_altered_and_leaky_splits_are_refused(tmp_path, digits):
    good, path = digits.describe(), tmp_path / "splits.json"

    def read(changes):
        path.write_text(json.dumps(good | changes))
        return dsh.data.read_splits(path)

    leak = good["ids"] | {"database": good["ids"]["database"] + good["ids"]["query"][:3]}
    with pytest.raises(ValueError, match="the file was altered"):
        read({"ids": leak})
    with pytest.raises(ValueError, match="query and database overlap in 3 images"):
        read({"ids": leak, "sha256": checksum(leak)})
    outside = good["ids"] | {"query": [-1]}
    with pytest.raises(ValueError, match="query in .* names images outside 0..1796"):
        read({"ids": outside, "sha256": checksum(outside)})
    with pytest.raises(ValueError, match="classes in .* are not those of 'digits'"):
        read({"class_names": list("abcdefghij")})
    for text in ("", "[]", "{}", json.dumps({"ids": 3})):
        path.write_text(text)
        with pytest.raises(ValueError, match="cannot read splits from"):
            dsh.data.read_splits(path)


def grouped(groups, seed=0, labels_per_class=5):
    images, labels = np.arange(300, dtype=np.uint8).reshape(-1, 1, 1, 1) % 251, np.arange(300) % 3
    labels[::10] = -1
    source = Source(images, labels, ("a", "b", "c"), groups=groups)
    return source, split(source, Protocol("table", 4, labels_per_class), seed, "table")


@pytest.mark.parametrize("seed", range(5))
def test_a_group_never_falls_on_both_sides(seed):
    groups = np.random.default_rng(seed).integers(0, 60, 300)
    source, splits = grouped(groups, seed)
    trained = np.concatenate([splits.labeled.ids, splits.unlabeled.ids])
    for apart in (splits.query, splits.validation):
        assert not set(groups[apart.ids]) & set(groups[trained])
    assert not set(groups[splits.query.ids]) & set(groups[np.concatenate([splits.database.ids, splits.validation.ids])])
    assert len(splits.query) > 12  # whole groups
    # Nothing else is left out: every other image with a label is a query or is searched.
    assert len(splits.query) + len(splits.database) == (source.labels >= 0).sum()


def test_without_groups_the_draw_is_as_before():
    _, plain = grouped(None)
    _, alone = grouped(np.arange(300))
    assert plain.describe() == alone.describe()


def test_what_the_data_say_is_taken_as_it_is():
    images, labels = np.zeros((90, 2, 2, 1), np.uint8), np.arange(90) % 3
    sides = np.repeat(["query", "train", "database"], 30)
    labels[30:45] = -1
    source = Source(images, labels, ("a", "b", "c"), sides=sides)
    splits = split(source, Protocol("table", 1, None), 0, "table")
    assert splits.query.ids.tolist() == list(range(30)) and splits.database.ids.tolist() == list(range(60, 90))
    assert splits.unlabeled.ids.tolist() == list(range(30, 45))
    trained = np.concatenate([splits.labeled.ids, splits.validation.ids])
    assert sorted(trained) == list(range(45, 60)) and len(splits.validation) == 3
    few = split(source, Protocol("table", 1, 2), 0, "table")
    assert len(few.labeled) == 6 and len(few.unlabeled) == 24 and set(few.labeled.ids) <= set(range(45, 60))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda labels, sides: sides.__setitem__(slice(0, 30), "train"), "no image has 'query'"),
        (lambda labels, sides: labels.__setitem__(slice(0, 2), -1), "2 images are query or database.*no label"),
    ],
)
def test_a_split_of_the_data_that_cannot_be_evaluated_is_refused(change, message):
    labels, sides = np.arange(90) % 3, np.repeat(["query", "train", "database"], 30)
    change(labels, sides)
    source = Source(np.zeros((90, 2, 2, 1), np.uint8), labels, ("a", "b", "c"), sides=sides)
    with pytest.raises(ValueError, match=message):
        split(source, Protocol("table", 1, None), 0, "table")
    groups = np.arange(90) % 45  # 0 to 29 are queries, and database too
    source = Source(np.zeros((90, 2, 2, 1), np.uint8), np.arange(90) % 3, ("a", "b", "c"), groups=groups)
    source = dataclasses.replace(source, sides=np.repeat(["query", "train", "database"], 30))
    with pytest.raises(ValueError, match="30 groups of the table have queries and other images"):
        split(source, Protocol("table", 1, None), 0, "table")
