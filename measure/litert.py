"""Conversion of a Keras model to `.tflite` files for LiteRT, in the precision of a model file."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from digits_edge.export.reasons import reason
from digits_edge.measure.keras_peer import KerasPeer
from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.model.model_file import Precision
from digits_edge.runtime.session.quiet import silenced_stderr


def write_litert(
    peer: KerasPeer,
    precision: Precision,
    batch_sizes: Sequence[int],
    folder: Path,
    calibration: NDArray[np.uint8] | None = None,
) -> list[tuple[int, Path]]:
    """Write a `.tflite` file for every batch size; see `to_litert`.

    Returns:
        Pairs of batch size and file.
    """
    files = [(batch_size, folder / f"{batch_size}.tflite") for batch_size in batch_sizes]
    for batch_size, path in files:
        path.write_bytes(to_litert(peer, precision, batch_size, calibration))
    return files


def to_litert(
    peer: KerasPeer, precision: Precision, batch_size: int, calibration: NDArray[np.uint8] | None = None
) -> bytes:
    """Convert a model for a fixed batch size.

    With a variable batch size, XNNPACK splits the graph, which is 8 % slower at batch size 32.

    Args:
        peer: the Keras model.
        precision: fp32; fp16 (weights only); or int8 (full-integer post-training quantization, in which the raw pixels
            are the quantized input, as in model files).
        batch_size: N of the input, uint8 (N, H, W[, 3]).
        calibration: training images for the int8 ranges.

    Raises:
        ModelError: LiteRT does not support an operator in this precision, or the calibration images are missing.
    """
    is_int8 = precision == "int8"
    signature = tf.TensorSpec([batch_size, *peer.source.image.shape], tf.float32 if is_int8 else tf.uint8)
    graph = tf.function(peer.from_scaled if is_int8 else peer.from_pixels, input_signature=[signature])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([graph.get_concrete_function()], graph)
    if precision != "fp32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "fp16":
        converter.target_spec.supported_types = [tf.float16]
    if is_int8:
        if calibration is None:
            raise ModelError("LiteRT needs training images to calibrate int8 ranges; pass them with --data")
        images, step = calibration, peer.pixel_step

        def batches() -> Iterator[list[NDArray[np.float32]]]:
            rows = -len(images) % batch_size + len(images)
            filled = np.resize(images, (rows, *images.shape[1:]))  # repeats the first images, which changes no range
            for start in range(0, rows, batch_size):
                yield [filled[start : start + batch_size].astype(np.float32) * np.float32(step)]

        converter.representative_dataset = batches
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
    try:
        with silenced_stderr():
            return bytes(converter.convert())
    except Exception as error:  # the converter raises exceptions of many types
        raise ModelError(f"the LiteRT converter failed: {reason(error)}") from error
