"""What was found where the data lie: of own data nobody has said it before."""

from __future__ import annotations

import collections

from dshgan_tf.data import Splits
from dshgan_tf.data.splits import PARTS


def what_the_data_are(splits: Splits) -> list[str]:
    """Describe a data set: its classes, its parts, and what could not be used.

    Args:
        splits: of the data set.

    Returns:
        One to five lines.
    """
    height, width, channels = splits.image_shape
    sizes = ", ".join(f"{len(getattr(splits, part)):,} {part}" for part in PARTS)
    kind = "several labels an image" if splits.multi_label else "one label an image"
    lines = [f"{splits.name}: {splits.num_classes} classes, {kind}, {height} x {width} x {channels}; {sizes} images"]
    if splits.skipped:
        reasons = collections.Counter(reason.split(" (")[0][:60] for reason in splits.skipped.values())
        counted = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
        lines.append(
            f"{len(splits.skipped):,} files could not be used ({counted}), listed in splits.json: "
            "figures are not comparable with those on all files"
        )
    if splits.blank:
        lines.append(f"{len(splits.blank):,} pictures are blank, such as {splits.blank[0]}, listed in splits.json")
    if splits.same:
        lines.append(_what_is_the_same(splits))
    return lines


def _what_is_the_same(splits: Splits) -> str:
    """Tell of pictures that are there several times: what they spoil depends on where they are."""
    labels = {}
    for part in (splits.query, splits.database):
        labels |= dict(zip(part.ids.tolist(), map(str, part.labels.tolist()), strict=True))
    queries = set(splits.query.ids.tolist())
    across = [group for group in splits.same if 0 < len(queries.intersection(group)) < len(group)]
    differ = [group for group in splits.same if len({labels[number] for number in group if number in labels}) > 1]
    line = f"{len(splits.same):,} pictures are there several times"
    if across:
        line += f"; {len(across):,} of them among queries and elsewhere too, so figures are too good"
    if differ:
        line += f"; {len(differ):,} have different labels"
    return f"{line} (dshgan data check names them)"
