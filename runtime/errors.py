"""The errors of digits-edge; each knows the exit code the command line answers with."""

from collections.abc import Iterable


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


class RowError(DataError):
    """One row of a table is malformed.

    Attributes:
        source: the table's name.
        row: the row's number, counted from 1.
        reason: what is wrong, with row and column, and what mends it.
    """

    def __init__(self, source: str, row: int, reason: str) -> None:
        super().__init__(source, row, reason)
        self.source, self.row, self.reason = source, row, reason

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that nothing has, with those that there are and the one that was probably meant."""
    known = tuple(known)
    return UsageError(f"no {kind} is called {name!r}.{did_you_mean(name, known)} There are: {', '.join(known)}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question that begins with a space and names the nearest known name; empty where none is near."""
    from difflib import get_close_matches  # who makes no mistake need not wait for it

    near = get_close_matches(name, tuple(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def one_line(error: Exception) -> str:
    r"""The reason of an error of another library, on one line of printable characters.

    Args:
        error: of any kind; onnxruntime's lose the "[ONNXRuntimeError] : " that they begin with.

    Example:
        >>> one_line(ValueError("first\n  second"))
        'first'
        >>> one_line(KeyError())
        'KeyError'
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = (str(error).strip().splitlines() or [type(error).__name__])[0].rpartition("[ONNXRuntimeError] : ")[2]
    return text if text.isprintable() else repr(text)
