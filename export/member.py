"""Conversion of one Keras model to a graph from pixels to calibrated probabilities: `convert_member()`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import keras
import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from digits_edge.export.gate import Gate
from digits_edge.export.graph.contract import end_in_probabilities, take_pixels
from digits_edge.export.graph.convert import convert
from digits_edge.export.graph.folding import divide_logits, scale_input
from digits_edge.export.input_check import check_accuracy
from digits_edge.export.int8 import int8_graph
from digits_edge.export.keras_outputs import KerasOutputs, ReferenceOutputs, run_keras
from digits_edge.export.precision.half import to_half
from digits_edge.export.precision.options import Int8Options
from digits_edge.export.source import Source, calibrated_outputs
from digits_edge.runtime.datasets import Dataset, parts, stratified
from digits_edge.runtime.errors import DigitsEdgeError, ModelError, one_line
from digits_edge.runtime.model.model_file import Precision

CALIBRATION_IMAGES = 500
#: Called with a description of each step.
Listener = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class ConvertedModel:
    """A source, Keras's predictions, and the converted graph.

    Attributes:
        source: the Keras model.
        keras: its predictions and temperature.
        labelled: its predictions for the labelled images that its accuracy was checked on; None without such images.
        graph: input uint8 pixels, output calibrated probabilities.
        float_layers: the layers of an int8 graph that are computed in float.
    """

    source: Source
    keras: KerasOutputs
    labelled: ReferenceOutputs | None
    graph: ir.Model
    float_layers: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ExportData:
    """The images that an export uses.

    Attributes:
        training: the data that the models were trained on, if available.
        test: labelled images for the test error, if available.
        reference_images: uint8 (N, H, W) or (N, H, W, 3), candidates for the golden values; None for drawn ones.
    """

    training: Dataset | None = None
    test: Dataset | None = None
    reference_images: NDArray[np.uint8] | None = None


def convert_member(
    source: Source,
    data: ExportData,
    precision: Precision,
    int8: Int8Options,
    listener: Listener,
) -> ConvertedModel:
    """Run the Keras model and convert it to a graph from pixels to calibrated probabilities."""
    listener(f"running {source.name} in Keras")
    training = data.training
    outputs = run_keras(source, training, data.reference_images)
    labelled = _labelled_outputs(source, outputs, data.test)
    check_accuracy(source, labelled, training, name=labelled_name(outputs))
    model = source.model
    if int8.quantization_aware_epochs:
        model = _fine_tuned(source, training, int8.quantization_aware_epochs, listener)
    listener(f"converting {source.name} to ONNX")
    float_graph = convert(model, source.image)
    listener(f"converting {source.name} to {precision}")
    with _model_errors(source, precision):
        logits_graph = divide_logits(float_graph, outputs.temperature)
        if precision == "int8":
            assert training is not None  # `export` raises otherwise
            gate = Gate.of(outputs, precision)
            graph, left_float = int8_graph(
                logits_graph,
                source.pixel_range,
                calibration_images(source, training),
                gate,
                output=source.output,
                float_layers=int8.float_layers,
                listener=listener,
            )
            return ConvertedModel(source, outputs, labelled, graph, left_float)
        graph = take_pixels(scale_input(logits_graph, source.pixel_range.factors, source.pixel_range.offsets))
        graph = end_in_probabilities(to_half(graph) if precision == "fp16" else graph, source.output)
        return ConvertedModel(source, outputs, labelled, graph, ())


@contextmanager
def _model_errors(source: Source, precision: Precision) -> Iterator[None]:
    """Report errors of the converters as errors of the model, whose layers they do not support."""
    try:
        yield
    except DigitsEdgeError:
        raise
    except Exception as error:  # the converters and onnxruntime raise exceptions of many types
        raise ModelError(
            f"{source.name} has a layer that cannot be converted to {precision}: {one_line(error)}; "
            "try another --precision"
        ) from error


def _labelled_outputs(source: Source, outputs: KerasOutputs, test: Dataset | None) -> ReferenceOutputs | None:
    """Keras's predictions for the validation images or, without them, for the test images."""
    if outputs.validation is not None or test is None or test.labels is None:
        return outputs.validation
    return ReferenceOutputs(test.images, calibrated_outputs(source, test.images, outputs.temperature), test.labels)


def labelled_name(outputs: KerasOutputs) -> str:
    """Name of the images that the accuracy of Keras is checked on."""
    return "test images" if outputs.validation is None else "validation images"


def _fine_tuned(source: Source, training: Dataset | None, epochs: int, listener: Listener) -> keras.Model:
    from digits_edge.export.precision.quantization_aware import fine_tuned

    assert training is not None and training.labels is not None  # `_check_data` raises otherwise
    rows = parts(training.labels, source.validation).train
    return fine_tuned(
        source.model,
        source.inputs(training.images[rows]),
        source.inputs(calibration_images(source, training)),
        epochs=epochs,
        listener=lambda epoch: listener(f"fine-tuning {source.name} for int8, epoch {epoch} of {epochs}"),
    )


def calibration_images(source: Source, training: Dataset) -> NDArray[np.uint8]:
    """Select a stratified sample of the training images for the calibration of int8 ranges.

    Args:
        source: the model; its validation images are excluded.
        training: its training data, with labels.

    Returns:
        Shape (500, H, W) or (500, H, W, 3), uint8.
    """
    assert training.labels is not None
    rows = parts(training.labels, source.validation).train
    return training.images[rows[stratified(training.labels[rows], CALIBRATION_IMAGES)]]
