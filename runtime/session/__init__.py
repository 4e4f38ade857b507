"""onnxruntime sessions: execution providers, threads, int8 kernels, and selection of the fastest precision."""
