"""Teacher, generator, encoder, one after the other (You et al., NeurIPS 2023; Li et al., NIPS 2017; Cao et al., 2018).

1. A teacher trains without synthetic images, and says the label of every image.
2. A generator learns from all images with these labels, beside a discriminator of its own: projection, spectral
   normalisation, hinge, differentiable augmentation. A moving average of its weights makes the pictures.
3. Pictures whose label the teacher confirms are kept.
4. The encoder trains from the start. It draws x+ and x- from these pictures. No generator learns any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

import dshgan_tf as dsh
from dshgan_tf.data.splits import Splits
from dshgan_tf.models.averaging import update_average
from dshgan_tf.models.generator import Generator
from dshgan_tf.models.trunk import activate, halvings

WIDTH = 32  # channels of the discriminator's first convolution
LEARNING_RATE, DECAY = 4e-4, 0.999
PICTURES = 200  # of a class, before the teacher looks at them
GAN_STEPS = 1.5  # times the encoder's steps


class Discriminator(keras.Model):
    """Projection discriminator, psi(phi(x)) + y V phi(x), all of spectral norm 1 (Miyato and Koyama, ICLR 2018)."""

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        images, labels = keras.Input(image_shape), keras.Input((num_classes,))
        x = layers.Rescaling(1 / 127.5, -1.0)(images)
        for stage in range(halvings(image_shape) + 1):
            x = activate(_spectral(layers.Conv2D(WIDTH * 2**stage, 3, padding="same"))(x))
            x = activate(_spectral(layers.Conv2D(WIDTH * 2**stage, 3, padding="same"))(x))
            x = layers.AveragePooling2D(2, padding="same")(x) if stage < halvings(image_shape) else x
        x = layers.GlobalAveragePooling2D()(x)
        chosen = _spectral(layers.Dense(x.shape[-1], use_bias=False))(labels)
        outputs = _spectral(layers.Dense(1))(x)[:, 0] + ops.sum(chosen * x, axis=-1)
        super().__init__([images, labels], outputs)


def _spectral(layer: keras.Layer) -> keras.Layer:
    return layers.SpectralNormalization(layer)


class Pictures(dsh.DSHGAN):
    """DSH-GAN whose synthetic images come from a store, by class; nothing learns to make them.

    Args:
        store: class -> pictures (N, H, W, C) uint8, one or more a class.
        **arguments: as of `DSHGAN`.
    """

    def __init__(self, store: list[np.ndarray], **arguments: Any) -> None:
        super().__init__(**arguments)
        self.firsts = np.cumsum([0, *map(len, store)])[:-1].astype(np.float32)
        self.counts = np.array([len(pictures) for pictures in store], np.float32)
        self.store = tf.constant(np.concatenate(store))

    def synthesise(self, data: dict[str, Any], training: bool) -> tuple[Any, None, Any]:
        """As of `DSHGAN`, from the store."""
        labels = ops.concatenate([self.anchors(data["label"]), self.anchors(data["negative_label"])])
        rows = ops.cast(labels, "float32")
        chance = keras.random.uniform((ops.shape(rows)[0],), seed=self.seed_generator)
        chosen = rows @ self.firsts[:, None] + ops.floor(chance[:, None] * (rows @ self.counts[:, None]))
        return ops.cast(ops.take(self.store, ops.cast(chosen[:, 0], "int32"), axis=0), "float32"), None, labels

    def update_generator(self, data: dict[str, Any], anchor_codes: Any) -> None:
        """Do nothing."""


def learn_generator(model: dsh.DSHGAN, images: np.ndarray, labels: np.ndarray, steps: int, batch: int) -> Generator:
    """Train a generator of images (N, H, W, C) with labels (N,), and return its average."""
    shape = (model.num_classes, images.shape[1:])
    generator, average, judge = Generator(*shape), Generator(*shape), Discriminator(images.shape[1:], model.num_classes)
    average.set_weights(generator.get_weights())
    players = [keras.optimizers.Adam(LEARNING_RATE, beta_1=0.0, beta_2=0.9) for _ in range(2)]
    for player, network in zip(players, (generator, judge), strict=True):
        player.build(network.trainable_variables)
    rows = tf.data.Dataset.from_tensor_slices((images, np.eye(model.num_classes, dtype=np.float32)[labels]))
    rows = rows.shuffle(len(images), seed=model.seed).repeat().batch(batch, drop_remainder=True)

    @tf.function
    def step(real: Any, classes: Any) -> None:
        augmented = model.augmenter.strong
        noise = keras.random.normal((batch, generator.noise_dim), seed=model.seed_generator)
        with tf.GradientTape() as tape:
            made = generator([noise, classes], training=True)
            pairs = ops.concatenate([augmented(ops.cast(real, "float32")), augmented(ops.stop_gradient(made))])
            scores = judge([pairs, ops.tile(classes, (2, 1))], training=True)
            loss = ops.mean(ops.relu(1 - scores[:batch])) + ops.mean(ops.relu(1 + scores[batch:]))
        players[1].apply(tape.gradient(loss, judge.trainable_variables), judge.trainable_variables)
        with tf.GradientTape() as tape:
            made = generator([noise, classes], training=True)
            loss = -ops.mean(judge([augmented(made), classes], training=True))
        players[0].apply(tape.gradient(loss, generator.trainable_variables), generator.trainable_variables)
        update_average(average, generator, players[0].iterations, DECAY)

    for real, classes in rows.take(steps):
        step(real, classes)
    return average


def confirmed(generator: Generator, teacher: dsh.DSHGAN, seed: int) -> tuple[list[np.ndarray], float]:
    """Return the pictures of each class whose label the teacher gives, and the share that these are."""
    wanted = np.repeat(np.arange(teacher.num_classes), PICTURES)
    pictures = generator.generate(wanted, seed)
    given = teacher.predict_streams(pictures)["class_logits"].argmax(1)
    store = [pictures[(wanted == number) & (given == number)] for number in range(teacher.num_classes)]
    for number, found in enumerate(store):
        if not len(found):
            print(f"the teacher confirms no picture of class {number}; all of that class are taken")
            store[number] = pictures[wanted == number]
    return store, float((wanted == given).mean())


def train(
    teacher: dsh.DSHGAN, make: Callable[[list[np.ndarray]], Pictures], splits: Splits, steps: int, batch: int
) -> dsh.DSHGAN:
    """Train a compiled teacher, a generator, and the encoder of a model that `make` makes of pictures; return this."""
    seed = teacher.seed
    stream = {"epochs": 1, "steps_per_epoch": steps, "verbose": 0}
    teacher.fit(dsh.data.triplets(splits, batch, seed=seed), **stream)
    images = np.concatenate([splits.labeled.images, splits.unlabeled.images])
    given = teacher.predict_streams(splits.unlabeled.images)["class_logits"].argmax(1)
    labels = np.concatenate([splits.labeled.labels, given])
    generator = learn_generator(teacher, images, labels, round(GAN_STEPS * steps), batch)
    store, share = confirmed(generator, teacher, seed)
    alone, own = accuracies(store, teacher, splits, steps, batch)
    print(f"the teacher confirms {share:.3f} of the pictures; accuracy of these alone {alone:.3f}, its own {own:.3f}")
    keras.utils.set_random_seed(seed)
    model = make(store)
    model.fit(dsh.data.triplets(splits, batch, seed=seed), **stream)
    return model


def accuracies(
    store: list[np.ndarray], teacher: dsh.DSHGAN, splits: Splits, steps: int, batch: int
) -> tuple[float, float]:
    """Train a classifier on the pictures alone; return its accuracy on the queries, and the teacher's.

    It is looked at on development seeds, to see whether the series is worth running. It changes no run.
    """
    model = dsh.DSHGAN(
        teacher.num_bits, teacher.num_classes, teacher.image_shape, method="supervised", seed=teacher.seed
    )
    model.compile()
    model.augmenter = teacher.augmenter
    labels = np.repeat(np.arange(len(store)), [len(pictures) for pictures in store])
    model.fit(np.concatenate(store), labels, batch_size=batch, epochs=1, steps_per_epoch=steps // 4, verbose=0)
    answers = (part.predict_streams(splits.query.images)["class_logits"].argmax(1) for part in (model, teacher))
    alone, own = (float((given == splits.query.labels).mean()) for given in answers)
    return alone, own
