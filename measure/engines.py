"""The engines: each opens the model of its `EngineSpec` and predicts probabilities, (N, C), for uint8 (N, H, W[, 3]).

Each engine is used in the fastest way that its documentation shows: shapes are fixed if that makes it faster, and
one-off work is done before the timing starts. Work of every call (scaling, softmax) is timed. Libraries are imported
when their engine is opened, so that a process contains the libraries of a single engine.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from digits_edge.measure.engine_spec import BASELINE_ENGINE, OWN_ENGINE, EngineSpec
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.model.model_file import INPUT_NAME, OUTPUT_NAME, read_model_file
from digits_edge.runtime.session.library import load_onnxruntime
from digits_edge.runtime.session.plugins import plugin_versions
from digits_edge.runtime.session.provider_names import parse_provider

if TYPE_CHECKING:
    from digits_edge.measure.keras_peer import KerasPeer

LITERT = "litert"
#: Other engines that need only the model file.
FILE_ENGINES = (BASELINE_ENGINE, "openvino")
#: Keras and TensorFlow; they compute in float for every precision of the model file.
KERAS_ENGINES = ("keras predict", "keras called", "tf.function")

#: Predicts probabilities, (N, C), for uint8 (N, H, W[, 3]).
Answer = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class Engine:
    """An engine with an open model.

    Attributes:
        version: names and versions of its libraries.
        program: function from a batch size to the function that predicts a batch of that size.
    """

    version: str
    program: Callable[[int], Answer]


def open_engine(spec: EngineSpec) -> Engine:
    """Open the engine of a specification.

    Raises:
        ModuleNotFoundError: its library is not installed.
        Exception: the library failed.

    Example:
        >>> from digits_edge.runtime.session.precision import find_model
        >>> engine = open_engine(EngineSpec("onnxruntime", str(find_model("cnn-small-int8", "cpu")), "", threads=1))
        >>> engine.program(2)(np.zeros((2, 28, 28), np.uint8)).shape
        (2, 10)
    """
    return ENGINES[spec.engine](spec)


def _digits_edge(spec: EngineSpec) -> Engine:
    options: dict[str, Any] = {"provider": spec.provider or "cpu", "threads": spec.threads}
    classifier = Classifier(spec.model, **options)

    def program(batch_size: int) -> Answer:
        specialized = Classifier(spec.model, **options, single_image=True) if batch_size == 1 else classifier
        return specialized.predict_batch

    plug_in = [
        f"{name} {version}" for name, version in plugin_versions(parse_provider(options["provider"]).provider).items()
    ]
    return Engine(" + ".join([_versions("digits-edge"), _onnxruntime_version(), *plug_in]), program)


def _onnxruntime(spec: EngineSpec) -> Engine:
    ort = load_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = spec.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(read_model_file(Path(spec.model)), options, providers=["CPUExecutionProvider"])

    def predict(images: NDArray[np.uint8]) -> Any:
        return session.run([OUTPUT_NAME], {INPUT_NAME: images})[0]

    return Engine(_onnxruntime_version(), lambda batch_size: predict)


def _openvino(spec: EngineSpec) -> Engine:
    # disables telemetry, which the import sends from a forked process that may hang; openvino then uses a stub
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    core = openvino.Core()
    content = read_model_file(Path(spec.model))
    options = {
        "INFERENCE_NUM_THREADS": spec.threads,
        "INFERENCE_PRECISION_HINT": "f32",  # the default is bfloat16 if the processor supports it
        "PERFORMANCE_HINT": "LATENCY",
    }

    def program(batch_size: int) -> Answer:
        model = core.read_model(content)
        model.reshape([batch_size, *(size.get_length() for size in list(model.inputs[0].partial_shape)[1:])])
        compiled = core.compile_model(model, "CPU", options)
        return lambda images: compiled(images)[0]  # an explicit InferRequest is slower for one image

    return Engine(_versions("openvino"), program)


def _litert(spec: EngineSpec) -> Engine:
    from ai_edge_litert.interpreter import Interpreter

    files = dict(spec.litert)

    def program(batch_size: int) -> Answer:
        interpreter = Interpreter(model_path=files[batch_size], num_threads=spec.threads)  # with XNNPACK
        interpreter.allocate_tensors()
        input_index, output_index = (
            details[0]["index"] for details in (interpreter.get_input_details(), interpreter.get_output_details())
        )

        def predict(images: NDArray[np.uint8]) -> Any:
            interpreter.set_tensor(input_index, images)
            interpreter.invoke()
            return interpreter.get_tensor(output_index)

        return predict

    return Engine(_versions("ai-edge-litert"), program)


def _keras_predict(spec: EngineSpec) -> Engine:
    peer = _keras_peer(spec)
    model, inputs, calibrated = peer.source.model, peer.source.inputs, peer.calibrated

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return calibrated(model.predict(inputs(images), batch_size=len(images), verbose=0))

    return Engine(_versions("keras", "tensorflow"), lambda batch_size: predict)


def _keras_called(spec: EngineSpec) -> Engine:
    peer = _keras_peer(spec)
    model, inputs, calibrated = peer.source.model, peer.source.inputs, peer.calibrated

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return calibrated(np.asarray(model(inputs(images), training=False)))

    return Engine(_versions("keras", "tensorflow"), lambda batch_size: predict)


def _tf_function(spec: EngineSpec) -> Engine:
    import tensorflow as tf

    peer = _keras_peer(spec)

    def program(batch_size: int) -> Answer:
        signature = [tf.TensorSpec([batch_size, *peer.source.image.shape], tf.uint8)]
        graph = tf.function(peer.from_pixels, input_signature=signature)
        return lambda images: graph(images).numpy()

    return Engine(_versions("tensorflow"), program)


def _keras_peer(spec: EngineSpec) -> "KerasPeer":
    from digits_edge.measure.keras_peer import KerasPeer

    if spec.keras is None:
        raise ModelError(f"{spec.engine} needs a Keras model; pass it with --keras")
    return KerasPeer.open(spec.keras)


def _versions(*libraries: str) -> str:
    return " + ".join(f"{library} {version(library)}" for library in libraries)


def _onnxruntime_version() -> str:
    return f"onnxruntime {load_onnxruntime().__version__}"  # the installed distribution may have another name


#: Engine name → function that opens it.
ENGINES: dict[str, Callable[[EngineSpec], Engine]] = {
    OWN_ENGINE: _digits_edge,
    BASELINE_ENGINE: _onnxruntime,
    "openvino": _openvino,
    LITERT: _litert,
    "keras predict": _keras_predict,
    "keras called": _keras_called,
    "tf.function": _tf_function,
}
