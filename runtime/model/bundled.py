"""The models bundled with the package: `bundled_models` reads their index."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.json_record import as_record, read_json
from digits_edge.runtime.model.model_file import Precision

MODELS = Path(__file__).parents[1] / "models"
INDEX = "index.json"
SUFFIXES = (".onnx", ".ort")


@dataclass(frozen=True)
class BundledModel:
    """An entry of the index.

    Attributes:
        name: unique, with its precision: `cnn-small-int8`.
        file: its name in the folder of models.
        sha256: of the whole file, in hex.
        bytes: the file's size.
        architecture: the Keras model's name.
        precision: of weights and arithmetic.
        default: whether it is the one taken where none is named.
        figures: `parameters`, and what the export measured: `test`, `parity`.
    """

    name: str
    file: str
    sha256: str
    bytes: int
    architecture: str
    precision: Precision
    default: bool
    figures: dict[str, Any]

    @property
    def family(self) -> str:
        """The name without its precision."""
        return self.name.removesuffix(f"-{self.precision}")


def bundled_models(folder: Path = MODELS) -> list[BundledModel]:
    """The models of the index, in the order of their names.

    Raises:
        ModelError: the index is missing or malformed.
    """
    path = folder / INDEX
    try:
        entries = read_json(path)["models"]
        return [as_record(BundledModel, entry) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} cannot be read ({error}); install digits-edge again") from error


def is_model_name(name: str, folder: Path = MODELS) -> bool:
    """Whether `find_model` would take it for a model: a file that ends like one, or a bundled name."""
    if name.endswith(SUFFIXES):
        return True
    names = {entry.name for entry in bundled_models(folder)}
    return not Path(name).exists() and any(name in (whole, whole.rpartition("-")[0]) for whole in names)


def is_intact(model: BundledModel, folder: Path = MODELS) -> bool:
    """Whether a bundled file is the one the index was written for."""
    try:
        content = (folder / model.file).read_bytes()
    except OSError:
        return False
    return hashlib.sha256(content).hexdigest() == model.sha256
