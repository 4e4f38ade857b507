"""Untrained Keras models and their model files, for timing: speed does not depend on the weights."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from digits_edge.export.graph.contract import end_in_probabilities, take_pixels, take_quantized_pixels
from digits_edge.export.graph.convert import convert
from digits_edge.export.graph.folding import scale_input
from digits_edge.export.graph.space_to_depth import to_space_to_depth
from digits_edge.export.package import package
from digits_edge.export.precision.quantize import quantize
from digits_edge.runtime.model.golden import GoldenValues
from digits_edge.runtime.model.model_file import Metadata, Precision
from digits_edge.train import build

from .noise import images

PIXEL_SCALE = 1 / 255
_CALIBRATION_IMAGES = 64


def keras_inputs(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the inputs of the Keras models, float32 (N, 28, 28, 1) in 0–1."""
    return (pixels[..., np.newaxis] * PIXEL_SCALE).astype(np.float32)


def keras_model(architecture: str) -> Any:
    """Return a Keras model with its initial weights."""
    keras.utils.set_random_seed(0)
    return build(architecture)


def write_model_file(model: Any, precision: Precision, path: Path) -> Path:
    """Export a model without the gates, which an untrained model cannot pass.

    Args:
        model: a model of `keras_model`.
        precision: "fp32" or "int8".
        path: model file to write.
    """
    graph = convert(model)
    if precision == "int8":
        calibration = images(_CALIBRATION_IMAGES) * np.float32(PIXEL_SCALE)
        graph = take_quantized_pixels(quantize(to_space_to_depth(graph), calibration), PIXEL_SCALE)
    else:
        graph = take_pixels(scale_input(graph, PIXEL_SCALE))
    graph = end_in_probabilities(graph)
    metadata = Metadata(
        name=f"{model.name}-{precision}",
        version="untrained",
        architecture=model.name,
        precision=precision,
        labels=tuple("0123456789"),
        parameters=model.count_params(),
    )
    golden = GoldenValues(images(1), np.full((1, 10), 0.1, np.float32), 1.0)
    path.write_bytes(package(graph, metadata, golden))
    return path
