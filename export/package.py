"""Serialization of a graph, its metadata and its golden values as a model file."""

from pathlib import Path

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import ClearMetadataAndDocStringPass

from digits_edge.export.reasons import reason
from digits_edge.runtime.errors import CheckError, ModelError
from digits_edge.runtime.files import atomic_write
from digits_edge.runtime.model.golden import GoldenValues, max_packed_bytes
from digits_edge.runtime.model.model_file import GOLDEN_KEY, METADATA_KEY, Metadata, with_digest


def package(model: ir.Model, metadata: Metadata, golden: GoldenValues) -> bytes:
    """Build the content of a model file: validated by onnx, with metadata, golden values and checksum.

    Args:
        model: input uint8 pixels, output probabilities; modified in place.
        metadata: the file's metadata.
        golden: reference images and Keras's predictions.

    Raises:
        CheckError: the packed golden values exceed the size limit.
        ModelError: the graph is not a valid ONNX model.
    """
    packed = golden.pack()
    if len(packed) > (limit := max_packed_bytes(len(metadata.labels), golden.images[0].size)):
        raise CheckError(f"golden values: {len(packed)} bytes, at most {limit} are allowed in this model file")
    ClearMetadataAndDocStringPass()(model)
    for value in (output for node in model.graph for output in node.outputs if not output.is_graph_output()):
        # graph rewriting may leave stale shapes; onnx infers these when the file is loaded
        value.shape = value.type = None
    model.metadata_props.clear()
    model.metadata_props.update({METADATA_KEY: metadata.to_json(), GOLDEN_KEY: packed})
    model.producer_name, model.producer_version = "digits-edge", metadata.versions.get("digits-edge", "")
    model.graph.name = metadata.architecture
    proto = ir.to_proto(model)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(
            f"{metadata.name} has a layer that {metadata.precision} does not support: {reason(error)}"
        ) from error
    return with_digest(proto.SerializeToString(deterministic=True))


def write_package(path: Path, model: ir.Model, metadata: Metadata, golden: GoldenValues) -> int:
    """Write a model file, see `package`.

    Returns:
        Size of the file in bytes.
    """
    content = package(model, metadata, golden)
    with atomic_write(path) as stream:
        stream.write(content)
    return len(content)
