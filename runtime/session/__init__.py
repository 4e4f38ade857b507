"""Sessions of onnxruntime: providers, threads, int8 kernels, and the choice of the fastest precision."""
