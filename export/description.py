"""The entries of a model file's metadata that describe an export."""

import math
import platform
from dataclasses import replace
from importlib.metadata import version
from typing import Protocol

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from digits_edge.export.ensemble import Ensemble, mean_probabilities
from digits_edge.export.gate import GraphOutputs
from digits_edge.export.keras_outputs import KerasOutputs
from digits_edge.export.member import ConvertedModel, labelled_name
from digits_edge.export.precision.overflow import MAX_PAIR_SUM, bounds
from digits_edge.export.source import Source
from digits_edge.runtime.datasets import Dataset, common_parts
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.model_file import Member, Metadata, Precision
from digits_edge.runtime.model.steps import PreprocessingStep

MODEL_VERSION = "1.2.0"

#: Share of the validation images that get the status "uncertain".
REFUSED = 0.01
#: Largest share of wrong predictions among those of the calibration images that are not "uncertain". Half as many would
#: make 1 in 12 digits of cheques uncertain (docs/explanation/made-images.md).
MAX_RISK = 0.003
#: Predictions with at least this confidence are never "uncertain", even if a model is overconfident.
_MAX_UNCERTAIN_BELOW = 0.99


class Described(Protocol):
    """The entries of a Keras model's source that the metadata repeats: `Source`, `Ensemble` or `LineSource`."""

    @property
    def name(self) -> str:
        """Name of the source."""

    @property
    def architecture(self) -> str:
        """Name of the network."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes."""

    @property
    def parameters(self) -> int:
        """Number of weights."""

    @property
    def image(self) -> ImageInput:
        """Size, channels and polarity of the input."""

    @property
    def preprocessing(self) -> tuple[PreprocessingStep, ...]:
        """The steps that convert a picture to the input."""

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the libraries of the training."""


def described(source: Described, graph: ir.Model, precision: Precision, *, name: str | None, command: str) -> Metadata:
    """The metadata of any export: the entries from its source, its graph and its command line.

    Args:
        source: the Keras model.
        graph: the exported graph.
        precision: of weights and arithmetic.
        name: name of the model; by default the name of the source and the precision.
        command: the command line.

    Returns:
        Metadata whose other entries have their defaults.
    """
    pair_sums = bounds(graph)
    return Metadata(
        name=name or f"{source.name}-{precision}",
        version=MODEL_VERSION,
        architecture=source.architecture,
        precision=precision,
        labels=source.labels,
        parameters=source.parameters,
        input=source.image,
        preprocessing=source.preprocessing,
        overflow_free=max(pair_sums.values(), default=0) <= MAX_PAIR_SUM,
        largest_pair_sums=pair_sums,
        versions=library_versions(source.versions),
        command=command,
    )


def uncertain_below(outputs: KerasOutputs, predict: GraphOutputs) -> float:
    """The confidence below which a prediction is uncertain.

    99 % of the validation images reach it. If the run stored images for the calibration, it is also so high that at
    most `MAX_RISK` of the predictions that reach it are wrong (Geifman and El-Yaniv 2017, "Selective classification for
    deep neural networks").

    Args:
        outputs: Keras's predictions, whose images and labels are used.
        predict: the exported graph.

    Returns:
        The threshold; the default with too few images.
    """
    validation, calibration = outputs.validation, outputs.calibration
    if validation is None or calibration is None or len(validation.images) * REFUSED < 1:
        return Metadata.uncertain_below
    probabilities = predict(calibration.images)
    count = len(validation.images)
    threshold = float(np.quantile(probabilities[:count].max(axis=1), REFUSED))
    if len(calibration.images) > count and calibration.labels is not None:
        threshold = max(threshold, threshold_of_risk(probabilities, calibration.labels, MAX_RISK))
    # rounded down, so that no more images are below it
    return min(math.floor(threshold * 1e4) / 1e4, _MAX_UNCERTAIN_BELOW)


def threshold_of_risk(probabilities: NDArray[np.float32], labels: NDArray[np.unsignedinteger], risk: float) -> float:
    """The smallest confidence such that at most a share of the predictions that reach it are wrong.

    Args:
        probabilities: (N, C).
        labels: true classes, (N,).
        risk: largest share of wrong predictions.

    Returns:
        A confidence of one of the images; 1 if there is none.

    Example:
        >>> probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], np.float32)
        >>> round(threshold_of_risk(probabilities, np.array([0, 0, 0, 0], np.uint8), 0.1), 4)  # the third is wrong
        0.8
    """
    confidences = probabilities.max(axis=1)
    order = np.argsort(-confidences, kind="stable")
    errors = np.cumsum(probabilities.argmax(axis=1)[order] != labels[order])
    allowed = np.flatnonzero(errors <= risk * np.arange(1, len(order) + 1))
    return float(confidences[order[allowed[-1]]]) if len(allowed) else 1.0


def compared_on(source: Source | Ensemble, reference: KerasOutputs) -> str:
    """What the graph was compared with Keras on."""
    if reference.validation is None:
        return "reference images"
    # the validation images of one fold are training images of the others: valid for parity, but not for accuracy
    shared = all(member.validation == source.validation for member in source.members)
    return "validation images" if shared else f"validation images of {source.validation}"


def held_out(source: Source | Ensemble, training: Dataset | None, test: Dataset | None) -> Dataset | None:
    """The images that the runs of all members held back; without any, the test set."""
    if training is None or training.labels is None:
        return test
    rows = common_parts(training.labels, [member.validation for member in source.members]).held_back
    return training.taken(rows, "held-back") if len(rows) else test


def test_errors(predict: GraphOutputs, test: Dataset | None, training: Dataset | None) -> dict[str, object] | None:
    """Errors on the test set; None if it has no labels or is the training data."""
    if test is None or test.labels is None or not len(test):
        return None
    if training is not None and training.sha256 == test.sha256:
        return None
    errors = int((predict(test.images).argmax(axis=1) != test.labels).sum())
    return {"name": test.name, "sha256": test.sha256, "errors": errors, "images": len(test.images)}


def members(converted: list[ConvertedModel], precision: Precision) -> tuple[Member, ...]:
    """The entries of an ensemble's members."""
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


def data_metadata(source: Source | Ensemble, training: Dataset | None) -> dict[str, str]:
    """The training data recorded in the run or, without a record, the data passed to `export`."""
    data = {key: source.data[key] for key in ("name", "sha256", "licence") if key in source.data}
    if not data and training is not None:
        data = {"name": training.name, "sha256": training.sha256, "licence": training.licence}
    return data | ({"validation": source.validation} if data else {})


def library_versions(trained_with: dict[str, str]) -> dict[str, str]:
    """The versions of the libraries that export, and of those that trained."""
    libraries = ("digits-edge", "keras", "tensorflow", "tf2onnx", "onnx", "onnxruntime", "numpy")
    exported_with = {library: version(library) for library in libraries} | {"python": platform.python_version()}
    return exported_with | {f"trained with {library}": number for library, number in trained_with.items()}


def keras_accuracy(reference: KerasOutputs, converted: list[ConvertedModel]) -> dict[str, object] | None:
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
    return {"on": labelled_name(reference), "errors": errors, "images": len(labels)}
