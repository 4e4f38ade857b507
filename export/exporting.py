"""`export()`: convert Keras models to a model file, and write it only if it agrees with Keras."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits_edge.export.description import (
    compared_on,
    data_metadata,
    described,
    held_out,
    keras_accuracy,
    members,
    test_errors,
    uncertain_below,
)
from digits_edge.export.ensemble import Ensemble, average
from digits_edge.export.exact_golden import with_exact
from digits_edge.export.gate import Gate, GraphOutputs
from digits_edge.export.graph.multiplications import int8_share
from digits_edge.export.keras_outputs import average_outputs
from digits_edge.export.member import ConvertedModel, ExportData, Listener, convert_member
from digits_edge.export.package import write_package
from digits_edge.export.precision.options import Int8Options
from digits_edge.export.source import Source
from digits_edge.runtime.checks.parity import Parity
from digits_edge.runtime.datasets import Dataset, parts, stratified
from digits_edge.runtime.errors import CheckError, UsageError
from digits_edge.runtime.files import refuse_existing
from digits_edge.runtime.model.model_file import Metadata, Precision
from digits_edge.runtime.model.steps import default_steps

#: Maximum difference of a probability from exact arithmetic on the machine that exports. A network may amplify rounding
#: differences between float32 and float64. Untrained `resnet` and `kaggle-cnn` differed by 0.018 and 0.012, with
#: bit-identical results from onnxruntime's exact kernels, so nothing saturated (AMD EPYC, Zen 3). For such networks the
#: file allows twice the difference measured here.
_MAX_FROM_EXACT = 0.03
#: Maximum share of the golden images that are left out because they differ by more. A barely trained network with many
#: float layers may amplify a single rounding to more on a few images; saturated sums change most images.
_MAX_SHARE_LEFT_OUT = 0.25
#: An int8 model with a smaller share of its multiplications in int8 is neither smaller nor faster than a float model.
MIN_INT8_SHARE = 0.5
#: Images of the data that are candidates for the golden values.
_DATA_REFERENCE_IMAGES = 96


@dataclass(frozen=True)
class Exported:
    """The result of a successful export.

    Attributes:
        path: the model file.
        size_bytes: size of the file.
        metadata: the file's metadata.
        parity: agreement with Keras on the validation images or, without them, on the reference images.
        float_layers: the layers of an int8 model that are computed in float.
        warnings: what limits the checks of this export, one line each.

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
    warnings: tuple[str, ...] = ()


def export(
    source: Source | Ensemble,
    target: Path,
    *,
    precision: Precision,
    training: Dataset | None = None,
    test: Dataset | None = None,
    golden_from_data: bool = False,
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
        golden_from_data: use images of the validation part as reference images; the file then contains these images.
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
    source = _with_input_of(source, training or test)
    for member in source.members:
        _check_data(member, training, precision)
    data = ExportData(training, test, _reference_images(source, training) if golden_from_data else None)
    int8 = int8 or Int8Options()
    if int8.float_layers and (precision != "int8" or len(source.members) > 1):
        raise UsageError("--float-layers is for int8 models of a single Keras model; omit it")
    if int8.quantization_aware_epochs and precision != "int8":
        raise UsageError(f"quantization-aware training is for int8, not {precision}; omit --quantization-aware")
    converted = [convert_member(member, data, precision, int8, listener) for member in source.members]

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
    golden = gate.golden
    if precision == "int8":
        listener("computing exact golden values")
        golden = with_exact(
            golden,
            graph,
            predict(golden.images),
            max_difference=_MAX_FROM_EXACT,
            max_share_left_out=_MAX_SHARE_LEFT_OUT,
        )
    metadata = replace(
        described(source, graph, precision, name=name, command=command),
        output=source.output,
        temperature=reference.temperature,
        calibrated=reference.calibrated,
        uncertain_below=uncertain_below(reference, predict),
        data=data_metadata(source, training),
        test=test_errors(predict, held_out(source, training, test), training),
        parity={"on": compared_on(source, reference), **asdict(parity)},
        pixel_range=source.pixel_range if isinstance(source, Source) else None,
        keras_accuracy=keras_accuracy(reference, converted),
        int8_share=round(share, 4),
        members=members(converted, precision) if isinstance(source, Ensemble) else (),
    )
    size_bytes = write_package(target, graph, metadata, golden)
    return Exported(target, size_bytes, metadata, parity, float_layers, _warnings(gate))


def _with_input_of(source: Source | Ensemble, data: Dataset | None) -> Source | Ensemble:
    """Complete the input record and the preprocessing of sources that do not record them, from their data."""
    if isinstance(source, Ensemble):
        return Ensemble(tuple(_with_own_input(member, data) for member in source.members))
    return _with_own_input(source, data)


def _with_own_input(source: Source, data: Dataset | None) -> Source:
    if data is not None and data.images.shape[1:] != source.image.shape:
        raise UsageError(
            f"{data.name} has images of {data.image.description} pixels, but {source.name} takes "
            f"{source.image.description}; convert them with --fit resize or --fit pad"
        )
    if source.preprocessing:
        return source
    if data is not None:
        return replace(source, image=data.image, preprocessing=data.preprocessing)
    return replace(
        source, preprocessing=default_steps(source.image, digits=all(len(each) == 1 for each in source.labels))
    )


def _reference_images(source: Source | Ensemble, training: Dataset | None) -> NDArray[np.uint8]:
    """A stratified sample of the validation images."""
    if training is None or training.labels is None:
        raise UsageError("--golden-from-data needs labelled training images; pass them with --data")
    rows = parts(training.labels, source.validation).validation
    return training.images[rows[stratified(training.labels[rows], _DATA_REFERENCE_IMAGES)]]


def _warnings(gate: Gate) -> tuple[str, ...]:
    if gate.is_clear:
        return ()
    return (
        "Keras has low confidence on all reference images, so the file's own check is weaker; "
        "use images of the data with --golden-from-data",
    )


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
            f"{training.name} has labels beyond the model's {len(source.labels)} classes; pass its training data, or "
            "map the labels with --label-map"
        )
