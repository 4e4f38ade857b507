"""Conversion of a model file to `.tflite` files for LiteRT."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from digits_edge.export.reasons import reason
from digits_edge.measure.tensorflow_graph import TensorFlowGraph
from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.model.model_file import Precision


def write_litert(
    model: Path, precision: Precision, images: NDArray[np.uint8], batch_sizes: Sequence[int], folder: Path
) -> list[tuple[int, Path]]:
    """Write a `.tflite` file for every batch size; see `to_litert`.

    Args:
        model: the model file.
        precision: its precision.
        images: images of the model, uint8 (K, H, W[, 3]), for the range of an int8 model's last layer.
        batch_sizes: images per call.
        folder: folder of the new files.

    Returns:
        Pairs of batch size and file.

    Raises:
        ModelError: the model cannot be converted.
    """
    try:
        graph = TensorFlowGraph(model)
        graph.observe(images)
    except Exception as error:  # TensorFlow raises exceptions of many types
        raise _failed(error) from error
    files = [(batch_size, folder / f"{batch_size}.tflite") for batch_size in batch_sizes]
    for batch_size, path in files:
        path.write_bytes(to_litert(graph, precision, (batch_size, *images.shape[1:])))
    return files


def to_litert(graph: TensorFlowGraph, precision: Precision, shape: tuple[int, ...]) -> bytes:
    """Convert a graph for a fixed batch size.

    With a variable batch size, XNNPACK splits the graph, which is 8 % slower at batch size 32.

    Args:
        graph: the graph; for int8 it has observed images.
        precision: fp32; fp16 (weights only); or int8, with the integers of the model file.
        shape: (N, H, W[, 3]) of the input, uint8.

    Raises:
        ModelError: the model cannot be converted.
    """
    signature = tf.TensorSpec(shape, tf.float32 if graph.quantizes_pixels else tf.uint8)
    function = tf.function(graph, input_signature=[signature], autograph=False)
    try:
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], function)
        if precision != "fp32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "fp16":
            converter.target_spec.supported_types = [tf.float16]
        if graph.quantizes_pixels:
            converter.inference_input_type = tf.uint8
        return bytes(converter.convert())
    except Exception as error:  # the converter raises exceptions of many types
        raise _failed(error) from error


def _failed(error: Exception) -> ModelError:
    return ModelError(f"the conversion failed: {reason(error)}")
