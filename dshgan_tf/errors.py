"""The error that a user can mend."""


class InputError(ValueError):
    """What was given cannot be used. The message names the value and the remedy.

    The programs print it as one line. Every other error is a fault of ours, and keeps its traceback.
    """
