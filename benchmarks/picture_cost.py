"""Time to convert a decoded picture to the MNIST format: `python -m benchmarks.picture_cost`.

The baseline is Pillow's `convert('L')` and `resize` to 200×200 pixels. The pictures have one megapixel, with digits of
several sizes, in several modes. Both are timed round-robin; the ratio is that of the medians.
"""

import argparse
from functools import partial

import numpy as np
from PIL import Image

from digits_edge.measure.round_robin import medians_us
from digits_edge.runtime.datasets.synthetic_digits import draw_digit
from digits_edge.runtime.preprocessing.mnist_format import to_mnist_format

SIDE_PX = 1000
DIGITS_PX = (800, 300, 80)
MODES = ("L", "RGB", "RGBA")


def page(digit_px: int, mode: str) -> Image.Image:
    """Return a page with a digit in blue ink, off the centre."""
    paper = Image.new("RGB", (SIDE_PX, SIDE_PX), (245, 243, 238))
    digit = draw_digit(3, np.random.default_rng(0), size=digit_px)
    paper.paste((30, 30, 60), ((SIDE_PX - digit_px) // 3, (SIDE_PX - digit_px) // 2), digit)
    return paper.convert(mode)


def by_pillow(picture: Image.Image) -> Image.Image:
    """Convert and resize with Pillow only: the baseline."""
    return picture.convert("L").resize((200, 200))


def main() -> None:
    """Measure and print the results."""
    parser = argparse.ArgumentParser("python -m benchmarks.picture_cost", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=41, help="number of rounds  [default: %(default)s]")
    rounds = parser.parse_args().rounds
    for mode in MODES:
        for digit_px in DIGITS_PX:
            picture = page(digit_px, mode)
            calls = {"pillow": partial(by_pillow, picture), "digits-edge": partial(to_mnist_format, picture)}
            us = medians_us(calls, rounds=rounds, warm_up=3)
            ratio, ms = us["digits-edge"] / us["pillow"], {name: each / 1e3 for name, each in us.items()}
            print(
                f"{mode:4s} {digit_px:3d} px: Pillow {ms['pillow']:5.2f} ms, "
                f"digits-edge {ms['digits-edge']:5.2f} ms, {ratio:.2f}×"
            )


if __name__ == "__main__":
    main()
