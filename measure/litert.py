"""Keras → `.tflite` files for LiteRT, of the same weights and precision as a model file."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

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
    """Write a file for every batch size; batch size → file. The rest is as `to_litert` has it."""
    files = [(batch_size, folder / f"{batch_size}.tflite") for batch_size in batch_sizes]
    for batch_size, path in files:
        path.write_bytes(to_litert(peer, precision, batch_size, calibration))
    return files


def to_litert(
    peer: KerasPeer, precision: Precision, batch_size: int, calibration: NDArray[np.uint8] | None = None
) -> bytes:
    """Convert a model for one batch size: with N free, XNNPACK takes the graph in pieces (8 % slower at batch 32).

    Args:
        peer: the Keras model.
        precision: fp32; fp16, of the weights; int8, full-integer after training, the raw pixel being the quantized
            input as it is in our files.
        batch_size: N of its input, uint8 (N, 28, 28).
        calibration: training images from which int8 takes its ranges.

    Raises:
        ModelError: LiteRT has no such operator in this precision, or the images are missing.
    """
    is_int8 = precision == "int8"
    taken = tf.TensorSpec([batch_size, 28, 28], tf.float32 if is_int8 else tf.uint8)
    graph = tf.function(peer.from_scaled if is_int8 else peer.from_pixels, input_signature=[taken])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([graph.get_concrete_function()], graph)
    if precision != "fp32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "fp16":
        converter.target_spec.supported_types = [tf.float16]
    if is_int8:
        if calibration is None:
            raise ModelError("LiteRT's int8 takes its ranges from training images; name them with --data")
        images = calibration

        def batches() -> Iterator[list[NDArray[np.float32]]]:
            rows = -len(images) % batch_size + len(images)
            filled = np.resize(images, (rows, 28, 28))  # repeats the first of them, which changes no range
            for start in range(0, rows, batch_size):
                yield [filled[start : start + batch_size].astype(np.float32) * np.float32(peer.source.pixel_scale)]

        converter.representative_dataset = batches
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
    try:
        with silenced_stderr():
            return bytes(converter.convert())
    except Exception as error:  # the converter raises whatever its parts raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"LiteRT's converter fails: {reason[:200]}") from error
