"""Evaluation of Hamming ranking: exact under ties, by counting, in bounded memory."""

from dshgan_tf.retrieval.code_statistics import code_statistics
from dshgan_tf.retrieval.evaluation import PEER, evaluate, precision_recall_curve

__all__ = ["PEER", "code_statistics", "evaluate", "precision_recall_curve"]
