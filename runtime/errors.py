"""Exceptions of digits-edge, each with the exit code of the command line.

```
DigitsEdgeError       base class
├── CheckError        1  a check failed
├── UsageError        2  invalid arguments
├── ModelError        3  model or execution provider not usable
│   ├── SequenceModelError  a model that reads numbers, where single images are classified
│   └── ProviderError    an installed execution provider cannot open or run a model
└── InputError        4  input not readable, or output not writable
    ├── ImageError       a picture or an array of images
    └── DataError        a data set
        └── RowError     a row of a table
```
"""

from collections.abc import Iterable


class DigitsEdgeError(Exception):
    """Base class of all exceptions that digits-edge raises.

    The message is one line: what is wrong, where, and what to do.

    Attributes:
        exit_code: exit code of the command line for this error, 1 to 4.

    Example:
        Catch every error of the package:

        >>> from digits_edge.runtime import Classifier, DigitsEdgeError
        >>> try:
        ...     Classifier("no-such-model")
        ... except DigitsEdgeError as error:
        ...     print(type(error).__name__, error.exit_code)
        ModelError 3
    """

    exit_code = 1


class CheckError(DigitsEdgeError):
    """A check failed: parity with Keras, golden values, or accuracy.

    Example:
        >>> CheckError("edge-int8 failed verification").exit_code
        1
    """

    exit_code = 1


class UsageError(DigitsEdgeError):
    """Invalid arguments: an unknown name, incompatible options, or an output file that exists.

    Example:
        >>> from digits_edge.runtime import Classifier
        >>> try:
        ...     Classifier("edge-int8", provider="cpu", threads=0)
        ... except UsageError as error:
        ...     print(error)
        invalid thread count 0: use 1 to 1024
    """

    exit_code = 2


class ModelError(DigitsEdgeError):
    """A model file cannot be loaded, an execution provider cannot be bound, or inference failed.

    Example:
        >>> from digits_edge.runtime import Classifier
        >>> try:
        ...     Classifier("no-such-file.onnx", provider="cpu")
        ... except ModelError as error:
        ...     print(error)  # doctest: +ELLIPSIS
        no-such-file.onnx could not be read: No such file or directory; list the bundled models with ...
    """

    exit_code = 3


class ProviderError(ModelError):
    """An execution provider cannot be bound, or cannot open or run a model that is intact.

    `auto` skips a provider or precision with this error and uses the next one.

    Example:
        >>> issubclass(ProviderError, ModelError), ProviderError.exit_code
        (True, 3)
    """


class SequenceModelError(ModelError):
    """A model reads lines of numbers, but a classifier of single images is needed.

    Example:
        >>> issubclass(SequenceModelError, ModelError), SequenceModelError.exit_code
        (True, 3)
    """


class InputError(DigitsEdgeError):
    """An input cannot be read (picture, data set, row), or an output cannot be written.

    Example:
        >>> from digits_edge.runtime import Classifier
        >>> with Classifier("edge-int8", provider="cpu") as classifier:
        ...     try:
        ...         classifier.predict("no-such-picture.png")
        ...     except InputError as error:
        ...         print(error)  # doctest: +ELLIPSIS
        no-such-picture.png ...
    """

    exit_code = 4


class ImageError(InputError):
    """A picture cannot be decoded, or an array does not have the dtype or shape of images.

    Example:
        >>> import numpy as np
        >>> from digits_edge.runtime import Classifier
        >>> with Classifier("edge-int8", provider="cpu") as classifier:
        ...     try:
        ...         classifier.predict_batch(np.zeros((2, 32, 28), np.uint8))
        ...     except ImageError as error:
        ...         print(error)
        axis 1 of the images has size 32, expected 28; use shape (N, 28, 28) or (N, 784)
    """


class DataError(InputError):
    """A data set is missing, incomplete or malformed.

    Example:
        >>> issubclass(DataError, InputError), DataError.exit_code
        (True, 4)
    """


class RowError(DataError):
    """One row of a table is malformed.

    Attributes:
        source: name of the table.
        row: number of the row, counted from 1.
        reason: what is wrong, with row and column, and the remedy.

    Example:
        >>> print(RowError("rows.csv", 6, "line 7: 3 columns, expected 784 or 785"))
        rows.csv: line 7: 3 columns, expected 784 or 785
    """

    def __init__(self, source: str, row: int, reason: str) -> None:
        super().__init__(source, row, reason)
        self.source, self.row, self.reason = source, row, reason

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Build the error for an unknown name, with a suggestion and the known names.

    Args:
        kind: what the name stands for, such as "model".
        name: the unknown name.
        known: the valid names.

    Example:
        >>> print(unknown_name("study", "droput", ["dropout", "width"]))
        unknown study 'droput'. Did you mean 'dropout'? Available: dropout, width
    """
    known = tuple(known)
    return UsageError(f"unknown {kind} {name!r}.{did_you_mean(name, known)} Available: {', '.join(known)}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Suggest the known name most similar to `name`.

    Returns:
        A question with a leading space; an empty string if no known name is similar.

    Example:
        >>> did_you_mean("edge-int9", ["edge-int8", "cnn-small-int8"])
        " Did you mean 'edge-int8'?"
        >>> did_you_mean("abacus", ["edge-int8"])
        ''
    """
    from difflib import get_close_matches  # deferred: only needed for an error message

    near = get_close_matches(name, tuple(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def one_line(error: Exception) -> str:
    r"""The message of another library's exception, as one line of printable characters.

    Args:
        error: any exception. The prefix "[ONNXRuntimeError] : " of onnxruntime is removed.

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
