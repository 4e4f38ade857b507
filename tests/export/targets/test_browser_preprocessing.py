"""The preprocessing of the browser gives what Python's gives for the same pixels."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageDraw

from digits_edge.runtime.datasets.synthetic_digits import draw_digit
from digits_edge.runtime.preprocessing.garment import to_fashion_mnist_format
from digits_edge.runtime.preprocessing.ink import resized, without_idle_alpha
from digits_edge.runtime.preprocessing.mnist_format import IMAGE_SIDE, to_mnist_format
from digits_edge.runtime.preprocessing.pictures import find_pictures, open_picture
from tests.runtime.preprocessing.test_mnist_format import BLANKS, CONDITIONS, flat, picture_of, written

BROWSER = Path(__file__).parents[3] / "export" / "targets" / "browser"
DRIVER = Path(__file__).with_name("prepare.mjs")
PYTHON = {"canonical": to_mnist_format, "garment": to_fashion_mnist_format}

Pixels = np.ndarray  # uint8 (H, W, 4)


class Browser:
    """A Node process that prepares pictures with the browser's modules."""

    def __init__(self, folder: Path):
        self.file = folder / "pictures.rgba"
        command = [shutil.which("node"), str(DRIVER), str(BROWSER)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def answers(self, what: str, pictures: list[Pixels], **more) -> list[dict]:
        self.file.write_bytes(b"".join(pixels.tobytes() for pixels in pictures))
        requests = [{"what": what, "width": p.shape[1], "height": p.shape[0], **more} for p in pictures]
        self.process.stdin.write(json.dumps({"file": str(self.file), "pictures": requests}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "Node has ended: its error is above"
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(timeout=30) == 0


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if shutil.which("node") is None:
        pytest.skip("the browser's modules are run by Node, and there is no `node` on PATH")
    if int(PIL.__version__.split(".")[0]) < 13:
        pytest.skip("Pillow before 13 resizes tall pictures and transparent ones otherwise, by some grey levels")
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


def bytes_of(answer: dict, name: str, shape: tuple[int, ...]) -> np.ndarray:
    assert "error" not in answer, answer["error"]
    return np.frombuffer(bytes.fromhex(answer[name]), np.uint8).reshape(shape)


def differences(browser: Browser, what: str, pictures: list[Pixels]) -> list[int]:
    """By how many grey levels the two images of each picture differ at most; what was found where is the same."""
    found = []
    for pixels, answer in zip(pictures, browser.answers(what, pictures), strict=True):
        expected = PYTHON[what](Image.fromarray(pixels))
        image = bytes_of(answer, "image", (IMAGE_SIDE, IMAGE_SIDE)).astype(int)
        assert answer["blank"] == expected.blank
        assert answer["box"] == (None if expected.box is None else [int(side) for side in expected.box])
        found.append(int(np.abs(image - expected.image).max()))
    return found


def rgba(picture: Image.Image | np.ndarray) -> Pixels:
    if isinstance(picture, np.ndarray):
        picture = picture_of(picture)
    return np.asarray(picture.convert("RGBA"))


def on_canvas(digit: int, size: int, thickness: float | None = None, *, dark: bool = False) -> Pixels:
    drawn = np.asarray(draw_digit(digit, np.random.default_rng(digit), size=size, thickness=thickness))
    return rgba(Image.fromarray(255 - drawn if dark else drawn))


def on_nothing(digit: int, ink: int, size: int = 280) -> Pixels:
    """As a page's canvas is, and as a PNG with alpha: ink of one grey, transparent where there is none."""
    pixels = np.full((size, size, 4), ink, np.uint8)
    pixels[:, :, 3] = np.asarray(draw_digit(digit, np.random.default_rng(digit), size=size))
    return pixels


def card(digit: int) -> Pixels:
    """Opaque paper with transparent corners, on which something else was once."""
    pixels = rgba(written(digit, flat((240, 240, 230)), (30, 30, 60))).copy()
    pixels[:15, :15] = pixels[-15:, -15:] = (90, 200, 30, 0)
    pixels[:15, -15:, 3] = 100
    return pixels


def far_off(digit: int, width: int, height: int) -> Pixels:
    page = Image.new("RGB", (width, height), (250, 250, 255))
    page.paste(picture_of(written(digit, flat((250, 250, 255), 120), (20, 20, 90))), (width - 150, height // 3))
    return rgba(page)


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
    **{f"{ink} on nothing": lambda ink=ink: on_nothing(5, ink) for ink in (0, 60, 127, 128, 255)},
    "fewer pixels than are looked at, on nothing": lambda: on_nothing(6, 0, 100),
    "on a card": lambda: card(9),
    "far off on a wide page": lambda: far_off(2, 1500, 600),
    "far off on a tall page": lambda: far_off(2, 500, 2300),
}
BLANK_PAGES: dict[str, Callable[[], Pixels]] = {
    **{name: lambda name=name: rgba(BLANKS[name]) for name in BLANKS},
    "nothing": lambda: np.zeros((280, 280, 4), np.uint8),
    "one pixel": lambda: np.array([[[200, 30, 70, 255]]], np.uint8),
    "one transparent pixel": lambda: np.array([[[200, 30, 70, 0]]], np.uint8),
}
ODD_SIZES = [(1, 2), (2, 1), (2, 2), (3, 3), (1, 700), (700, 1), (1, 3000), (3000, 1), (5000, 20), (20, 5000)]


def shirt(ground: tuple[int, ...], cloth: tuple[int, ...], size: tuple[int, int] = (300, 400), sigma: float = 0):
    """RGBA: a garment of two colours; with a grain in everything."""
    picture = Image.new("RGBA", size, ground)
    width, height = size
    outline = [(0.1, 0.2), (0.35, 0.1), (0.65, 0.1), (0.9, 0.2), (0.75, 0.4), (0.7, 0.9), (0.3, 0.9), (0.25, 0.4)]
    ImageDraw.Draw(picture).polygon([(x * width, y * height) for x, y in outline], fill=cloth)
    ImageDraw.Draw(picture).rectangle((0.4 * width, 0.4 * height, 0.6 * width, 0.6 * height), fill=cloth[::-1][1:])
    pixels = np.asarray(picture).astype(float)
    pixels[:, :, :3] += np.random.default_rng(0).normal(0, sigma, (height, width, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


WHITE, BLACK, NOTHING = (255, 255, 255, 255), (0, 0, 0, 255), (0, 0, 0, 0)
GARMENTS: dict[str, Callable[[], Pixels]] = {
    "red on white": lambda: shirt(WHITE, (200, 30, 40, 255)),
    "light on black": lambda: shirt(BLACK, (200, 230, 140, 255), (413, 377)),
    "on tinted paper, grainy": lambda: shirt((220, 210, 190, 255), (60, 90, 140, 255), sigma=4),
    "on mid grey": lambda: shirt((120, 120, 120, 255), (10, 200, 90, 255)),
    "on nothing": lambda: shirt(NOTHING, (90, 60, 140, 255)),
    "light on nothing": lambda: shirt(NOTHING, (230, 220, 240, 255), (90, 131)),
    "half transparent": lambda: shirt(WHITE, (10, 40, 90, 128), (640, 480)),
    "small": lambda: shirt(WHITE, (40, 60, 140, 255), (28, 28)),
    "tall": lambda: shirt(WHITE, (40, 60, 140, 255), (200, 1900)),
    "wide": lambda: shirt(BLACK, (240, 160, 140, 255), (2100, 300)),
    "large": lambda: shirt(WHITE, (40, 60, 140, 255), (1777, 1333), sigma=2),
    "nothing there": lambda: rgba(flat((90, 120, 60))),
}


@pytest.mark.parametrize("name", DIGITS)
def test_digit_becomes_the_same_image(name: str, browser: Browser):
    pixels = DIGITS[name]()
    assert differences(browser, "canonical", [pixels]) == [0]
    assert not to_mnist_format(Image.fromarray(pixels)).blank


@pytest.mark.parametrize("name", BLANK_PAGES)
def test_page_without_ink_is_blank_in_both(name: str, browser: Browser):
    pixels = BLANK_PAGES[name]()
    assert differences(browser, "canonical", [pixels]) == [0]
    assert to_mnist_format(Image.fromarray(pixels)).blank


@pytest.mark.parametrize("name", GARMENTS)
def test_garment_becomes_the_same_image(name: str, browser: Browser):
    pixels = GARMENTS[name]()
    assert differences(browser, "garment", [pixels]) == [0]
    assert to_fashion_mnist_format(Image.fromarray(pixels)).blank == (name == "nothing there")


@pytest.mark.parametrize("what", PYTHON)
def test_odd_sizes_become_the_same_images(what: str, browser: Browser):
    assert set(differences(browser, what, [noise(*size) for size in ODD_SIZES])) == {0}


@st.composite
def pictures(draw: st.DrawFn) -> Pixels:
    pixels = noise(draw(st.integers(1, 60)), draw(st.integers(1, 60)), draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["colours", "greys", "half transparent"]))
    if kind == "greys":
        pixels[:, :, :3] = pixels[:, :, :1]
    if kind != "half transparent":
        pixels[:, :, 3] = 255
    return pixels


@given(batch=st.lists(pictures(), min_size=8, max_size=8), what=st.sampled_from(list(PYTHON)))
@settings(max_examples=40)
def test_any_pixels_become_the_same_image(batch: list[Pixels], what: str, browser: Browser):
    assert set(differences(browser, what, batch)) == {0}


def test_faint_traces_on_nothing_become_the_same_images(browser: Browser):
    # what is above the ground by the last bit alone counts as ink in a percentile: that bit has to be the same
    traces = [noise(5 + seed, 70 - seed, seed) for seed in range(60)]
    for pixels in traces:
        pixels[:, :, 3] = np.maximum(pixels[:, :, 3], 200) - 200
    assert set(differences(browser, "canonical", traces)) == {0}


def assert_resized_alike(browser: Browser, pixels: Pixels, region: tuple[int, ...], size: tuple[int, int]):
    expected = resized(without_idle_alpha(Image.fromarray(pixels)), region, size)
    [answer] = browser.answers("resized", [pixels], region=region, size=size)
    assert np.array_equal(bytes_of(answer, "pixels", (size[1], size[0], 4))[:, :, : expected.shape[2]], expected)


@given(data=st.data())
@settings(max_examples=150)
def test_regions_are_resized_as_pillow_does_bit_for_bit(data: st.DataObject, browser: Browser):
    height, width = data.draw(st.integers(1, 400)), data.draw(st.integers(1, 400))
    pixels = noise(height, width, data.draw(st.integers(0, 2**32 - 1)))
    if data.draw(st.booleans()):
        pixels[:, :, 3] = 255
    left, upper = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, lower = data.draw(st.integers(left + 1, width)), data.draw(st.integers(upper + 1, height))
    region = data.draw(st.sampled_from([(left, upper, right, lower), (0, 0, width, height)]))
    own_size = (region[2] - region[0], region[3] - region[1])
    size = data.draw(st.tuples(st.integers(1, 160), st.integers(1, 160)) | st.just(own_size))
    assert_resized_alike(browser, pixels, region, size)


@pytest.mark.parametrize("height", [55, 56, 62, 63])  # more than 55: 2 · (100 − 93) rows lost
def test_tall_picture_is_resized_down_its_columns_first(height: int, browser: Browser):
    assert_resized_alike(browser, noise(height, 100), (0, 0, 100, height), (93, 41))


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(4))))
def test_any_alpha_is_multiplied_and_divided_as_pillow_does(browser: Browser, pixels: Pixels):
    height, width = pixels.shape[:2]
    assert_resized_alike(browser, pixels, (0, 0, width, height), (2 * width, 2 * height))


def test_picture_without_pixels_is_refused(browser: Browser):
    [answer] = browser.answers("canonical", [np.zeros((0, 5, 4), np.uint8)])
    assert answer == {"error": "RangeError: 0 values are no RGBA picture of 5×0 pixels"}


@pytest.mark.slow
def test_photos_become_the_same_images(data_folder: Path, browser: Browser):
    folder = data_folder / "photos"
    if not folder.is_dir():
        pytest.skip(f"no photos at {folder}")
    found = {what: [] for what in PYTHON}
    for path in find_pictures([folder]):
        pixels = rgba(open_picture(path))
        for what in PYTHON:
            found[what] += differences(browser, what, [pixels])
    for what, apart in found.items():
        same = apart.count(0)
        print(f"{what}: {same} of {len(apart)} photos the same bit for bit, at most {max(apart)} levels apart")
        assert same >= 0.99 * len(apart)
        assert max(apart) <= 2
