"""The models in the wheel: their index, finding one by name, adding one.

`python -m digits_edge.runtime.bundled FILE.onnx` adds one; CONTRIBUTING.md says when.
"""

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from digits_edge.runtime.errors import CheckError, DigitsEdgeError, ModelError, UsageError, did_you_mean
from digits_edge.runtime.files import written_whole
from digits_edge.runtime.json_record import as_record, read_json
from digits_edge.runtime.model_file import Metadata, Precision, read_model_file

MODELS = Path(__file__).with_name("models")
_INDEX = "index.json"
_SUFFIXES = (".onnx", ".ort")
_SCHEMA_VERSION = 1
_SMALLEST_FIRST: tuple[Precision, ...] = ("int8", "fp32", "fp16")
_FLOAT_FIRST_ON_CPU: tuple[Precision, ...] = ("fp32", "int8", "fp16")
#: On accelerators int8 is computed in float, with more steps.
_FLOAT_FIRST: tuple[Precision, ...] = ("fp32", "fp16", "int8")
#: Those for which a model is tried in all its precisions.
CPU_PROVIDERS = ("cpu", "openvino")
#: In place of a provider: the machine that will run the model is not this one, so the smallest file is taken.
ANOTHER_MACHINE = "another machine"


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


@dataclass(frozen=True)
class Way:
    """A way to run a model.

    Attributes:
        file: of the model, in one of its precisions.
        provider: short name of a provider.
    """

    file: Path
    provider: str


def bundled_models(folder: Path = MODELS) -> list[BundledModel]:
    """The models of the index, in the order of their names.

    Raises:
        ModelError: the index is missing or malformed.
    """
    path = folder / _INDEX
    try:
        entries = read_json(path)["models"]
        return [as_record(BundledModel, entry) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} cannot be read ({error}); install digits-edge again") from error


def find_model(model: str | os.PathLike[str] | None, provider: str, *, folder: Path = MODELS) -> Path:
    """The file of a model: the first of `find_precisions`, so that no time is spent on a trial.

    Args:
        model: as `find_precisions` takes it.
        provider: short name of the provider that is to run it, or `ANOTHER_MACHINE`.
        folder: of the bundled models.

    Raises:
        ModelError: no such model is bundled; lists the names.
    """
    return find_precisions(model, provider, folder=folder)[0]


def find_precisions(model: str | os.PathLike[str] | None, provider: str, *, folder: Path = MODELS) -> list[Path]:
    """The files of a model in all its precisions, the one first that is expected to be fastest.

    On CPUs that is int8 where the processor has instructions for it (`digits_edge.runtime.int8_kernels`) and else fp32,
    on accelerators fp32.

    Args:
        model: a bundled name, with its precision (`edge-int8`), which is one file, or without (`edge`); a path:
            whatever is a `PathLike`, has a separator, ends in `.onnx` or `.ort` or is a file here; None for the
            default model.
        provider: short name of the provider that is to run it, or `ANOTHER_MACHINE`.
        folder: of the bundled models.

    Raises:
        ModelError: no such model is bundled; lists the names.
    """
    if isinstance(model, os.PathLike) or (model is not None and _is_path(model)):
        return [Path(model).expanduser()]
    models = bundled_models(folder)
    files = {entry.name: folder / entry.file for entry in models}
    if model in files:
        return [files[model]]
    name = model if model is not None else next((entry.family for entry in models if entry.default), None)
    found = [f"{name}-{precision}" for precision in _SMALLEST_FIRST if f"{name}-{precision}" in files]
    if not found:
        raise ModelError(_unknown(model, list(files)))
    if len(found) > 1:  # or there is nothing to look at the processor for
        order = _order(provider)
        found.sort(key=lambda name: order.index(cast(Precision, name.rpartition("-")[2])))
    return [files[name] for name in found]


def ways_to_run(model: str | os.PathLike[str] | None, providers: Sequence[str], *, folder: Path = MODELS) -> list[Way]:
    """The ways to run a model that are worth a trial, the expected one first: the CPU provider's, where it is named.

    Args:
        model: as `find_precisions` takes it.
        providers: short names. On accelerators the first precision alone comes into question.
        folder: of the bundled models.

    Raises:
        ModelError: no such model is bundled; lists the names.
    """
    ways = []
    for provider in sorted(providers, key=lambda name: name != "cpu"):
        files = find_precisions(model, provider, folder=folder)
        ways += [Way(file, provider) for file in (files if provider in CPU_PROVIDERS else files[:1])]
    return ways


def _order(provider: str) -> tuple[Precision, ...]:
    if provider == ANOTHER_MACHINE:
        return _SMALLEST_FIRST
    if provider not in CPU_PROVIDERS:
        return _FLOAT_FIRST
    from digits_edge.runtime.int8_kernels import are_fast  # and onnxruntime, which an index does without

    return _SMALLEST_FIRST if are_fast() else _FLOAT_FIRST_ON_CPU


def add_model(path: Path, metadata: Metadata, *, default: bool = False, folder: Path = MODELS) -> BundledModel:
    """Put a model file into the folder of bundled models, or refresh it there, and write the index.

    Args:
        path: a model file, in that folder or anywhere else.
        metadata: what it says of itself; a `Classifier` of it has it, and has checked the file.
        default: make it the default; the first model of all is.
        folder: of the bundled models.

    Raises:
        ModelError: not a whole model file.
        UsageError: its name does not end in its precision.
    """
    if not metadata.name.endswith(f"-{metadata.precision}"):
        raise UsageError(f"{path} calls itself {metadata.name!r}; a bundled name ends in -{metadata.precision}")
    content = read_model_file(path)
    entries = {entry.name: entry for entry in bundled_models(folder)}
    if default:
        entries = {name: replace(entry, default=False) for name, entry in entries.items()}
    others_have_default = any(entry.default for name, entry in entries.items() if name != metadata.name)
    added = BundledModel(
        name=metadata.name,
        file=f"{metadata.name}.onnx",
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        architecture=metadata.architecture,
        precision=metadata.precision,
        default=not others_have_default,
        figures={"parameters": metadata.parameters, "test": metadata.test, "parity": metadata.parity},
    )
    with written_whole(folder / added.file) as stream:
        stream.write(content)
    write_index([*(entries | {added.name: added}).values()], folder)
    return added


def write_index(models: list[BundledModel], folder: Path = MODELS) -> None:
    """Write the index, by name.

    Raises:
        InputError: it could not be written.
    """
    entries = [asdict(model) for model in sorted(models, key=lambda model: model.name)]
    text = json.dumps({"schema_version": _SCHEMA_VERSION, "models": entries}, indent=2)
    with written_whole(folder / _INDEX) as stream:
        stream.write(f"{text}\n".encode())


def is_model_name(name: str, folder: Path = MODELS) -> bool:
    """Whether `find_model` would take it for a model: a file that ends like one, or a bundled name."""
    if name.endswith(_SUFFIXES):
        return True
    names = {entry.name for entry in bundled_models(folder)}
    return not Path(name).exists() and any(name in (whole, whole.rpartition("-")[0]) for whole in names)


def is_whole(model: BundledModel, folder: Path = MODELS) -> bool:
    """Whether a bundled file is the one the index was written for."""
    try:
        content = (folder / model.file).read_bytes()
    except OSError:
        return False
    return hashlib.sha256(content).hexdigest() == model.sha256


def _is_path(model: str) -> bool:
    return os.sep in model or "/" in model or model.endswith(_SUFFIXES) or Path(model).is_file()


def _unknown(model: str | None, names: list[str]) -> str:
    if not names:
        return "no model is bundled with this installation; name a file, or install digits-edge again"
    if model is None:
        return f"the index names no default; name one of {', '.join(names)}"
    meant = did_you_mean(model, names)
    return f"there is no model {model!r}.{meant} Bundled are {', '.join(names)}; for a file name its path"


def _add_command(arguments: Sequence[str] | None = None) -> int:
    """Verify model files and put them into the wheel's folder; for maintainers, hence no command of `digits-edge`."""
    import argparse

    from digits_edge.runtime.classifier import Classifier
    from digits_edge.runtime.verify import verify

    parser = argparse.ArgumentParser("python -m digits_edge.runtime.bundled", description="Bundle a model file.")
    parser.add_argument("file", type=Path, help="made by `digits-edge export`")
    parser.add_argument("--default", action="store_true", help="make it the model taken where none is named")
    # a strict editable installation is a tree of links; the index belongs where they point
    source_folder = Path(__file__).resolve().with_name("models")
    parser.add_argument("--folder", type=Path, default=source_folder, help="of the models  [default: %(default)s]")
    options = parser.parse_args(arguments)
    try:
        with Classifier(options.file.absolute(), provider="cpu") as classifier:
            found = verify(classifier)
        if not found.holds:
            raise CheckError(f"{options.file} does not hold: {'; '.join(found.problems)}")
        added = add_model(options.file, classifier.metadata, default=options.default, folder=options.folder)
    except DigitsEdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{options.folder / added.file}: {added.bytes:,} bytes{', the default' if added.default else ''}")
    return 0


if __name__ == "__main__":
    sys.exit(_add_command())
