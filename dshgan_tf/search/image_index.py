"""An index is a folder that answers by itself: codes, names, thumbnails, the encoder, and what a radius means."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dshgan_tf.codes import code_width, pack
from dshgan_tf.errors import InputError
from dshgan_tf.files import remove_leftovers
from dshgan_tf.images.picture_files import read_image
from dshgan_tf.images.preprocessing import to_uint8
from dshgan_tf.labels import rows_named
from dshgan_tf.search.calibration import Calibration
from dshgan_tf.search.hamming_index import HammingIndex
from dshgan_tf.search.image_manifest import read_manifest
from dshgan_tf.search.image_store import ImageStore

if TYPE_CHECKING:
    from dshgan_tf.search.litert_encoder import LiteRTEncoder
    from dshgan_tf.search.litert_generator import LiteRTGenerator

STORE, ENCODER, GENERATOR = "images.sqlite", "encoder.tflite", "generator.tflite"
SAMPLES = 64  # synthetic images that stand for a label query


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """One image found.

    Args:
        id: of the image in the index.
        name: path relative to its folder, or what it is called.
        distance: Hamming distance to the query, None where the class stream ranks.
        probability: that the class stream gives to the labels, None where codes rank.
    """

    id: int
    name: str
    distance: int | None = None
    probability: float | None = None


@dataclasses.dataclass(frozen=True)
class LabelQuery:
    """What the generator makes of labels.

    Args:
        code: (ceil(K/8),) uint8, the majority of the samples' bits.
        relaxed_code: (K,) float32 in [0, 1], the mean of the samples' relaxed codes, on the majority's side of 0.5.
        spread: mean Hamming distance of the samples' codes to the majority.
        images: (N, H, W, C) uint8, the samples.
    """

    code: np.ndarray
    relaxed_code: np.ndarray
    spread: float
    images: np.ndarray


class ImageIndex:
    """Search a folder of images by image or by label; no TensorFlow is started.

    `dshgan index` makes the folder. It holds `manifest.json`, `images.sqlite` (names, codes, thumbnails), the codes
    once more as a `HammingIndex`, `encoder.tflite` and, where the run has one, `generator.tflite`. No path in it is
    absolute.

    Args:
        folder: the index.
        writable: whether images will be added or removed.

    Raises:
        InputError: no index there, or a damaged one; the message names the file.

    Example:
        >>> index = ImageIndex("photos.index")  # doctest: +SKIP
        >>> for neighbour in index.search(*index.encode_files(["one.jpg"]), k=10)[0]:  # doctest: +SKIP
        ...     print(neighbour.distance, neighbour.name)
    """

    def __init__(self, folder: str | Path, writable: bool = False) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        self.num_bits: int = self.manifest["num_bits"]
        self.image_shape: tuple[int, int, int] = tuple(self.manifest["image_shape"])
        self.ground: int = self.manifest["ground"]
        self.class_names: list[str] = self.manifest["class_names"]
        self.store = ImageStore(self.folder / STORE, writable)
        self._loaded: tuple[int, HammingIndex] | None = None

    def __len__(self) -> int:
        """Return the number of images that can be found."""
        return self.store.count()

    @functools.cached_property
    def encoder(self) -> LiteRTEncoder:
        """The encoder that hashed the images, for one at a time."""
        return self._load_encoder(1)

    @functools.cached_property
    def batch_encoder(self) -> LiteRTEncoder:
        """The same for many at a time."""
        return self._load_encoder(32)

    def _load_encoder(self, batch_size: int) -> LiteRTEncoder:
        from dshgan_tf.search.litert_encoder import LiteRTEncoder

        encoder = LiteRTEncoder(self.folder / ENCODER, batch_size)
        encoder.sidecar()  # refuses an encoder that another export lies beside
        if encoder.image_shape != self.image_shape:
            raise InputError(f"{self.folder / ENCODER} is not the encoder of {self.folder}; make the index again")
        return encoder

    @functools.cached_property
    def generator(self) -> LiteRTGenerator | None:
        """The generator, or None where the run had none."""
        from dshgan_tf.search.litert_generator import LiteRTGenerator

        path = self.folder / GENERATOR
        return LiteRTGenerator(path) if path.exists() else None

    @property
    def calibration(self) -> Calibration | None:
        """What to expect by radius, or None where there were too few held-out labels."""
        values = self.manifest.get("calibration")
        return None if values is None else Calibration.from_dict(values)

    @property
    def codes(self) -> HammingIndex:
        """The codes, as of the last change of the images."""
        generation = self.store.generation()
        if self._loaded is None or self._loaded[0] != generation:
            try:
                path = self.folder / f"codes-{generation}.index"
                self._loaded = generation, HammingIndex.load(path, memory_map=None)
            except FileNotFoundError:  # an update is under way, or was cut short
                self._loaded = self._codes_of_the_store()
        return self._loaded[1]

    def _codes_of_the_store(self) -> tuple[int, HammingIndex]:
        generation, ids, codes = self.store.snapshot(code_width(self.num_bits))
        index = HammingIndex(self.num_bits)
        index.add(codes, ids)
        return generation, index

    def save_codes(self) -> None:
        """Write the codes to a file of their own, from which a search starts faster."""
        if not (self.folder / f"codes-{self.store.generation()}.index").exists():
            generation, index = self._codes_of_the_store()
            index.save(self.folder / f"codes-{generation}.index")
        newest = self.store.generation()
        for old in self.folder.glob("codes-*.index"):
            if old.stem.removeprefix("codes-").isdecimal() and int(old.stem.removeprefix("codes-")) < newest:
                old.unlink(missing_ok=True)
        remove_leftovers(self.folder, ".*.part*")

    def encode_files(self, paths: Sequence[str | Path]) -> tuple[np.ndarray, np.ndarray]:
        """Hash image files.

        Args:
            paths: N files.

        Returns:
            Codes (N, ceil(K/8)) uint8 and relaxed codes (N, K) float32.

        Raises:
            InputError: a file that is no image.
        """
        images = [to_uint8(read_image(path, self.image_shape, ground=self.ground)) for path in paths]
        return self.encode(np.stack(images))

    def encode(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Hash images (N, H, W, C) uint8; returns codes and relaxed codes, as `encode_files`."""
        streams = self.encoder.predict_streams(images)
        return streams["codes"], streams["relaxed_codes"]

    def search(self, codes: np.ndarray, relaxed_codes: np.ndarray, k: int = 10) -> list[list[Neighbour]]:
        """Find the nearest images of each query; ties are ranked by the asymmetric distance, then by id.

        Args:
            codes: (Q, ceil(K/8)) uint8.
            relaxed_codes: (Q, K) float.
            k: how many, fewer where the index holds fewer.

        Returns:
            For each query its neighbours, nearest first.

        Raises:
            InputError: an empty index, or k below 1.
        """
        if k < 1:
            raise InputError(f"k must be at least 1, got {k}")
        if not len(self.codes):
            raise InputError(f"{self.folder} holds no image; add some with dshgan index")
        distances, ids = self.codes.search(codes, min(k, len(self.codes)), relaxed_codes)
        return [self._neighbours(*row) for row in zip(ids, distances, strict=True)]

    def range_search(self, codes: np.ndarray, relaxed_codes: np.ndarray, radius: int) -> list[list[Neighbour]]:
        """Find all images within a Hamming radius of each query, in the order of `search`.

        Args:
            codes: (Q, ceil(K/8)) uint8.
            relaxed_codes: (Q, K) float.
            radius: largest distance, from 0 to K.

        Raises:
            InputError: a radius out of range.
        """
        limits, distances, ids = self.codes.range_search(codes, radius, relaxed_codes)
        return [
            self._neighbours(ids[start:stop], distances[start:stop])
            for start, stop in zip(limits[:-1], limits[1:], strict=True)
        ]

    def _neighbours(self, ids: np.ndarray, distances: np.ndarray) -> list[Neighbour]:
        names = self.store.names(ids)
        # An image that went since the codes were read has no name any more.
        return [
            Neighbour(int(item), names[int(item)], distance=int(distance))
            for item, distance in zip(ids, distances, strict=True)
            if int(item) in names
        ]

    def label_query(self, labels: str, seed: int = 0) -> LabelQuery | None:
        """Let the generator draw what labels mean, and hash it.

        Args:
            labels: one class, or several labels of one image: "sky|clouds".
            seed: of the noise.

        Returns:
            The query, or None where the index has no generator.

        Raises:
            InputError: no such class.
        """
        row = rows_named([labels], self.class_names)
        if self.generator is None:
            return None
        images = self.generator.generate(row.repeat(SAMPLES, axis=0), seed)
        relaxed = self.encoder.predict_streams(images)["relaxed_codes"]
        bits = relaxed > 0.5
        majority = bits.mean(axis=0) > 0.5
        # The mean of relaxed codes and the majority of bits may fall on different sides of a half.
        mean = np.where(majority, np.maximum(relaxed.mean(axis=0), np.nextafter(np.float32(0.5), np.float32(1))),
                        np.minimum(relaxed.mean(axis=0), np.float32(0.5)))  # fmt: skip
        spread = float((bits != majority).sum(axis=1).mean())
        return LabelQuery(pack(majority[None])[0], mean.astype(np.float32), spread, images)

    def rank_by_probability(self, labels: str, k: int = 10) -> list[Neighbour]:
        """Find the images that the class stream gives the labels the highest probability; for runs without generator.

        Args:
            labels: as in `label_query`.
            k: how many.

        Returns:
            Neighbours, the most probable first; with several labels the product counts.

        Raises:
            InputError: no such class.
        """
        row = rows_named([labels], self.class_names)[0]
        ids, probabilities = self.store.probabilities(len(self.class_names))
        score = probabilities[:, row > 0].prod(axis=1)
        best = np.lexsort((ids, -score))[:k]
        names = self.store.names(ids[best])
        return [
            Neighbour(int(ids[i]), names[int(ids[i])], probability=float(score[i]))
            for i in best
            if int(ids[i]) in names
        ]
