"""Data: sources, protocols (splits) and the stream of triplets."""

from dshgan_tf.data.protocols import PROTOCOLS, Protocol
from dshgan_tf.data.sources import from_arrays, load, load_splits
from dshgan_tf.data.splits import Part, Splits
from dshgan_tf.data.triplets import TripletOrder, triplets

__all__ = ["PROTOCOLS", "Part", "Protocol", "Splits", "TripletOrder", "from_arrays", "load", "load_splits", "triplets"]
