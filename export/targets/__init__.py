"""What a model file can be made into besides ONNX."""
