"""The preprocessing in JavaScript gives the same images as the preprocessing in Python."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from digits_edge.export.targets.preprocessing_constants import constants_js
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.steps import (
    CenterCropStep,
    DigitStep,
    ObjectStep,
    PadStep,
    PreprocessingStep,
    ResizeStep,
)
from digits_edge.runtime.preprocessing.levels import resized
from digits_edge.runtime.preprocessing.mnist_format import IMAGE_SIDE, to_mnist_format
from digits_edge.runtime.preprocessing.pictures import find_pictures, open_picture
from digits_edge.runtime.preprocessing.plain_object import to_object_format
from digits_edge.runtime.preprocessing.steps import apply_steps
from digits_edge.runtime.preprocessing.transparency import without_idle_alpha
from tests.runtime.preprocessing.drawn_pictures import (
    BLANK_PAGES,
    DIGITS,
    GARMENTS,
    NUMBERS,
    ODD_SIZES,
    SMALL_DIGITS,
    Pixels,
    noise,
    rgba,
)

BROWSER = Path(__file__).parents[3] / "export" / "targets" / "browser"
DRIVER = Path(__file__).with_name("prepare.mjs")
COMPARISON = Path(__file__).with_name("reference_cases.mjs")
CASES_FILE = Path(__file__).parents[2] / "data" / "preprocessing_cases.json"
#: Functions in JavaScript and in Python.
FUNCTIONS = {"toMnistFormat": to_mnist_format, "toObjectFormat": to_object_format}


SIDES, CHANNELS = st.integers(1, 40), st.sampled_from([1, 3])


class NodeProcess:
    """A Node process that runs the JavaScript modules of a folder."""

    def __init__(self, modules: Path, pictures: Path):
        self.file = pictures
        command = ["node", str(DRIVER), str(modules)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, operation: str, pictures: list[Pixels], **more) -> list[dict]:
        self.file.write_bytes(b"".join(pixels.tobytes() for pixels in pictures))
        requests = [{"operation": operation, "width": p.shape[1], "height": p.shape[0], **more} for p in pictures]
        self.process.stdin.write(json.dumps({"file": str(self.file), "pictures": requests}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "Node has exited; its error is above"
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(timeout=30) == 0


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the JavaScript modules as in an exported site."""
    if shutil.which("node") is None:
        pytest.skip("no `node` on PATH to run the JavaScript modules")
    folder = tmp_path_factory.mktemp("site") / "page"
    shutil.copytree(BROWSER, folder)
    (folder / "constants.js").write_text(constants_js(), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def node(modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """Only for comparisons with the installed Pillow; the reference cases need none."""
    if int(PIL.__version__.split(".")[0]) < 13:
        pytest.skip("Pillow before 13 resizes tall and transparent pictures differently, by some grey levels")
    process = NodeProcess(modules, tmp_path_factory.mktemp("pictures") / "pictures.rgba")
    yield process
    process.close()


def bytes_of(result: dict, name: str, shape: tuple[int, ...]) -> np.ndarray:
    assert "error" not in result, result["error"]
    return np.frombuffer(bytes.fromhex(result[name]), np.uint8).reshape(shape)


def differences(node: NodeProcess, function: str, pictures: list[Pixels]) -> list[int]:
    """The maximum difference of the two images of each picture in grey levels; `blank` and box must be equal."""
    found = []
    for pixels, result in zip(pictures, node.run(function, pictures), strict=True):
        expected = FUNCTIONS[function](Image.fromarray(pixels))
        image = bytes_of(result, "image", (IMAGE_SIDE, IMAGE_SIDE)).astype(int)
        assert result["blank"] == expected.blank
        assert result["box"] == (None if expected.box is None else [int(side) for side in expected.box])
        assert result["boxes"] == [[int(side) for side in box] for box in expected.boxes]
        found.append(int(np.abs(image - expected.image).max()))
    return found


def test_javascript_reproduces_the_reference_cases(modules: Path):
    done = subprocess.run(["node", COMPARISON, modules, CASES_FILE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == f"{len(json.loads(CASES_FILE.read_text(encoding='utf-8')))} cases compared\n"


def test_comparison_with_the_reference_cases_fails_if_one_differs(modules: Path, tmp_path: Path):
    case = json.loads(CASES_FILE.read_text(encoding="utf-8"))[0]
    (tmp_path / "cases.json").write_text(json.dumps([case | {"image": "A" * len(case["image"])}]))
    done = subprocess.run(["node", COMPARISON, modules, tmp_path / "cases.json"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "pixels of the image differ" in done.stdout


@pytest.mark.slow  # a reference case too
@pytest.mark.parametrize("name", DIGITS)
def test_digit_gives_the_same_image(name: str, node: NodeProcess):
    pixels = DIGITS[name]()
    assert differences(node, "toMnistFormat", [pixels]) == [0]
    assert not to_mnist_format(Image.fromarray(pixels)).blank


@pytest.mark.parametrize("name", SMALL_DIGITS)
def test_small_digit_on_a_large_page_gives_the_same_image(name: str, node: NodeProcess):
    assert differences(node, "toMnistFormat", [rgba(SMALL_DIGITS[name]())]) == [0]


@pytest.mark.slow  # a reference case too
@pytest.mark.parametrize("name", NUMBERS)
def test_number_gives_the_same_boxes(name: str, node: NodeProcess):
    pixels = NUMBERS[name]()
    assert differences(node, "toMnistFormat", [pixels]) == [0]
    assert len(to_mnist_format(Image.fromarray(pixels)).boxes) == len(name)


@pytest.mark.slow  # a reference case too
@pytest.mark.parametrize("name", BLANK_PAGES)
def test_page_without_ink_is_blank_in_both(name: str, node: NodeProcess):
    pixels = BLANK_PAGES[name]()
    assert differences(node, "toMnistFormat", [pixels]) == [0]
    assert to_mnist_format(Image.fromarray(pixels)).blank


@pytest.mark.slow  # a reference case too
@pytest.mark.parametrize("name", GARMENTS)
def test_object_gives_the_same_image(name: str, node: NodeProcess):
    pixels = GARMENTS[name]()
    assert differences(node, "toObjectFormat", [pixels]) == [0]
    assert to_object_format(Image.fromarray(pixels)).blank == (name == "no garment")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_odd_sizes_give_the_same_images(function: str, node: NodeProcess):
    assert set(differences(node, function, [noise(*size) for size in ODD_SIZES])) == {0}


@st.composite
def pictures(draw: st.DrawFn) -> Pixels:
    pixels = noise(draw(st.integers(1, 60)), draw(st.integers(1, 60)), draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["colours", "greys", "half transparent"]))
    if kind == "greys":
        pixels[:, :, :3] = pixels[:, :, :1]
    if kind != "half transparent":
        pixels[:, :, 3] = 255
    return pixels


#: Steps that give an image of this input for every picture, and the input.
PLAIN_STEPS = st.one_of(
    st.builds(
        lambda height, width, channels: (
            (ResizeStep(height, width, "cover"), CenterCropStep(height, width)),
            ImageInput(height, width, channels, "as-photographed"),
        ),
        SIDES,
        SIDES,
        CHANNELS,
    ),
    st.builds(
        lambda height, width, channels, level: (
            (ResizeStep(height, width, "contain"), PadStep(height, width, level)),
            ImageInput(height, width, channels, "as-photographed"),
        ),
        SIDES,
        SIDES,
        CHANNELS,
        st.integers(0, 255),
    ),
    st.builds(
        lambda first, second, channels: (
            (CenterCropStep(*first), ResizeStep(*second)),
            ImageInput(*second, channels, "as-photographed"),
        ),
        st.tuples(SIDES, SIDES),
        st.tuples(SIDES, SIDES),
        CHANNELS,
    ),
    st.builds(
        lambda side, margin, step: ((step(side, side), PadStep(side + margin, side)), ImageInput(side + margin, side)),
        st.integers(4, 40),
        st.integers(0, 20),
        st.sampled_from([DigitStep, ObjectStep]),
    ),
)


@given(batch=st.lists(st.tuples(pictures(), PLAIN_STEPS), min_size=8, max_size=8))
@settings(max_examples=15)
def test_any_pixels_and_steps_give_the_same_image(
    batch: list[tuple[Pixels, tuple[tuple[PreprocessingStep, ...], ImageInput]]], node: NodeProcess
):
    for pixels, (steps, image) in batch:
        described = {"steps": [asdict(step) for step in steps], "input": asdict(image)}
        [result] = node.run("applySteps", [pixels], **described)
        expected = apply_steps(Image.fromarray(pixels), steps, image)
        assert np.array_equal(bytes_of(result, "image", image.shape), expected.image)
        assert result["blank"] == expected.blank


def test_steps_that_do_not_give_the_input_are_an_error(node: NodeProcess):
    described = {"steps": [asdict(ResizeStep(8, 8))], "input": asdict(ImageInput(9, 8, 3))}
    [result] = node.run("applySteps", [noise(20, 30)], **described)
    assert result["error"].startswith(
        "Error: The model's preprocessing gives 8×8 pixels for this picture, expected 9×8"
    )


@given(batch=st.lists(pictures(), min_size=8, max_size=8), function=st.sampled_from(list(FUNCTIONS)))
@settings(max_examples=15)
def test_any_pixels_give_the_same_image(batch: list[Pixels], function: str, node: NodeProcess):
    assert set(differences(node, function, batch)) == {0}


def test_faint_traces_on_transparent_give_the_same_images(node: NodeProcess):
    # pixels above the background by the last bit only count as ink in a percentile: that bit must be equal
    traces = [noise(5 + seed, 70 - seed, seed) for seed in range(60)]
    for pixels in traces:
        pixels[:, :, 3] = np.maximum(pixels[:, :, 3], 200) - 200
    assert set(differences(node, "toMnistFormat", traces)) == {0}


def assert_resized_like_pillow(node: NodeProcess, pixels: Pixels, region: tuple[int, ...], size: tuple[int, int]):
    expected = resized(without_idle_alpha(Image.fromarray(pixels)), region, size)
    [result] = node.run("resized", [pixels], region=region, size=size)
    assert np.array_equal(bytes_of(result, "pixels", (size[1], size[0], 4))[:, :, : expected.shape[2]], expected)


@given(data=st.data())
@settings(max_examples=60)
def test_regions_are_resized_bit_for_bit_like_pillow(data: st.DataObject, node: NodeProcess):
    height, width = data.draw(st.integers(1, 400)), data.draw(st.integers(1, 400))
    pixels = noise(height, width, data.draw(st.integers(0, 2**32 - 1)))
    if data.draw(st.booleans()):
        pixels[:, :, 3] = 255
    left, upper = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, lower = data.draw(st.integers(left + 1, width)), data.draw(st.integers(upper + 1, height))
    region = data.draw(st.sampled_from([(left, upper, right, lower), (0, 0, width, height)]))
    own_size = (region[2] - region[0], region[3] - region[1])
    size = data.draw(st.tuples(st.integers(1, 160), st.integers(1, 160)) | st.just(own_size))
    assert_resized_like_pillow(node, pixels, region, size)


@pytest.mark.parametrize("height", [55, 56, 62, 63])  # columns first above 55: 41 + 2 · (100 − 93)
def test_tall_picture_is_resized_along_columns_first(height: int, node: NodeProcess):
    assert_resized_like_pillow(node, noise(height, 100), (0, 0, 100, height), (93, 41))


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(4))))
def test_any_alpha_is_multiplied_and_divided_like_pillow(node: NodeProcess, pixels: Pixels):
    height, width = pixels.shape[:2]
    assert_resized_like_pillow(node, pixels, (0, 0, width, height), (2 * width, 2 * height))


def test_picture_without_pixels_is_an_error(node: NodeProcess):
    [result] = node.run("toMnistFormat", [np.zeros((0, 5, 4), np.uint8)])
    assert result == {"error": "RangeError: 0 values are not an RGBA picture of 5×0 pixels"}


@pytest.mark.slow
def test_photos_give_the_same_images(data_folder: Path, node: NodeProcess):
    folder = data_folder / "photos"
    if not folder.is_dir():
        pytest.skip(f"no photos at {folder}")
    found = {function: [] for function in FUNCTIONS}
    for path in find_pictures([folder]):
        pixels = rgba(open_picture(path))
        for function in FUNCTIONS:
            found[function] += differences(node, function, [pixels])
    for function, levels in found.items():
        same = levels.count(0)
        print(f"{function}: {same} of {len(levels)} photos equal bit for bit, maximum difference {max(levels)} levels")
        assert same >= 0.99 * len(levels)
        assert max(levels) <= 2
