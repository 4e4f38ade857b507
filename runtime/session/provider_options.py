"""Options of execution providers, and what to install for one that is missing."""

import json

_GPU = "install it with `pip uninstall -y onnxruntime && pip install 'digits-edge[gpu]'`"
REMEDIES = {
    "cuda": _GPU,
    "tensorrt": _GPU,
    "openvino": "install it with `pip install 'digits-edge[openvino]'`",
    "webgpu": "install it with `pip install 'digits-edge[webgpu]'`",
    "directml": "install it with `pip uninstall -y onnxruntime && pip install onnxruntime-directml` on Windows",
    "coreml": "install it with `pip install 'digits-edge[cpu]'` on macOS",
    "nvtensorrtrtx": "install it with `pip install onnxruntime-ep-nv-tensorrt-rtx`",
    "mlx": "install it with `pip install onnxruntime-ep-mlx` on macOS",
    "qnn": "install it with `pip install onnxruntime-qnn`",
}


def provider_options(provider: str, device: str | None, threads: int) -> dict[str, str]:
    """The options with which a provider computes what the model file defines, in float32.

    Args:
        provider: full name.
        device: name of the device, such as "cpu" or "gpu.1"; for built-in providers its number; None for the default.
        threads: number of threads that share a batch.

    Example:
        >>> provider_options("CUDAExecutionProvider", "1", threads=4)["device_id"]
        '1'
    """
    options: dict[str, str] = {}
    if provider == "OpenVINOExecutionProvider":
        # by default it uses all processors, and bfloat16 or float16 if the hardware supports it
        kind = (device or "cpu").partition(".")[0].upper()
        settings: dict[str, str | int] = {} if kind == "NPU" else {"INFERENCE_PRECISION_HINT": "f32"}
        if kind == "CPU":
            settings["INFERENCE_NUM_THREADS"] = threads
        return {"load_config": json.dumps({kind: settings})} if settings else {}
    if provider == "CUDAExecutionProvider":
        # TF32 rounds products to 10 bits, so fp32 would differ from Keras; an exhaustive search takes seconds per shape
        options = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
    if device is not None and device.isdecimal():
        options["device_id"] = device
    return options
