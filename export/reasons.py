"""One-line reasons for errors of Keras, TensorFlow and their converters: `reason()`.

Keras wraps errors several times, and its first line often says only that something "could not be deserialized". The
cause is the deepest error of the chain, or follows "Exception encountered" in the text.
"""

import re
from collections.abc import Iterator

_MAX_LENGTH = 300
_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;]*m")
#: Text after these is the configuration of a layer or a traceback.
_DETAILS = re.compile(
    r"(?: using config=|\bconfig=\{| Full object config:| Arguments received by"
    r"| Please ensure | Make sure | See https?:| This carries | If you trust).*",
    re.DOTALL,
)
_INTRODUCTION = re.compile(r"(?:Exception|Error) encountered:")
#: Start of the error at the end of a traceback that TensorFlow puts into the text.
_TRACED_ERROR = re.compile(r"^\s*\w*(?:Error|Exception): ", re.MULTILINE)
#: onnxruntime names the node, lists its inputs and outputs, and then says what is wrong.
_NODE_ERROR = re.compile(r'In Node, \("(?P<node>[^"]*)".*, Error (?P<cause>.*)', re.DOTALL)
#: Lines that introduce or locate the cause, but do not contain it.
_NO_CAUSE = re.compile(
    r"in user code:|File \"|Exception encountered when calling|Arguments received|During handling|Traceback|[\s~^]*$"
)
#: Pattern in a reason → what to do.
_REMEDIES = (
    (
        r"Unrecognized keyword arguments? passed to",
        "the file is from another version of Keras: save the model there with model.export('FOLDER'), and pass FOLDER",
    ),
    (
        r"Could not locate (class|function)|Unknown (layer|object|activation|initializer)|Could not interpret"
        r"|custom_object",
        "use standard layers of Keras, or pass the class or function with --custom-objects if you trust its code",
    ),
    (r"\bLambda\b", "use standard layers of Keras, or pass --custom-objects Lambda if you trust the file"),
    (r"No cast function available", ".h5 files cannot store bfloat16: save the model as .keras"),
    (
        r"(Layer|Weight) count mismatch|was never built|objects could not be loaded",
        "the weights do not fit the layers: call the model on images before saving it as .keras",
    ),
    (
        r"No Op registered|Could not find an implementation|NOT_IMPLEMENTED",
        "ONNX has no such operator: replace the layer that uses it",
    ),
    (
        r"File not found|accessible `.keras` zip|not a zip file|file signature not found|truncated file",
        "it is damaged or not a Keras file: save the model again with model.save('FILE.keras')",
    ),
)


def reason(error: BaseException) -> str:
    """The deepest useful cause of an error on one line, with a remedy if one is known.

    Example:
        >>> try:
        ...     try:
        ...         raise ValueError("Unrecognized keyword arguments passed to LSTM: {'time_major': False}")
        ...     except ValueError as cause:
        ...         raise TypeError("<class 'LSTM'> could not be deserialized properly. config={'units': 4}") from cause
        ... except TypeError as error:
        ...     print(reason(error).partition("; ")[0])
        Unrecognized keyword arguments passed to LSTM: {'time_major': False}
    """
    causes = [_cause(each) for each in _chain(error)]
    # a single word, such as the key of a KeyError, explains nothing
    useful = [cause for cause in causes if len(cause.split()) > 2]
    deepest = useful[-1] if useful else next(filter(None, reversed(causes)), type(error).__name__)
    everything = " ".join(causes)
    for searched in (deepest, everything):
        for pattern, remedy in _REMEDIES:
            if re.search(pattern, searched):
                return f"{_shortened(deepest)}; {remedy}"
    return _shortened(deepest)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and its causes, outermost first."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)


def _cause(error: BaseException) -> str:
    """The line of an error's text that contains the cause, without configurations."""
    text = _TERMINAL_CODES.sub("", str(error))
    text = _INTRODUCTION.split(text)[-1]
    if text.startswith("in user code:") and (traced := list(_TRACED_ERROR.finditer(text))):
        text = text[traced[-1].end() :]
    if (node := _NODE_ERROR.search(text)) is not None:
        text = f"{node['node']}: {node['cause']}"
    lines = [line.strip() for line in _DETAILS.sub("", text).splitlines()]
    line = next((line for line in lines if not _NO_CAUSE.match(line)), "")
    if isinstance(error, KeyError) and line:
        line = f"{type(error).__name__}: {line}"
    return "".join(character if character.isprintable() else " " for character in line).rstrip(" .")


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 1]}…"
