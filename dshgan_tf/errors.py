"""Our own errors: what a user can mend, a training that diverged, and an export that does not hold."""


class InputError(ValueError):
    """What was given cannot be used. The message names the value and the remedy.

    The programs print it as one line. Every other error is a fault of ours, and keeps its traceback.
    """

    __init__ = Exception.__init__  # so that a `tf.function` hands it on as it is, and not as an error of its own


class NotFinite(ArithmeticError):
    """A loss or a gradient is not finite: the training diverged."""


class ExportError(RuntimeError):
    """An exported encoder cannot be made, or is not what Keras computes."""
