"""Data: sources, protocols (splits) and the stream of triplets."""

from dshgan_tf.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from dshgan_tf.data.feature_splits import feature_splits
from dshgan_tf.data.protocols import PROTOCOLS, Protocol
from dshgan_tf.data.sources import from_arrays, load
from dshgan_tf.data.split_file import read_splits
from dshgan_tf.data.splits import Part, Splits
from dshgan_tf.data.triplets import TripletOrder, triplets

__all__ = [
    "CORRUPTIONS",
    "PROTOCOLS",
    "SEVERITIES",
    "Part",
    "Protocol",
    "Splits",
    "TripletOrder",
    "corrupt",
    "feature_splits",
    "from_arrays",
    "load",
    "read_splits",
    "triplets",
]
