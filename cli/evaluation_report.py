"""The page of `digits-edge evaluate`: what is known of a model of either side, brought to the form the page takes."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from digits_edge.cli.extras import needs_extra
from digits_edge.cli.loaded_model import LoadedModel
from digits_edge.cli.output import show
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets import Dataset

if TYPE_CHECKING:
    from digits_edge.export import Source
    from digits_edge.train.evaluation.evaluation import Evaluation
    from digits_edge.train.models.layer import Layer
    from digits_edge.train.report.predictions import Explain

_GRAD_CAM = (
    "Grad-CAM (Selvaraju et al. 2017): orange is where the last feature maps speak for the class under the picture. "
    "Each map is scaled to its own peak; a picture without orange has nowhere a sum that speaks for the class."
)
_OCCLUSION = (
    "Occlusion maps (Zeiler & Fergus 2014): a black square of 6×6 pixels hides one part after the other. Orange is "
    "what the class under the picture needs: its probability falls where that is hidden. Blue is what speaks against "
    "the class: its probability rises. Each map is scaled to its own peak; a picture without colour is answered alike, "
    "whatever is hidden."
)
_NO_CONVOLUTION = "This model has no convolution, so there is no Grad-CAM of it. "
#: A map whose peak is less is drawn paler, not scaled up: hiding parts hardly changes that answer.
_FAINT = 0.02


def write_evaluation_page(
    target: Path,
    model: LoadedModel,
    dataset: Dataset,
    split: str,
    probabilities: NDArray[np.float32],
    evaluation: "Evaluation",
) -> None:
    """Draw everything and write the page, whole.

    Raises:
        UsageError: an extra is missing.
        InputError: it cannot be written, or the run folder's history is damaged.
    """
    show("drawing the page")
    with needs_extra("export"):
        layers = _layers(model)
    with needs_extra("train"):
        from digits_edge.train.report.evaluation_page import ModelSection, evaluation_page
        from digits_edge.train.report.page import write_page
        from digits_edge.train.report.predictions import Predicted
    explain, explained = _explaining(model)
    assert dataset.labels is not None
    portrait = ModelSection(
        title=f"{model.asked} on {dataset.name}",
        subtitle=f"{len(dataset):,} images of the split {split}, answered by {model.provider}",
        layers=layers,
        facts=_facts(model, layers),
        explain=explain,
        explained=explained,
        **_training(model),
    )
    answered = Predicted(dataset.images, dataset.labels, probabilities, model.labels)
    write_page(target, evaluation_page(evaluation, answered, portrait))


def _layers(model: LoadedModel) -> "list[Layer]":
    from digits_edge.train.models.layer import Layer

    if isinstance(model.opened, Classifier):
        from digits_edge.export.graph.nodes import read_nodes

        return [Layer(**asdict(node)) for node in read_nodes(model.path)]
    from digits_edge.train.models.layers import keras_layers

    return keras_layers(model.opened.model)


def _explaining(model: LoadedModel) -> "tuple[Explain, str]":
    """What draws where the model looks, and the words for it."""
    if not isinstance(model.opened, Classifier):
        from digits_edge.train.evaluation.gradcam import has_maps

        if has_maps(model.opened.model):
            return _grad_cams(model.opened), _GRAD_CAM
        return _occlusions(model), _NO_CONVOLUTION + _OCCLUSION
    return _occlusions(model), _OCCLUSION


def _grad_cams(source: "Source") -> "Explain":
    from digits_edge.train.evaluation.gradcam import grad_cam

    def explain(images: NDArray[np.uint8], classes: NDArray[np.intp]) -> NDArray[np.float32]:
        inputs = source.inputs(images)
        return np.stack([grad_cam(source.model, inputs, column) for column in classes.T], axis=1)

    return explain


def _occlusions(model: LoadedModel) -> "Explain":
    from digits_edge.runtime.checks.occlusion import occlusion_maps

    def explain(images: NDArray[np.uint8], classes: NDArray[np.intp]) -> NDArray[np.float32]:
        show("hiding parts of images")
        maps = occlusion_maps(model.probabilities, images)
        chosen = np.take_along_axis(maps, classes[:, :, None, None], axis=1)
        peaks = np.abs(chosen).max(axis=(2, 3), keepdims=True)
        scaled: NDArray[np.float32] = chosen / np.maximum(peaks, _FAINT)
        return scaled

    return explain


def _facts(model: LoadedModel, layers: "Sequence[Layer]") -> list[tuple[str, str]]:
    trained_on = str(model.data.get("name", "unknown"))
    if not isinstance(model.opened, Classifier):
        return [
            ("architecture", model.opened.architecture),
            ("parameters", f"{sum(layer.parameters for layer in layers):,}"),
            ("white in its input", str(model.opened.input_scale)),
            ("temperature", "1: as Keras answers, not calibrated"),
            ("trained on", trained_on),
        ]
    metadata = model.opened.metadata
    facts = [
        ("model", metadata.name),
        ("precision", metadata.precision),
        ("file", f"{model.path.stat().st_size / 1000:,.0f} kB"),
        ("provider", f"{model.opened.provider}, {model.opened.threads} thread(s)"),
        ("temperature", f"{metadata.temperature:g}" if metadata.calibrated else "1, not calibrated"),
        ("trained on", trained_on),
    ]
    if parity := metadata.parity:
        facts.append(("differs from Keras by", f"{parity['max_difference']:.2g} at most"))
        facts.append(("answers changed", f"{parity['changed']} of {parity['images']:,}"))
    return facts


def _training(model: LoadedModel) -> dict[str, Any]:
    """What a run folder knows of its training, as arguments of `ModelSection`; nothing for a bare file."""
    if not model.path.is_dir():
        return {}
    from digits_edge.train.charts.units import duration_text, setting_text
    from digits_edge.train.training.recipe import read_recipe
    from digits_edge.train.training.run_folder import HISTORY, RECIPE, kept_epoch, read_history

    about = json.loads((model.path / RECIPE).read_text("utf-8"))
    history = read_history(model.path / HISTORY)
    kept = kept_epoch(history, read_recipe(model.path / RECIPE).keep)
    result = about.get("result", {})
    recipe = about["recipe"]
    figures = [
        ("epochs", f"{len(history)} of {recipe['epochs']}"),
        ("kept epoch", f"{kept['epoch']:.0f}"),
        ("validation", f"{100 * kept['val_accuracy']:.2f} % right"),
        *([("training took", duration_text(result["seconds"]))] if "seconds" in result else []),
    ]
    settings = _flat(recipe) | _flat({"versions": about.get("versions", {})})
    said = [(name, setting_text(value)) for name, value in settings.items()]
    return {"history": history, "kept": kept, "training": figures, "settings": said}


def _flat(values: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings as one level, "augmentation: zoom" among them; what is not set is left out."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        said = f"{before}{name.replace('_', ' ')}"
        if isinstance(value, dict):
            flat |= _flat(value, f"{said}: ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            flat |= _flat({str(number): each for number, each in enumerate(value, start=1)}, f"{said} ")
        elif value is not None:
            flat[said] = value
    return flat
