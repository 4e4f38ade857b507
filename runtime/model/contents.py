"""Metadata and golden values of an opened model file, and the check of its graph's ends: `contents`."""

from pathlib import Path
from typing import Any

from digits_edge.runtime.errors import ModelError, SequenceModelError
from digits_edge.runtime.model.model_file import (
    COLUMNS_NAME,
    GOLDEN_KEY,
    INPUT_NAME,
    METADATA_KEY,
    OUTPUT_NAME,
    Metadata,
)


def contents(session: Any, path: Path, *, single_image: bool = False) -> tuple[Metadata, str]:
    """Read the metadata and packed golden values of a model file.

    Args:
        session: the `onnxruntime.InferenceSession` of the file.
        path: path of the file, for messages.
        single_image: whether the session was opened for one image per call.

    Raises:
        ModelError: the file lacks an entry, or its graph violates the contract.
    """
    try:
        properties: dict[str, str] = session.get_modelmeta().custom_metadata_map
        metadata, golden = Metadata.from_json(properties[METADATA_KEY]), properties[GOLDEN_KEY]
    except KeyError as error:
        raise ModelError(f"{path} has no metadata entry {error}; create the file with `digits-edge export`") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: the metadata is not UTF-8 text; export the model again") from error
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    tensors = (*session.get_inputs(), *session.get_outputs())
    found = [(tensor.name, tensor.type, _sizes(tensor.shape[1:])) for tensor in tensors]
    batch_sizes = [size for tensor in tensors for size in tensor.shape[:1]]
    is_variable = all(size == 1 if single_image else not isinstance(size, int) for size in batch_sizes)
    expected = _expected(metadata)
    if found != expected or not is_variable:
        raise ModelError(
            f"{path} has inputs and outputs {found}, expected {expected} for any N; "
            "create the file with `digits-edge export`"
        )
    return metadata, golden


def refuse_sequence(metadata: Metadata, path: Path) -> None:
    """Refuse a sequence model where a classifier is needed.

    Raises:
        SequenceModelError: the model reads lines.

    Example:
        >>> from digits_edge.runtime import Classifier
        >>> refuse_sequence(Classifier("edge-int8", provider="cpu").metadata, Path("edge-int8.onnx"))
    """
    if metadata.is_sequence:
        raise SequenceModelError(f"{path} reads numbers, not single digits; open it with Reader or `digits-edge read`")


def refuse_classifier(metadata: Metadata, path: Path) -> None:
    """Refuse a classifier where a sequence model is needed.

    Raises:
        ModelError: the model classifies single images.
    """
    if not metadata.is_sequence:
        raise ModelError(f"{path} classifies single images; open it with Classifier or `digits-edge predict`")


def _sizes(shape: list[Any]) -> list[int | None]:
    """Sizes of axes; None for those that are free."""
    return [size if isinstance(size, int) else None for size in shape]


def _expected(metadata: Metadata) -> list[tuple[str, str, list[int | None]]]:
    if metadata.is_sequence:
        line: list[int | None] = [metadata.input.height, None]
        return [
            (INPUT_NAME, "tensor(uint8)", line),
            (COLUMNS_NAME, "tensor(float)", [None, len(metadata.labels) + 1]),
        ]
    return [
        (INPUT_NAME, "tensor(uint8)", list(metadata.input.shape)),
        (OUTPUT_NAME, "tensor(float)", [len(metadata.labels)]),
    ]
