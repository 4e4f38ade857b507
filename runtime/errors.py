"""The errors of digits-edge; each knows the exit code the command line answers with."""


class DigitsEdgeError(Exception):
    """Base of every error this project raises on purpose.

    The message is one line that names the file or row and says what mends it.
    """

    exit_code = 1


class CheckError(DigitsEdgeError):
    """A check did not hold: parity, golden answers, accuracy."""

    exit_code = 1


class UsageError(DigitsEdgeError):
    """The call itself is wrong: an unknown name, an option that does not fit, an output that exists."""

    exit_code = 2


class ModelError(DigitsEdgeError):
    """A model file could not be loaded, or a provider could not be bound."""

    exit_code = 3


class InputError(DigitsEdgeError):
    """Input could not be read: a picture, a data set, a row; also an output that could not be written."""

    exit_code = 4


class ImageError(InputError):
    """An array or picture is not what the reader of digits takes."""


class DataError(InputError):
    """A data set is missing, incomplete or malformed."""
