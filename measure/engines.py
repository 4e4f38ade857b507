"""The engines: each opens what its `EngineSpec` names and answers pixels, uint8 (N, 28, 28), with probabilities, (N, C).

Each is asked in the way that is quickest for it among those its documentation shows: shapes are fixed where an engine
gains by it, and what a program does once is done before anything is timed. What it must do at every call (scaling,
softmax) is timed. Libraries are imported when their engine is opened: a process has those of one engine.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from digits_edge.measure.engine_spec import FLOOR, OURS, EngineSpec
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.model.model_file import INPUT_NAME, OUTPUT_NAME, read_model_file
from digits_edge.runtime.session.library import load_onnxruntime

if TYPE_CHECKING:
    from digits_edge.measure.keras_peer import KerasPeer

LITERT = "litert"
#: Those that need the model file alone, besides ours.
OF_THE_FILE = (FLOOR, "openvino")
#: Keras and TensorFlow themselves; they compute in float, whatever the precision of the model file.
OF_KERAS = ("keras predict", "keras called", "tf.function")

Answer = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class Engine:
    """An engine that has opened its model.

    Attributes:
        version: of the libraries that compute.
        program: batch size → what answers a batch of that size.
    """

    version: str
    program: Callable[[int], Answer]


def open_engine(spec: EngineSpec) -> Engine:
    """Open the engine that is ordered.

    Raises:
        ModuleNotFoundError: its library is not installed.
        Exception: whatever the library raises.
    """
    return ENGINES[spec.engine](spec)


def _ours(spec: EngineSpec) -> Engine:
    how: dict[str, Any] = {"provider": spec.provider or "cpu", "threads": spec.threads}
    classifier = Classifier(spec.model, **how)

    def program(batch_size: int) -> Answer:
        fitting = Classifier(spec.model, **how, single_image=True) if batch_size == 1 else classifier
        return fitting.predict_batch

    plug_in = ["onnxruntime-ep-openvino"] if spec.provider == "openvino" else []
    return Engine(" + ".join([_versions("digits-edge"), _onnxruntime_version(), *map(_versions, plug_in)]), program)


def _onnxruntime(spec: EngineSpec) -> Engine:
    ort = load_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = spec.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(read_model_file(Path(spec.model)), options, providers=["CPUExecutionProvider"])

    def answer(images: NDArray[np.uint8]) -> Any:
        return session.run([OUTPUT_NAME], {INPUT_NAME: images})[0]

    return Engine(_onnxruntime_version(), lambda batch_size: answer)


def _openvino(spec: EngineSpec) -> Engine:
    # importing it reports to its maker, from a forked process that may hang; without this module it has a stub
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    core = openvino.Core()
    content = read_model_file(Path(spec.model))
    options = {
        "INFERENCE_NUM_THREADS": spec.threads,
        "INFERENCE_PRECISION_HINT": "f32",  # left to itself it computes in bfloat16 where the processor can
        "PERFORMANCE_HINT": "LATENCY",
    }

    def program(batch_size: int) -> Answer:
        model = core.read_model(content)
        model.reshape([batch_size, 28, 28])
        compiled = core.compile_model(model, "CPU", options)
        return lambda images: compiled(images)[0]  # an InferRequest of one's own is slower for one image

    return Engine(_versions("openvino"), program)


def _litert(spec: EngineSpec) -> Engine:
    from ai_edge_litert.interpreter import Interpreter

    files = dict(spec.litert)

    def program(batch_size: int) -> Answer:
        interpreter = Interpreter(model_path=files[batch_size], num_threads=spec.threads)  # with XNNPACK
        interpreter.allocate_tensors()
        taken, given = (
            details[0]["index"] for details in (interpreter.get_input_details(), interpreter.get_output_details())
        )

        def answer(images: NDArray[np.uint8]) -> Any:
            interpreter.set_tensor(taken, images)
            interpreter.invoke()
            return interpreter.get_tensor(given)

        return answer

    return Engine(_versions("ai-edge-litert"), program)


def _keras_predict(spec: EngineSpec) -> Engine:
    peer = _keras_peer(spec)
    model, inputs, calibrated = peer.source.model, peer.source.inputs, peer.calibrated

    def answer(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return calibrated(model.predict(inputs(images), batch_size=len(images), verbose=0))

    return Engine(_versions("keras", "tensorflow"), lambda batch_size: answer)


def _keras_called(spec: EngineSpec) -> Engine:
    peer = _keras_peer(spec)
    model, inputs, calibrated = peer.source.model, peer.source.inputs, peer.calibrated

    def answer(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return calibrated(np.asarray(model(inputs(images), training=False)))

    return Engine(_versions("keras", "tensorflow"), lambda batch_size: answer)


def _tf_function(spec: EngineSpec) -> Engine:
    import tensorflow as tf

    peer = _keras_peer(spec)

    def program(batch_size: int) -> Answer:
        signature = [tf.TensorSpec([batch_size, 28, 28], tf.uint8)]
        graph = tf.function(peer.from_pixels, input_signature=signature)
        return lambda images: graph(images).numpy()

    return Engine(_versions("tensorflow"), program)


def _keras_peer(spec: EngineSpec) -> "KerasPeer":
    from digits_edge.measure.keras_peer import KerasPeer

    if spec.keras is None:
        raise ModelError(f"{spec.engine} needs a Keras model; name it with --keras")
    return KerasPeer.open(spec.keras, np.load(spec.images))


def _versions(*libraries: str) -> str:
    return " + ".join(f"{library} {version(library)}" for library in libraries)


def _onnxruntime_version() -> str:
    return f"onnxruntime {load_onnxruntime().__version__}"  # which of its wheels is installed differs


#: Name → what opens it.
ENGINES: dict[str, Callable[[EngineSpec], Engine]] = {
    OURS: _ours,
    FLOOR: _onnxruntime,
    "openvino": _openvino,
    LITERT: _litert,
    "keras predict": _keras_predict,
    "keras called": _keras_called,
    "tf.function": _tf_function,
}
