"""What the page can do with an index. Nothing here knows of the browser."""

from __future__ import annotations

import dataclasses
import functools
import io
import math
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dshgan_tf.codes import unpack
from dshgan_tf.errors import InputError
from dshgan_tf.images.picture_files import open_picture, to_image
from dshgan_tf.images.preprocessing import to_uint8
from dshgan_tf.search.contact_sheet import fit
from dshgan_tf.search.image_index import STORE, ImageIndex, Neighbour
from dshgan_tf.search.index_update import add_picture
from dshgan_tf.search.thumbnails import picture_of

GOOD_PRECISION = 0.95  # expected within the radius that the page starts with
BREAKABLE = "/\N{ZERO WIDTH SPACE}"  # a slash after which a line may end
ABOVE_HALF = np.nextafter(np.float32(0.5), np.float32(1))


@dataclasses.dataclass(frozen=True)
class Query:
    """What is searched with.

    Args:
        name: of the image, or the labels.
        code: (ceil(K/8),) uint8; None where the class stream ranks, because there is no generator.
        relaxed_code: (K,) float32 in [0, 1], with the bits of the code; None as before.
        picture: what stands for it; None for labels.
        contents: of the uploaded file, as long as it can be added to the index.
    """

    name: str
    code: np.ndarray | None = None
    relaxed_code: np.ndarray | None = None
    picture: Image.Image | None = None
    contents: bytes | None = None


@dataclasses.dataclass(frozen=True)
class Found:
    """What a search found.

    Args:
        neighbours: nearest first.
        line: says in words how many there are.
    """

    neighbours: list[Neighbour]
    line: str


@dataclasses.dataclass(frozen=True)
class Drawing:
    """What the generator drew for labels.

    Args:
        query: to search with.
        pictures: the images; empty where there is no generator.
        line: says what is seen.
    """

    query: Query
    pictures: list[Image.Image]
    line: str


def _one_at_a_time(method: Callable[..., Any]) -> Callable[..., Any]:
    """The browser's requests come in several threads; store and interpreters take one."""

    @functools.wraps(method)
    def locked(self: Actions, *arguments: Any) -> Any:
        with self._lock:
            return method(self, *arguments)

    return locked


class Actions:
    """Search an index, and add to it, one request at a time.

    Args:
        folder: the index. Where it cannot be written, images cannot be added.

    Raises:
        InputError: no index there, or a damaged one.
    """

    def __init__(self, folder: Path) -> None:
        self.writable = os.access(folder, os.W_OK) and os.access(folder / STORE, os.W_OK)
        self.index = ImageIndex(folder, self.writable)
        _ = self.index.encoder  # a damaged one is refused now, not at the first image
        self.draws = self.index.generator is not None
        self.name = printable(folder.resolve().name)
        self.num_bits = self.index.num_bits
        self.calibration = self.index.calibration
        self._lock = threading.Lock()

    @_one_at_a_time
    def summary(self) -> str:
        """Say in a line what the index holds."""
        classes = len(self.index.class_names)
        return f"{len(self.index):,} images, codes of {self.num_bits} bits, {classes} classes"

    def first_radius(self) -> int:
        """Return the largest radius of a good expected precision, or a quarter of the bits where none is known."""
        try:
            return self.calibration.radius_for(GOOD_PRECISION).radius if self.calibration else self.num_bits // 4
        except InputError:
            return self.num_bits // 4

    def expectation(self, radius: int) -> str:
        """Say what to expect within a radius."""
        if self.calibration is None:
            return (
                "no calibration: of the held-out images fewer than 5 pairs share a label; "
                "train with more --labels-per-class"
            )
        expected = self.calibration.expectations[radius]
        if math.isnan(expected.precision):
            return "expected: nothing is found within this radius"
        return f"expected {expected}"

    @_one_at_a_time
    def read(self, name: str, contents: bytes) -> Query:
        """Hash an uploaded file.

        Args:
            name: as the browser sent it; of a path only the last part counts.
            contents: of the file.

        Raises:
            InputError: the contents are no image; it names the file.
        """
        name = base_name(name)
        picture = open_picture(name, contents, self.index.ground)
        code, relaxed = self._encode(picture)
        return Query(name, code, relaxed, fit(picture), contents)

    @_one_at_a_time
    def pick(self, item: int) -> Query:
        """Search with an image of the index: its code as stored, ties ranked by its small picture.

        Raises:
            InputError: the image is gone.
        """
        stored = self._stored_code(item)
        picture = self._thumbnail(self.index.store.thumbnails([item]).get(item))
        _, relaxed = self._encode(picture)
        bits = unpack(stored[None], self.num_bits)[0]
        relaxed = np.where(bits, np.maximum(relaxed, ABOVE_HALF), np.minimum(relaxed, np.float32(0.5)))
        return Query(printable(self.index.store.names([item])[item]), stored, relaxed, fit(picture))

    def _encode(self, picture: Image.Image) -> tuple[np.ndarray, np.ndarray]:
        codes, relaxed = self.index.encode(to_uint8(to_image(picture, self.index.image_shape))[None])
        return codes[0], relaxed[0]

    def _stored_code(self, item: int) -> np.ndarray:
        codes = self.index.codes
        place = int(np.searchsorted(codes.ids, item))
        if place == len(codes) or codes.ids[place] != item:
            raise InputError("this image has left the index; pick another")
        return codes.codes[place].copy()

    @staticmethod
    def _thumbnail(contents: bytes | None) -> Image.Image:
        return Image.open(io.BytesIO(contents)) if contents else Image.new("RGB", (64, 64), "#dddddd")

    @_one_at_a_time
    def some(self, count: int, rng: np.random.Generator) -> list[tuple[int, Image.Image]]:
        """Return ids and small pictures of images drawn at random, fewer where the index holds fewer."""
        ids = self.index.codes.ids
        chosen = [int(item) for item in rng.choice(ids, min(count, len(ids)), replace=False)]
        pictures = self.index.store.thumbnails(chosen)
        return [(item, fit(self._thumbnail(pictures.get(item)))) for item in chosen]

    @_one_at_a_time
    def find(self, query: Query, k: int, radius: int) -> Found:
        """Find the k nearest images within a radius.

        Args:
            query: an image, or labels.
            k: how many at most.
            radius: largest Hamming distance; it means nothing where the class stream ranks.

        Raises:
            InputError: an empty index, or numbers out of range.
        """
        if query.code is None:
            neighbours = self.index.rank_by_probability(query.name, k)
            return Found(neighbours, f"the {len(neighbours)} most probable images are shown")
        codes = self.index.codes
        if not len(codes):
            raise InputError("the index holds no image yet; add some here, or with dshgan index")
        code, relaxed = query.code[None], query.relaxed_code[None]
        _, distances, ids = codes.range_search(code, radius, relaxed)
        if not len(ids):
            nearest = int(codes.search(code, 1)[0][0, 0])
            return Found([], f"no image lies within {_bits(radius)}; the nearest is {_bits(nearest)} away")
        names = self.index.store.names(ids[:k])
        pairs = zip(ids[:k].tolist(), distances[:k].tolist(), strict=True)
        neighbours = [Neighbour(item, names[item], distance) for item, distance in pairs if item in names]
        lie = f"{len(ids):,} {'image lies' if len(ids) == 1 else 'images lie'} within {_bits(radius)}"
        return Found(neighbours, f"{lie}; the {k} nearest are shown" if len(ids) > k else lie)

    @_one_at_a_time
    def shown(self, neighbours: Sequence[Neighbour]) -> list[tuple[Image.Image, str]]:
        """Return picture and caption of each neighbour."""
        pictures = self.index.store.thumbnails(neighbour.id for neighbour in neighbours)
        return [(fit(self._thumbnail(pictures.get(n.id))), caption_of(n)) for n in neighbours]

    @_one_at_a_time
    def compare(self, item: int) -> tuple[str, np.ndarray]:
        """Return name and bits (K,) of an image of the index, to be held against a query's."""
        bits = unpack(self._stored_code(item)[None], self.num_bits)[0]
        return printable(self.index.store.names([item]).get(item, "")), bits

    @_one_at_a_time
    def draw(self, labels: Sequence[str], count: int, seed: int) -> Drawing:
        """Let the generator draw what labels mean together.

        Args:
            labels: of one image.
            count: images to show; the code is of more.
            seed: of the noise.

        Raises:
            InputError: no label.
        """
        if not labels:
            raise InputError("choose a label")
        name = "|".join(labels)
        made = self.index.label_query(name, seed)
        if made is None:
            return Drawing(Query(name), [], "")
        line = f"{len(made.images)} images drawn; their codes lie {made.spread:.1f} bits from the majority's on average"
        pictures = [fit(picture_of(image)) for image in made.images[:count]]
        return Drawing(Query(name, made.code, made.relaxed_code), pictures, line)

    @_one_at_a_time
    def add(self, query: Query) -> tuple[Query, str]:
        """Add an uploaded image to the index.

        Returns:
            The query, which cannot be added a second time, and a line.

        Raises:
            InputError: nothing uploaded, or an index that cannot be written.
        """
        if not self.writable:
            raise InputError("this index cannot be written, so nothing can be added")
        if query is None or query.contents is None:
            raise InputError("upload an image first; the others are in the index already")
        item = add_picture(self.index, query.name, query.contents)
        self.index.save_codes()
        name = printable(self.index.store.names([item])[item])
        return dataclasses.replace(query, contents=None), f"added as {name}; {len(self.index):,} images"


def base_name(name: str) -> str:
    """Return the last part of a path of any system, without control characters and leading dots."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(letter for letter in last if letter.isprintable()).lstrip(". ") or "image"


def printable(name: str) -> str:
    """Return a file name as text; bytes that are none become question marks."""
    return name.encode("utf-8", "replace").decode()


def caption_of(neighbour: Neighbour) -> str:
    """Say how near a neighbour is and, in a second line, what it is called."""
    near = f"probability {neighbour.probability:.2f}" if neighbour.distance is None else _bits(neighbour.distance)
    return f"{near}\n{printable(neighbour.name).replace('/', BREAKABLE)}"


def _bits(count: int) -> str:
    return f"{count} bit" if count == 1 else f"{count} bits"
