"""Keras callbacks for a DSHGAN in training."""

from dshgan_tf.callbacks.retrieval_evaluation import RetrievalEvaluation
from dshgan_tf.callbacks.sample_grid import SampleGrid
from dshgan_tf.callbacks.stop_on_non_finite import StopOnNonFinite
from dshgan_tf.callbacks.watch_the_gan import WatchTheGan

__all__ = ["RetrievalEvaluation", "SampleGrid", "StopOnNonFinite", "WatchTheGan"]
