"""Export of single models: parity with Keras, metadata, and errors without a file."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from digits_edge.export import Exported, Int8Options, Source, calibrated_outputs, export, member, read_source
from digits_edge.export.ensemble import Ensemble
from digits_edge.export.graph.convert import convert
from digits_edge.export.source import CalibrationImages
from digits_edge.runtime.checks.parity import compare, shortfalls
from digits_edge.runtime.checks.verify import verify
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets import CATALOGUE, Dataset, parts
from digits_edge.runtime.errors import CheckError, ModelError, UsageError
from digits_edge.runtime.model.golden import max_packed_bytes
from digits_edge.runtime.model.model_file import GOLDEN_KEY, PRECISIONS, Precision, read_model_file
from digits_edge.runtime.model.pixel_range import PixelRange
from digits_edge.runtime.model.steps import ObjectStep
from digits_edge.runtime.preprocessing.plain_object import to_object_format
from tests.export.conftest import KINDS, fit, shared_conversions

#: The smallest network, for tests of what does not depend on the network.
small = pytest.mark.parametrize("source", ["softmax-rows"], indirect=True)


@pytest.fixture(autouse=True)
def _shared_conversions() -> Iterator[None]:
    with shared_conversions():
        yield


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_precision_predicts_like_keras(
    kind: str,
    precision: Precision,
    read: Callable[[str], Source],
    export_once: Callable[[str, Precision], Exported],
    evaluation_set: Dataset,
) -> None:
    exported = export_once(kind, precision)
    with Classifier(exported.path, provider="cpu") as classifier:
        rows = parts(evaluation_set.labels).validation
        expected = calibrated_outputs(read(kind), evaluation_set.images[rows], classifier.metadata.temperature)
        probabilities = classifier.predict_batch(evaluation_set.images[rows])
        assert not shortfalls(compare(expected, probabilities, evaluation_set.labels[rows]), precision)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
        assert verify(classifier).holds
        assert classifier.metadata.calibrated and classifier.metadata.temperature != 1
        assert classifier.metadata.precision == precision
        errors = int((classifier.predict_batch(evaluation_set.images).argmax(axis=1) != evaluation_set.labels).sum())
        assert classifier.metadata.test == {
            "name": "drawn",
            "sha256": evaluation_set.sha256,
            "errors": errors,
            "images": len(evaluation_set),
        }


def test_model_file_is_a_valid_onnx_model_with_metadata_and_checksum(
    export_once: Callable[[str, Precision], Exported], mislabelled: Dataset
) -> None:
    path = export_once("residual", "int8").path
    proto = onnx.load_from_string(read_model_file(path))
    onnx.checker.check_model(proto, full_check=True)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    assert list(metadata)[-1] == "digits_edge.sha256"
    assert len(metadata[GOLDEN_KEY]) <= max_packed_bytes(10, 784)
    with Classifier(path, provider="cpu") as classifier:
        assert classifier.metadata.name == "residual-int8"
        assert len(classifier.golden.images) >= 24
        assert classifier.metadata.data["sha256"] == mislabelled.sha256


@small
def test_model_can_be_named(source: Source, tmp_path: Path) -> None:
    exported = export(source, tmp_path / "m.onnx", precision="fp32", name="mine")
    with Classifier(exported.path, provider="cpu") as classifier:
        assert classifier.metadata.name == "mine"


@pytest.mark.parametrize("source", ["residual"], indirect=True)
def test_export_is_reproducible(
    source: Source,
    export_once: Callable[[str, Precision], Exported],
    mislabelled: Dataset,
    evaluation_set: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(member, "convert", convert)  # not the graph of the first export
    first = export_once("residual", "int8").path.read_bytes()
    again = export(source, tmp_path / "m.onnx", precision="int8", training=mislabelled, test=evaluation_set)
    assert again.path.read_bytes() == first


@pytest.mark.parametrize("source", ["residual"], indirect=True)
def test_float_layers_are_not_quantized(source: Source, drawn: Dataset, tmp_path: Path) -> None:
    exported = export(
        source,
        tmp_path / "m.onnx",
        precision="int8",
        training=drawn,
        int8=Int8Options(float_layers=("conv_1", "gemm_8")),
    )
    assert exported.float_layers == ("conv_1", "gemm_8")
    graph = onnx.load(exported.path).graph
    float_weights = [value.name for value in graph.initializer if value.data_type == onnx.TensorProto.FLOAT]
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    assert [layer.input[1] in float_weights for layer in layers] == [True, *[False] * (len(layers) - 2), True]
    with Classifier(exported.path, provider="cpu") as classifier:
        assert verify(classifier).holds


@small
def test_invalid_float_layers_are_an_error(source: Source, drawn: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no layer 'conv_99'; its layers are gemm_1, "):
        export(
            source, tmp_path / "m.onnx", precision="int8", training=drawn, int8=Int8Options(float_layers=("conv_99",))
        )
    with pytest.raises(UsageError, match="--float-layers is for int8 models of a single Keras model"):
        export(
            source, tmp_path / "m.onnx", precision="fp32", training=drawn, int8=Int8Options(float_layers=("gemm_1",))
        )
    assert not list(tmp_path.iterdir())


@small
def test_one_percent_of_the_validation_images_are_uncertain(source: Source, drawn: Dataset, tmp_path: Path) -> None:
    exported = export(source, tmp_path / "m.onnx", precision="fp32", training=drawn)
    images = drawn.images[parts(drawn.labels).validation]
    with Classifier(exported.path, provider="cpu") as classifier:
        statuses = [classifier.predict(image).status for image in images]
        confidences = classifier.predict_batch(images).max(axis=1)
    assert len(images) == 100 and statuses.count("uncertain") <= 1
    assert exported.metadata.uncertain_below == pytest.approx(min(np.quantile(confidences, 0.01), 0.99), abs=1e-4)
    assert export(source, tmp_path / "n.onnx", precision="fp32").metadata.uncertain_below == 0.5


def test_images_that_a_run_stored_calibrate_the_confidence(
    read: Callable[[str], Source], mislabelled: Dataset, tmp_path: Path
) -> None:
    """Random labels: the model is wrong on nine tenths of them, whatever its confidence."""
    rng = np.random.default_rng(0)
    rows = parts(mislabelled.labels).train[:60]
    images, labels = mislabelled.images[rows], rng.integers(0, 10, len(rows)).astype(np.uint8)
    source = read("softmax-rows")
    other = replace(source, calibration=CalibrationImages(images, labels))
    alone, both = (
        export(each, tmp_path / name, precision="fp32", training=mislabelled).metadata
        for each, name in ((source, "a.onnx"), (other, "b.onnx"))
    )
    assert both.temperature > 1.2 * alone.temperature
    assert both.uncertain_below > alone.uncertain_below
    assert (both.parity or {})["on"] == "validation images"
    assert both.keras_accuracy == alone.keras_accuracy
    ensemble = export(Ensemble((other, source)), tmp_path / "c.onnx", precision="fp32", training=mislabelled).metadata
    assert ensemble.keras_accuracy == alone.keras_accuracy


def test_uncertain_threshold_of_an_overconfident_model_is_limited(
    trained: Callable[[str], Path], drawn: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = read_source(trained("softmax-rows"), pixel_range=PixelRange(1))
    *hidden, kernel, bias = source.model.get_weights()
    source.model.set_weights([*hidden, kernel * 4, bias * 4])
    monkeypatch.setattr("digits_edge.export.description.REFUSED", 0.9)  # 90 % of the confidences are nearly 1
    assert export(source, tmp_path / "m.onnx", precision="fp32", training=drawn).metadata.uncertain_below == 0.99


@small
def test_without_data_metadata_says_not_calibrated(source: Source, tmp_path: Path) -> None:
    metadata = export(source, tmp_path / "m.onnx", precision="fp32").metadata
    assert (metadata.calibrated, metadata.temperature) == (False, 1.0)
    assert metadata.parity is not None
    assert metadata.parity["on"] == "reference images"


@small
def test_int8_without_data_is_an_error(source: Source, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--data"):
        export(source, tmp_path / "m.onnx", precision="int8")


@small
def test_data_of_another_run_is_an_error(source: Source, drawn: Dataset, tmp_path: Path) -> None:
    mnist_run = replace(source, data={"name": "mnist", "sha256": "0" * 64})
    with pytest.raises(UsageError, match="not the data of this run"):
        export(mnist_run, tmp_path / "m.onnx", precision="fp32", training=drawn)


@small
def test_existing_file_is_not_overwritten(source: Source, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("mine")
    with pytest.raises(UsageError, match="--overwrite"):
        export(source, tmp_path / "m.onnx", precision="fp32")
    assert (tmp_path / "m.onnx").read_text() == "mine"


def test_model_that_exceeds_float16_is_not_written(
    trained: Callable[[str], Path], drawn: Dataset, tmp_path: Path
) -> None:
    source = read_source(trained("residual"), pixel_range=PixelRange(1))
    # activations far beyond float16's 65,504; the last layer reverts the factor, so Keras's predictions do not change
    first, last = (
        layer
        for layer in source.model.layers
        if layer.name.startswith(("conv2d", "dense")) and layer in (source.model.layers[1], source.model.layers[-1])
    )
    batch_norms = [layer for layer in source.model.layers if "batch_normalization" in layer.name]
    for norm in batch_norms:
        gamma, beta, mean, variance = norm.get_weights()
        norm.set_weights([gamma * 1e6, beta * 1e6, mean, variance])
    kernel, bias = last.get_weights()
    last.set_weights([kernel * 1e-6, bias])
    assert first is not last
    with pytest.raises(CheckError, match="nothing is written"):
        export(source, tmp_path / "m.onnx", precision="fp16", training=drawn)
    assert list(tmp_path.iterdir()) == []


def test_untrained_model_is_not_exported(trained: Callable[[str], Path], tmp_path: Path) -> None:
    source = read_source(trained("softmax-rows"), pixel_range=PixelRange(1))
    source.model.set_weights([weight * 0 for weight in source.model.get_weights()])
    with pytest.raises(CheckError, match="low confidence on all reference images"):
        export(source, tmp_path / "m.onnx", precision="fp32")


def test_model_that_ends_in_another_activation_is_an_error(tmp_path: Path) -> None:
    import keras

    image = keras.Input((28, 28, 1))
    model = keras.Model(image, keras.layers.Dense(10, activation="tanh")(keras.layers.Flatten()(image)))
    model.save(tmp_path / "tanh.keras")
    source = read_source(tmp_path / "tanh.keras", pixel_range=PixelRange(1))
    with pytest.raises(ModelError, match="Tanh"):
        export(source, tmp_path / "m.onnx", precision="fp32")


@small
@pytest.mark.parametrize("change", [{"labels": None}, {}])
def test_no_test_errors_on_unlabelled_or_training_images(
    source: Source, drawn: Dataset, tmp_path: Path, change: dict[str, None]
) -> None:
    exported = export(source, tmp_path / "m.onnx", precision="fp32", training=drawn, test=replace(drawn, **change))
    assert exported.metadata.test is None


def test_exported_files_of_a_softmax_operation_are_verified(tmp_path: Path, drawn: Dataset) -> None:
    import keras
    from keras import layers

    # a softmax operation outside of a layer: Keras and the graph must agree on the logits
    image = keras.Input((28, 28, 1))
    logits = layers.Dense(10)(layers.Flatten()(layers.Conv2D(8, 3, strides=2, activation="relu")(image)))
    model = keras.Model(image, keras.ops.softmax(logits))
    fit(model, drawn.images[..., None].astype(np.float32) / 255, drawn.labels, ridge=0.01)
    model.save(tmp_path / "softmax.keras")
    source = read_source(tmp_path / "softmax.keras", pixel_range=PixelRange(1))
    for precision in PRECISIONS:
        path = export(source, tmp_path / f"{precision}.onnx", precision=precision, training=drawn).path
        with Classifier(path, provider="cpu") as classifier:
            assert verify(classifier).holds


@pytest.mark.parametrize("layer", ["grouped"])
def test_error_for_an_unsupported_layer_is_one_line(tmp_path: Path, layer: str) -> None:
    import keras
    from keras import layers

    image = keras.Input((28, 28))
    outputs = {
        "grouped": lambda: layers.Flatten()(layers.Conv2D(4, 3, groups=4)(layers.Reshape((28, 7, 4))(image))),
    }[layer]()
    keras.Model(image, layers.Dense(10)(outputs)).save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match=r"cannot be converted|recurrent") as caught:
        export(read_source(tmp_path / "m.keras", pixel_range=PixelRange(1)), tmp_path / "m.onnx", precision="fp32")
    assert "\n" not in str(caught.value)


@small
def test_the_data_decides_the_preprocessing_of_a_keras_file(source: Source, drawn: Dataset, tmp_path: Path) -> None:
    names = CATALOGUE["fashion-mnist"].class_names
    clothes = replace(drawn, class_names=names, preprocessing=CATALOGUE["fashion-mnist"].preprocessing)
    export(replace(source, labels=names), tmp_path / "m.onnx", precision="fp32", training=clothes)
    picture = Image.new("RGB", (120, 160), "white")
    picture.paste((30, 30, 90), (30, 30, 90, 130))
    with Classifier(tmp_path / "m.onnx", provider="cpu") as classifier:
        assert classifier.metadata.preprocessing == (ObjectStep(),)
        prediction = classifier.predict(picture)
        np.testing.assert_allclose(
            prediction.probabilities,
            classifier.predict_batch(to_object_format(picture).image[np.newaxis])[0],
            atol=1e-6,
        )
    assert prediction.label in names
