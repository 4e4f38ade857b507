"""Pictures that show the preprocessing of a picture stage by stage, and its prediction: `explanation`."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from digits_edge.runtime.prediction import Prediction, probability_text, subject
from digits_edge.runtime.preprocessing.prepared import PreparedPicture, Stage

#: Side of a tile and gap around it, in pixels.
TILE, GAP = 200, 12
_CAPTION, _TEXT = 22, 15
_PAPER, _INK, _FAINT, _BAR, _BOX = "#ffffff", "#222222", "#777777", "#0072b2", "#d55e00"


def explanation(picture: Image.Image, seen: PreparedPicture, prediction: Prediction, *, name: str = "") -> Image.Image:
    """Draw a row of tiles: the picture with its ink boxed, the preprocessing stages, the model's input, the prediction.

    Args:
        picture: Image as `open_picture` returns it.
        seen: Result of `Classifier.prepare` for the picture.
        prediction: Result of `Classifier.predict` for `seen.image`.
        name: Title of the row.

    Returns:
        Image of mode RGB.

    Example:
        >>> from digits_edge.runtime import Classifier
        >>> picture = Image.new("L", (80, 60), "white")
        >>> with Classifier("edge-int8", provider="cpu") as classifier:
        ...     prepared = classifier.prepare(picture)
        ...     prediction = classifier.predict(prepared.image)
        >>> explanation(picture, prepared, prediction).mode
        'RGB'
    """
    height, width = seen.image.shape[:2]
    image = Stage(f"{height} by {width}, model input", seen.image)
    tiles = [("picture" if seen.box is None else f"picture, {_mark(prediction)} boxed", _with_box(picture, seen))]
    tiles += [(stage.name, _stage_tile(stage)) for stage in (*seen.stages, *([] if seen.blank else [image]))]
    has_bars = prediction.label is not None
    columns = len(tiles) + has_bars
    title, font = _title(prediction, name), ImageFont.load_default(_TEXT + 2)
    width = max(columns * (TILE + GAP) + GAP, round(font.getlength(title)) + 2 * GAP)
    row = Image.new("RGB", (width, TILE + 2 * GAP + 2 * _CAPTION), _PAPER)
    draw = ImageDraw.Draw(row)
    draw.text((GAP, GAP // 2), title, fill=_INK, font=font)
    for place, (caption, tile) in enumerate(tiles):
        left = GAP + place * (TILE + GAP)
        draw.text((left, GAP + _CAPTION), caption, fill=_FAINT, font=ImageFont.load_default(_TEXT - 2))
        row.paste(tile, (left, GAP + 2 * _CAPTION))
    if has_bars:
        _draw_bars(draw, prediction, GAP + len(tiles) * (TILE + GAP), GAP + 2 * _CAPTION)
    return row


def stacked(rows: Sequence[Image.Image]) -> Image.Image:
    """Stack rows vertically.

    Args:
        rows: Images of mode RGB as `explanation` returns them, at least one.

    Returns:
        Image of mode RGB.

    Example:
        >>> stacked([Image.new("RGB", (30, 10)), Image.new("RGB", (20, 10))]).size
        (30, 20)
    """
    stack = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), _PAPER)
    top = 0
    for row in rows:
        stack.paste(row, (0, top))
        top += row.height
    return stack


def _mark(prediction: Prediction) -> str:
    """What the preprocessing looks for in a picture."""
    return "object" if subject(prediction.labels) == "object" else "ink"


def _title(prediction: Prediction, name: str) -> str:
    found = subject(prediction.labels)
    result = f"several {found}s found" if prediction.status == "several" else f"blank: no {_mark(prediction)} found"
    if prediction.label is not None:
        result = f"{prediction.label}, {probability_text(prediction.confidence)}"
        result += "" if prediction.status == "ok" else f", {prediction.status}"
    return f"{name}: {result}" if name else result


def _with_box(picture: Image.Image, seen: PreparedPicture) -> Image.Image:
    """A tile with the picture and the boxes of its digits; transparent parts show a checkerboard."""
    scale, size, offset = _fitted(picture.size)
    small = picture.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST).convert("RGBA")
    tile = Image.new("RGBA", (TILE, TILE), _PAPER)
    rows, columns = np.indices((size[1], size[0])) // 8
    checkerboard = np.where((rows + columns) % 2, 215, 240).astype(np.uint8)
    tile.paste(Image.alpha_composite(Image.fromarray(checkerboard).convert("RGBA"), small), offset)
    for box in seen.boxes:
        sides = [round(side * scale) + offset[index % 2] for index, side in enumerate(box)]
        sides[2], sides[3] = max(sides[2] - 1, sides[0]), max(sides[3] - 1, sides[1])
        ImageDraw.Draw(tile).rectangle(tuple(sides), outline=_BOX, width=2)
    return tile.convert("RGB")


def _stage_tile(stage: Stage) -> Image.Image:
    pixels = np.rint(np.clip(stage.pixels / stage.white, 0, 1) * 255).astype(np.uint8)
    _, size, offset = _fitted((pixels.shape[1], pixels.shape[0]))
    tile = Image.new("RGB", (TILE, TILE), "black")
    tile.paste(Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST), offset)
    return tile


def _fitted(size: tuple[int, int]) -> tuple[float, tuple[int, int], tuple[int, int]]:
    """Scale that fits a picture of this width and height into a tile, the scaled size, and its upper left corner."""
    scale = TILE / max(size)
    width, height = (max(1, round(side * scale)) for side in size)
    return scale, (width, height), ((TILE - width) // 2, (TILE - height) // 2)


def _draw_bars(draw: ImageDraw.ImageDraw, prediction: Prediction, left: int, upper: int) -> None:
    """Draw the ten most probable classes with their probabilities."""
    font = ImageFont.load_default(_TEXT - 2)
    draw.text((left, upper - _CAPTION), "probabilities", fill=_FAINT, font=font)
    best = prediction.top(10)
    height = TILE / len(best)
    widest = max(draw.textlength(label, font=font) for label, _ in best) + 8
    bar_width = TILE - widest - draw.textlength(probability_text(1), font=font) - 6
    for place, (label, probability) in enumerate(best):
        top = upper + place * height
        draw.text((left, top + height / 2), label, fill=_INK, font=font, anchor="lm")
        right = left + widest + bar_width * probability
        draw.rectangle((left + widest, top + 3, max(right, left + widest + 1), top + height - 3), fill=_BAR)
        draw.text((right + 5, top + height / 2), probability_text(probability), fill=_FAINT, font=font, anchor="lm")
