"""`export()`: from Keras models to a model file that has passed its gates, or to nothing."""

import math
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from digits_edge.export.ensemble import Ensemble, average
from digits_edge.export.gate import Gate, GraphOutputs
from digits_edge.export.graph.contract import answer_probabilities, take_pixels, take_quantized_pixels
from digits_edge.export.graph.convert import convert
from digits_edge.export.graph.folding import divide_logits, scale_input
from digits_edge.export.graph.space_to_depth import to_space_to_depth
from digits_edge.export.keras_outputs import KerasOutputs, ReferenceOutputs, ask, together
from digits_edge.export.package import package
from digits_edge.export.precision.exact import exact_probabilities
from digits_edge.export.precision.half import to_half
from digits_edge.export.precision.overflow import MAX_PAIR_SUM, bounds
from digits_edge.export.precision.quantize import layer_names, quantize
from digits_edge.export.source import Source
from digits_edge.runtime.checks.parity import Parity, compare
from digits_edge.runtime.datasets import CATALOGUE, Dataset, common_parts, parts, stratified
from digits_edge.runtime.errors import CheckError, UsageError
from digits_edge.runtime.files import atomic_write, refuse_existing
from digits_edge.runtime.model.golden import GoldenValues
from digits_edge.runtime.model.model_file import Member, Metadata, Precision, Preprocessing

MODEL_VERSION = "1.1.0"
CALIBRATION_IMAGES = 500
#: The share of the validation images that a model is to be uncertain of.
REFUSED = 0.01
#: Who is as sure as this is not called uncertain, however sure of itself a model is.
_CLEAR = 0.99
#: How far a probability may be from exact arithmetic where the export takes place.
_MAX_FROM_EXACT = 0.03
#: Told what the export is doing now.
Listener = Callable[[str], None]


@dataclass(frozen=True)
class Exported:
    """An export that held.

    Attributes:
        path: the model file.
        size_bytes: of the file.
        metadata: what it says of itself.
        parity: with Keras, on the validation images or, without them, on the reference images.
        float_layers: of an int8 model, the layers that stayed float.
    """

    path: Path
    size_bytes: int
    metadata: Metadata
    parity: Parity
    float_layers: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ConvertedModel:
    """A source, what Keras answers, and the graph that should answer alike."""

    source: Source
    keras: KerasOutputs
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
    float_layers: tuple[str, ...] = (),
    quantization_aware_epochs: int = 0,
    command: str = "",
    overwrite: bool = False,
    listener: Listener = lambda step: None,
) -> Exported:
    """Convert a Keras classifier to one model file, verify it against Keras, and write it if it holds.

    Args:
        source: the Keras classifier, or several as one: each is calibrated and made as if alone, the one graph answers
            with their mean, and that is compared with Keras's mean.
        target: where the model file goes.
        precision: of its weights and arithmetic.
        training: the labelled data it was trained on. Its validation part fits the temperature and is compared with
            Keras; int8 takes its ranges from the rest. Without it the temperature is 1 and the comparison is on the
            reference images alone.
        test: labelled images for the test figure that the file reports; no choice depends on them. A run that held
            images of its training data back is tested on those.
        name: of the model; by default the source's name with the precision.
        float_layers: names of layers that int8 leaves float because they are quicker so, such as `conv_1`. Those that
            must stay float for the model to answer like Keras are found without being named.
        quantization_aware_epochs: epochs of training with the roundings of int8, on the images that trained the model,
            before it is quantized (`digits_edge.export.precision.quantization_aware`); for where int8 costs accuracy. The file is
            still compared with the Keras model as it was.
        command: the command line that asked for it, for the record.
        overwrite: replace a file that exists.
        listener: told of every step.

    Raises:
        UsageError: int8 without training data, data that the model was not trained on, a target that exists,
            `float_layers` of another precision, of several models or of no such name, or `quantization_aware_epochs` of
            another precision.
        CheckError: the file would not answer like Keras; nothing is written.
        ModelError: a layer cannot be converted.
    """
    refuse_existing(target, overwrite=overwrite)
    for member in source.members:
        _check_data(member, training, precision)
    if float_layers and (precision != "int8" or len(source.members) > 1):
        raise UsageError("layers stay float in an int8 model of one Keras model; leave out --float-layers")
    if quantization_aware_epochs and precision != "int8":
        raise UsageError(f"quantization-aware training is for int8, not {precision}; omit --quantization-aware")
    made = [
        _make(member, training, precision, float_layers, quantization_aware_epochs, listener)
        for member in source.members
    ]

    listener("verifying")
    reference = together(source.members, [one.keras for one in made])
    graph = average([one.graph for one in made])
    gate, answers = Gate.of(reference, precision), GraphOutputs(graph)
    parity, problems = gate.judge(answers)
    if problems:
        raise CheckError(f"the {precision} model does not answer like Keras, nothing is written: {'; '.join(problems)}")
    golden, pair_sums = gate.golden, bounds(graph)
    if precision == "int8":
        listener("computing exact golden values")
        golden = _with_exact(golden, graph, answers)
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
        uncertain_below=_uncertain_below(reference.validation, answers),
        data=_about(source, training),
        test=_test_figure(answers, _held_out(source, training, test), training),
        parity={"on": _compared_on(source, reference), **asdict(parity)},
        overflow_free=max(pair_sums.values(), default=0) <= MAX_PAIR_SUM,
        largest_pair_sums=pair_sums,
        members=_members(made, precision) if isinstance(source, Ensemble) else (),
        versions=_versions(source),
        command=command,
    )
    content = package(graph, metadata, golden)
    with atomic_write(target) as stream:
        stream.write(content)
    float_layers = tuple(
        f"{one.source.name} {layer}" if isinstance(source, Ensemble) else layer
        for one in made
        for layer in one.float_layers
    )
    return Exported(target, len(content), metadata, parity, float_layers)


def _with_exact(golden: GoldenValues, graph: ir.Model, answers: GraphOutputs) -> GoldenValues:
    """The golden answers and what exact arithmetic makes of the graph, if this processor computes the same.

    Where float32 between the layers rounds otherwise than float64, a network may amplify it: untrained `resnet` and
    `kaggle-cnn` were 0.018 and 0.012 away, bit for bit the same with onnxruntime's exact kernels, so that nothing
    saturated (AMD EPYC, Zen 3). For such networks the file allows twice of what is seen here.

    Raises:
        CheckError: it computes something else.
    """
    exact = exact_probabilities(graph, golden.images)
    difference = compare(exact, answers(golden.images)).max_difference
    if not difference <= _MAX_FROM_EXACT:
        raise CheckError(
            f"this processor's kernels compute something else than exact arithmetic, by {difference:.2g} > "
            f"{_MAX_FROM_EXACT:g}, nothing is written; report it with the output of `digits-edge doctor`"
        )
    return replace(golden, exact=exact, exact_tolerance=max(golden.exact_tolerance, 2 * difference))


def calibration_images(source: Source, training: Dataset) -> NDArray[np.uint8]:
    """The images from which int8 takes its ranges, uint8 (500, 28, 28): of those that trained, each class its share.

    Args:
        source: the model.
        training: its training data, with labels.
    """
    assert training.labels is not None
    rows = parts(training.labels, source.validation).train
    return training.images[rows[stratified(training.labels[rows], CALIBRATION_IMAGES)]]


def _check_data(source: Source, training: Dataset | None, precision: Precision) -> None:
    if training is None or training.labels is None:
        if precision == "int8":
            raise UsageError("int8 takes the ranges of its activations from training images; name them with --data")
        return
    trained_on = source.data.get("sha256")
    if trained_on and trained_on != training.sha256:
        raise UsageError(
            f"{training.name} is not the data of this run ({source.data['name']}, sha256 {trained_on[:12]}…); "
            "name that with --data"
        )
    if int(training.labels.max(initial=0)) >= len(source.labels):
        raise UsageError(
            f"{training.name} has labels beyond the model's {len(source.labels)} classes; name its own data"
        )


def _make(
    source: Source,
    training: Dataset | None,
    precision: Precision,
    float_layers: tuple[str, ...],
    quantization_aware_epochs: int,
    listener: Listener,
) -> ConvertedModel:
    """Ask Keras, and make the graph that takes pixels and answers with calibrated probabilities."""
    listener(f"asking Keras for {source.name}")
    answers = ask(source, training)
    model = source.model
    if quantization_aware_epochs:
        model = _fine_tuned(source, training, quantization_aware_epochs, listener)
    listener(f"converting {source.name}")
    float_graph = convert(model)
    listener(f"making {precision} of {source.name}")
    logits_graph = divide_logits(float_graph, answers.temperature)
    if precision == "int8":
        assert training is not None  # or `_check_data` had refused
        return ConvertedModel(
            source, answers, *_int8(logits_graph, source, training, Gate.of(answers, precision), float_layers)
        )
    graph = take_pixels(scale_input(logits_graph, source.pixel_scale))
    return ConvertedModel(source, answers, answer_probabilities(to_half(graph) if precision == "fp16" else graph), ())


def _fine_tuned(source: Source, training: Dataset | None, epochs: int, listener: Listener) -> keras.Model:
    from digits_edge.export.precision.quantization_aware import fine_tuned

    assert training is not None and training.labels is not None  # or `_check_data` had refused
    rows = parts(training.labels, source.validation).train
    return fine_tuned(
        source.model,
        source.inputs(training.images[rows]),
        source.inputs(calibration_images(source, training)),
        epochs=epochs,
        listener=lambda epoch: listener(f"training {source.name} for int8, epoch {epoch} of {epochs}"),
    )


def _int8(
    logits_graph: ir.Model, source: Source, training: Dataset, gate: Gate, float_layers: tuple[str, ...]
) -> tuple[ir.Model, tuple[str, ...]]:
    """Quantize all other layers; while the gate fails, leave that one float which brings the answers nearest to Keras.

    Returns:
        The graph, and the layers that are float in it.
    """
    left = layer_names(logits_graph)
    for layer in float_layers:
        if layer not in left:
            raise UsageError(f"{source.name} has no layer {layer!r}; its layers are {', '.join(left)}")
    left = [layer for layer in left if layer not in float_layers]
    calibration = calibration_images(source, training).astype(np.float32) * np.float32(source.pixel_scale)
    serialized = ir.to_proto(to_space_to_depth(logits_graph))

    def quantized(float_layers: tuple[str, ...]) -> ir.Model:
        graph = quantize(ir.from_proto(serialized), calibration, float_layers=float_layers)
        return answer_probabilities(take_quantized_pixels(graph, source.pixel_scale))

    def distance(float_layers: tuple[str, ...]) -> float:
        answers = GraphOutputs(quantized(float_layers))(gate.compared.images)
        return float(np.abs(answers - gate.compared.probabilities).mean())

    while True:
        graph = quantized(float_layers)
        _, problems = gate.judge(GraphOutputs(graph))
        if not left or not problems:
            return graph, float_layers
        worst = min(left, key=lambda layer: distance((*float_layers, layer)))
        float_layers = (*float_layers, worst)
        left.remove(worst)


def _uncertain_below(validation: ReferenceOutputs | None, answers: GraphOutputs) -> float:
    """The confidence that all but a hundredth of the validation images reach; a half where there are too few."""
    if validation is None or len(validation.images) * REFUSED < 1:
        return Metadata.uncertain_below
    reached = float(np.quantile(answers(validation.images).max(axis=1), REFUSED))
    # rounded down, or more than that hundredth would lie below
    return min(math.floor(reached * 1e4) / 1e4, _CLEAR)


def _compared_on(source: Source | Ensemble, reference: KerasOutputs) -> str:
    if reference.validation is None:
        return "reference images"
    # what validated one fold, the others learnt from: good for parity, no measure of accuracy
    alike = all(member.validation == source.validation for member in source.members)
    return "validation images" if alike else f"validation images of {source.validation}"


def _held_out(source: Source | Ensemble, training: Dataset | None, test: Dataset | None) -> Dataset | None:
    """The images that all members' runs held back or, where there are none, the test set."""
    if training is None or training.labels is None:
        return test
    rows = common_parts(training.labels, [member.validation for member in source.members]).held_back
    return training.taken(rows, "held-back") if len(rows) else test


def _test_figure(answers: GraphOutputs, test: Dataset | None, training: Dataset | None) -> dict[str, object] | None:
    """Errors on the test set; None without labels, or where it is what the model was trained on."""
    if test is None or test.labels is None or not len(test):
        return None
    if training is not None and training.sha256 == test.sha256:
        return None
    errors = int((answers(test.images).argmax(axis=1) != test.labels).sum())
    return {"name": test.name, "sha256": test.sha256, "errors": errors, "images": len(test.images)}


def _members(made: list[ConvertedModel], precision: Precision) -> tuple[Member, ...]:
    return tuple(
        Member(
            name=one.source.name,
            architecture=one.source.architecture,
            precision=precision,
            parameters=one.source.parameters,
            temperature=one.keras.temperature,
            calibrated=one.keras.calibrated,
            validation=one.source.validation,
        )
        for one in made
    )


def _preprocessing(labels: tuple[str, ...]) -> Preprocessing:
    """The form that pictures are brought to: that of Fashion-MNIST where the classes are its, else that of MNIST."""
    return "fashion-mnist" if labels == CATALOGUE["fashion-mnist"].class_names else "mnist"


def _about(source: Source | Ensemble, training: Dataset | None) -> dict[str, str]:
    """What the file says of the training data: what the run says, or else what was given."""
    about = {key: source.data[key] for key in ("name", "sha256", "licence") if key in source.data}
    if not about and training is not None:
        about = {"name": training.name, "sha256": training.sha256, "licence": training.licence}
    return about | ({"validation": source.validation} if about else {})


def _versions(source: Source | Ensemble) -> dict[str, str]:
    ours = ("digits-edge", "keras", "tensorflow", "tf2onnx", "onnx", "onnxruntime", "numpy")
    made = {library: version(library) for library in ours} | {"python": platform.python_version()}
    return made | {f"trained with {library}": number for library, number in source.versions.items()}
