"""Export to the ORT format (`.ort`), for reduced builds of ONNX Runtime that contain only the operators of a model.

The graph is optimized at export. The NCHWc layout of the CPU provider, an optimization for particular processors, is
disabled, so that the file runs on every processor. Metadata, reference outputs and digest are as in ONNX files.
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

#: Bytes 4 to 8 of every `.ort` file.
_IDENTIFIER = b"ORTM"
_PROCESSOR_SPECIFIC = ["NchwcTransformer"]


@dataclass(frozen=True)
class OrtExported:
    """Result of an export to the ORT format.

    Attributes:
        path: the `.ort` file.
        size_bytes: its size.
        metadata: its metadata.
        operators_path: list of the operators and types that the file needs, for the build script of ONNX Runtime:
            `--include_ops_by_config FILE --enable_reduced_operator_type_support`.
    """

    path: Path
    size_bytes: int
    metadata: Metadata
    operators_path: Path


def export_ort(model_file: Path, target: Path, *, overwrite: bool = False) -> OrtExported:
    """Convert a model file to the ORT format, verify it and write it.

    Args:
        model_file: `.onnx` model file of digits-edge.
        target: path of the `.ort` file. The operators are written beside it, with the suffix
            `.required_operators.config`.
        overwrite: replace existing files.

    Raises:
        CheckError: the outputs of the file differ from those of Keras; nothing is written.
        ModelError: the model file is damaged, or not a digits-edge model file.
        UsageError: a target exists, the model file is in the ORT format already, or it was exported before 0.2.0 and
            its int8 weights may overflow. The runtime avoids overflow when it optimizes the graph of an `.onnx` file.

    Example:
        >>> export_ort(Path("edge.onnx"), Path("edge.ort")).operators_path  # doctest: +SKIP
        PosixPath('edge.ort.required_operators.config')
    """
    operators_target = operators_path(target)
    for path in (target, operators_target):
        refuse_existing(path, overwrite=overwrite)
    model = without_digest(read_model_file(model_file))
    if model[4:8] == _IDENTIFIER:
        raise UsageError(f"{model_file} is in the ORT format already; use the .onnx model file")
    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder) / "model.ort"
        _optimize(model, converted)
        operators = _required_operators(converted, target.name)
        converted.write_bytes(with_digest(converted.read_bytes()))
        with Classifier(converted, provider="cpu") as classifier:
            if classifier.metadata.may_overflow:
                raise UsageError(
                    f"{model_file}: the int8 weights may overflow, and only .onnx files can select kernels that avoid "
                    "it; export the model from Keras again"
                )
            verification = verify(classifier)
        if not verification.holds:
            problems = "; ".join(verification.problems)
            raise CheckError(f"{target.name} not written: its outputs differ from Keras: {problems}")
        content = converted.read_bytes()
    with atomic_write(target) as stream:
        stream.write(content)
    with atomic_write(operators_target) as stream:
        stream.write(operators.encode())
    return OrtExported(target, len(content), classifier.metadata, operators_target)


def _optimize(model: bytes, target: Path) -> None:
    ort = load_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(target)
    options.add_session_config_entry("session.save_model_format", "ORT")
    ort.InferenceSession(model, options, providers=["CPUExecutionProvider"], disabled_optimizers=_PROCESSOR_SPECIFIC)


def _required_operators(model: Path, name: str) -> str:
    """List the operators of a model in the format of ONNX Runtime's build script.

    Each line has the domain, the opset and the operators with the types of their inputs, separated by semicolons.
    """
    config = model.with_suffix(".config")
    with _without_logging():
        create_config_from_models([model], config, enable_type_reduction=True)
    lines = [line for line in config.read_text().splitlines() if not line.startswith("#")]
    return "\n".join([f"# the operators of {name}", *lines, ""])


@contextlib.contextmanager
def _without_logging() -> Iterator[None]:
    """Disable log messages up to INFO; importing the ONNX Runtime tools configures the root logger to print them."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.INFO))
    try:
        yield
    finally:
        logging.disable(before)
