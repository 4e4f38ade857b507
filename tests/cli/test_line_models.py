"""Commands on sequence models: train, export, evaluate, verify, and those that need a classifier."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from digits_edge.runtime.datasets.options import ReadingOptions
from digits_edge.train import recipe_images
from tests.cli.conftest import Run


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of labelled pictures of lines."""
    folder = tmp_path / "lines"
    folder.mkdir()
    for number in range(3):
        picture = Image.new("L", (200, 60), "white")
        for stroke in range(number + 1):
            picture.paste(0, (40 + 30 * stroke, 10, 46 + 30 * stroke, 50))
        picture.save(folder / f"{number}.png")
    rows = [f"{number}.png,{'1' * (number + 1)}" for number in range(3)]
    (folder / "labels.csv").write_text("\n".join(["file,text", *rows, ""]))
    return folder


def test_evaluate_reports_strings(run: Run, line_run: Path, line_model: Path, pictures: Path, tmp_path: Path) -> None:
    for model, page in ((line_run, ()), (line_model, ("-o", tmp_path / "page.html"))):
        result = run("evaluate", model, "--data", pictures, "--json", *page)
        assert result.code == 0, result.stderr
        [found] = result.objects
        assert (found["lines"], found["digits"], found["digits_only"]) == (3, 6, True)
        assert 0 <= found["accuracy"] <= 1
    assert "Wrong strings" in (tmp_path / "page.html").read_text()
    result = run("evaluate", line_run)
    assert result.code == 0
    assert "strings are wrong" in result.stdout
    assert "lines without a number" in result.stdout
    result = run("evaluate", line_model)
    assert result.code == 2
    assert "labels.csv" in result.error


def test_verify_checks_sequence_models(run: Run, line_model: Path, pictures: Path) -> None:
    result = run("verify", line_model, "--data", pictures)
    assert result.code == 0, result.stderr
    assert "number-fp32 on cpu" in result.stdout
    assert "of 3 strings are wrong" in result.stdout
    [found] = run("verify", line_model, "--json").objects
    assert found["holds"]
    assert found["golden"]["changed"] == 0


def test_export_writes_a_sequence_model(run: Run, line_run: Path, tmp_path: Path) -> None:
    result = run("export", line_run, "--precision", "fp32", "--name", "mine", "-o", tmp_path / "mine.onnx", "--json")
    assert result.code == 0, result.stderr
    [found] = result.objects
    assert found["name"] == "mine"
    assert found["parity"]["changed_confident"] == 0
    assert run("verify", tmp_path / "mine.onnx").code == 0


def test_options_of_classifiers_are_refused(run: Run, line_run: Path, tmp_path: Path) -> None:
    result = run("export", line_run, "--data", "mnist", "-o", tmp_path / "mine.onnx")
    assert result.code == 2
    assert "if SOURCE is a classifier" in result.stderr
    other = tmp_path / "other"
    shutil.copytree(line_run, other)
    result = run("export", line_run, other, "--ensemble", "-o", tmp_path / "mine.onnx")
    assert result.code == 2
    assert "cannot be in an ensemble" in result.error


def test_classifier_commands_name_the_right_one(run: Run, line_model: Path, pictures: Path) -> None:
    result = run("predict", "--model", line_model, pictures / "0.png")
    assert result.code == 3
    assert "digits-edge read" in result.error


def test_lines_are_an_option_of_train(run: Run, tmp_path: Path) -> None:
    result = run("train", "number", "--folds", "2", "-o", tmp_path / "run", "--data", "missing-file.csv")
    assert result.code != 0
    assert not (tmp_path / "run").exists()


def test_sequence_models_have_no_search(run: Run) -> None:
    result = run("tune", "number")
    assert result.code == 2
    assert "has no search" in result.error


def test_a_run_is_resumed_with_the_data_of_its_digits(run: Run, line_run: Path, tmp_path: Path) -> None:
    # the record of the input is that of lines, and not of the data's images
    assert recipe_images(line_run / "recipe.json") == ReadingOptions()
    result = run("train", "--resume", "-o", line_run, "--data", tmp_path / "missing.csv")
    assert result.code == 4
    assert "free width" not in result.error


def test_models_describes_a_sequence_model(run: Run, line_model: Path) -> None:
    [found] = run("models", line_model, "--json").objects
    assert (found["input"]["height"], found["input"]["width"], found["output"]) == (32, None, "columns")
    assert "32×W white-on-black" in run("models", line_model).stdout
