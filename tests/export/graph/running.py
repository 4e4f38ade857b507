"""Running of graphs: `run_graph`."""

import numpy as np
import onnx_ir as ir
import onnxruntime


def run_graph(model: ir.Model, images: np.ndarray) -> np.ndarray:
    """The output of a graph for images, on the CPU provider."""
    session = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": images})[0]
