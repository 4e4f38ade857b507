"""`export()`: convert Keras models to a model file, and write it only if it agrees with Keras."""

import math
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from digits_edge.export.ensemble import Ensemble, average, mean_probabilities
from digits_edge.export.gate import Gate, GraphOutputs
from digits_edge.export.graph.contract import (
    QuantizedPixels,
    end_in_probabilities,
    take_centred_pixels,
    take_pixels,
    take_quantized_pixels,
)
from digits_edge.export.graph.convert import convert
from digits_edge.export.graph.folding import divide_logits, scale_input
from digits_edge.export.graph.multiplications import int8_share
from digits_edge.export.graph.space_to_depth import to_space_to_depth
from digits_edge.export.input_check import check_accuracy
from digits_edge.export.keras_outputs import KerasOutputs, ReferenceOutputs, average_outputs, run_keras
from digits_edge.export.package import package
from digits_edge.export.precision.exact import exact_probabilities
from digits_edge.export.precision.float_layers import find_float_layers
from digits_edge.export.precision.half import to_half
from digits_edge.export.precision.options import Int8Options
from digits_edge.export.precision.overflow import MAX_PAIR_SUM, bounds
from digits_edge.export.precision.quantize import Quantizer, layer_names
from digits_edge.export.source import Source, calibrated_outputs
from digits_edge.runtime.checks.parity import Parity, compare
from digits_edge.runtime.datasets import CATALOGUE, Dataset, common_parts, parts, stratified
from digits_edge.runtime.errors import CheckError, DigitsEdgeError, ModelError, UsageError, one_line
from digits_edge.runtime.files import atomic_write, refuse_existing
from digits_edge.runtime.model.golden import GoldenValues
from digits_edge.runtime.model.model_file import Member, Metadata, Precision, Preprocessing

MODEL_VERSION = "1.1.0"
CALIBRATION_IMAGES = 500
#: Images on which the effect of each layer in int8 is measured, if some must remain float.
_SENSITIVITY_IMAGES = 200
#: Share of the validation images that get the status "uncertain".
REFUSED = 0.01
#: Predictions with at least this confidence are never "uncertain", even if a model is overconfident.
_MAX_UNCERTAIN_BELOW = 0.99
#: Maximum difference of a probability from exact arithmetic on the machine that exports.
_MAX_FROM_EXACT = 0.03
#: An int8 model with a smaller share of its multiplications in int8 is neither smaller nor faster than a float model.
MIN_INT8_SHARE = 0.5
#: Called with a description of each step.
Listener = Callable[[str], None]


@dataclass(frozen=True)
class Exported:
    """The result of a successful export.

    Attributes:
        path: the model file.
        size_bytes: size of the file.
        metadata: the file's metadata.
        parity: agreement with Keras on the validation images or, without them, on the reference images.
        float_layers: the layers of an int8 model that are computed in float.

    Example:
        >>> exported = export(source, Path("cnn-int8.onnx"), precision="int8", training=mnist)  # doctest: +SKIP
        >>> exported.metadata.name, exported.parity.changed_clear  # doctest: +SKIP
        ('cnn-int8', 0)
    """

    path: Path
    size_bytes: int
    metadata: Metadata
    parity: Parity
    float_layers: tuple[str, ...]


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


def export(
    source: Source | Ensemble,
    target: Path,
    *,
    precision: Precision,
    training: Dataset | None = None,
    test: Dataset | None = None,
    name: str | None = None,
    int8: Int8Options | None = None,
    command: str = "",
    overwrite: bool = False,
    listener: Listener = lambda step: None,
) -> Exported:
    """Convert a Keras classifier to a model file, verify it against Keras, and write it if both agree.

    Args:
        source: the Keras classifier or an ensemble. Each member of an ensemble is calibrated and converted on its own;
            the graph's mean probabilities are compared with Keras's.
        target: path of the model file.
        precision: precision of weights and arithmetic.
        training: the labelled data the model was trained on. The temperature is fitted and parity is measured on its
            validation part; the int8 ranges are calibrated on the rest. Without training data the temperature is 1, and
            parity is measured on the reference images.
        test: labelled images for the test error recorded in the file; they influence nothing else. Images held back
            from the training data by the run take precedence.
        name: name of the model; by default the name of the source and the precision.
        int8: options of the quantization.
        command: the command line, recorded in the metadata.
        overwrite: replace an existing file.
        listener: called with a description of each step.

    Returns:
        Path, size, metadata and parity of the file.

    Raises:
        UsageError: int8 has no training data, the data is not that of the model, the target exists, float layers are
            used with another precision, an ensemble or an unknown name, or quantization-aware training with another
            precision.
        CheckError: the converted model disagrees with Keras; less than half of the multiplications of an int8 model are
            int8; or Keras itself classifies the labelled images like chance, far below the accuracy of its run, or far
            better with another pixel range. No file is written.
        ModelError: a layer cannot be converted.

    Example:
        >>> source = read_source(Path("runs/cnn"))  # doctest: +SKIP
        >>> mnist = load("mnist")  # doctest: +SKIP
        >>> export(source, Path("cnn-int8.onnx"), precision="int8", training=mnist)  # doctest: +SKIP
    """
    refuse_existing(target, overwrite=overwrite)
    for member in source.members:
        _check_data(member, training, precision)
    int8 = int8 or Int8Options()
    if int8.float_layers and (precision != "int8" or len(source.members) > 1):
        raise UsageError("--float-layers is for int8 models of a single Keras model; omit it")
    if int8.quantization_aware_epochs and precision != "int8":
        raise UsageError(f"quantization-aware training is for int8, not {precision}; omit --quantization-aware")
    converted = [_convert_member(member, training, test, precision, int8, listener) for member in source.members]

    listener("verifying")
    reference = average_outputs(source.members, [member.keras for member in converted])
    graph = average([member.graph for member in converted])
    gate, predict = Gate.of(reference, precision), GraphOutputs(graph)
    parity, problems = gate.check(predict)
    if problems:
        raise CheckError(f"the {precision} model disagrees with Keras, nothing is written: {'; '.join(problems)}")
    share, float_layers = int8_share(graph), _float_layers(source, converted)
    if precision == "int8" and share < MIN_INT8_SHARE and not int8.allow_float:
        raise CheckError(_mostly_float(share, float_layers))
    golden, pair_sums = gate.golden, bounds(graph)
    if precision == "int8":
        listener("computing exact golden values")
        golden = _with_exact(golden, graph, predict)
    metadata = Metadata(
        name=name or f"{source.name}-{precision}",
        version=MODEL_VERSION,
        architecture=source.architecture,
        precision=precision,
        labels=source.labels,
        parameters=source.parameters,
        preprocessing=_preprocessing(source.labels),
        temperature=reference.temperature,
        calibrated=reference.calibrated,
        uncertain_below=_uncertain_below(reference.validation, predict),
        data=_data_metadata(source, training),
        test=_test_errors(predict, _held_out(source, training, test), training),
        parity={"on": _compared_on(source, reference), **asdict(parity)},
        pixel_range=source.pixel_range if isinstance(source, Source) else None,
        keras_accuracy=_keras_accuracy(reference, converted),
        int8_share=round(share, 4),
        overflow_free=max(pair_sums.values(), default=0) <= MAX_PAIR_SUM,
        largest_pair_sums=pair_sums,
        members=_members(converted, precision) if isinstance(source, Ensemble) else (),
        versions=_versions(source),
        command=command,
    )
    content = package(graph, metadata, golden)
    with atomic_write(target) as stream:
        stream.write(content)
    return Exported(target, len(content), metadata, parity, float_layers)


def _float_layers(source: Source | Ensemble, converted: list[ConvertedModel]) -> tuple[str, ...]:
    return tuple(
        f"{member.source.name} {layer}" if isinstance(source, Ensemble) else layer
        for member in converted
        for layer in member.float_layers
    )


def _mostly_float(share: float, float_layers: tuple[str, ...]) -> str:
    names = ", ".join(float_layers[:3]) + (f" and {len(float_layers) - 3} more" if len(float_layers) > 3 else "")
    return (
        f"only {share:.0%} of the multiplications are int8"
        + (f": {names} stayed float" if names else ", because its layers have no int8 form")
        + "; nothing is written; check the pixel range, use --quantization-aware 3 or --precision fp16, or accept it "
        "with --allow-float"
    )


def _with_exact(golden: GoldenValues, graph: ir.Model, predict: GraphOutputs) -> GoldenValues:
    """Add predictions in exact arithmetic to the golden values, if this processor's predictions agree.

    A network may amplify rounding differences between float32 and float64. Untrained `resnet` and `kaggle-cnn` differed
    by 0.018 and 0.012, with bit-identical results from onnxruntime's exact kernels, so nothing saturated (AMD EPYC,
    Zen 3). For such networks the file allows twice the difference measured here.

    Raises:
        CheckError: this processor's predictions differ too much.
    """
    exact = exact_probabilities(graph, golden.images)
    difference = compare(exact, predict(golden.images)).max_difference
    if not difference <= _MAX_FROM_EXACT:
        raise CheckError(
            f"this processor's int8 kernels differ from exact arithmetic by {difference:.2g} > {_MAX_FROM_EXACT:g}, "
            "nothing is written; report it with the output of `digits-edge doctor`"
        )
    return replace(golden, exact=exact, exact_tolerance=max(golden.exact_tolerance, 2 * difference))


def calibration_images(source: Source, training: Dataset) -> NDArray[np.uint8]:
    """Select a stratified sample of the training images for the calibration of int8 ranges.

    Args:
        source: the model; its validation images are excluded.
        training: its training data, with labels.

    Returns:
        Shape (500, 28, 28), uint8.
    """
    assert training.labels is not None
    rows = parts(training.labels, source.validation).train
    return training.images[rows[stratified(training.labels[rows], CALIBRATION_IMAGES)]]


def _check_data(source: Source, training: Dataset | None, precision: Precision) -> None:
    if training is None or training.labels is None:
        if precision == "int8":
            raise UsageError("int8 needs training images to calibrate its ranges; pass them with --data")
        return
    trained_on = source.data.get("sha256")
    if trained_on and trained_on != training.sha256:
        raise UsageError(
            f"{training.name} is not the data of this run ({source.data['name']}, sha256 {trained_on[:12]}…); "
            "pass that data with --data"
        )
    if int(training.labels.max(initial=0)) >= len(source.labels):
        raise UsageError(
            f"{training.name} has labels beyond the model's {len(source.labels)} classes; pass its training data"
        )


def _convert_member(
    source: Source,
    training: Dataset | None,
    test: Dataset | None,
    precision: Precision,
    int8: Int8Options,
    listener: Listener,
) -> ConvertedModel:
    """Run the Keras model and convert it to a graph from pixels to calibrated probabilities."""
    listener(f"running {source.name} in Keras")
    outputs = run_keras(source, training)
    labelled = _labelled_outputs(source, outputs, test)
    check_accuracy(source, labelled, training, name=_labelled_name(outputs))
    model = source.model
    if int8.quantization_aware_epochs:
        model = _fine_tuned(source, training, int8.quantization_aware_epochs, listener)
    listener(f"converting {source.name} to ONNX")
    float_graph = convert(model)
    listener(f"converting {source.name} to {precision}")
    with _model_errors(source, precision):
        logits_graph = divide_logits(float_graph, outputs.temperature)
        if precision == "int8":
            assert training is not None  # `_check_data` raises otherwise
            gate = Gate.of(outputs, precision)
            graph, left_float = _int8(logits_graph, source, training, gate, int8.float_layers, listener)
            return ConvertedModel(source, outputs, labelled, graph, left_float)
        graph = take_pixels(scale_input(logits_graph, source.pixel_range.factor, source.pixel_range.offset))
        graph = end_in_probabilities(to_half(graph) if precision == "fp16" else graph)
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


def _labelled_name(outputs: KerasOutputs) -> str:
    return "test images" if outputs.validation is None else "validation images"


def _keras_accuracy(reference: KerasOutputs, converted: list[ConvertedModel]) -> dict[str, object] | None:
    """Errors of Keras, of all members together, on the labelled images; None without such images."""
    labelled = [member.labelled for member in converted if member.labelled is not None]
    if not labelled:
        return None
    counted, labels = reference.validation, labelled[0].labels
    if counted is None:
        counted = replace(labelled[0], probabilities=mean_probabilities([each.probabilities for each in labelled]))
    if labels is None or not len(labels):
        return None
    errors = int((counted.probabilities.argmax(axis=1) != labels).sum())
    return {"on": _labelled_name(reference), "errors": errors, "images": len(labels)}


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


def _int8(
    logits_graph: ir.Model,
    source: Source,
    training: Dataset,
    gate: Gate,
    float_layers: tuple[str, ...],
    listener: Listener,
) -> tuple[ir.Model, tuple[str, ...]]:
    """Quantize all layers except `float_layers` and those that must remain float for agreement with Keras.

    Returns:
        The graph, and the names of its float layers.
    """
    layers = layer_names(logits_graph)
    for layer in float_layers:
        if layer not in layers:
            raise UsageError(f"{source.name} has no layer {layer!r}; its layers are {', '.join(layers)}")
    candidates = [layer for layer in layers if layer not in float_layers]
    pixels = QuantizedPixels.of(source.pixel_range)
    calibration = pixels.centred(calibration_images(source, training))
    model = to_space_to_depth(take_centred_pixels(logits_graph, pixels))
    images, probabilities = gate.compared.images, gate.compared.probabilities
    rows = np.linspace(0, len(images) - 1, min(len(images), _SENSITIVITY_IMAGES)).astype(np.intp)

    with Quantizer(model, calibration) as quantizer:

        def graph_with(more_float_layers: Sequence[str]) -> ir.Model:
            graph = quantizer((*float_layers, *more_float_layers))
            return end_in_probabilities(take_quantized_pixels(graph, pixels.step, pixels.zero_point))

        def passes(more_float_layers: Sequence[str]) -> bool:
            return not gate.check(GraphOutputs(graph_with(more_float_layers)))[1]

        def sensitivity(layer: str) -> float:
            predict = GraphOutputs(graph_with([other for other in candidates if other != layer]))
            return float(np.abs(predict(images[rows]) - probabilities[rows]).mean())

        found = find_float_layers(candidates, passes, sensitivity, listener=listener)
        return graph_with(found), tuple(layer for layer in layers if layer in {*float_layers, *found})


def _uncertain_below(validation: ReferenceOutputs | None, predict: GraphOutputs) -> float:
    """The confidence threshold that 99 % of the validation images reach; the default with too few images."""
    if validation is None or len(validation.images) * REFUSED < 1:
        return Metadata.uncertain_below
    threshold = float(np.quantile(predict(validation.images).max(axis=1), REFUSED))
    # rounded down, so that no more images are below it
    return min(math.floor(threshold * 1e4) / 1e4, _MAX_UNCERTAIN_BELOW)


def _compared_on(source: Source | Ensemble, reference: KerasOutputs) -> str:
    if reference.validation is None:
        return "reference images"
    # the validation images of one fold are training images of the others: valid for parity, but not for accuracy
    shared = all(member.validation == source.validation for member in source.members)
    return "validation images" if shared else f"validation images of {source.validation}"


def _held_out(source: Source | Ensemble, training: Dataset | None, test: Dataset | None) -> Dataset | None:
    """The images that the runs of all members held back; without any, the test set."""
    if training is None or training.labels is None:
        return test
    rows = common_parts(training.labels, [member.validation for member in source.members]).held_back
    return training.taken(rows, "held-back") if len(rows) else test


def _test_errors(predict: GraphOutputs, test: Dataset | None, training: Dataset | None) -> dict[str, object] | None:
    """Errors on the test set; None if it has no labels or is the training data."""
    if test is None or test.labels is None or not len(test):
        return None
    if training is not None and training.sha256 == test.sha256:
        return None
    errors = int((predict(test.images).argmax(axis=1) != test.labels).sum())
    return {"name": test.name, "sha256": test.sha256, "errors": errors, "images": len(test.images)}


def _members(converted: list[ConvertedModel], precision: Precision) -> tuple[Member, ...]:
    return tuple(
        Member(
            name=member.source.name,
            architecture=member.source.architecture,
            precision=precision,
            parameters=member.source.parameters,
            temperature=member.keras.temperature,
            calibrated=member.keras.calibrated,
            validation=member.source.validation,
            pixel_range=member.source.pixel_range,
        )
        for member in converted
    )


def _preprocessing(labels: tuple[str, ...]) -> Preprocessing:
    """The input format: `fashion-mnist` if the labels are those of Fashion-MNIST, else `mnist`."""
    return "fashion-mnist" if labels == CATALOGUE["fashion-mnist"].class_names else "mnist"


def _data_metadata(source: Source | Ensemble, training: Dataset | None) -> dict[str, str]:
    """The training data recorded in the run or, without a record, the data passed to `export`."""
    data = {key: source.data[key] for key in ("name", "sha256", "licence") if key in source.data}
    if not data and training is not None:
        data = {"name": training.name, "sha256": training.sha256, "licence": training.licence}
    return data | ({"validation": source.validation} if data else {})


def _versions(source: Source | Ensemble) -> dict[str, str]:
    libraries = ("digits-edge", "keras", "tensorflow", "tf2onnx", "onnx", "onnxruntime", "numpy")
    exported_with = {library: version(library) for library in libraries} | {"python": platform.python_version()}
    return exported_with | {f"trained with {library}": number for library, number in source.versions.items()}
