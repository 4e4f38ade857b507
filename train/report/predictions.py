"""Predictions of a model for labelled images, and the report sections that show them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.model.image_input import Polarity
from digits_edge.train.charts.drawing import as_png, name_text
from digits_edge.train.charts.gallery import Tile, draw_gallery
from digits_edge.train.report.page import Block, Picture, Text

#: Number of misclassified images, and number per picture.
_MISCLASSIFIED, _PER_PICTURE = 24, 12
#: Number of misclassified images with saliency maps.
_EXPLAINED = 8
#: Sample predictions per class, and the maximum number of wrong ones among them.
_PER_CLASS, _WRONG_PER_CLASS = 6, 2
_CLASSES_PER_PICTURE = 5
#: Maximum number of characters of a class name below an image.
_NAME_LENGTH = 14
#: Samples and saliency maps are shown for at most this number of classes.
_MAX_CLASSES = 62

#: Saliency maps, (N, K, H, W), −1 to 1, for images, uint8 (N, H, W) or (N, H, W, 3), and K classes per image, (N, K).
Explain = Callable[[NDArray[np.uint8], NDArray[np.intp]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Predicted:
    """Labelled images and the predictions of a model.

    Attributes:
        images: uint8 (N, H, W) or (N, H, W, 3).
        labels: true classes, unsigned integers (N,).
        probabilities: float32 (N, C).
        names: names of the C classes.
        polarity: polarity of the images.

    Example:
        >>> images, labels = np.zeros((3, 28, 28), np.uint8), np.array([0, 0, 1], np.uint8)
        >>> probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]], np.float32)
        >>> Predicted(images, labels, probabilities, ("cat", "dog")).worst_mistakes(5).tolist()
        [1]
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.unsignedinteger]
    probabilities: NDArray[np.float32]
    names: tuple[str, ...]
    polarity: Polarity = "white-on-black"

    @property
    def classes(self) -> NDArray[np.intp]:
        """Predicted class of each image, (N,)."""
        classes: NDArray[np.intp] = self.probabilities.argmax(axis=1)
        return classes

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Probability of the predicted class, (N,)."""
        confidence: NDArray[np.float32] = self.probabilities.max(axis=1)
        return confidence

    def worst_mistakes(self, count: int) -> NDArray[np.intp]:
        """Return at most `count` rows with wrong predictions, the most confident first."""
        wrong = np.flatnonzero(self.classes != self.labels)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")][:count]

    def clearest(self) -> NDArray[np.intp]:
        """Return the row of the most confident correct prediction of each class that has one."""
        found = []
        for label in range(len(self.names)):
            correct = np.flatnonzero((self.classes == label) & (self.labels == label))
            if len(correct):
                found.append(correct[self.confidence[correct].argmax()])
        return np.array(found, dtype=np.intp)


def misclassified_images(predicted: Predicted) -> list[Block]:
    """Return the misclassified images with the highest confidence."""
    rows = predicted.worst_mistakes(_MISCLASSIFIED)
    if not len(rows):
        return [Text("All images are classified correctly.")]
    pictures = [
        Picture(
            as_png(draw_gallery([_tile(predicted, row) for row in part], 4, polarity=predicted.polarity)),
            "Misclassified images",
        )
        for part in (rows[start : start + _PER_PICTURE] for start in range(0, len(rows), _PER_PICTURE))
    ]
    text = "Wrong predictions with the highest confidence: predicted class, its probability, and true class."
    return [Text(text), *pictures]


def _tile(predicted: Predicted, row: int) -> Tile:
    return Tile(
        predicted.images[row], f"{_prediction_text(predicted, row)}\ntrue: {_name(predicted, predicted.labels[row])}"
    )


def _name(predicted: Predicted, label: int | np.integer) -> str:
    return name_text(predicted.names[label], _NAME_LENGTH)


def _prediction_text(predicted: Predicted, row: int, separator: str = "  ") -> str:
    name, confidence = _name(predicted, predicted.classes[row]), 100 * float(predicted.confidence[row])
    if confidence < 99:
        return f"{name}{separator}{confidence:.0f} %"
    # values such as 99.97 must not be rounded to 100
    return f"{name}{separator}{confidence:.1f} %" if confidence < 99.9 else f"{name}{separator}>99.9 %"


def sample_predictions(predicted: Predicted) -> list[Block]:
    """Return random images of each class with their predictions; wrong ones are marked."""
    rng = np.random.default_rng(0)
    wrong = predicted.classes != predicted.labels
    separator = "\n" if max(map(len, predicted.names)) > 2 else "  "
    tiles = []
    for label in np.unique(predicted.labels)[:_MAX_CLASSES]:
        rows = rng.permutation(np.flatnonzero(predicted.labels == label))
        first = rows[wrong[rows]][:_WRONG_PER_CLASS]
        others = rows[~wrong[rows]]
        chosen = [*first, *others][:_PER_CLASS]
        tiles.append(
            [
                Tile(predicted.images[row], _prediction_text(predicted, row, separator), bool(wrong[row]))
                for row in chosen
            ]
        )
    pictures = []
    for start in range(0, len(tiles), _CLASSES_PER_PICTURE):
        part = tiles[start : start + _CLASSES_PER_PICTURE]
        padded = [tile for row in part for tile in (*row, *[None] * (_PER_CLASS - len(row)))]
        figure = draw_gallery(padded, _PER_CLASS, font_size=8, polarity=predicted.polarity)
        pictures.append(Picture(as_png(figure), "Sample predictions"))
    return [
        Text(
            f"Random images, one row per class: up to {_WRONG_PER_CLASS} wrong predictions with an orange frame, then "
            "correct ones. Below each image: predicted class and its probability."
        ),
        *pictures,
    ]


def saliency_maps(predicted: Predicted, explain: Explain, explanation: str) -> list[Block]:
    """Return saliency maps of misclassified images and of one image per class.

    Args:
        predicted: images and predictions.
        explain: function that computes the maps.
        explanation: description of the maps.
    """
    blocks: list[Block] = [Text(explanation)]
    worst = predicted.worst_mistakes(_EXPLAINED)
    if len(worst):
        tiles = _pairs(predicted, worst, explain)
        for start in range(0, len(tiles), _EXPLAINED):
            caption = "Misclassified images with the maps of the predicted class (left) and the true class (right)."
            part = tiles[start : start + _EXPLAINED]
            figure = draw_gallery(part, 4, polarity=predicted.polarity)
            blocks.append(Picture(as_png(figure), "Saliency maps of misclassified images", caption))
    clear = predicted.clearest()[:_MAX_CLASSES]
    if len(clear):
        maps = explain(predicted.images[clear], predicted.labels[clear].astype(np.intp)[:, None])[:, 0]
        tiles = [
            Tile(predicted.images[row], _name(predicted, predicted.labels[row]), overlay=overlay)
            for row, overlay in zip(clear, maps, strict=True)
        ]
        caption = "The correct prediction with the highest confidence of each class."
        figure = draw_gallery(tiles, 5, polarity=predicted.polarity)
        blocks.append(Picture(as_png(figure), "Saliency maps of one image per class", caption))
    return blocks


def _pairs(predicted: Predicted, rows: NDArray[np.intp], explain: Explain) -> list[Tile]:
    """Return each image with the map of the predicted class, then with the map of the true class."""
    classes = np.stack([predicted.classes[rows], predicted.labels[rows].astype(np.intp)], axis=1)
    tiles = []
    for row, (map_predicted, map_true) in zip(rows, explain(predicted.images[rows], classes), strict=True):
        image, truth = predicted.images[row], _name(predicted, predicted.labels[row])
        tiles.append(Tile(image, f"for {_prediction_text(predicted, row)}", wrong=True, overlay=map_predicted))
        tiles.append(Tile(image, f"for {truth}", overlay=map_true))
    return tiles
