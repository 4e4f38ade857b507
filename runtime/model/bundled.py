"""The models bundled with the package and their index."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.json_record import as_record, read_json
from digits_edge.runtime.model.model_file import OutputKind, Precision

MODELS = Path(__file__).parents[1] / "models"
INDEX = "index.json"
SUFFIXES = (".onnx", ".ort")


@dataclass(frozen=True)
class BundledModel:
    """A model bundled with the package: one entry of the index.

    Attributes:
        name: unique name, with the precision: `cnn-small-int8`. Pass it to `Classifier`.
        file: file name in the folder of bundled models.
        sha256: SHA-256 of the complete file, in hexadecimal.
        bytes: file size in bytes.
        architecture: name of the Keras model.
        precision: of weights and arithmetic: "fp32", "fp16" or "int8".
        default: whether `Classifier()` uses this model.
        figures: `parameters` (number of weights), `int8_share` (share of multiplications in int8), `test` (errors on
            the test set) and `parity` (comparison with Keras), as measured at export.
        output: kind of its output: "columns" for a model that reads lines, else it classifies single images.

    Example:
        >>> model = next(model for model in bundled_models() if model.name == "edge-int8")
        >>> model.family, model.precision, model.default
        ('edge', 'int8', True)
        >>> model.figures["test"]["name"], model.figures["test"]["images"]
        ('mnist', 10000)
    """

    name: str
    file: str
    sha256: str
    bytes: int
    architecture: str
    precision: Precision
    default: bool
    figures: dict[str, Any]
    output: OutputKind = "softmax"

    @property
    def is_classifier(self) -> bool:
        """Whether it classifies single images; if not, it reads lines."""
        return self.output != "columns"

    @property
    def family(self) -> str:
        """The name without the precision: `cnn-small`."""
        return self.name.removesuffix(f"-{self.precision}")


def bundled_models(folder: Path = MODELS) -> list[BundledModel]:
    """List the bundled models, sorted by name.

    Args:
        folder: folder with `index.json` and the model files; the one of this installation by default.

    Raises:
        ModelError: the index is missing or malformed.

    Example:
        >>> names = [model.name for model in bundled_models()]
        >>> "edge-int8" in names, "cnn-small-fp32" in names
        (True, True)
        >>> smallest = min(bundled_models(), key=lambda model: model.bytes)
        >>> smallest.precision
        'int8'
    """
    path = folder / INDEX
    try:
        entries = read_json(path)["models"]
        return [as_record(BundledModel, entry) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} cannot be read ({error}); reinstall digits-edge") from error


def bundled_classifiers(folder: Path = MODELS) -> list[BundledModel]:
    """List the bundled models that classify single images, as `bundled_models` does.

    Example:
        >>> all(model.is_classifier for model in bundled_classifiers())
        True
    """
    return [model for model in bundled_models(folder) if model.is_classifier]


def is_model_name(name: str, folder: Path = MODELS) -> bool:
    """Whether `find_model` treats a name as a model: a file with a model's suffix, or a bundled model.

    Example:
        >>> is_model_name("edge"), is_model_name("my.onnx"), is_model_name("picture.png")
        (True, True, False)
    """
    if name.endswith(SUFFIXES):
        return True
    bundled = {entry.name for entry in bundled_models(folder)}
    return not Path(name).exists() and any(name in (each, each.rpartition("-")[0]) for each in bundled)


def is_intact(model: BundledModel, folder: Path = MODELS) -> bool:
    """Whether the file of a bundled model exists and matches the SHA-256 in the index."""
    try:
        content = (folder / model.file).read_bytes()
    except OSError:
        return False
    return hashlib.sha256(content).hexdigest() == model.sha256
