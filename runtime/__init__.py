"""Reading handwritten digits with onnxruntime: the edge side of digits-edge."""
