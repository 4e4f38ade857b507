"""Draw a contact sheet of the made training images.

    python -m scripts.draw_hands OUT.png --seed 0

Each digit has a row of images per source: fonts, strokes and, with `--data`, changed images of the data set.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digits_edge.runtime.datasets import load
from digits_edge.train.data.hands import Hands
from digits_edge.train.data.made_hands import hands

#: Enlargement of the images.
_SCALE = 2


def contact_sheet(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Image.Image:
    """Draw images, (N, 28, 28), in a row for each digit; N is a multiple of ten, with every digit equally often."""
    rows = [np.concatenate(list(images[labels == digit]), axis=1) for digit in range(10)]
    sheet = Image.fromarray(np.concatenate(rows))
    return sheet.resize((sheet.width * _SCALE, sheet.height * _SCALE), Image.Resampling.NEAREST)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the sheet; `arguments` are those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="PNG file to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--per-digit", type=int, default=14, help="images of each digit and source")
    parser.add_argument("--data", help="data set whose images are changed, such as mnist")
    options = parser.parse_args(arguments)
    data = load(options.data, "train") if options.data else None
    count, sheets = 10 * options.per_digit, []
    for source in ("fonts", "strokes", "changed")[: 3 if data else 2]:
        weights = Hands(1, **{name: float(name == source) for name in ("fonts", "strokes", "changed")})
        made = hands(options.seed, count, data=data, weights=weights)
        sheets.append(np.asarray(contact_sheet(made.images, made.labels)))
    Image.fromarray(np.concatenate(sheets, axis=1)).save(options.file)


if __name__ == "__main__":
    main()
