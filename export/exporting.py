"""`export()`: from a Keras model to a model file that has passed its gates, or to nothing."""

import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from digits_edge.export.contract import answer_probabilities, take_pixels, take_quantized_pixels
from digits_edge.export.convert import convert
from digits_edge.export.folding import divide_logits, scale_input
from digits_edge.export.half import to_half
from digits_edge.export.package import package
from digits_edge.export.quantize import layer_names, quantize
from digits_edge.export.reference import candidate_images, steady
from digits_edge.export.source import Source
from digits_edge.export.temperature import fit_temperature, softmax
from digits_edge.runtime.datasets import Dataset, parts, stratified
from digits_edge.runtime.errors import CheckError, UsageError
from digits_edge.runtime.files import refuse_existing, written_whole
from digits_edge.runtime.golden import GoldenAnswers
from digits_edge.runtime.model_file import INPUT_NAME, Metadata, Precision
from digits_edge.runtime.parity import GOLDEN_TOLERANCE, Parity, compare, golden_shortfalls, shortfalls
from digits_edge.runtime.providers import open_session

MODEL_VERSION = "1.0.0"
CALIBRATION_IMAGES = 500
_BATCH = 500
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


@dataclass(frozen=True)
class _Images:
    """Images, Keras's calibrated answers to them, and the truth where it is known."""

    images: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    labels: NDArray[np.uint8] | None


def export(
    source: Source,
    target: Path,
    *,
    precision: Precision,
    training: Dataset | None = None,
    test: Dataset | None = None,
    name: str | None = None,
    command: str = "",
    overwrite: bool = False,
    listener: Listener = lambda step: None,
) -> Exported:
    """Convert a Keras classifier to one model file, verify it against Keras, and write it if it holds.

    Args:
        source: the Keras classifier.
        target: where the model file goes.
        precision: of its weights and arithmetic.
        training: the labelled data it was trained on. Its validation part fits the temperature and is compared with
            Keras; int8 takes its ranges from the rest. Without it the temperature is 1 and the comparison is on the
            reference images alone.
        test: labelled images for the test figure that the file reports; no choice depends on them. A run that held
            images of its training data back is tested on those.
        name: of the model; by default the source's name with the precision.
        command: the command line that asked for it, for the record.
        overwrite: replace a file that exists.
        listener: told of every step.

    Raises:
        UsageError: int8 without training data, data that the model was not trained on, or a target that exists.
        CheckError: the file would not answer like Keras; nothing is written.
        ModelError: a layer cannot be converted.
    """
    refuse_existing(target, overwrite=overwrite)
    _check_data(source, training, precision)
    listener("converting")
    float_graph = convert(source.model)

    listener("asking Keras")
    reference_images = candidate_images()
    reference_logits = source.logits(reference_images)
    fitted, compared = None, None
    if training is not None and training.labels is not None:
        rows = parts(training.labels, source.validation)
        calibration = rows.train[stratified(training.labels[rows.train], CALIBRATION_IMAGES)]
        validating = training.taken(rows.validation, "validation")
        logits = source.logits(validating.images)
        fitted = fit_temperature(logits, training.labels[rows.validation])
        compared = _Images(validating.images, softmax(logits, fitted or 1.0), validating.labels)
        if len(rows.held_back):
            test = training.taken(rows.held_back, "held-back")
    temperature = fitted or 1.0
    reference = _Images(reference_images, softmax(reference_logits, temperature), None)
    gate = _Gate(precision, compared or reference, _golden(reference, precision))

    listener(f"making {precision}")
    logits_graph = divide_logits(float_graph, temperature)
    float_layers: tuple[str, ...] = ()
    if precision == "int8":
        assert training is not None  # or `_check_data` had refused
        graph, float_layers = _int8(logits_graph, source.pixel_scale, training.images[calibration], gate)
    else:
        graph = take_pixels(scale_input(logits_graph, source.pixel_scale))
        graph = answer_probabilities(to_half(graph) if precision == "fp16" else graph)

    listener("verifying")
    answers = _Answers(graph)
    parity, problems = gate.judge(answers)
    if problems:
        raise CheckError(f"the {precision} model does not answer like Keras, nothing is written: {'; '.join(problems)}")
    metadata = Metadata(
        name=name or f"{source.name}-{precision}",
        version=MODEL_VERSION,
        architecture=source.architecture,
        precision=precision,
        labels=source.labels,
        parameters=int(source.model.count_params()),
        temperature=temperature,
        calibrated=fitted is not None,
        data=_about(source, training),
        test=_test_figure(answers, test, training),
        parity={"on": "reference images" if compared is None else "validation images", **asdict(parity)},
        versions=_versions(source),
        command=command,
    )
    content = package(graph, metadata, gate.golden)
    with written_whole(target) as stream:
        stream.write(content)
    return Exported(target, len(content), metadata, parity, float_layers)


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


def _golden(reference: _Images, precision: Precision) -> GoldenAnswers:
    rows = steady(reference.probabilities)
    if not rows.size:
        raise CheckError(
            "Keras is clear on none of the reference digits; is --input-scale right, and is the model trained?"
        )
    return GoldenAnswers(reference.images[rows], reference.probabilities[rows], GOLDEN_TOLERANCE[precision])


def _int8(
    logits_graph: ir.Model, pixel_scale: float, images: NDArray[np.uint8], gate: "_Gate"
) -> tuple[ir.Model, tuple[str, ...]]:
    """Quantize all layers; while the gate fails, leave that layer float which brings the answers nearest to Keras."""
    calibration = images.astype(np.float32) * np.float32(pixel_scale)
    serialized = ir.to_proto(logits_graph)

    def quantized(float_layers: tuple[str, ...]) -> ir.Model:
        graph = quantize(ir.from_proto(serialized), calibration, float_layers=float_layers)
        return answer_probabilities(take_quantized_pixels(graph, pixel_scale))

    def distance(float_layers: tuple[str, ...]) -> float:
        answers = _Answers(quantized(float_layers))(gate.compared.images)
        return float(np.abs(answers - gate.compared.probabilities).mean())

    float_layers: tuple[str, ...] = ()
    left = layer_names(logits_graph)
    while True:
        graph = quantized(float_layers)
        _, problems = gate.judge(_Answers(graph))
        if not left or not problems:
            return graph, float_layers
        worst = min(left, key=lambda layer: distance((*float_layers, layer)))
        float_layers = (*float_layers, worst)
        left.remove(worst)


class _Answers:
    """What a graph answers, on the CPU provider."""

    def __init__(self, graph: ir.Model) -> None:
        self._session = open_session(ir.to_proto(graph).SerializeToString(), "cpu").session

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        batches = [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
        return np.concatenate([self._session.run(None, {INPUT_NAME: batch})[0] for batch in batches])


@dataclass(frozen=True)
class _Gate:
    """What a model has to answer like Keras before it is written."""

    precision: Precision
    compared: _Images
    golden: GoldenAnswers

    def judge(self, answers: _Answers) -> tuple[Parity, list[str]]:
        """How far the answers are from Keras's, and what of it is too far."""
        parity = compare(self.compared.probabilities, answers(self.compared.images), self.compared.labels)
        golden = compare(self.golden.probabilities, answers(self.golden.images))
        return parity, shortfalls(parity, self.precision) + golden_shortfalls(golden, self.golden.tolerance)


def _test_figure(answers: _Answers, test: Dataset | None, training: Dataset | None) -> dict[str, object] | None:
    """Errors on the test set; None without labels, or where it is what the model was trained on."""
    if test is None or test.labels is None or not len(test):
        return None
    if training is not None and training.sha256 == test.sha256:
        return None
    errors = int((answers(test.images).argmax(axis=1) != test.labels).sum())
    return {"name": test.name, "sha256": test.sha256, "errors": errors, "images": len(test.images)}


def _about(source: Source, training: Dataset | None) -> dict[str, str]:
    """What the file says of the training data: what the run says, or else what was given."""
    about = {key: source.data[key] for key in ("name", "sha256", "licence") if key in source.data}
    if not about and training is not None:
        about = {"name": training.name, "sha256": training.sha256, "licence": training.licence}
    return about | ({"validation": source.validation} if about else {})


def _versions(source: Source) -> dict[str, str]:
    ours = ("digits-edge", "keras", "tensorflow", "tf2onnx", "onnx", "onnxruntime", "numpy")
    made = {library: version(library) for library in ours} | {"python": platform.python_version()}
    return made | {f"trained with {library}": number for library, number in source.versions.items()}
