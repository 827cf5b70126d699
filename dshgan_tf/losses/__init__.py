"""Losses: the paper's in `published`, what the recipe adds in `additions`, and both for each player in `players`."""

from dshgan_tf.losses.balance import balance_loss, bit_balance_loss
from dshgan_tf.losses.batch_triplets import batch_triplet_loss
from dshgan_tf.losses.diversity import diversity_loss
from dshgan_tf.losses.embedding_triplets import (
    TripletHardLoss,
    TripletSemiHardLoss,
    pairwise_distances,
    triplet_hard_loss,
    triplet_semihard_loss,
)
from dshgan_tf.losses.keras_losses import AdversaryLoss, ClassificationLoss, TripletLoss, TripletRankingLoss
from dshgan_tf.losses.pseudo_labels import pseudo_labels
from dshgan_tf.losses.published import (
    adversary_loss,
    classification_loss,
    generator_adversary_loss,
    squared_distance,
    triplet_loss,
)

__all__ = [
    "AdversaryLoss",
    "ClassificationLoss",
    "TripletHardLoss",
    "TripletLoss",
    "TripletRankingLoss",
    "TripletSemiHardLoss",
    "adversary_loss",
    "balance_loss",
    "batch_triplet_loss",
    "bit_balance_loss",
    "classification_loss",
    "diversity_loss",
    "generator_adversary_loss",
    "pairwise_distances",
    "pseudo_labels",
    "squared_distance",
    "triplet_hard_loss",
    "triplet_loss",
    "triplet_semihard_loss",
]
