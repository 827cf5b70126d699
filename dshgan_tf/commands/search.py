"""`dshgan search INDEX IMAGE...|--labels NAMES`: find images by image or by label; no TensorFlow is started."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text
from tyro.conf import Positional

from dshgan_tf.commands import terminal
from dshgan_tf.errors import InputError
from dshgan_tf.search.image_index import ImageIndex, LabelQuery, Neighbour

if TYPE_CHECKING:
    from PIL.Image import Image

    from dshgan_tf.search.calibration import Expectation
    from dshgan_tf.search.litert_encoder import LiteRTEncoder


MOST_DRAWN = 100  # neighbours a query on the contact sheet


@dataclasses.dataclass
class Answer:
    """What one query found.

    Args:
        query: path of the image, or the labels.
        neighbours: nearest first.
        picture: the query itself, for the contact sheet; None where nothing stands for it.
        note: a line about the query.
    """

    query: str
    neighbours: list[Neighbour]
    picture: Image | None = None
    note: str = ""


@dataclasses.dataclass
class Search:
    """Find the images of an index that are nearest to image files, or to labels.

    Args:
        index: Folder of the index; with --codes and --db an encoder_*.tflite file.
        images: Image files to search with.
        labels: Labels to search with instead: a class, or several labels of one image, as in "sky|clouds".
        k: How many to find; 10 by default, all of them within a radius.
        radius: Find what lies within this Hamming distance.
        precision: Find what lies within the radius at which this share of the found images is expected to be right.
        picture: PNG file to write, queries on the left, what they found beside them.
        json: Print JSON for programs.
        codes: Folder of `dshgan encode-all` to search in.
        db: Address of a PostgreSQL database to search in, as postgresql://user@host/database.
        table: Its table, as `dshgan db load` made it.
    """

    index: Positional[Path]
    images: Positional[tuple[Path, ...]] = ()
    _: dataclasses.KW_ONLY
    labels: tuple[str, ...] = ()
    k: int | None = None
    radius: int | None = None
    precision: float | None = None
    picture: Path | None = None
    json: bool = False
    codes: Path | None = None
    db: str | None = None
    table: str | None = None

    def run(self) -> None:
        """Search, and print or draw the answers.

        Raises:
            InputError: flags that contradict each other, or that the index cannot serve.
        """
        self._check()
        if self.db is not None or self.codes is not None:
            self._run_over_codes()
            return
        index = ImageIndex(self.index)
        expected = None if self.labels else _expectation(index, self.radius, self.precision)
        radius = self.radius if expected is None else expected.radius
        limit = self.k if self.k is not None or radius is not None else 10
        if self.labels:
            answers = _by_labels(index, self.labels, limit, radius)
        else:
            answers = _by_images(index, self.images, limit, radius)
        if self.json:
            print_json(answers, radius, expected)
        else:
            _print_tables(answers, radius, expected)
        if self.picture is not None or not self.json:
            _draw(index, answers, self.picture, self.json)

    def _run_over_codes(self) -> None:
        found = self._in_database() if self.codes is None else self._in_files(self.codes)
        answers = [Answer(str(path), near) for path, near in zip(self.images, found, strict=True)]
        if self.json:
            print_json(answers, self.radius, None)
        else:
            _print_tables(answers, self.radius, None)

    def _in_database(self) -> list[list[Neighbour]]:
        from dshgan_tf.postgres.connection import connected
        from dshgan_tf.postgres.postgres_index import PostgresIndex
        from dshgan_tf.search.litert_encoder import LiteRTEncoder
        from dshgan_tf.search.neighbours import neighbours

        encoder = LiteRTEncoder(self.index)
        with connected(self.db) as connection:
            index = PostgresIndex(connection, self.table)
            _warn_of_another(encoder, index.models())
            return neighbours(index, index.paths, encoder, self.images, self.k, self.radius)

    def _in_files(self, folder: Path) -> list[list[Neighbour]]:
        from dshgan_tf.bulk_encoding.code_files import index_of, names_of
        from dshgan_tf.bulk_encoding.manifest import read_manifest
        from dshgan_tf.search.litert_encoder import LiteRTEncoder
        from dshgan_tf.search.neighbours import neighbours

        encoder = LiteRTEncoder(self.index)
        index = index_of(folder, terminal.bar("indexing the codes"))
        _warn_of_another(encoder, {read_manifest(folder).get("model_sha256")} - {None})
        return neighbours(index, lambda ids: names_of(folder, ids), encoder, self.images, self.k, self.radius)

    def _check(self) -> None:
        if self.db is not None and self.codes is not None:
            raise InputError("--codes and --db both say where the codes are; give one of them")
        if (self.db is None) != (self.table is None):
            raise InputError("--db and --table go together")
        if (self.db or self.codes) and not (self.images or self.labels):
            raise InputError("give at least one image file to search with")
        if (self.db or self.codes) and (self.labels or self.precision is not None or self.picture is not None):
            raise InputError("codes alone know no --labels, --precision and --picture; leave them out")
        if bool(self.images) == bool(self.labels):
            raise InputError("give image files or --labels, not both")
        if self.k is not None and self.k < 1:
            raise InputError(f"--k must be at least 1, got {self.k}")
        if self.labels and self.precision is not None:
            raise InputError("--precision is known for pictures, not for labels; give --radius")
        if self.radius is not None and self.precision is not None:
            raise InputError("--radius and --precision both choose a radius; give one of them")


def _warn_of_another(encoder: LiteRTEncoder, models: set[str]) -> None:
    """Say that codes were made by another file; a SavedModel of the same run is one, too."""
    if models and encoder.sidecar()["sha256"] not in models:
        terminal.say(
            f"note: another file than {encoder.model} made these codes; distances mean something only where both are "
            "exports of one run",
            "yellow",
        )


def _expectation(index: ImageIndex, radius: int | None, precision: float | None) -> Expectation | None:
    calibration = index.calibration
    if precision is None:
        known = calibration is not None and radius is not None and 0 <= radius <= index.num_bits
        return calibration.expectations[radius] if known else None
    if calibration is None:
        raise InputError(
            f"{index.folder} has no calibration: of the held-out images fewer than 5 pairs share a label; train with "
            "more --labels-per-class, or give --radius"
        )
    return calibration.radius_for(precision)


def _by_images(index: ImageIndex, paths: Sequence[Path], limit: int | None, radius: int | None) -> list[Answer]:
    import numpy as np

    from dshgan_tf.images.picture_files import open_picture, to_image
    from dshgan_tf.images.preprocessing import to_uint8

    pictures = [open_picture(path, ground=index.ground) for path in paths]
    images = np.stack([to_uint8(to_image(picture, index.image_shape)) for picture in pictures])
    found = _find(index, *index.encode(images), limit, radius)
    return [Answer(str(path), *answer) for path, *answer in zip(paths, found, pictures, strict=True)]


def _by_labels(index: ImageIndex, labels: Sequence[str], limit: int | None, radius: int | None) -> list[Answer]:
    answers = []
    for names in labels:
        query = index.label_query(names)
        if query is not None:
            (found,) = _find(index, query.code[None], query.relaxed_code[None], limit, radius)
            note = f"the generator's images of {names!r} lie {query.spread:.1f} bits from their majority"
            answers.append(Answer(names, found, _typical(index, query), note))
        elif radius is not None:
            remedy = "leave radius and precision out, or train with --synthetic"
            raise InputError(f"{index.folder} has no generator, so labels have no code; {remedy}")
        else:
            note = "no generator in this index: ranked by the probability that the class stream gives"
            answers.append(Answer(names, index.rank_by_probability(names, limit or 10), None, note))
    return answers


def _find(index: ImageIndex, codes: Any, relaxed: Any, limit: int | None, radius: int | None) -> list[list[Neighbour]]:
    if radius is None:
        return index.search(codes, relaxed, limit)
    return [found[:limit] for found in index.range_search(codes, relaxed, radius)]


def _typical(index: ImageIndex, query: LabelQuery) -> Image:
    """The synthetic image whose code is nearest to the majority."""
    from dshgan_tf.codes import hamming_distance
    from dshgan_tf.search.thumbnails import picture_of

    codes, _ = index.encode(query.images)
    return picture_of(query.images[hamming_distance(query.code[None], codes)[0].argmin()])


def print_json(answers: Sequence[Answer], radius: int | None, expected: Expectation | None) -> None:
    """Print the answers as a JSON list, one object a query."""
    rows = []
    for answer in answers:
        neighbours = [dataclasses.asdict(neighbour) for neighbour in answer.neighbours]
        kept = [{name: value for name, value in row.items() if value is not None} for row in neighbours]
        rows.append({"query": answer.query, "radius": radius, "neighbours": kept})
        rows[-1]["expected"] = expected and expected.as_dict()
    print(json.dumps(rows, indent=2))


def _print_tables(answers: Sequence[Answer], radius: int | None, expected: Expectation | None) -> None:
    console = terminal.output()
    for answer in answers:
        within = "" if radius is None else f" within {radius} bits"
        table = Table(title=Text(f"Nearest to {terminal.printable(answer.query)}{within}"))
        ranked = "probability" if answer.neighbours and answer.neighbours[0].distance is None else "distance"
        for column in ("rank", ranked, "image"):
            table.add_column(column, justify="left" if column == "image" else "right", overflow="fold")
        for rank, found in enumerate(answer.neighbours, start=1):
            value = str(found.distance) if found.distance is not None else f"{found.probability:.3f}"
            table.add_row(str(rank), value, Text(terminal.printable(found.name)))
        console.print(table)
        if answer.note:
            console.print(terminal.printable(answer.note), markup=False)
    if expected is not None:
        console.print(f"expected within {expected.radius} bits: {expected}", markup=False)


def _draw(index: ImageIndex, answers: Sequence[Answer], picture: Path | None, quiet: bool) -> None:
    """Draw the contact sheet where it is asked for or can be shown."""
    from dshgan_tf.search.contact_sheet import shows_pictures

    inline = not quiet and shows_pictures()
    if picture is None and not inline:
        return
    from PIL import Image

    from dshgan_tf.files import atomic_path
    from dshgan_tf.search.contact_sheet import Cell, draw_sheet, show_inline

    drawn = {answer.query: answer.neighbours[:MOST_DRAWN] for answer in answers}
    thumbnails = index.store.thumbnails(found.id for neighbours in drawn.values() for found in neighbours)
    nothing = Image.new("RGB", (64, 64), "#dddddd")

    def cell(found: Neighbour) -> Cell:
        title = (
            f"{found.distance} bit{'s' * (found.distance != 1)}"
            if found.distance is not None
            else f"p {found.probability:.2f}"
        )
        stored = thumbnails.get(found.id)
        return Cell(Image.open(io.BytesIO(stored)) if stored else nothing, title, terminal.printable(found.name))

    rows = []
    for answer in answers:
        query = Cell(answer.picture or nothing, "query", terminal.printable(Path(answer.query).name))
        rows.append((query, [cell(found) for found in drawn[answer.query]]))
    sheet = draw_sheet(rows)
    if picture is not None:
        with atomic_path(picture) as temporary:
            sheet.save(temporary, "PNG")
    if inline:
        show_inline(sheet)
    elif not quiet:
        terminal.output().print(f"picture: {picture}", markup=False, soft_wrap=True)


def command(arguments: Sequence[str]) -> None:
    """Run the subcommand."""
    terminal.refuse_passwords(arguments)
    terminal.parse(Search, arguments).run()
