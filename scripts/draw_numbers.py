"""Draw a contact sheet of the made lines of numbers.

    python -m scripts.draw_numbers OUT.png --seed 0

Each line has its text below; lines without a number have none.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from digits_edge.runtime.datasets import load
from digits_edge.train.numbers.lines import NumberLine, NumberLines

#: Height of a row with its text, and space between lines, in pixels.
_ROW_PX, _SPACE_PX = 46, 8


def contact_sheet(lines: Sequence[NumberLine], width: int = 1500) -> Image.Image:
    """Draw lines side by side, with their texts."""
    places, x, y = [], _SPACE_PX, _SPACE_PX
    for line in lines:
        if x + line.image.shape[1] > width - _SPACE_PX and x > _SPACE_PX:
            x, y = _SPACE_PX, y + _ROW_PX
        places.append((x, y))
        x += line.image.shape[1] + _SPACE_PX
    sheet = Image.new("L", (width, y + _ROW_PX), 60)
    draw = ImageDraw.Draw(sheet)
    for line, (x, y) in zip(lines, places, strict=True):
        sheet.paste(Image.fromarray(line.image), (x, y))
        draw.text((x, y + 32), line.text, fill=220)
    return sheet


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the sheet; `arguments` are those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="PNG file to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=300, help="number of lines")
    parser.add_argument("--data", default="mnist", help="data set whose training images are used, or none")
    options = parser.parse_args(arguments)
    data = None if options.data == "none" else load(options.data, "train")
    images, labels = (None, None) if data is None else (data.images, data.labels)
    lines = NumberLines(options.seed, images=images, labels=labels).block(0, options.count)
    contact_sheet(lines).save(options.file)


if __name__ == "__main__":
    main()
