"""Draw the sample pictures in this folder, identically every time: `python samples/draw.py`.

Each picture shows one property of real pictures of digits. `labels.csv` lists their digits.
"""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from digits_edge.runtime.datasets.synthetic_digits import draw_digit

Colour = tuple[int, int, int]
FOLDER = Path(__file__).parent
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
#: EXIF orientation of a picture that must be rotated clockwise by 90 degrees.
TURN_RIGHT = 6
SEED = 20


def main() -> None:
    """Draw all samples and write labels.csv."""
    labels = [(draw(), int(draw.__name__.split("_")[1])) for draw in SAMPLES]
    with (FOLDER / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("file", "label"))
        writer.writerows(sorted(labels))


def digit_0_in_pencil() -> str:
    """Draw a faint, thin digit on grainy paper."""
    paper = _grainy(_flat(240, (236, 234, 228)), 2.0)
    return _save(_written(0, paper, (188, 188, 192), thickness=0.035), "0-in-pencil.png")


def digit_1_on_white() -> str:
    """Draw a digit in black on white."""
    return _save(_written(1, _flat(200, WHITE), BLACK), "1-on-white.png")


def digit_2_red_on_yellow() -> str:
    """Draw a digit in coloured ink on coloured paper."""
    return _save(_written(2, _flat(240, (250, 238, 130)), (205, 40, 45)), "2-red-on-yellow.png")


def digit_3_on_black() -> str:
    """Draw a digit in white on black, as in MNIST."""
    return _save(_written(3, _flat(200, BLACK), WHITE), "3-on-black.png")


def digit_4_off_centre() -> str:
    """Draw a small digit in the corner of a wide page."""
    page = Image.new("RGB", (480, 320), (250, 250, 247))
    page.paste(_picture(_written(4, _flat(110, (250, 250, 247)), (30, 35, 60))), (350, 190))
    return _save(np.asarray(page), "4-off-centre.png")


def digit_5_large() -> str:
    """Draw a grey scan of 1400×1400 pixels."""
    return _save(_written(5, _flat(1400, WHITE), (20, 20, 20), thickness=0.04), "5-large.png", mode="L")


def digit_6_small() -> str:
    """Draw a picture of 32×32 pixels, dark on grey."""
    return _save(_written(6, _flat(32, (205, 205, 205)), (40, 40, 40), thickness=0.1), "6-small.png", mode="L")


def digit_7_dark_on_transparent() -> str:
    """Draw dark ink on a transparent background."""
    return _save_transparent(7, (25, 25, 70), "7-dark-on-transparent.png")


def digit_8_white_on_transparent() -> str:
    """Draw white ink on a transparent background."""
    return _save_transparent(8, WHITE, "8-white-on-transparent.png")


def digit_9_on_ruled_paper() -> str:
    """Draw a digit on paper with blue lines."""
    paper = _flat(300, (246, 246, 240))
    paper[20::40] = paper[21::40] = (140, 165, 215)
    return _save(_written(9, paper, (35, 35, 45)), "9-on-ruled-paper.png")


def digit_5_turned_by_exif() -> str:
    """Draw a digit rotated by 90 degrees, with the EXIF orientation that corrects it."""
    return _save(_written(5, _flat(240, WHITE), BLACK), "5-turned-by-exif.png", turned=True)


def digit_6_in_uneven_light() -> str:
    """Draw a photograph of dark ink, darker towards one corner."""
    light = np.linspace(1, 0.6, 320)[:, np.newaxis] * np.linspace(1, 0.65, 320)
    page = _written(6, _flat(320, (244, 240, 228)), (45, 45, 80)) * light[:, :, np.newaxis]
    return _save(_grainy(page, 3.0), "6-in-uneven-light.jpg")


def digit_2_on_a_chalkboard() -> str:
    """Draw a photograph of chalk on a green board, rotated and with its EXIF orientation."""
    board = _grainy(_flat(320, (38, 66, 52)), 5.0)
    return _save(_written(2, board, (226, 228, 216)), "2-on-a-chalkboard.jpg", turned=True)


SAMPLES: tuple[Callable[[], str], ...] = (
    digit_0_in_pencil,
    digit_1_on_white,
    digit_2_red_on_yellow,
    digit_3_on_black,
    digit_4_off_centre,
    digit_5_large,
    digit_6_small,
    digit_7_dark_on_transparent,
    digit_8_white_on_transparent,
    digit_9_on_ruled_paper,
    digit_5_turned_by_exif,
    digit_6_in_uneven_light,
    digit_2_on_a_chalkboard,
)


def _flat(side: int, colour: Colour) -> NDArray[np.float64]:
    """Return a square page of one colour, float64 (side, side, 3) in 0–255."""
    return np.full((side, side, 3), colour, np.float64)


def _grainy(page: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    grain = np.random.default_rng(0).normal(0, sigma, page.shape[:2])
    return page + grain[:, :, np.newaxis]


def _ink(digit: int, side: int, thickness: float | None) -> Image.Image:
    return draw_digit(digit, np.random.default_rng(digit + SEED), size=side, thickness=thickness)


def _written(
    digit: int, page: NDArray[np.float64], colour: Colour, *, thickness: float | None = None
) -> NDArray[np.float64]:
    ink = np.asarray(_ink(digit, page.shape[0], thickness), np.float64)[:, :, np.newaxis] / 255
    return page * (1 - ink) + np.array(colour) * ink


def _picture(page: NDArray[np.float64]) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(page), 0, 255).astype(np.uint8))


def _save(page: NDArray[np.float64], name: str, *, mode: str = "RGB", turned: bool = False) -> str:
    picture = _picture(page).convert(mode)
    exif = Image.Exif()
    if turned:
        picture = picture.transpose(Image.Transpose.ROTATE_90)
        exif[ExifTags.Base.Orientation] = TURN_RIGHT
    picture.save(FOLDER / name, exif=exif, optimize=True, quality=85)
    return name


def _save_transparent(digit: int, colour: Colour, name: str) -> str:
    alpha = _ink(digit, 200, None)
    picture = Image.new("RGBA", alpha.size, colour)
    picture.putalpha(alpha)
    picture.save(FOLDER / name, optimize=True)
    return name


if __name__ == "__main__":
    main()
