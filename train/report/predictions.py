"""Labelled images and a model's answers to them, and the parts of a page that show them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digits_edge.train.charts.drawing import as_png
from digits_edge.train.charts.gallery import Tile, draw_gallery
from digits_edge.train.report.page import Block, Picture, Text

#: How many of the worst mistakes are shown, and how many on one picture.
_MISTAKES, _PER_PICTURE = 24, 12
#: Of how many of them it is shown where the model looked.
_EXPLAINED = 8
#: Images of each class in the gallery of predictions, and how many of them are mistakes where there are so many.
_PER_CLASS, _WRONG_PER_CLASS = 6, 2
_CLASSES_PER_PICTURE = 5

#: Maps of what speaks for classes, (N, K, 28, 28), −1 to 1, of images (N, 28, 28) and K classes for each, (N, K).
Explain = Callable[[NDArray[np.uint8], NDArray[np.intp]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Predicted:
    """Labelled images and a model's answers to them.

    Attributes:
        images: uint8, (N, 28, 28).
        labels: the truth, (N,).
        probabilities: (N, C).
        names: of the C classes.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    names: tuple[str, ...]

    @property
    def said(self) -> NDArray[np.intp]:
        """The most probable class of each image, (N,)."""
        said: NDArray[np.intp] = self.probabilities.argmax(axis=1)
        return said

    @property
    def confidence(self) -> NDArray[np.float32]:
        """That class's probability, (N,)."""
        confidence: NDArray[np.float32] = self.probabilities.max(axis=1)
        return confidence

    def worst_mistakes(self, count: int) -> NDArray[np.intp]:
        """Rows of wrong answers, the most confident first; at most `count`."""
        wrong = np.flatnonzero(self.said != self.labels)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")][:count]

    def clearest(self) -> NDArray[np.intp]:
        """For each class the row of the right answer with the highest confidence; none where there is none."""
        found = []
        for label in range(len(self.names)):
            right = np.flatnonzero((self.said == label) & (self.labels == label))
            if len(right):
                found.append(right[self.confidence[right].argmax()])
        return np.array(found, dtype=np.intp)


def mistakes(answered: Predicted) -> list[Block]:
    """The worst mistakes with what was said and what was true."""
    rows = answered.worst_mistakes(_MISTAKES)
    if not len(rows):
        return [Text("There is none: every image was answered rightly.")]
    pictures = [
        Picture(
            as_png(draw_gallery([_tile(answered, row) for row in rows[start : start + _PER_PICTURE]], 4)),
            "Images that were answered wrongly",
        )
        for start in range(0, len(rows), _PER_PICTURE)
    ]
    text = "The wrong answers with the highest confidence: what was said, its probability, and what was true."
    return [Text(text), *pictures]


def _tile(answered: Predicted, row: int) -> Tile:
    return Tile(answered.images[row], f"{_said(answered, row)}\nis {answered.names[answered.labels[row]]}")


def _said(answered: Predicted, row: int, between: str = "  ") -> str:
    name, confidence = answered.names[answered.said[row]], 100 * float(answered.confidence[row])
    if confidence < 99:
        return f"{name}{between}{confidence:.0f} %"
    # 99.97 is not certain, and rounding must not say so
    return f"{name}{between}{confidence:.1f} %" if confidence < 99.9 else f"{name}{between}>99.9 %"


def predictions(answered: Predicted) -> list[Block]:
    """Some images of each class with the answers, the wrong ones marked."""
    rng = np.random.default_rng(0)
    wrong = answered.said != answered.labels
    between = "\n" if max(map(len, answered.names)) > 2 else "  "
    tiles = []
    for label in np.unique(answered.labels):
        rows = rng.permutation(np.flatnonzero(answered.labels == label))
        first = rows[wrong[rows]][:_WRONG_PER_CLASS]
        others = rows[~wrong[rows]]
        chosen = [*first, *others][:_PER_CLASS]
        tiles.append([Tile(answered.images[row], _said(answered, row, between), bool(wrong[row])) for row in chosen])
    pictures = []
    for start in range(0, len(tiles), _CLASSES_PER_PICTURE):
        part = tiles[start : start + _CLASSES_PER_PICTURE]
        padded = [tile for row in part for tile in (*row, *[None] * (_PER_CLASS - len(row)))]
        pictures.append(Picture(as_png(draw_gallery(padded, _PER_CLASS, font_size=8)), "Images and answers"))
    return [
        Text(
            f"A line for each class, of images drawn at random: up to {_WRONG_PER_CLASS} wrong answers first, with an "
            "orange frame, then right ones. Under each what was said and its probability."
        ),
        *pictures,
    ]


def looking(answered: Predicted, explain: Explain, explained: str) -> list[Block]:
    """Where the model looks: over the worst mistakes, and over one clear image of each class.

    Args:
        answered: images and answers.
        explain: draws where it looks.
        explained: what its maps show, in a sentence or two.
    """
    blocks: list[Block] = [Text(explained)]
    worst = answered.worst_mistakes(_EXPLAINED)
    if len(worst):
        tiles = _pairs(answered, worst, explain)
        for start in range(0, len(tiles), _EXPLAINED):
            caption = "Mistakes, each twice: with what speaks for the wrong answer, and with what speaks for the truth."
            part = tiles[start : start + _EXPLAINED]
            blocks.append(Picture(as_png(draw_gallery(part, 4)), "Maps over the worst mistakes", caption))
    clear = answered.clearest()
    if len(clear):
        maps = explain(answered.images[clear], answered.labels[clear].astype(np.intp)[:, None])[:, 0]
        tiles = [
            Tile(answered.images[row], answered.names[answered.labels[row]], overlay=overlay)
            for row, overlay in zip(clear, maps, strict=True)
        ]
        caption = "Of every class the right answer with the highest confidence."
        blocks.append(Picture(as_png(draw_gallery(tiles, 5)), "Maps over one clear image of each class", caption))
    return blocks


def _pairs(answered: Predicted, rows: NDArray[np.intp], explain: Explain) -> list[Tile]:
    """Each image with the map of what was said, then with the map of what was true."""
    classes = np.stack([answered.said[rows], answered.labels[rows].astype(np.intp)], axis=1)
    tiles = []
    for row, (for_said, for_truth) in zip(rows, explain(answered.images[rows], classes), strict=True):
        image, truth = answered.images[row], answered.names[answered.labels[row]]
        tiles.append(Tile(image, f"for {_said(answered, row)}", wrong=True, overlay=for_said))
        tiles.append(Tile(image, f"for {truth}", overlay=for_truth))
    return tiles
