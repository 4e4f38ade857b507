"""Conversion of a float graph to fp16, for GPUs."""

import onnx_ir as ir
from onnxruntime.transformers.float16 import convert_float_to_float16


def to_half(model: ir.Model) -> ir.Model:
    """Convert weights and arithmetic of a float model to float16; inputs and outputs keep their types.

    Args:
        model: input uint8, output float32 logits; not modified.

    Returns:
        A new model.
    """
    half = convert_float_to_float16(ir.to_proto(model), keep_io_types=True)
    converted: ir.Model = ir.from_proto(half)
    for value in converted.graph.initializers.values():
        if value.const_value is not None:
            value.dtype = value.const_value.dtype  # the converter records float16 for the float32 scale of a Resize
    # the converter appends its Cast nodes at the end
    converted.graph.sort()
    return converted
