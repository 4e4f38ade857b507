"""The reader in JavaScript gives the same numbers as the one in Python."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digits_edge.export.targets.preprocessing_constants import constants_js
from digits_edge.runtime import Reader
from digits_edge.runtime.preprocessing.pictures import open_picture
from digits_edge.runtime.reader.line_crop import line_crop
from digits_edge.runtime.reader.line_image import line_image, line_levels
from digits_edge.runtime.reader.lines import find_lines
from digits_edge.runtime.reader.search import search
from tests.drawn_numbers import PAPERS, Written, number_page, plain

#: Pages of the fast tests; the slow ones read all.
FEW = ("squared, turned", "slanted", "turned 2", "field", "one digit", "blank", "coloured")
BROWSER = Path(__file__).parents[3] / "export" / "targets" / "browser"
DRIVER = Path(__file__).with_name("read_numbers.mjs")
EVEN = [Written("7453", 120, 130, 60, even=True), Written("64520", 140, 330, 60, even=True)]
SLANTED = [Written("790126", 100, 200, 60, slope=0.1, even=True)]


def pages() -> dict[str, Image.Image]:
    found = {name: number_page(paper, EVEN) for name, paper in PAPERS.items()}
    for name in ("ruled", "noisy"):
        found[f"{name}, drawn"] = number_page(PAPERS[name], [Written("4071358", 130, 150)])
    apart = [Written("407", 60, 130), Written("926", 400, 130)]
    found["apart"] = number_page(plain(), apart)
    found["slanted"] = number_page(plain(), SLANTED)
    found |= {f"turned {number}": number_page(plain(), EVEN).transpose(number) for number in (2, 3, 4)}
    found["light on dark"] = Image.eval(number_page(plain(), EVEN), lambda level: 255 - level)
    found["field"] = number_page(plain(80, 300), [Written("645", 40, 10, 60, even=True)])
    found["wide field"] = number_page(plain(130, 500), [Written("645", 90, 30, 70, even=True)])
    found["one digit"] = number_page(plain(200, 180), [Written("7", 60, 40, 110, even=True)])
    found["blank"] = Image.new("L", (300, 200), 240)
    found["blank field"] = Image.new("L", (120, 40), 240)
    coloured = np.asarray(number_page(plain(), EVEN), np.uint8)
    found["coloured"] = Image.fromarray(np.stack([coloured, coloured, np.full_like(coloured, 200)], axis=2))
    return found


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[dict], list[dict]]]:
    """A function that sends a request to the driver."""
    pytest.importorskip("onnx", reason="the model of templates needs onnx")
    if shutil.which("node") is None:
        pytest.skip("no `node` on PATH to run the JavaScript modules")
    from tests.sequence_models import COLUMN_PX, LABELS, template_weights

    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(BROWSER, folder / "page")
    (folder / "page" / "constants.js").write_text(constants_js(), encoding="utf-8")
    weights, bias = template_weights()
    model = {"weights": weights.tolist(), "bias": bias.tolist(), "labels": LABELS, "columnPx": COLUMN_PX}
    (folder / "model.json").write_text(json.dumps({**model, "uncertainBelow": 0.5}))
    command = ["node", str(DRIVER), str(folder / "page"), str(folder / "model.json")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def send(request: dict) -> list[dict]:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            assert line, "Node has exited; its error is above"
            return json.loads(line)

        yield send
        process.stdin.close()


def read_all(node: Callable, pictures: list[Image.Image], folder: Path) -> list[dict]:
    file = folder / "pictures.rgba"
    file.write_bytes(b"".join(picture.convert("RGBA").tobytes() for picture in pictures))
    sizes = [{"width": picture.width, "height": picture.height} for picture in pictures]
    return node({"file": str(file), "pictures": sizes})


@pytest.fixture(
    scope="module", params=[pytest.param(FEW, id="few"), pytest.param(None, id="all", marks=pytest.mark.slow)]
)
def readings(
    request: pytest.FixtureRequest, node: Callable, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[str, Image.Image, dict]]:
    """Names, pictures, and what JavaScript read in them."""
    drawn = {name: page for name, page in pages().items() if request.param is None or name in request.param}
    found = read_all(node, list(drawn.values()), tmp_path_factory.mktemp("pictures"))
    return [(name, page, reading) for (name, page), reading in zip(drawn.items(), found, strict=True)]


def test_numbers_statuses_and_boxes_are_the_same(readings, sequence_model: Path):
    with Reader(sequence_model, provider="cpu") as reader:
        for name, page, found in readings:
            expected = reader.read(page)
            assert (found["status"], [line["text"] for line in found["lines"]]) == (
                expected.status,
                [line.text for line in expected.lines],
            ), name
            for line, other in zip(found["lines"], expected.lines, strict=True):
                assert line["status"] == other.status
                assert line["confidence"] == pytest.approx(other.confidence, abs=0.02), name
                assert line["box"] == list(other.box)
                for digit, same in zip(line["digits"], other.digits, strict=True):
                    assert digit["digit"] == same.digit
                    assert digit["box"] == pytest.approx(list(same.box), abs=2), name


def test_lines_and_their_images_are_the_same(readings):
    for name, page, found in readings:
        picture = open_picture(page)
        expected = find_lines(picture)
        assert [(tuple(line["box"]), line["parts"]) for line in found["found"]] == [
            (line.box, line.parts) for line in expected
        ], name
        for line, other in zip(found["found"], expected, strict=True):
            assert line["slope"] == pytest.approx(other.slope, abs=1e-9)
            image = line_image(line_levels(line_crop(picture, other).picture))
            same = np.frombuffer(bytes.fromhex(line["image"]), np.uint8).reshape(32, line["width"])
            assert same.shape == image.shape
            limit = 12 if other.slope else 1  # Pillow's bilinear transformation rounds in another way
            assert np.abs(same.astype(int) - image).max() <= limit, name


def test_real_pictures_have_the_same_lines(node, data_folder: Path, tmp_path: Path):
    fields = sorted((data_folder / "hands" / "cheques-dev" / "fields").iterdir())[::40]
    pictures = [open_picture(path).convert("RGB") for path in fields]
    pictures.append(open_picture(data_folder / "hands" / "numbers-dev" / "number_1.jpg").convert("RGB"))
    for picture, found in zip(pictures, read_all(node, pictures, tmp_path), strict=True):
        expected = find_lines(picture)
        assert [tuple(line["box"]) for line in found["found"]] == [line.box for line in expected]
        for line, other in zip(found["found"], expected, strict=True):
            image = line_image(line_levels(line_crop(picture, other).picture))
            same = np.frombuffer(bytes.fromhex(line["image"]), np.uint8).reshape(32, line["width"])
            assert same.shape == image.shape and np.abs(same.astype(int) - image).mean() < 1


def test_the_search_finds_the_same_strings(node):
    rng = np.random.default_rng(5)
    for length in (1, 2, 3, 5, 7, 10, 14, 20):
        logits = rng.normal(0, rng.uniform(1, 5), (length, 11))
        columns = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        columns = columns.astype(np.float32)
        found = node({"columns": columns.tolist(), "labels": "0123456789"})
        expected = search(columns, "0123456789")
        assert found[0]["text"] == expected[0].text
        by_text = {each["text"]: each["confidence"] for each in found}
        for each in expected[:5]:
            assert by_text[each.text] == pytest.approx(each.confidence, rel=1e-5)
