"""The entries of a model file's metadata that describe an export."""

import math
import platform
from dataclasses import replace
from importlib.metadata import version

import numpy as np

from digits_edge.export.ensemble import Ensemble, mean_probabilities
from digits_edge.export.gate import GraphOutputs
from digits_edge.export.keras_outputs import KerasOutputs, ReferenceOutputs
from digits_edge.export.member import ConvertedModel, labelled_name
from digits_edge.export.source import Source
from digits_edge.runtime.datasets import Dataset, common_parts
from digits_edge.runtime.model.model_file import Member, Metadata, Precision

#: Share of the validation images that get the status "uncertain".
REFUSED = 0.01
#: Predictions with at least this confidence are never "uncertain", even if a model is overconfident.
_MAX_UNCERTAIN_BELOW = 0.99


def uncertain_below(validation: ReferenceOutputs | None, predict: GraphOutputs) -> float:
    """The confidence threshold that 99 % of the validation images reach; the default with too few images."""
    if validation is None or len(validation.images) * REFUSED < 1:
        return Metadata.uncertain_below
    threshold = float(np.quantile(predict(validation.images).max(axis=1), REFUSED))
    # rounded down, so that no more images are below it
    return min(math.floor(threshold * 1e4) / 1e4, _MAX_UNCERTAIN_BELOW)


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


def versions(source: Source | Ensemble) -> dict[str, str]:
    """The versions of the libraries that export and, if known, of those that trained."""
    return library_versions(source.versions)


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
