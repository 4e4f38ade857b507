"""Graph, metadata and golden answers → the bytes of a model file."""

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import ClearMetadataAndDocStringPass

from digits_edge.runtime.errors import CheckError, ModelError
from digits_edge.runtime.model.golden import MAX_PACKED_BYTES, GoldenValues
from digits_edge.runtime.model.model_file import GOLDEN_KEY, METADATA_KEY, Metadata, with_digest


def package(model: ir.Model, metadata: Metadata, golden: GoldenValues) -> bytes:
    """The model file: checked by onnx, described, sealed.

    Args:
        model: takes uint8 pixels and answers with probabilities.
        metadata: what the file says of itself.
        golden: reference images and Keras's answers.

    Raises:
        CheckError: the golden answers are larger than the contract allows.
        ModelError: the graph is not a valid ONNX model.
    """
    packed = golden.pack()
    if len(packed) > MAX_PACKED_BYTES:
        raise CheckError(f"golden answers take {len(packed)} bytes; at most {MAX_PACKED_BYTES} fit the model file")
    ClearMetadataAndDocStringPass()(model)
    for value in (output for node in model.graph for output in node.outputs if not output.is_graph_output()):
        # whoever opens the file infers these; what rewriting left of them may be stale
        value.shape = value.type = None
    model.metadata_props.clear()
    model.metadata_props.update({METADATA_KEY: metadata.to_json(), GOLDEN_KEY: packed})
    model.producer_name, model.producer_version = "digits-edge", metadata.versions.get("digits-edge", "")
    model.graph.name = metadata.architecture
    proto = ir.to_proto(model)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{metadata.name} has a layer that {metadata.precision} cannot hold: {reason}") from error
    return with_digest(proto.SerializeToString(deterministic=True))
