"""The model file format: one `.onnx` or `.ort` file with metadata and a checksum.

`digits_edge.export` writes this format, and the runtime requires it:

- input `image`, uint8 (N, H, W) or (N, H, W, 3), as `Metadata.input` says; output `probabilities`, float32 (N, C); N
  is variable. Sequence models take lines of any width W, and their output is `columns`, float32 (N, T, C + 1);
- metadata entry `digits_edge`: a description of the model as JSON (`Metadata`);
- metadata entry `digits_edge.golden`: reference images and their expected probabilities (`golden.py`);
- at the end of the file, the metadata entry `digits_edge.sha256`: the SHA-256 checksum of all bytes before it.

Protobuf allows entries to be appended, so the file is still an ordinary ONNX model. In a `.ort` file, onnxruntime
ignores bytes after the end. The checksum is checked before onnxruntime loads the file, because onnxruntime loads four
out of ten damaged files without an error.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from digits_edge.runtime.errors import ModelError, UsageError
from digits_edge.runtime.json_record import as_record, parse_json
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.pixel_range import PixelRange
from digits_edge.runtime.model.steps import STEPS, DigitStep, ObjectStep, PreprocessingStep

Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
#: "softmax": the probabilities of an image sum to 1. "sigmoid": each class has a probability of its own. "columns": the
#: probabilities of each column of a line sum to 1; the last class is the blank of CTC.
OutputKind = Literal["softmax", "sigmoid", "columns"]

INPUT_NAME, OUTPUT_NAME, COLUMNS_NAME = "image", "probabilities", "columns"
#: Names of the variable axes in the graph: batch size, width of lines, and number of columns.
BATCH_AXIS, WIDTH_AXIS, COLUMN_AXIS = "N", "W", "T"
METADATA_KEY, GOLDEN_KEY = "digits_edge", "digits_edge.golden"
_DIGEST_KEY = b"digits_edge.sha256"
_HEX_DIGITS = 64
_LFS_POINTER = b"version https://git-lfs"
# ModelProto.metadata_props is field 14; key and value of StringStringEntryProto are fields 1 and 2; all are
# length-delimited
_DIGEST_PREFIX = (
    bytes([14 << 3 | 2, 2 + len(_DIGEST_KEY) + 2 + _HEX_DIGITS])
    + bytes([1 << 3 | 2, len(_DIGEST_KEY)])
    + _DIGEST_KEY
    + bytes([2 << 3 | 2, _HEX_DIGITS])
)
_SCHEMA_VERSION = 2
#: Steps of the formats that a file of schema 1 can name; its input is always 28×28 grey levels.
_FORMATS_OF_SCHEMA_1: dict[str, PreprocessingStep] = {"mnist": DigitStep(), "fashion-mnist": ObjectStep()}


@dataclass(frozen=True)
class Member:
    """A member of an ensemble, whose predicted probabilities are averaged.

    Attributes:
        name: name of its source.
        architecture: name of the Keras model.
        precision: of weights and arithmetic.
        parameters: number of weights of the Keras model.
        temperature: divisor of the logits before the softmax.
        calibrated: whether the temperature was fitted on the validation images of this member.
        validation: rule that selected the validation part of the training data.
        pixel_range: input of the Keras model; None in files of earlier versions.
    """

    name: str
    architecture: str
    precision: Precision
    parameters: int
    temperature: float
    calibrated: bool
    validation: str
    pixel_range: PixelRange | None = None


@dataclass(frozen=True)
class Metadata:
    """Description of a model, stored in the model file.

    Attributes:
        name: unique name, with the precision: `cnn-small-int8`.
        version: of the model, not of the package.
        architecture: name of the Keras model, or "ensemble".
        precision: of weights and arithmetic: "fp32", "fp16" or "int8".
        labels: names of the classes, in the order of the output columns.
        parameters: number of weights of the Keras model; of all members for an ensemble.
        temperature: divisor of the logits before the softmax; 1 for an ensemble, whose members have their own.
        calibrated: whether the temperature was fitted on validation images (for an ensemble: of all members); if not,
            it is 1.
        uncertain_below: confidence below which a prediction has the status "uncertain": the 1st percentile of the
            confidence on the validation images, if they were available at export; higher if 0.3 % of the predictions on
            the images for the calibration would be wrong otherwise.
        data: name, SHA-256 and licence of the training data, and the rule that selected its validation part (for an
            ensemble: of the first member).
        test: errors and number of images of the test set; None if it was not available at export.
        parity: comparison with Keras on the validation images; None if they were not available at export.
        pixel_range: input of the Keras model for the pixels of an image; None for an ensemble, whose members have their
            own, and in files of earlier versions.
        input: size, channels and polarity of the images.
        preprocessing: the steps that convert a picture to such an image, in order.
        output: kind of the probabilities.
        column_px: width in pixels of the columns of a sequence model; None for others.
        keras_accuracy: errors of the Keras model on labelled images, converted as in this file, and the number and name
            of these images; None if export had no labelled images, or in files of earlier versions.
        int8_share: share of the multiplications that are computed in int8, 0 to 1; None in files of earlier versions.
        overflow_free: whether the int8 weights are small enough that no kernel of onnxruntime can overflow. Models
            without int8 layers cannot overflow.
        largest_pair_sums: node name of each int8 layer → largest sum of two weights of one sign that a kernel
            multiplies in one step. 16 bits hold sums up to 128.
        members: of an ensemble, in the order of the export command; else empty.
        versions: of the libraries that wrote the file.
        command: command line that wrote the file.

    Example:
        >>> from digits_edge.runtime import Classifier
        >>> metadata = Classifier("edge-int8", provider="cpu").metadata
        >>> metadata.name, metadata.precision, metadata.input.shape
        ('edge-int8', 'int8', (28, 28))
        >>> metadata.preprocessing
        (DigitStep(ink=20, size=28, step='digit'),)
        >>> "".join(metadata.labels)
        '0123456789'
    """

    name: str
    version: str
    architecture: str
    precision: Precision
    labels: tuple[str, ...]
    parameters: int
    input: ImageInput = field(default_factory=ImageInput)
    preprocessing: tuple[PreprocessingStep, ...] = (DigitStep(),)
    output: OutputKind = "softmax"
    column_px: int | None = None
    temperature: float = 1.0
    calibrated: bool = False
    uncertain_below: float = 0.5
    data: dict[str, Any] = field(default_factory=dict)
    test: dict[str, Any] | None = None
    parity: dict[str, Any] | None = None
    pixel_range: PixelRange | None = None
    keras_accuracy: dict[str, Any] | None = None
    int8_share: float | None = None
    overflow_free: bool = False
    largest_pair_sums: dict[str, int] = field(default_factory=dict)
    members: tuple[Member, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    command: str = ""

    @property
    def is_sequence(self) -> bool:
        """Whether it is a sequence model: its output has a column for each few pixels of a line."""
        return self.output == "columns"

    @property
    def may_overflow(self) -> bool:
        """Whether kernels that add two products in 16 bits can overflow with these weights."""
        return self.precision == "int8" and not self.overflow_free

    @property
    def accuracy_checked(self) -> bool:
        """Whether the accuracy was measured on labelled images at export."""
        counted = (self.parity or {}).get("reference_errors")
        return self.keras_accuracy is not None or counted is not None or self.test is not None

    def to_json(self) -> str:
        """Serialize as JSON for the model file."""
        return json.dumps({"schema_version": _SCHEMA_VERSION, **asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Metadata":
        """Parse the output of `to_json`; fields that an earlier version did not write have their defaults.

        Raises:
            ModelError: the text is not the metadata of a model file, or was written by a later version of the package.
        """
        try:
            values = parse_json(text)
            metadata = as_record(cls, _as_schema_2(values))
            marks = {metadata.is_sequence, metadata.input.width is None, bool(metadata.column_px)}
            if len(marks) > 1:
                raise ValueError("free width, output 'columns' and column_px belong together")
            if not all(name.isprintable() for name in (metadata.name, *metadata.labels)):
                raise ValueError(f"control characters in name {metadata.name!r} or labels {metadata.labels!r}")
            return metadata
        except (ValueError, KeyError, TypeError, UsageError) as error:
            raise ModelError(f"not digits-edge metadata ({error!r}); export the model again") from error


def _as_schema_2(values: dict[str, Any]) -> dict[str, Any]:
    """The metadata of a file in the form of schema 2.

    Raises:
        ModelError: they are of a later schema, or have a step that this version does not know.
        ValueError: an entry is missing, or is not a list of steps.
    """
    if values["schema_version"] not in (1, _SCHEMA_VERSION):
        raise ModelError(f"metadata schema {values['schema_version']!r} is from a newer version; upgrade digits-edge")
    if values["schema_version"] == 1:
        step = _FORMATS_OF_SCHEMA_1[values["preprocessing"]]
        return {**values, "input": asdict(ImageInput()), "preprocessing": [asdict(step)]}
    # required in a file; the defaults are for new metadata
    if missing := {"input", "preprocessing", "output"} - values.keys():
        raise ValueError(f"{', '.join(sorted(missing))} missing")
    names = [step["step"] for step in values["preprocessing"]]
    if unknown := [name for name in names if name not in STEPS]:
        raise ModelError(f"preprocessing step {unknown[0]!r} is from a newer version; upgrade digits-edge")
    return values


def operators_path(model_file: Path) -> Path:
    """Path of the operator list of a `.ort` file, in the same folder."""
    return model_file.with_name(f"{model_file.stem}.required_operators.config")


def with_digest(model: bytes) -> bytes:
    """Append the SHA-256 checksum to a serialized model."""
    return model + _DIGEST_PREFIX + hashlib.sha256(model).hexdigest().encode()


def recorded_digest(path: Path) -> str:
    """The checksum stored in a model file, as 64 characters; it is not checked.

    Raises:
        ModelError: the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - _HEX_DIGITS))
            return stream.read(_HEX_DIGITS).decode("ascii", "replace")  # bounded: devices never end
    except OSError as error:
        raise ModelError(_unreadable(path, error)) from error


def without_digest(model_file: bytes) -> bytes:
    """Remove the checksum from the bytes of a complete model file."""
    return model_file[: -len(_DIGEST_PREFIX) - _HEX_DIGITS]


def read_model_file(path: Path) -> bytes:
    """Read a model file and check its checksum.

    Raises:
        ModelError: the file is missing, is not a digits-edge model file, or is damaged.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ModelError(f"{path} is a device or pipe; copy it to a file first")
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(_unreadable(path, error)) from error
    model, prefix, digest = _split_digest(content)
    if content.startswith(_LFS_POINTER):
        raise ModelError(f"{path} is a pointer of Git LFS, not the model; get the model with `git lfs pull`")
    if prefix != _DIGEST_PREFIX:
        raise ModelError(
            f"{path} is not a digits-edge model file, or is incomplete; "
            "create one from a Keras model with `digits-edge export SOURCE -o FILE`"
        )
    if digest != hashlib.sha256(model).hexdigest().encode():
        raise ModelError(f"{path} is damaged: its SHA-256 does not match the stored one; copy or export it again")
    return content


def _unreadable(path: Path, error: OSError) -> str:
    return f"{path} could not be read: {error.strerror}; list the bundled models with `digits-edge models`"


def _split_digest(content: bytes) -> tuple[bytes, bytes, bytes]:
    entry_start, digest_start = len(content) - len(_DIGEST_PREFIX) - _HEX_DIGITS, len(content) - _HEX_DIGITS
    if entry_start < 0:
        return content, b"", b""
    return content[:entry_start], content[entry_start:digest_start], content[digest_start:]
