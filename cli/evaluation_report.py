"""Content of the page of `digits-edge evaluate`, for ONNX and Keras models."""

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
from digits_edge.runtime.model.image_input import ImageInput

if TYPE_CHECKING:
    from digits_edge.export import Source
    from digits_edge.train.evaluation.evaluation import Evaluation
    from digits_edge.train.models.layer import Layer
    from digits_edge.train.report.predictions import Explain

_GRAD_CAM = (
    "Grad-CAM (Selvaraju et al. 2017): orange marks where the last feature maps increase the logit of the class named "
    "below the image. Each map is scaled to its own maximum. An image without orange has no such region."
)
_OCCLUSION = (
    "Occlusion maps (Zeiler & Fergus 2014): a {} is moved over the image. Orange regions support  the class "
    "named below the image: its probability falls when they are hidden. Blue regions count against the class: its "
    "probability rises. Each map is scaled to its own maximum. In an image without colour, no square changes the "
    "probability."
)
_NO_CONVOLUTION = "Grad-CAM needs a convolution, which this model does not have. "
#: Maps with a smaller maximum are not scaled up, because occlusion hardly changes those predictions.
_MIN_PEAK = 0.02


def write_evaluation_page(
    target: Path,
    model: LoadedModel,
    dataset: Dataset,
    split: str,
    probabilities: NDArray[np.float32],
    evaluation: "Evaluation",
) -> None:
    """Render the evaluation page and write it atomically.

    Args:
        target: output file.
        model: the evaluated model.
        dataset: labelled images.
        split: name of the split.
        probabilities: float32 (N, C).
        evaluation: metrics of these probabilities.

    Raises:
        UsageError: an extra is not installed.
        InputError: the page cannot be written, or the history of the run folder is damaged.
    """
    show("rendering the page")
    with needs_extra("export"):
        layers = _layers(model)
    with needs_extra("train"):
        from digits_edge.train.report.evaluation_page import ModelSection, evaluation_page
        from digits_edge.train.report.page import write_page
        from digits_edge.train.report.predictions import Predicted
    explain, explanation = _saliency(model, dataset.image)
    assert dataset.labels is not None
    section = ModelSection(
        title=f"{model.name} on {dataset.name}",
        subtitle=f"{len(dataset):,} images, split {split}, provider {model.provider}",
        layers=layers,
        facts=_facts(model, layers),
        explain=explain,
        explanation=explanation,
        **_training(model),
    )
    predicted = Predicted(dataset.images, dataset.labels, probabilities, model.labels, dataset.image.polarity)
    write_page(target, evaluation_page(evaluation, predicted, section))


def _layers(model: LoadedModel) -> "list[Layer]":
    from digits_edge.train.models.layer import Layer

    if isinstance(model.predictor, Classifier):
        from digits_edge.export.graph.nodes import read_nodes

        return [Layer(**asdict(node)) for node in read_nodes(model.path)]
    from digits_edge.train.models.layers import keras_layers

    return keras_layers(model.predictor.model)


def _saliency(model: LoadedModel, image: ImageInput) -> "tuple[Explain, str]":
    """Return the function that computes saliency maps, and their description."""
    if not isinstance(model.predictor, Classifier):
        from digits_edge.train.evaluation.gradcam import has_maps

        if has_maps(model.predictor.model):
            return _grad_cams(model.predictor), _GRAD_CAM
        return _occlusions(model, image), _NO_CONVOLUTION + _occlusion_text(image)
    return _occlusions(model, image), _occlusion_text(image)


def _grad_cams(source: "Source") -> "Explain":
    from digits_edge.train.evaluation.gradcam import grad_cam

    def explain(images: NDArray[np.uint8], classes: NDArray[np.intp]) -> NDArray[np.float32]:
        inputs = source.inputs(images)
        size = images.shape[1:3]
        return np.stack([grad_cam(source.model, inputs, column, size) for column in classes.T], axis=1)

    return explain


def _occlusions(model: LoadedModel, image: ImageInput) -> "Explain":
    from digits_edge.runtime.checks.occlusion import occlusion_level, occlusion_maps

    def explain(images: NDArray[np.uint8], classes: NDArray[np.intp]) -> NDArray[np.float32]:
        show("computing occlusion maps")
        maps = occlusion_maps(model.probabilities, images, level=occlusion_level(image.polarity))
        chosen = np.take_along_axis(maps, classes[:, :, None, None], axis=1)
        peaks = np.abs(chosen).max(axis=(2, 3), keepdims=True)
        scaled: NDArray[np.float32] = chosen / np.maximum(peaks, _MIN_PEAK)
        return scaled

    return explain


def _occlusion_text(image: ImageInput) -> str:
    colour = "black" if image.polarity == "white-on-black" else "grey"
    return _OCCLUSION.format(f"{colour} square of about a fifth of the image's side")


def _facts(model: LoadedModel, layers: "Sequence[Layer]") -> list[tuple[str, str]]:
    trained_on = str(model.data.get("name", "unknown"))
    if not isinstance(model.predictor, Classifier):
        return [
            ("architecture", model.predictor.architecture),
            ("parameters", f"{sum(layer.parameters for layer in layers):,}"),
            ("input range", model.predictor.pixel_range.description),
            ("temperature", "1, not calibrated"),
            ("trained on", trained_on),
        ]
    metadata = model.predictor.metadata
    facts = [
        ("model", metadata.name),
        ("precision", metadata.precision),
        ("file", f"{model.path.stat().st_size / 1000:,.0f} kB"),
        ("provider", f"{model.predictor.provider}, {model.predictor.threads} thread(s)"),
        ("temperature", f"{metadata.temperature:g}" if metadata.calibrated else "1, not calibrated"),
        ("trained on", trained_on),
    ]
    if parity := metadata.parity:
        facts.append(("max. difference from Keras", f"{parity['max_difference']:.2g}"))
        facts.append(("changed predictions", f"{parity['changed']} of {parity['images']:,}"))
    return facts


def _training(model: LoadedModel) -> dict[str, Any]:
    """Read the training record of a run folder as arguments of `ModelSection`; empty for a file."""
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
        ("selected epoch", f"{kept['epoch']:.0f}"),
        ("validation accuracy", f"{100 * kept['val_accuracy']:.2f} %"),
        *([("training time", duration_text(result["seconds"]))] if "seconds" in result else []),
    ]
    settings = _flat(recipe) | _flat({"versions": about.get("versions", {})})
    rows = [(name, setting_text(value)) for name, value in settings.items()]
    return {"history": history, "kept": kept, "training": figures, "settings": rows}


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings to keys like "augmentation: zoom"; omit None."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        key = f"{prefix}{name.replace('_', ' ')}"
        if isinstance(value, dict):
            flat |= _flat(value, f"{key}: ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            flat |= _flat({str(number): each for number, each in enumerate(value, start=1)}, f"{key} ")
        elif value is not None:
            flat[key] = value
    return flat
