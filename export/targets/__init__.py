"""Export targets other than ONNX model files: the ORT format and a static web page."""
