"""Models trained on inverted or standardized pixels: right with the right options, refused with any other."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from digits_edge.cli.main import run as run_command
from digits_edge.export import Source, calibrated_outputs, export, read_source
from digits_edge.export.graph.contract import QuantizedPixels
from digits_edge.export.input_check import check_accuracy, likely_ranges
from digits_edge.export.keras_outputs import run_keras
from digits_edge.runtime.checks.verify import verify
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets import Dataset, parts
from digits_edge.runtime.errors import CheckError, ModelError, UsageError
from digits_edge.runtime.model.model_file import PRECISIONS, Metadata, Precision
from digits_edge.runtime.model.pixel_range import PixelRange
from tests.export.conftest import fit, shared_conversions

#: How a training script may prepare its images; none is the default, pixels from 0 to 1.
PREPARED: dict[str, tuple[PixelRange, Callable[[Any], Any]]] = {
    "inverted": (PixelRange(1, invert=True), lambda pixels: (255 - pixels) / 255),
    "inverted-255": (PixelRange(255, invert=True), lambda pixels: 255 - pixels),
    "standardized": (PixelRange(1, mean=0.1307, std=0.3081), lambda pixels: (pixels / 255 - 0.1307) / 0.3081),
    "minus-one-to-one": (PixelRange(1, mean=0.5, std=0.5), lambda pixels: pixels / 127.5 - 1),
    "inverted-minus-one-to-one": (PixelRange(1, invert=True, mean=0.5, std=0.5), lambda pixels: 1 - pixels / 127.5),
}


@pytest.fixture(scope="session")
def prepared(drawn: Dataset, make_once: Callable[..., Path]) -> Callable[[str], Path]:
    """A function that fits a network with a padded convolution to images prepared in one of these ways."""

    def train(kind: str) -> Path:
        def write(path: Path) -> None:
            keras.utils.set_random_seed(3)
            image = keras.Input((28, 28, 1))
            x = layers.Conv2D(8, 5, strides=2, padding="same", activation="relu")(image)
            x = layers.Dense(128, activation="relu")(layers.Flatten()(layers.MaxPooling2D(2)(x)))
            model = keras.Model(image, layers.Dense(10)(x))
            pixels = PREPARED[kind][1](drawn.images[..., None].astype(np.float32))
            scale = np.float32(max(np.abs(pixels).max(), 10) / 10)
            fit(model, pixels / scale, drawn.labels, ridge=2e-3)
            kernel, bias = model.layers[1].get_weights()
            model.layers[1].set_weights([kernel / scale, bias])  # as if trained on the pixels themselves
            model.save(path)

        return make_once(f"prepared-{kind}.keras", write)

    return train


@pytest.fixture(scope="session")
def read_prepared(prepared: Callable[[str], Path]) -> Callable[[str], Source]:
    """A function that returns such a network with its pixel range; tests must not change it."""
    return cache(lambda kind: read_source(prepared(kind), pixel_range=PREPARED[kind][0]))


@pytest.fixture(autouse=True)
def _shared_conversions() -> Iterator[None]:
    with shared_conversions():
        yield


def options_in(message: str) -> list[str]:
    """The options that an error recommends."""
    return re.search(r"with (--[^,]*), ", message)[1].split()  # type: ignore[index]


def as_range(options: Iterable[str]) -> PixelRange:
    values = dict(zip(words := list(options), [*words[1:], ""], strict=True))
    return PixelRange(
        int(values["--input-scale"]),  # type: ignore[arg-type]
        "--invert" in values,
        float(values.get("--mean", 0)),
        float(values.get("--std", 1)),
    )


#: fp16 is the converted fp32, whatever the pixel range is.
CASES = [
    pytest.param(kind, precision, marks=[pytest.mark.slow] if precision == "fp16" and kind != "standardized" else [])
    for kind in PREPARED
    for precision in PRECISIONS
]


@pytest.mark.parametrize(("kind", "precision"), CASES)
def test_model_file_is_right_on_raw_pixels(
    kind: str, precision: Precision, read_prepared: Callable[[str], Source], drawn: Dataset, tmp_path: Path
) -> None:
    pixel_range, prepare = PREPARED[kind]
    source = read_prepared(kind)
    np.testing.assert_allclose(
        source.inputs(drawn.images[:20])[..., 0], prepare(drawn.images[:20].astype(np.float32)), rtol=1e-5, atol=1e-6
    )
    exported = export(source, tmp_path / "m.onnx", precision=precision, training=drawn)
    metadata = exported.metadata
    assert metadata.pixel_range == pixel_range
    assert metadata.keras_accuracy == {
        "on": "validation images",
        "errors": exported.parity.reference_errors,
        "images": 100,
    }
    with Classifier(exported.path, provider="cpu") as classifier:
        assert classifier.metadata == metadata
        assert verify(classifier, dataset=drawn).holds
        rows = parts(drawn.labels).validation
        predicted = classifier.predict_batch(drawn.images[rows])
        expected = calibrated_outputs(source, drawn.images[rows], metadata.temperature)
        assert (predicted.argmax(axis=1) == drawn.labels[rows]).mean() > 0.8
        assert np.abs(predicted - expected).max() < {"fp32": 1e-5, "fp16": 1e-2, "int8": 0.15}[precision]
    assert exported.float_layers == ()
    if precision == "int8":
        operators = [node.op_type for node in onnx.load(exported.path).graph.node]
        assert not {"Cast", "Mul", "Add", "Sub"} & set(operators), "the pixel is the quantized input"


@pytest.mark.parametrize("kind", PREPARED)
def test_wrong_pixel_range_is_refused_with_options_that_work(
    kind: str, read_prepared: Callable[[str], Source], drawn: Dataset, tmp_path: Path
) -> None:
    wrong = PixelRange(1, invert=not PREPARED[kind][0].invert)
    source = replace(read_prepared(kind), pixel_range=wrong)
    with pytest.raises(CheckError, match="nothing is written") as caught:
        export(source, tmp_path / "m.onnx", precision="fp32", training=drawn)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    recommended = as_range(options_in(str(caught.value)))
    assert recommended.invert == PREPARED[kind][0].invert
    right = replace(source, pixel_range=recommended)
    exported = export(right, tmp_path / "m.onnx", precision="fp32", training=drawn)
    assert exported.metadata.keras_accuracy["errors"] <= 10  # type: ignore[index]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_untrained_model_and_wrong_order_of_labels_are_refused(
    precision: Precision, read_prepared: Callable[[str], Source], drawn: Dataset, tmp_path: Path
) -> None:
    source = read_prepared("inverted")
    shifted = replace(drawn, labels=(drawn.labels + 1).astype(np.uint8) % 10, sha256="3" * 64)
    with pytest.raises(CheckError, match=r"like guessing.*--labels are in its order"):
        export(source, tmp_path / "m.onnx", precision=precision, training=shifted)
    assert not list(tmp_path.iterdir())


def test_accuracy_far_below_that_of_the_run_is_refused(prepared: Callable[[str], Path], drawn: Dataset) -> None:
    source = read_source(prepared("inverted"), pixel_range=PREPARED["inverted"][0])
    validation = run_keras(source, drawn).validation
    accuracy = check_accuracy(source, validation, drawn)
    assert accuracy is not None
    as_recorded = replace(source, validation_accuracy=accuracy.value)
    assert check_accuracy(as_recorded, validation, drawn) == accuracy
    assert validation is not None
    half = replace(validation, labels=np.where(np.arange(100) % 2, validation.labels, 0).astype(np.uint8))
    with pytest.raises(CheckError, match="but its run recorded"):
        check_accuracy(as_recorded, half, drawn)


def test_accuracy_is_unchecked_without_labelled_images(prepared: Callable[[str], Path], drawn: Dataset) -> None:
    source = read_source(prepared("inverted"), pixel_range=PixelRange(1))
    assert check_accuracy(source, None, None) is None
    assert check_accuracy(source, run_keras(source, replace(drawn, labels=None)).validation, drawn) is None


def test_test_images_are_used_without_validation_images(
    prepared: Callable[[str], Path], drawn: Dataset, tmp_path: Path
) -> None:
    test = replace(drawn.taken(np.arange(200), "test"), sha256="1" * 64)
    source = read_source(prepared("inverted"), pixel_range=PixelRange(1))
    with pytest.raises(CheckError, match="of 200 test images"):
        export(source, tmp_path / "m.onnx", precision="fp32", test=test)
    right = replace(source, pixel_range=PREPARED["inverted"][0])
    metadata = export(right, tmp_path / "m.onnx", precision="fp32", test=test).metadata
    assert metadata.keras_accuracy is not None
    assert (metadata.keras_accuracy["on"], metadata.keras_accuracy["images"]) == ("test images", 200)


@given(
    st.sampled_from([1, 255]),
    st.booleans(),
    st.floats(-2, 2).map(lambda mean: round(mean, 4)),
    st.floats(0.01, 3),
    st.integers(0, 255),
)
def test_quantized_pixels_are_the_pixel_range(scale: int, invert: bool, mean: float, std: float, pixel: int) -> None:
    pixel_range = PixelRange(scale, invert, mean * scale, std * scale)  # type: ignore[arg-type]
    pixels = QuantizedPixels.of(pixel_range)
    expected = pixel * pixel_range.factor + pixel_range.offset
    found = pixels.sign * (pixel - pixels.zero_point) * pixels.step + pixels.rest
    assert found == pytest.approx(expected, abs=1e-4 * pixels.step + 1e-9 * abs(pixel_range.offset))
    if 0 <= mean <= 1:
        assert abs(pixels.rest) <= 0.5001 * pixels.step


def test_likely_ranges_of_the_data_are_standardized(drawn: Dataset) -> None:
    for pixel_range in likely_ranges(drawn.images)[3::4]:
        pixels = (drawn.images.astype(np.float64) * pixel_range.factor + pixel_range.offset).ravel()
        assert abs(pixels.mean()) < 0.01 and abs(pixels.std() - 1) < 0.01


@pytest.mark.parametrize("values", [{"std": 0}, {"std": -1}, {"std": float("nan")}, {"mean": float("inf")}])
def test_impossible_mean_or_standard_deviation_is_an_error(values: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="of the pixels: use a number from"):
        PixelRange(1, **values)  # type: ignore[arg-type]
    metadata = Metadata("m", "1", "cnn", "int8", tuple("01"), 7, pixel_range=PixelRange(1, True, 0.5, 0.25))
    assert Metadata.from_json(metadata.to_json()) == metadata
    content = json.loads(metadata.to_json())
    with pytest.raises(ModelError, match="metadata"):
        Metadata.from_json(json.dumps(content | {"pixel_range": content["pixel_range"] | values}))
    del content["pixel_range"], content["keras_accuracy"]
    assert Metadata.from_json(json.dumps(content)).pixel_range is None


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """A function that runs `digits-edge` and returns exit code, stdout and stderr."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        return run_command([str(argument) for argument in arguments]), *capsys.readouterr()

    return run


@pytest.mark.slow
def test_commands_agree_on_the_options(
    run: Callable[..., tuple[int, str, str]], prepared: Callable[[str], Path], drawn: Dataset, tmp_path: Path
) -> None:
    keras_file, data, target = prepared("inverted"), tmp_path / "drawn.npz", tmp_path / "m.onnx"
    test = drawn.taken(np.arange(100), "test")
    np.savez(data, x_train=drawn.images, y_train=drawn.labels, x_test=test.images, y_test=test.labels)
    exporting = ("export", keras_file, "-o", target, "--data", data, "--precision", "fp32")
    code, out, err = run(*exporting, "--input-scale", "1")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert options_in(err) == ["--input-scale", "1", "--invert"]
    code, out, err = run(*exporting, "--input-scale", "1", "--invert")
    assert code == 0, err
    assert re.search(r"^accuracy at export: [\d.]+ %, \d+ errors of 100 validation images$", out, re.MULTILINE)

    code, out, err = run("verify", target, "--keras", keras_file, "--data", data, "--json")
    verified = json.loads(out)
    assert (code, verified["accuracy_checked"], verified["parity"]["changed"]) == (0, True, 0), err
    assert "\n  accuracy at export: " in run("verify", target, "--keras", keras_file)[1]

    options = ("--input-scale", "1", "--invert")
    by_keras = json.loads(run("evaluate", keras_file, *options, "--data", data, "--json")[1])
    by_file = json.loads(run("evaluate", target, "--data", data, "--json")[1])
    assert by_keras["errors"] == by_file["errors"]
    compared = run("compare", keras_file, target, *options, "--data", data, "--json")
    assert len({json.loads(line)["errors"] for line in compared[1].splitlines()}) == 1, compared

    peers = ("benchmark", "--peers", "--model", target, "--keras", keras_file)
    short = ("--seconds", "0", "--rounds", "2", "--threads", "1", "--batch-size", "3", "--json")
    code, out, err = run(*peers, *short)
    assert code == 0, err
    rows = [row for line in out.splitlines() if "skipped" not in (row := json.loads(line))]
    assert {"keras called", "tf.function"} <= {row["engine"] for row in rows}
    assert {row["agreement"] for row in rows} == {1.0}

    code, out, err = run(*exporting, "--overwrite", "--input-scale", "1", "--std", "0")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "standard deviation 0 of the pixels" in err


def test_commands_say_that_the_accuracy_is_unchecked(
    run: Callable[..., tuple[int, str, str]], prepared: Callable[[str], Path], drawn: Dataset, tmp_path: Path
) -> None:
    keras_file, data, target = prepared("standardized"), tmp_path / "drawn.npz", tmp_path / "m.onnx"
    options = ("--input-scale", "1", "--mean", "0.1307", "--std", "0.3081")
    code, out, err = run("export", keras_file, "-o", target, "--precision", "fp32", *options)
    assert code == 0, err
    unchecked = "accuracy unchecked: export had no labelled images; pass them with --data"
    assert unchecked in out
    with Classifier(target, provider="cpu") as classifier:
        assert classifier.metadata.keras_accuracy is None and not classifier.metadata.accuracy_checked
    assert f"  {unchecked}\n" in run("verify", target)[1]
    assert json.loads(run("verify", target, "--json")[1])["accuracy_checked"] is False
    labels = (drawn.labels + 1).astype(np.uint8) % 10
    np.savez(data, x_train=drawn.images[:10], y_train=labels[:10], x_test=drawn.images, y_test=labels)
    code, out, err = run("verify", target, "--data", data)
    assert code == 1 and "is like guessing" in out


def test_source_scale_stays_the_default(prepared: Callable[[str], Path]) -> None:
    source: Source = read_source(prepared("inverted"), pixel_range=PixelRange(1, invert=True))
    assert source.pixel_range.description == "0–1, inverted"
    with pytest.raises(UsageError, match="--input-scale"):
        read_source(prepared("inverted"), pixel_range=PixelRange(invert=True))
