"""Train and evaluate models on a folder of pictures in colour."""

import contextlib
import io
import json
import shutil
from importlib.util import find_spec

import pytest
from PIL import Image

from digits_edge.cli.main import run as run_command
from scripts.draw_shapes import SHAPES, draw_shape

pytestmark = pytest.mark.skipif(find_spec("keras") is None, reason="needs the extra [train]")

QUICK = ("--epochs", "2", "--batch-size", "16", "--learning-rate", "0.01")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A folder of three classes with 30 pictures each, 36×36, so that they are reduced to the input."""
    folder = tmp_path_factory.mktemp("own") / "shapes"
    for name in SHAPES:
        (folder / name).mkdir(parents=True)
        for number in range(30):
            draw_shape(name, number).resize((36, 36)).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def trained(shapes, tmp_path_factory):
    """Run folder of a small network on the shapes, with 24×24 inputs; tests must not change it."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    settings = ("--epochs", "6", "--batch-size", "8", "--learning-rate", "0.01")
    arguments = ["train", "cnn-small", "--data", str(shapes), "--input", "24x24x3", "-o", str(folder), *settings]
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        assert run_command(arguments) == 0, stderr.getvalue()
    assert "54 steps are few" in stderr.getvalue()
    return folder


def test_a_model_is_trained_on_a_folder(run, shapes, trained):
    data = json.loads((trained / "recipe.json").read_text("utf-8"))["data"]
    assert (data["name"], data["classes"], data["images"]) == ("shapes", ["circle", "cross", "triangle"], 72)
    assert data["input"] == {"height": 24, "width": 24, "channels": 3, "polarity": "as-photographed"}
    assert [step["step"] for step in data["preprocessing"]] == ["resize", "center_crop"]
    # the input of the run is read from its record
    resumed = run("train", "--resume", "-o", trained, "--data", shapes, "--json")
    assert (resumed.code, resumed.objects[0]["epochs"]) == (0, 6), resumed.stderr


def test_the_evaluation_reads_pictures_as_the_run_does(run, shapes, trained):
    found = run("evaluate", trained, "--data", shapes, "--json").objects[0]
    assert (found["images"], found["split"], found["data"]) == (18, "test", "shapes")
    assert found["accuracy"] > 0.6
    validation = run("evaluate", trained, "--data", shapes, "--split", "validation", "--json").objects[0]
    assert validation["images"] == 6


def test_classes_are_matched_by_name(run, shapes, trained, tmp_path):
    """A folder of two of the three classes, whose labels are 0 and 1 but not those of the model."""
    for name in ("cross", "triangle"):
        (tmp_path / "two" / name).mkdir(parents=True)
        for number in range(10):
            (tmp_path / "two" / name / f"{number}.png").write_bytes((shapes / name / f"{number}.png").read_bytes())
    found = run("evaluate", trained, "--data", "two", "--json")
    assert found.stderr == ""
    assert [each["support"] for each in found.objects[0]["classes"]] == [0, 2, 2]


def test_damaged_pictures_are_named_or_skipped(run, shapes, tmp_path):
    copies = shutil.copytree(shapes, tmp_path / "own")
    for number in range(5):
        (copies / "cross" / f"bad{number}.png").write_bytes(b"\x89PNG" + bytes([number]))
    refused = run("train", "cnn-small", "--data", "own", "-o", "run", *QUICK)
    assert refused.code == 4
    assert "pictures cannot be read: own" in refused.error
    assert "skip them with --skip-damaged" in refused.error
    described = run("report", "own", "--skip-damaged", "--json")
    assert described.code == 0
    assert "skipped 5 damaged pictures: " in described.stderr
    assert sum(split["images"] for split in described.objects[0]["splits"]) == 90


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "32x32x4"], "--input '32x32x4' is not HEIGHTxWIDTH or HEIGHTxWIDTHx3; for example, use 32x32x3"),
        (["--input", "0x32"], "images of 0×32 pixels: use sides from 1 to 1024"),
        (
            ["--input", "3x3x3"],
            "cnn cannot be built with its default structure: its layers reduce 3×3×3 pixels to none",
        ),
    ],
)
def test_the_error_for_a_wrong_input_says_what_is_expected(run, shapes, arguments, message):
    result = run("train", "cnn", "--data", shapes, "-o", "run", *arguments)
    assert result.code == 2
    assert message in result.error


def test_grey_pictures_of_digits_are_read_as_ink_on_request(run, images, tmp_path):
    for digit, image in enumerate(images[:3]):
        (tmp_path / "digits" / str(digit)).mkdir(parents=True)
        for number in range(6):
            picture = Image.fromarray(255 - image).resize((60 + number, 60))
            picture.save(tmp_path / "digits" / str(digit) / f"{number}.png")
    ink = ("--input", "28x28", "--polarity", "white-on-black")
    result = run("train", "perceptron", "--data", "digits", "-o", "run", "--validation", "fifth", *ink, *QUICK)
    assert result.code == 0, result.stderr
    data = json.loads((tmp_path / "run/recipe.json").read_text("utf-8"))["data"]
    assert (data["input"]["polarity"], data["preprocessing"]) == (
        "white-on-black",
        [{"ink": 20, "size": 28, "step": "digit"}],
    )


def test_images_in_a_file_are_resized_to_the_input(run, drawn, tmp_path):
    result = run("train", "perceptron", "--data", drawn, "--input", "14x14", "-o", "run", *QUICK)
    assert result.code == 0, result.stderr
    data = json.loads((tmp_path / "run/recipe.json").read_text("utf-8"))["data"]
    assert (data["input"]["height"], data["input"]["polarity"]) == (14, "white-on-black")
    assert [step["step"] for step in data["preprocessing"]] == ["digit", "resize"]
    assert run("train", "--resume", "-o", "run", "--data", drawn, "--json").objects[0]["epochs"] == 2
    assert run("evaluate", "run", "--data", drawn, "--json").objects[0]["images"] == 100


@pytest.mark.slow
def test_the_evaluation_page_shows_colours_and_grad_cam(run, shapes, trained, tmp_path):
    result = run("evaluate", trained, "--data", shapes, "-o", "page.html")
    assert result.code == 0, result.stderr
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "Grad-CAM (Selvaraju" in page
    assert "train/../" not in page


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet", "edge", "kaggle-cnn"])
def test_larger_models_are_trained_on_a_folder(run, shapes, name):
    result = run("train", name, "--data", shapes, "--input", "32x32x3", "-o", "run", "--no-distillation", *QUICK)
    assert result.code == 0, result.stderr
    found = run("evaluate", "run", "--data", shapes, "--json").objects[0]
    assert (found["images"], len(found["confusion"])) == (18, 3)


@pytest.mark.slow
def test_report_tune_compare_and_studies_take_a_folder(run, shapes, trained, tmp_path):
    report = run("report", shapes, "--input", "24x24x3", "-o", "report.html")
    assert report.code == 0, report.stderr
    assert "24×24 colours" in (tmp_path / "report.html").read_text("utf-8")

    tuned = run("tune", "cnn-small", "--data", shapes, "--input", "24x24x3", "--trials", "2", "--epochs", "1", "--json")
    assert tuned.code == 0, tuned.stderr
    best = "runs/tune-cnn-small/best.json"
    again = run("train", "--recipe", best, "--data", shapes, "-o", "best", "--epochs", "1", "--json")
    assert again.code == 0, again.stderr

    compared = run("compare", trained, "best", "--data", shapes, "-o", "compare.html", "--json")
    assert compared.code == 0, compared.stderr
    assert [row["images"] for row in compared.objects] == [18, 18]

    study = ("--study", "depth", "--seeds", "1", "--epochs", "1", "--input", "24x24x3", "--json")
    assert run("compare", "--data", shapes, *study).code == 0


@pytest.mark.slow
def test_models_with_different_inputs_are_not_compared(run, shapes, trained):
    result = run("compare", trained, "edge-int8", "--data", shapes)
    assert (result.code, "takes images of 24×24×3, but edge-int8 of 28×28; compare models" in result.error) == (2, True)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("onnx") is None, reason="needs the extra [export]")
def test_a_model_of_pictures_is_exported_and_used(run, shapes, trained):
    exported = run("export", trained, "--data", shapes, "-o", "shapes.onnx", "--precision", "fp32")
    assert exported.code == 0, exported.stderr
    assert run("verify", "shapes.onnx", "--keras", trained, "--data", shapes).code == 0
    keras, onnx = (run("evaluate", model, "--data", shapes, "--json").objects[0] for model in (trained, "shapes.onnx"))
    assert keras["confusion"] == onnx["confusion"]
    predicted = run("predict", "--model", "shapes.onnx", shapes / "circle", "--json")
    labels = [found["label"] for found in predicted.objects]
    assert (len(labels), predicted.code) == (30, 0)
    assert labels.count("circle") > 20


@pytest.mark.slow
@pytest.mark.skipif(find_spec("onnx") is None, reason="needs the extra [export]")
def test_damaged_pictures_are_skipped_by_every_command(run, shapes, tmp_path):
    copy = shutil.copytree(shapes, tmp_path / "own")
    for number in range(5):
        (copy / "cross" / f"bad{number}.png").write_bytes(b"\x89PNG" + bytes([number]))
    own = ("--data", "own", "--skip-damaged")
    assert run("train", "cnn-small", *own, "--input", "24x24x3", "-o", "run", *QUICK).code == 0
    exported = run("export", "run", *own, "-o", "own.onnx", "--precision", "fp32")
    assert exported.code == 0, exported.stderr
    assert "skipped 5 damaged pictures" in exported.stderr
    assert run("verify", "own.onnx", "--keras", "run", *own).code == 0
    assert run("evaluate", "own.onnx", *own).code == 0
    refused = run("export", "run", "--data", "own", "-o", "other.onnx")
    assert (refused.code, "skip them with --skip-damaged" in refused.error) == (4, True)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("onnx") is None, reason="needs the extra [export]")
def test_the_page_of_a_model_file_has_occlusion_maps(run, shapes, trained, tmp_path):
    assert run("export", trained, "--data", shapes, "-o", "shapes.onnx", "--precision", "fp32").code == 0
    result = run("evaluate", "shapes.onnx", "--data", shapes, "-o", "page.html")
    assert result.code == 0, result.stderr
    assert "a grey square of about a fifth" in (tmp_path / "page.html").read_text("utf-8")
