"""Make pictures with several labels: mosaics of 1 to 4 CIFAR-10 images, in NUS-WIDE's layout.

    TFDS_DATA_DIR=<TFDS folder> python benchmarks/mosaics.py --output mosaics --count 20000
    dshgan train nuswide --synthetic --data-dir mosaics --labels-per-class 200 --workdir runs/mosaics

Each picture is 64 x 64: four places, 1 to 4 of them taken by images of CIFAR-10, the others grey; its labels are those
of its images. No image of CIFAR-10 is in two mosaics, so a query shares no pixels with what is trained on.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from rich.progress import track

from dshgan_tf.data.sources import read

GREY = 128


def write_mosaics(root, images, labels, names, count, seed):
    """Write `count` mosaics; images are used once each, so there must be at least 4 times as many or fewer tiles."""
    rng = np.random.default_rng(seed)
    tiles = rng.integers(1, 5, count)
    if tiles.sum() > len(images):
        raise ValueError(f"{count} mosaics take {tiles.sum()} images, there are {len(images)}; ask for fewer")
    order = rng.permutation(len(images))[: tiles.sum()]
    rows = np.zeros((count, len(names)), int)
    for folder in ("ImageList", "ConceptsList", "Groundtruth/AllLabels", "Flickr/mosaic"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    starts = np.concatenate([[0], np.cumsum(tiles)])
    for i in track(range(count), "mosaics"):
        chosen = order[starts[i] : starts[i + 1]]
        rows[i, labels[chosen]] = 1
        places = rng.permutation(4)[: len(chosen)]
        canvas = np.full((64, 64, 3), GREY, np.uint8)
        for place, image in zip(places, images[chosen], strict=True):
            top, left = 32 * (place // 2), 32 * (place % 2)
            canvas[top : top + 32, left : left + 32] = image
        Image.fromarray(canvas).save(root / "Flickr" / file_name(i), quality=95)
    (root / "ImageList/Imagelist.txt").write_text("".join(file_name(i).replace("/", "\\") + "\n" for i in range(count)))
    (root / "ConceptsList/Concepts81.txt").write_text("".join(f"{name}\n" for name in names))
    for column, name in zip(rows.T, names, strict=True):
        (root / f"Groundtruth/AllLabels/Labels_{name}.txt").write_text("".join(f"{value}\n" for value in column))


def file_name(i):
    return f"mosaic/{i:05d}.jpg"


def main():
    parser = argparse.ArgumentParser(description="Mosaics of CIFAR-10 images in NUS-WIDE's layout.")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    source = read("cifar10")
    write_mosaics(options.output, source.images, source.labels, source.class_names, options.count, options.seed)
    print(f"{options.count} mosaics in {options.output}")


if __name__ == "__main__":
    main()
