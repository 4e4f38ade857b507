"""The model file: one `.onnx` (or `.ort`) that describes itself and knows whether it is whole.

The contract, which `digits_edge.export` writes and everything here relies on:

- input `image`, uint8 (N, 28, 28), white ink on black; output `probabilities`, float32 (N, C); N is free;
- metadata entry `digits_edge`: what the model is, as JSON (`Metadata`);
- metadata entry `digits_edge.golden`: reference images and what Keras answered for them (`golden.py`);
- the file's last bytes are the metadata entry `digits_edge.sha256`, the sum of all bytes before it. Protobuf lets
  entries be appended, so the file stays an ordinary ONNX model; what follows the end of a `.ort` nobody reads. The sum
  is checked before onnxruntime sees the file: of damaged files it loads four in ten.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.json_record import as_record, parse_json

Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
Preprocessing = Literal["mnist", "fashion-mnist"]
PREPROCESSINGS: tuple[Preprocessing, ...] = ("mnist", "fashion-mnist")

INPUT_NAME, OUTPUT_NAME = "image", "probabilities"
#: What the graph calls the free size of its first axis.
BATCH_AXIS = "N"
METADATA_KEY, GOLDEN_KEY = "digits_edge", "digits_edge.golden"
_DIGEST_KEY = b"digits_edge.sha256"
_HEX_DIGITS = 64
# ModelProto.metadata_props is field 14, StringStringEntryProto's key and value are its fields 1 and 2; all are
# length-delimited
_DIGEST_PREFIX = (
    bytes([14 << 3 | 2, 2 + len(_DIGEST_KEY) + 2 + _HEX_DIGITS])
    + bytes([1 << 3 | 2, len(_DIGEST_KEY)])
    + _DIGEST_KEY
    + bytes([2 << 3 | 2, _HEX_DIGITS])
)
_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Member:
    """One of the networks whose probabilities an ensemble averages.

    Attributes:
        name: its source's.
        architecture: the Keras model's name.
        precision: of weights and arithmetic.
        parameters: of the Keras model.
        temperature: what its logits were divided by before its softmax.
        calibrated: whether that was fitted on its validation images.
        validation: the rule by which a part of the training data validated it.
    """

    name: str
    architecture: str
    precision: Precision
    parameters: int
    temperature: float
    calibrated: bool
    validation: str


@dataclass(frozen=True)
class Metadata:
    """What a model file says of itself.

    Attributes:
        name: unique among bundled models, with its precision: `cnn-small-int8`.
        version: of the model, not of the package.
        architecture: the Keras model's name, or "ensemble".
        precision: of weights and arithmetic.
        labels: the classes' names in the order of the output's columns.
        preprocessing: the form that pictures are brought to: "mnist" is white ink on black, 20 px, centred by mass;
            "fashion-mnist" is a garment on black, 28 px, centred.
        parameters: of the Keras model; of an ensemble, of all members.
        temperature: what the logits were divided by before the softmax; 1 for an ensemble: its members have theirs.
        calibrated: whether the temperature was fitted on validation images, an ensemble's of all members; else it is 1.
        uncertain_below: confidence under which a prediction is called uncertain: what 1 % of the validation images
            do not reach, if they were at hand at export.
        data: name, sha256 and licence of the training data, and the rule by which a part of it validated (of an
            ensemble, its first member).
        test: errors and images of the test set, if it was at hand at export.
        parity: how far the file is from Keras on validation images, if they were at hand at export.
        overflow_free: whether the int8 weights are so small that no kernel of onnxruntime can overflow; a model without
            int8 layers has nothing that could.
        largest_pair_sums: that, as measured: of each int8 layer, by the node's name, the largest sum of two weights of
            one sign that a kernel multiplies at once; 128 is the most that 16 bits hold.
        members: of an ensemble, in the order in which they were named; else empty.
        versions: of the libraries that made the file.
        command: the command that made it.
    """

    name: str
    version: str
    architecture: str
    precision: Precision
    labels: tuple[str, ...]
    parameters: int
    preprocessing: Preprocessing = "mnist"
    temperature: float = 1.0
    calibrated: bool = False
    uncertain_below: float = 0.5
    data: dict[str, Any] = field(default_factory=dict)
    test: dict[str, Any] | None = None
    parity: dict[str, Any] | None = None
    overflow_free: bool = False
    largest_pair_sums: dict[str, int] = field(default_factory=dict)
    members: tuple[Member, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    command: str = ""

    @property
    def may_overflow(self) -> bool:
        """Whether kernels that add two products in 16 bits may compute something else than the file says."""
        return self.precision == "int8" and not self.overflow_free

    def to_json(self) -> str:
        """As the model file keeps it."""
        return json.dumps({"schema_version": _SCHEMA_VERSION, **asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Metadata":
        """Read what `to_json` wrote, or an earlier version of it: what was added since keeps its default.

        Raises:
            ModelError: it is not the metadata of a model file, or of a later version of this package.
        """
        try:
            values = parse_json(text)
            if values["schema_version"] != _SCHEMA_VERSION:
                raise ModelError(f"metadata of schema {values['schema_version']!r}: a newer digits-edge made this file")
            metadata = as_record(cls, values)
            if "preprocessing" not in values:  # its default is for what is made here; a file has to say it
                raise ValueError("it names no preprocessing")
            if not all(name.isprintable() for name in (metadata.name, *metadata.labels)):
                raise ValueError(f"name {metadata.name!r} or labels {metadata.labels!r} with control characters")
            return metadata
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"metadata that is none of digits-edge ({error!r})") from error


def operators_path(model_file: Path) -> Path:
    """Where the list of a `.ort` file's operators stands: beside it."""
    return model_file.with_name(f"{model_file.stem}.required_operators.config")


def with_digest(model: bytes) -> bytes:
    """Append the sum of a serialized model to it."""
    return model + _DIGEST_PREFIX + hashlib.sha256(model).hexdigest().encode()


def recorded_digest(path: Path) -> str:
    """The sum that a model file carries, unchecked: enough to tell files apart.

    Raises:
        ModelError: the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - _HEX_DIGITS))
            return stream.read(_HEX_DIGITS).decode("ascii", "replace")  # of a device there is no end
    except OSError as error:
        raise ModelError(_unread(path, error)) from error


def without_digest(model_file: bytes) -> bytes:
    """The bytes of a whole model file without the sum at their end."""
    return model_file[: -len(_DIGEST_PREFIX) - _HEX_DIGITS]


def read_model_file(path: Path) -> bytes:
    """The bytes of a model file, once they are known to be whole.

    Raises:
        ModelError: the file is missing, is not a model file of digits-edge, or is damaged.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ModelError(f"{path} is a device or pipe, which may never end; copy it to a file first")
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(_unread(path, error)) from error
    model, prefix, digest = _split_digest(content)
    if prefix != _DIGEST_PREFIX:
        raise ModelError(
            f"{path} is not a digits-edge model file, or is cut short; "
            "`digits-edge export SOURCE -o FILE` makes one from Keras"
        )
    if digest != hashlib.sha256(model).hexdigest().encode():
        raise ModelError(f"{path} is damaged: its bytes do not match the sha256 it carries; copy or export it again")
    return content


def _unread(path: Path, error: OSError) -> str:
    return f"{path} could not be read: {error.strerror}; `digits-edge models` lists the bundled ones"


def _split_digest(content: bytes) -> tuple[bytes, bytes, bytes]:
    seal_start, digest_start = len(content) - len(_DIGEST_PREFIX) - _HEX_DIGITS, len(content) - _HEX_DIGITS
    if seal_start < 0:
        return content, b"", b""
    return content[:seal_start], content[seal_start:digest_start], content[digest_start:]
