"""Float graph → fp16, for GPUs."""

import onnx_ir as ir
from onnxruntime.transformers.float16 import convert_float_to_float16


def to_half(model: ir.Model) -> ir.Model:
    """A float model with weights and arithmetic in float16; what goes in and comes out keeps its type.

    Args:
        model: input uint8, output float32 logits; left as it is.
    """
    half = convert_float_to_float16(ir.to_proto(model), keep_io_types=True)
    converted: ir.Model = ir.from_proto(half)
    # the converter appends its Casts at the end
    converted.graph.sort()
    return converted
