"""Pictures with what was read in them: `overlay`."""

from PIL import Image, ImageDraw, ImageFont

from digits_edge.runtime.prediction import probability_text
from digits_edge.runtime.preprocessing.pictures import full_size
from digits_edge.runtime.reader.reading import Reading

#: Colours of the statuses, which also differ in brightness, and of the boxes of characters.
_COLOURS = {"ok": "#0072b2", "uncertain": "#d55e00"}
_OTHER, _CHARACTER = "#777777", "#56b4e9"
#: The pictures are reduced to this number of pixels at most.
MAX_SIDE = 2000
#: Height of the text as a share of the longer side.
_TEXT_SHARE = 1 / 40


def overlay(picture: Image.Image, reading: Reading) -> Image.Image:
    """Draw the boxes of lines and characters on a picture, and the numbers above them.

    Args:
        picture: Image as `open_picture` returns it.
        reading: the reading of this picture.

    Returns:
        Image of mode RGB.

    Example:
        >>> from digits_edge.runtime.reader.reading import Digit, Line, reading_of
        >>> line = Line("7", 0.9, "ok", (20, 20, 60, 80), (Digit("7", 0.9, (22, 20, 58, 80)),))
        >>> overlay(Image.new("L", (200, 100), 255), reading_of((line,))).mode
        'RGB'
    """
    scale = min(1.0, MAX_SIDE / max(picture.size))
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    drawn = Image.new("RGBA", size, "white")
    drawn.alpha_composite(picture.convert("RGBA").resize(size, Image.Resampling.BOX))
    draw = ImageDraw.Draw(drawn)
    text_px = max(12, round(_TEXT_SHARE * max(size)))
    font, width = ImageFont.load_default(text_px), max(1, text_px // 10)
    factors = [new / old for new, old in zip(size, full_size(picture), strict=True)]
    for line in reading.lines:
        colour = _COLOURS.get(line.status, _OTHER)
        for digit in line.digits:
            draw.rectangle(_drawn(digit.box, factors), outline=_CHARACTER, width=width)
        left, upper, right, lower = _drawn(line.box, factors)
        draw.rectangle((left, upper, right, lower), outline=colour, width=2 * width)
        text = f"{line.text}  {probability_text(line.confidence)}" if line.text else line.status
        length = draw.textlength(text, font=font)
        x = max(0, min(left, size[0] - length - 2 * width))
        y = upper - text_px - 4 * width if upper > text_px + 4 * width else min(lower + width, size[1] - text_px)
        draw.rectangle((x, y, x + length + 2 * width, y + text_px + 2 * width), fill="white")
        draw.text((x + width, y), text, fill=colour, font=font)
    return drawn.convert("RGB")


def _drawn(box: tuple[int, int, int, int], factors: list[float]) -> tuple[float, float, float, float]:
    """A box in pixels of the drawn picture, its last pixels inclusive."""
    left, upper, right, lower = (side * factors[index % 2] for index, side in enumerate(box))
    return left, upper, max(right - 1, left), max(lower - 1, upper)
