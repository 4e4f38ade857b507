"""ONNX Runtime's own format (`.ort`), for builds of it that hold a model's operators and nothing else.

The graph is optimized when the file is made, for every processor: what the CPU provider does for one kind of processor
alone (its NCHWc layout) is left out. Metadata, golden answers and seal are those of every model file.
"""

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from onnxruntime.tools.ort_format_model import create_config_from_models

from digits_edge.runtime.checks.verify import verify
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.errors import CheckError, UsageError
from digits_edge.runtime.files import atomic_write, refuse_existing
from digits_edge.runtime.model.model_file import Metadata, operators_path, read_model_file, with_digest, without_digest
from digits_edge.runtime.session.library import load_onnxruntime

#: Of every `.ort` file, from its fifth byte.
_IDENTIFIER = b"ORTM"
_OF_ONE_PROCESSOR = ["NchwcTransformer"]


@dataclass(frozen=True)
class OrtExported:
    """A file in onnxruntime's format that answers as its model file does.

    Attributes:
        path: the `.ort` file.
        size_bytes: of it.
        metadata: what it says of itself.
        operators_path: the operators and types that a build of onnxruntime needs to run it: its build script takes them
            by `--include_ops_by_config`, with `--enable_reduced_operator_type_support`.
    """

    path: Path
    size_bytes: int
    metadata: Metadata
    operators_path: Path


def export_ort(model_file: Path, target: Path, *, overwrite: bool = False) -> OrtExported:
    """Make a `.ort` file of a model file, verify its golden answers, and write it if they hold.

    Args:
        model_file: an `.onnx` of digits-edge.
        target: where the file goes; beside it goes `<its name>.required_operators.config`.
        overwrite: replace files that exist.

    Raises:
        CheckError: the file would not answer like Keras; nothing is written.
        ModelError: the model file is damaged, or none of digits-edge.
        UsageError: a target that exists, a file that is in this format already, or one of before 0.2.0 whose int8
            weights may overflow: what protects it elsewhere is decided when its graph is optimized.
    """
    listed = operators_path(target)
    for path in (target, listed):
        refuse_existing(path, overwrite=overwrite)
    model = without_digest(read_model_file(model_file))
    if model[4:8] == _IDENTIFIER:
        raise UsageError(f"{model_file} is in onnxruntime's format already")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "model.ort"
        _optimize(model, made)
        operators = _required_operators(made, target.name)
        made.write_bytes(with_digest(made.read_bytes()))
        with Classifier(made, provider="cpu") as classifier:
            if classifier.metadata.may_overflow:
                raise UsageError(
                    f"{model_file} has int8 weights that may overflow, and kernels that cannot are chosen for .onnx "
                    "files alone; export the model from Keras again"
                )
            checked = verify(classifier)
        if not checked.holds:
            problems = "; ".join(checked.problems)
            raise CheckError(f"{target.name} does not answer like Keras, nothing is written: {problems}")
        content = made.read_bytes()
    with atomic_write(target) as stream:
        stream.write(content)
    with atomic_write(listed) as stream:
        stream.write(operators.encode())
    return OrtExported(target, len(content), classifier.metadata, listed)


def _optimize(model: bytes, target: Path) -> None:
    ort = load_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(target)
    options.add_session_config_entry("session.save_model_format", "ORT")
    ort.InferenceSession(model, options, providers=["CPUExecutionProvider"], disabled_optimizers=_OF_ONE_PROCESSOR)


def _required_operators(model: Path, name: str) -> str:
    """Lines of domain;opset;operators with the types of their inputs, as onnxruntime's build script reads them."""
    listed = model.with_suffix(".config")
    with _quiet():
        create_config_from_models([model], listed, enable_type_reduction=True)
    lines = [line for line in listed.read_text().splitlines() if not line.startswith("#")]
    return "\n".join([f"# the operators of {name}", *lines, ""])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the tools log, by a handler of the root logger that importing them sets up."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.INFO))
    try:
        yield
    finally:
        logging.disable(before)
