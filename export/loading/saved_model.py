"""SavedModel folders as Keras models: `load_saved_model()`."""

from pathlib import Path
from typing import Any

import keras

from digits_edge.export.loading.endpoints import choose
from digits_edge.export.reasons import reason
from digits_edge.runtime.errors import ModelError

_GRAPH = "saved_model.pb"
#: Signatures in order of preference: that of `model.save()` and `model.export()`, and that of Keras 3's export.
_SIGNATURES = ("serving_default", "serve")
#: Operators that have other effects than numbers. Those that save and restore the weights are in every SavedModel.
_UNSAFE = frozenset({"EagerPyFunc", "PyFunc", "PyFuncStateless", "ReadFile", "WriteFile", "MatchingFiles"})


def is_saved_model(path: Path) -> bool:
    """Whether a path is the folder of a SavedModel.

    Example:
        >>> is_saved_model(Path("model.keras"))
        False
    """
    return (path / _GRAPH).is_file()


def load_saved_model(path: Path, output: str | None) -> keras.Model:
    """Load the serving signature of a SavedModel. Its graph is run by TensorFlow; no Python of it is.

    Args:
        path: the folder, written by `model.save("FOLDER")` in Keras 2, by `model.export("FOLDER")`, or by
            `tf.saved_model.save`.
        output: the name of the output to use, for a signature that has several.

    Returns:
        A model of one layer, a `keras.layers.TFSMLayer`.

    Raises:
        ModelError: the folder cannot be loaded, or its signature has several inputs or outputs.
        UsageError: there is no such output.

    Example:
        >>> load_saved_model(Path("exported"), None).input_shape  # doctest: +SKIP
        (None, 28, 28, 1)
    """
    import tensorflow as tf  # takes seconds
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        content = saved_model_pb2.SavedModel.FromString((path / _GRAPH).read_bytes())
        graph = content.meta_graphs[0]
    except (OSError, DecodeError, IndexError) as error:
        raise ModelError(f"{_GRAPH} is damaged; write the SavedModel again") from error
    _check_operators(graph)
    name = next((name for name in (*_SIGNATURES, *graph.signature_def) if _is_usable(graph, name)), None)
    if name is None:
        raise ModelError("the SavedModel has no serving signature; save the model with model.export('FOLDER')")
    signature = graph.signature_def[name]
    if len(signature.inputs) != 1:
        names = ", ".join(sorted(signature.inputs))
        raise ModelError(f"{len(signature.inputs)} inputs, {names}; export takes models with one image as input")
    chosen = choose(sorted(signature.outputs), output)
    (given,) = signature.inputs.values()
    shape = tf.TensorShape(given.tensor_shape)
    if shape.rank is None:
        raise ModelError("the SavedModel has no fixed input shape; save the model with model.export('FOLDER')")
    try:
        image = keras.Input(tuple(shape[1:]), dtype=tf.dtypes.as_dtype(given.dtype).name, name="image")
        outputs = keras.layers.TFSMLayer(path, call_endpoint=name)(image)
        return keras.Model(image, outputs[chosen] if isinstance(outputs, dict) else outputs, name=path.resolve().name)
    except Exception as error:  # TensorFlow raises exceptions of many types
        raise ModelError(f"it cannot be loaded by TensorFlow: {reason(error)}") from error


def _is_usable(graph: Any, name: str) -> bool:
    return name in graph.signature_def and not name.startswith("__")  # TensorFlow's own, for initialization


def _check_operators(graph: Any) -> None:
    """Refuse operators that read or write files, or call Python, and arithmetic that is not float32."""
    from tensorflow.core.framework import types_pb2

    nodes = [node for function in graph.graph_def.library.function for node in function.node_def]
    for node in (*graph.graph_def.node, *nodes):
        if node.op in _UNSAFE:
            raise ModelError(
                f"the SavedModel has the operator {node.op}, which does more than compute; it is not loaded"
            )
        if node.op in ("Conv2D", "MatMul") and node.attr["T"].type in (types_pb2.DT_HALF, types_pb2.DT_BFLOAT16):
            raise ModelError(
                "the SavedModel computes in 16 bits; save the model as .keras, which is exported in float32"
            )
