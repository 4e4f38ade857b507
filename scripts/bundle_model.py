"""Verify a model file and add it to the bundled models: `python -m scripts.bundle_model FILE.onnx`.

CONTRIBUTING.md describes the steps before and after.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import onnx

from digits_edge.export.graph.multiplications import int8_share
from digits_edge.runtime.any_model import open_any
from digits_edge.runtime.checks.verify import verify
from digits_edge.runtime.checks.verify_lines import verify_lines
from digits_edge.runtime.errors import CheckError, DigitsEdgeError, UsageError
from digits_edge.runtime.files import atomic_write
from digits_edge.runtime.model.bundled import INDEX, BundledModel, bundled_models
from digits_edge.runtime.model.model_file import Metadata, read_model_file
from digits_edge.runtime.reader.line_model import LineModel

#: Models folder of this working tree, even if another copy of the package is installed.
MODELS = Path(__file__).resolve().parents[1] / "runtime" / "models"
_SCHEMA_VERSION = 1


def add_model(path: Path, metadata: Metadata, *, default: bool = False, folder: Path = MODELS) -> BundledModel:
    """Copy a model file to the folder of bundled models and write its entry in the index.

    Args:
        path: model file, inside or outside the folder.
        metadata: its metadata, from a `Classifier`, which has checked the file.
        default: make it the default model; the first model always is.
        folder: folder of the bundled models.

    Returns:
        The entry in the index; an entry with the same name is replaced.

    Raises:
        ModelError: the file is not a complete model file.
        UsageError: the model's name does not end in its precision.
    """
    if not metadata.name.endswith(f"-{metadata.precision}"):
        raise UsageError(
            f"{path}: the name {metadata.name!r} must end in -{metadata.precision}; export it with another --name"
        )
    content = read_model_file(path)
    entries = {entry.name: entry for entry in bundled_models(folder)}
    if default:
        entries = {name: replace(entry, default=False) for name, entry in entries.items()}
    # a sequence model is never the default, which is a classifier
    others_have_default = metadata.is_sequence or any(
        entry.default for name, entry in entries.items() if name != metadata.name
    )
    added = BundledModel(
        name=metadata.name,
        file=f"{metadata.name}.onnx",
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        architecture=metadata.architecture,
        precision=metadata.precision,
        default=not others_have_default,
        figures={
            "parameters": metadata.parameters,
            "int8_share": _int8_share(path, metadata),
            "test": metadata.test,
            "parity": metadata.parity,
        },
        output=metadata.output,
    )
    with atomic_write(folder / added.file) as stream:
        stream.write(content)
    write_index([*(entries | {added.name: added}).values()], folder)
    return added


def _int8_share(path: Path, metadata: Metadata) -> float:
    """The recorded share of multiplications in int8; files of versions before 1.2 do not record it."""
    return metadata.int8_share if metadata.int8_share is not None else round(int8_share(onnx.load(path)), 4)


def write_index(models: list[BundledModel], folder: Path = MODELS) -> None:
    """Write the index, sorted by name.

    Raises:
        InputError: it could not be written.
    """
    entries = [asdict(model) for model in sorted(models, key=lambda model: model.name)]
    text = json.dumps({"schema_version": _SCHEMA_VERSION, "models": entries}, indent=2)
    with atomic_write(folder / INDEX) as stream:
        stream.write(f"{text}\n".encode())


def verified(path: Path) -> Metadata:
    """The metadata of a model file that passes its own check.

    Raises:
        CheckError: the check fails.
        ModelError: the file is not a model file.
    """
    opened = open_any(path, provider="cpu", threads=None)
    found = verify_lines(opened) if isinstance(opened, LineModel) else verify(opened)
    if not found.holds:
        raise CheckError(f"{path} failed verification: {'; '.join(found.problems)}")
    return opened.metadata


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        "python -m scripts.bundle_model", description="Verify a model file and add it to the bundled models."
    )
    parser.add_argument("file", type=Path, help="model file written by `digits-edge export`")
    parser.add_argument("--default", action="store_true", help="make it the default model")
    parser.add_argument(
        "--folder", type=Path, default=MODELS, help="folder of the bundled models  [default: %(default)s]"
    )
    options = parser.parse_args(arguments)
    try:
        metadata = verified(options.file.absolute())
        if options.default and metadata.is_sequence:
            raise UsageError(f"{options.file} reads lines; the default model is a classifier: omit --default")
        added = add_model(options.file, metadata, default=options.default, folder=options.folder)
    except DigitsEdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{options.folder / added.file}: {added.bytes:,} bytes{', default model' if added.default else ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
