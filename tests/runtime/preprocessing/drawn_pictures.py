"""Drawn pictures for the tests and the reference cases of the preprocessing: `DIGITS`, `BLANK_PAGES`, `GARMENTS`.

`CONDITIONS` draws a digit on a float page, `BLANKS` contains float pages, and the others draw RGBA pixels.
"""

import functools
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from digits_edge.runtime.datasets.synthetic_digits import draw_digit

Page = np.ndarray  # float64 (H, W, 3) in 0…255
Pixels = np.ndarray  # uint8 (H, W, 4)


@functools.cache
def ink_of(digit: int, size: int = 300) -> np.ndarray:
    """float64 (size, size, 1) in 0…1, read-only."""
    ink = np.asarray(draw_digit(digit, np.random.default_rng(digit), size=size), float)[:, :, np.newaxis] / 255
    ink.flags.writeable = False
    return ink


def written(digit: int, paper: Page, colour: tuple[int, int, int]) -> Page:
    ink = ink_of(digit, len(paper))
    return paper * (1 - ink) + np.array(colour) * ink


def flat(colour: tuple[int, int, int], side: int = 300) -> Page:
    return np.full((side, side, 3), colour, float)


def uneven_light(side: int = 300) -> np.ndarray:
    across = np.linspace(1, 0.6, side)
    return (across[:, np.newaxis] * across)[:, :, np.newaxis]


def noise_of(sigma: float, side: int = 300) -> np.ndarray:
    return np.random.default_rng(0).normal(0, sigma, (side, side, 1))


def picture_of(page: Page) -> Image.Image:
    return Image.fromarray(np.clip(page, 0, 255).astype(np.uint8))


def ruled(colour: tuple[int, int, int], first: int = 10) -> Page:
    paper = flat((245, 245, 240))
    for row in range(first, 300, 45):
        paper[row : row + 2] = colour
    return paper


def squared(colour: tuple[int, int, int], first: int = 0) -> Page:
    paper = flat((245, 245, 240))
    for row in range(first, 300, 25):
        paper[row : row + 2] = paper[:, row : row + 2] = colour
    return paper


def on_a_table(digit: int) -> Page:
    table = flat((60, 45, 35), 380)
    table[30:330, 50:350] = written(digit, flat((240, 240, 235)), (40, 40, 60))
    return table


def framed_in_ink(digit: int) -> Page:
    page = np.pad(
        written(digit, flat((245, 245, 245)), (40, 40, 40)), ((60, 60), (60, 60), (0, 0)), constant_values=245
    )
    page[20:24, 20:-20] = page[-24:-20, 20:-20] = page[20:-20, 20:24] = page[20:-20, -24:-20] = 40
    return page


def dusty(digit: int) -> Page:
    page = written(digit, flat((250, 250, 250)), (30, 30, 30))
    rng = np.random.default_rng(1)
    for x, y in rng.integers(2, 295, (12, 2)):
        page[y : y + 3, x : x + 3] = 60
    return page


CONDITIONS: dict[str, Callable[[int], Page]] = {
    "white on black": lambda digit: written(digit, flat((0, 0, 0)), (255, 255, 255)),
    "blue on white": lambda digit: written(digit, flat((255, 255, 255)), (60, 70, 200)),
    "red on green of the same luminance": lambda digit: written(digit, flat((60, 150, 60)), (200, 80, 80)),
    "uneven light": lambda digit: written(digit, flat((250, 245, 230)), (50, 45, 60)) * uneven_light(),
    "noise": lambda digit: written(digit, flat((200, 200, 190)), (90, 90, 90)) + noise_of(20),
    "faint pencil": lambda digit: written(digit, flat((235, 235, 230)), (200, 200, 200)) + noise_of(2),
    "light rules": lambda digit: written(digit, ruled((170, 190, 220)), (40, 40, 70)),
    "dark rules": lambda digit: written(digit, ruled((110, 110, 130)), (50, 50, 60)),
    "rules on the edge": lambda digit: written(digit, ruled((110, 110, 130), 0), (50, 50, 60)),
    "squares": lambda digit: written(digit, squared((120, 120, 120), 12), (50, 50, 60)),
    "squares on the edge": lambda digit: written(digit, squared((100, 110, 160)), (50, 50, 60)),
    "on a dark table": on_a_table,
    "in a frame": framed_in_ink,
    "dust": dusty,
}
BLANKS: dict[str, Page] = {
    "white": flat((255, 255, 255)),
    "black": flat((0, 0, 0)),
    "grey": flat((128, 128, 128)),
    "yellow": flat((250, 240, 120)),
    "gradient": flat((250, 245, 230)) * uneven_light(),
    "slight noise": flat((220, 220, 215)) + noise_of(3),
    "strong noise": flat((140, 140, 140)) + noise_of(25),
    "noise in uneven light": flat((230, 225, 215)) * uneven_light() + noise_of(8),
    "a speck of dust": np.pad(np.zeros((4, 4, 3)), ((150, 146), (90, 206), (0, 0)), constant_values=240),
}


def rgba(picture: Image.Image | np.ndarray) -> Pixels:
    if isinstance(picture, np.ndarray):
        picture = picture_of(picture)
    return np.asarray(picture.convert("RGBA"))


def on_canvas(digit: int, size: int, thickness: float | None = None, *, dark: bool = False) -> Pixels:
    drawn = np.asarray(draw_digit(digit, np.random.default_rng(digit), size=size, thickness=thickness))
    return rgba(Image.fromarray(255 - drawn if dark else drawn))


def on_transparent(digit: int, ink: int, size: int = 280) -> Pixels:
    """Ink of one grey on a transparent background, like a canvas or a PNG with alpha."""
    pixels = np.full((size, size, 4), ink, np.uint8)
    pixels[:, :, 3] = np.asarray(draw_digit(digit, np.random.default_rng(digit), size=size))
    return pixels


def cropped_ink(digit: int, thickness: float, colour: tuple[int, int, int] = (0, 0, 0), *, size: int = 280) -> Pixels:
    """The export of a signature pad, cropped to its ink: bold strokes cover more than half of it."""
    drawn = draw_digit(digit, np.random.default_rng(digit), size=size, thickness=thickness)
    alpha = np.asarray(drawn.crop(drawn.getbbox()))
    return np.dstack([np.broadcast_to(np.array(colour, np.uint8), (*alpha.shape, 3)), alpha])


def narrow_card(digit: int) -> Pixels:
    """A form field with a digit, its corners transparent: its height is less than 0.45 of its width."""
    pixels = rgba(np.pad(written(digit, flat((240, 240, 230), 90), (30, 30, 60)), ((0, 0), (0, 190), (0, 0)), "edge"))
    pixels = pixels.copy()
    pixels[:6, :6] = pixels[-6:, -6:] = 0
    return pixels


def card(digit: int) -> Pixels:
    """Opaque paper with corners that are transparent or half transparent."""
    pixels = rgba(written(digit, flat((240, 240, 230)), (30, 30, 60))).copy()
    pixels[:15, :15] = pixels[-15:, -15:] = (90, 200, 30, 0)
    pixels[:15, -15:, 3] = 100
    return pixels


def empty_card() -> Pixels:
    pixels = rgba(flat((240, 240, 230))).copy()
    pixels[:15, :15] = pixels[-15:, -15:] = 0
    return pixels


def in_corner(digit: int, width: int, height: int) -> Pixels:
    page = Image.new("RGB", (width, height), (250, 250, 255))
    page.paste(picture_of(written(digit, flat((250, 250, 255), 120), (20, 20, 90))), (width - 150, height // 3))
    return rgba(page)


def number(digits: str, height: int = 90, gap: float = 0.3) -> Pixels:
    """A number on a wide page; `gap` between its digits as a share of their height."""
    drawn = [draw_digit(int(digit), np.random.default_rng(i), size=200) for i, digit in enumerate(digits)]
    cropped = [ink.crop(ink.getbbox()) for ink in drawn]
    inks = [ink.resize((max(4, round(ink.width * height / ink.height)), height)) for ink in cropped]
    page = Image.new("L", (sum(ink.width for ink in inks) + round((len(digits) * gap + 1) * height), 2 * height), 250)
    left = height // 2
    for ink in inks:
        page.paste(40, (left, height // 2), ink)
        left += ink.width + round(gap * height)
    return rgba(page)


def tight_crop(digit: int, side: int = 16, thickness: float = 0.12, *, dark: bool = False, levels: int = 2) -> Pixels:
    """A digit cropped to its ink, its longer side `side` pixels, with a number of grey levels."""
    drawn = draw_digit(digit, np.random.default_rng(digit), size=300, thickness=thickness)
    ink = drawn.crop(drawn.getbbox())
    scale = side / max(ink.size)
    small = ink.resize((max(3, round(ink.width * scale)), max(3, round(ink.height * scale))), Image.Resampling.BOX)
    grey = (np.rint(np.asarray(small) / 255 * (levels - 1)) * (255 / (levels - 1))).astype(np.uint8)
    return rgba(Image.fromarray(255 - grey if dark else grey))


def octagonal_zero(stroke: int, side: int = 160, *, dark: bool = False) -> Pixels:
    """A bold zero, cropped to its ink, that covers most of the picture's border."""
    across = np.abs(np.arange(side) + 0.5 - side / 2)

    def octagon(inset: float) -> np.ndarray:
        straight = np.maximum.outer(across, across) < side / 2 - inset
        return straight & (np.add.outer(across, across) < 0.8 * side - 1.4 * inset)

    return rgba(Image.fromarray(((octagon(0) & ~octagon(stroke)) ^ dark) * np.uint8(255)))


def on_a_cheque(digit: int, side: int = 40, *, neighbour: bool = False) -> Pixels:
    """A digit cropped to its ink, on noisy paper with thin fainter lines, and the edge of another digit."""
    rng = np.random.default_rng(digit)
    drawn = draw_digit(digit, rng, size=300, thickness=0.07)
    ink = drawn.crop(drawn.getbbox())
    ink = ink.resize((max(8, round(ink.width * side / ink.height)), side), Image.Resampling.BOX)
    strokes = np.asarray(ink, float) / 255
    if neighbour:
        strokes = np.pad(strokes, ((0, 0), (0, 7)))
        strokes[side // 2 :, -2:] = 1
    height, width = strokes.shape
    paper = np.full((height, width), 190.0) + rng.normal(0, 6, (height, width))
    for x in range(width):
        paper[(np.arange(3, height, 6) + x // 7) % height, x] -= 45
    return rgba(Image.fromarray(np.clip(paper * (1 - strokes) + 80 * strokes, 0, 255).astype(np.uint8)))


def small_on_a_page(
    digits: tuple[int, ...], longer_px: int = 70, size: tuple[int, int] = (2480, 3508), dust: int = 3
) -> Image.Image:
    """A large page, mode L, with small digits, one below the other, and dust of up to 13 pixels."""
    rng = np.random.default_rng(sum(digits))
    page = Image.new("L", size, 246)
    for x, y, side in rng.integers((50, 50, 4), (size[0] - 100, size[1] - 100, 14), (dust, 3)).tolist():
        page.paste(60, (x, y, x + side, y + side))
    for place, digit in enumerate(digits, start=1):
        drawn = draw_digit(digit, rng, size=round(longer_px / 0.8))
        page.paste(40, (size[0] * place // 4, size[1] * place // 5), drawn)
    return page


def noise(height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)


DIGITS: dict[str, Callable[[], Pixels]] = {
    **{f"{digit} on a canvas": lambda digit=digit: on_canvas(digit, 280) for digit in range(10)},
    **{f"dark, {size} pixels": lambda size=size: on_canvas(3, size, dark=True) for size in (28, 40, 101, 160, 900)},
    **{f"pen of {width}": lambda width=width: on_canvas(8, 500, width) for width in (0.006, 0.02, 0.2)},
    **{
        f"{digit}, {name}": lambda digit=digit, name=name: rgba(CONDITIONS[name](digit))
        for name in CONDITIONS
        for digit in (2, 4, 7)
    },
    **{f"{ink} on transparent": lambda ink=ink: on_transparent(5, ink) for ink in (0, 60, 127, 128, 255)},
    "below the working size, on transparent": lambda: on_transparent(6, 0, 100),
    **{f"{digit}, cropped bold ink": lambda digit=digit: cropped_ink(digit, 0.25) for digit in (0, 1, 8)},
    "cropped white ink": lambda: cropped_ink(2, 0.3, (255, 255, 255)),
    "on a card": lambda: card(9),
    **{
        f"{digit}, {side} pixels, {levels} levels": lambda digit=digit, side=side, levels=levels: tight_crop(
            digit, side, 0.2, levels=levels
        )
        for digit, side, levels in ((0, 16, 2), (8, 16, 2), (5, 16, 256), (2, 8, 17), (4, 8, 17), (6, 63, 256))
    },
    "octagonal zero": lambda: octagonal_zero(35),
    "dark octagonal zero": lambda: octagonal_zero(25, dark=True),
    "cropped to 160 pixels": lambda: tight_crop(5, 160, 0.25),
    "dark, cropped to 90 pixels": lambda: tight_crop(2, 90, 0.25, dark=True),
    "dark, cropped to 16 pixels": lambda: tight_crop(3, 16, 0.2, dark=True),
    **{f"{digit} on a cheque": lambda digit=digit: on_a_cheque(digit) for digit in (0, 3, 7)},
    "beside another digit on a cheque": lambda: on_a_cheque(5, neighbour=True),
    "on a narrow card": lambda: narrow_card(3),
    "in the corner of a wide page": lambda: in_corner(2, 1500, 600),
    "in the corner of a tall page": lambda: in_corner(2, 500, 2300),
}
SMALL_DIGITS: dict[str, Callable[[], Image.Image]] = {
    "small on A4": lambda: small_on_a_page((3,)),
    "small and wide": lambda: small_on_a_page((7,), 40, (1800, 900)),
    "two small ones": lambda: small_on_a_page((5, 8), 80, (3000, 2200)),
    "only dust": lambda: small_on_a_page((), size=(2480, 3508)),
}
NUMBERS: dict[str, Callable[[], Pixels]] = {
    text: lambda text=text: number(text) for text in ("17", "204", "3958", "61204", "987654")
}
BLANK_PAGES: dict[str, Callable[[], Pixels]] = {
    **{name: lambda name=name: rgba(BLANKS[name]) for name in BLANKS},
    "an empty card": empty_card,
    "transparent": lambda: np.zeros((280, 280, 4), np.uint8),
    "one pixel": lambda: np.array([[[200, 30, 70, 255]]], np.uint8),
    "one transparent pixel": lambda: np.array([[[200, 30, 70, 0]]], np.uint8),
}
ODD_SIZES = [(1, 2), (2, 1), (2, 2), (3, 3), (1, 700), (700, 1), (1, 3000), (3000, 1), (5000, 20), (20, 5000)]


def shirt(ground: tuple[int, ...], cloth: tuple[int, ...], size: tuple[int, int] = (300, 400), sigma: float = 0):
    """A garment of two colours, with noise of a standard deviation."""
    picture = Image.new("RGBA", size, ground)
    width, height = size
    outline = [(0.1, 0.2), (0.35, 0.1), (0.65, 0.1), (0.9, 0.2), (0.75, 0.4), (0.7, 0.9), (0.3, 0.9), (0.25, 0.4)]
    ImageDraw.Draw(picture).polygon([(x * width, y * height) for x, y in outline], fill=cloth)
    ImageDraw.Draw(picture).rectangle((0.4 * width, 0.4 * height, 0.6 * width, 0.6 * height), fill=cloth[::-1][1:])
    pixels = np.asarray(picture).astype(float)
    pixels[:, :, :3] += np.random.default_rng(0).normal(0, sigma, (height, width, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


WHITE, BLACK, TRANSPARENT = (255, 255, 255, 255), (0, 0, 0, 255), (0, 0, 0, 0)
GARMENTS: dict[str, Callable[[], Pixels]] = {
    "red on white": lambda: shirt(WHITE, (200, 30, 40, 255)),
    "light on black": lambda: shirt(BLACK, (200, 230, 140, 255), (413, 377)),
    "on tinted paper with noise": lambda: shirt((220, 210, 190, 255), (60, 90, 140, 255), sigma=4),
    "on mid grey": lambda: shirt((120, 120, 120, 255), (10, 200, 90, 255)),
    "on transparent": lambda: shirt(TRANSPARENT, (90, 60, 140, 255)),
    "light on transparent": lambda: shirt(TRANSPARENT, (230, 220, 240, 255), (90, 131)),
    "half transparent": lambda: shirt(WHITE, (10, 40, 90, 128), (640, 480)),
    "small": lambda: shirt(WHITE, (40, 60, 140, 255), (28, 28)),
    "tall": lambda: shirt(WHITE, (40, 60, 140, 255), (200, 1900)),
    "wide": lambda: shirt(BLACK, (240, 160, 140, 255), (2100, 300)),
    "large": lambda: shirt(WHITE, (40, 60, 140, 255), (1777, 1333), sigma=2),
    "no garment": lambda: rgba(flat((90, 120, 60))),
}
