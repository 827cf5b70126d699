"""Settings: what is built, how it is trained, what it minimises, and one run of all that."""

from dshgan_tf.config.method import METHODS, Method, choose_method
from dshgan_tf.config.network import Network
from dshgan_tf.config.objective import Objective
from dshgan_tf.config.optimization import Optimization
from dshgan_tf.config.run_config import RunConfig, check_adversary

__all__ = [
    "METHODS",
    "Method",
    "Network",
    "Objective",
    "Optimization",
    "RunConfig",
    "check_adversary",
    "choose_method",
]
