import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import psutil
import pytest
from PIL import Image

from digits_edge.runtime.classifier import MAX_BATCH, Classifier
from digits_edge.runtime.errors import ImageError, ModelError, UsageError
from tests.runtime.preprocessing.drawn_pictures import number


def test_probabilities_equal_those_of_keras(classifier, squares, keras_probabilities):
    np.testing.assert_allclose(classifier.predict_batch(squares), keras_probabilities(squares), atol=1e-6)


def test_images_may_be_rows_of_784_pixels(classifier, squares):
    flat = classifier.predict_batch(squares.reshape(-1, 784))
    np.testing.assert_array_equal(flat, classifier.predict_batch(squares))


@pytest.mark.parametrize("count", [0, 1, 7, MAX_BATCH - 1, MAX_BATCH, MAX_BATCH + 1, 2 * MAX_BATCH + 3])
def test_batches_of_any_size_are_predicted(classifier, squares, keras_probabilities, count):
    images = np.resize(squares, (count, 28, 28))
    probabilities = classifier.predict_batch(images)
    assert (probabilities.dtype, probabilities.shape) == (np.float32, (count, 10))
    np.testing.assert_allclose(probabilities, keras_probabilities(images), atol=1e-6)


def test_memory_does_not_grow_with_the_number_of_batch_sizes(squares):
    images, process = np.resize(squares, (400, 28, 28)), psutil.Process()
    with Classifier("edge-int8", provider="cpu", threads=1) as classifier:
        classifier.predict_batch(images)
        before = process.memory_info().rss
        for count in range(1, 400, 3):
            classifier.predict_batch(images[:count])
        assert process.memory_info().rss - before < 10e6


def test_images_may_be_non_contiguous(classifier, squares):
    wide = np.zeros((10, 28, 56), np.uint8)
    wide[:, :, ::2] = squares
    np.testing.assert_array_equal(classifier.predict_batch(wide[:, :, ::2]), classifier.predict_batch(squares))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 28, 28), np.float32), "float32"),
        (np.zeros((2, 28, 28), bool), "bool"),
        (np.zeros((2, 28, 28), np.int64), "int64"),
        ([[0] * 784], "int64"),
        (np.zeros((28, 28), np.uint8), "newaxis"),
        (np.zeros((2, 28, 27), np.uint8), "axis 2 of the images has size 27, expected 28"),
        (np.zeros((2, 32, 28), np.uint8), "axis 1 of the images has size 32, expected 28"),
        (np.zeros((2, 783), np.uint8), "axis 1 of the images has size 783, expected 784"),
        (np.zeros((0, 5), np.uint8), "axis 1"),
        (np.zeros((2, 28, 28, 1), np.uint8), "4 axes"),
        (np.zeros(784, np.uint8), "1 axes"),
        (np.uint8(3), "0 axes"),
    ],
)
def test_arrays_of_another_dtype_or_shape_are_rejected(classifier, images, message):
    with pytest.raises(ImageError, match=message) as caught:
        classifier.predict_batch(images)
    assert caught.value.exit_code == 4


def test_28x28_uint8_array_is_used_unchanged(classifier, squares):
    for digit, image in enumerate(squares):
        prediction = classifier.predict(image)
        assert (prediction.digit, prediction.label, prediction.status) == (digit, str(digit), "ok")
        assert prediction.provider == "cpu"
        assert prediction.confidence == max(prediction.probabilities)
        assert sum(prediction.probabilities) == pytest.approx(1)


def test_pictures_are_preprocessed(classifier, tmp_path):
    page = Image.new("L", (200, 200), 255)
    page.paste(0, (80, 40, 120, 160))
    page.save(tmp_path / "stroke.png")
    from_path, from_picture = classifier.predict(tmp_path / "stroke.png"), classifier.predict(page)
    assert from_path == from_picture
    assert from_path.digit is not None


def test_number_has_a_box_for_each_digit_and_no_label(classifier):
    prediction = classifier.predict(Image.fromarray(number("592")))
    assert (prediction.status, prediction.label, prediction.confidence) == ("several", None, 0)
    assert len(prediction.boxes) == 3
    assert prediction.top(3) == []


@pytest.mark.parametrize("blank", [Image.new("L", (100, 100), 255), np.zeros((28, 28), np.uint8)])
def test_blank_picture_has_no_digit(classifier, blank):
    prediction = classifier.predict(blank)
    assert (prediction.status, prediction.digit, prediction.label, prediction.confidence) == ("blank", None, None, 0)
    assert prediction.probabilities == (0.0,) * 10
    assert prediction.top(3) == []


def test_low_confidence_has_status_uncertain_and_a_digit(make_model, metadata, squares):
    classifier = Classifier(make_model(metadata=replace(metadata, uncertain_below=1.1)), provider="cpu")
    prediction = classifier.predict(squares[4])
    assert (prediction.status, prediction.digit) == ("uncertain", 4)


def test_top_is_sorted_by_probability(classifier, squares):
    (first, confidence), (_, second) = classifier.predict(squares[4]).top(2)
    assert (first, confidence) == ("4", classifier.predict(squares[4]).confidence)
    assert confidence >= second


def test_file_that_is_not_a_picture_is_rejected(classifier, tmp_path):
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(ImageError, match=r"text\.png"):
        classifier.predict(tmp_path / "text.png")


def test_threads_can_share_a_classifier(classifier, squares, keras_probabilities):
    expected = keras_probabilities(squares)

    def difference(shift):
        images = np.roll(squares, shift, axis=0)
        return np.abs(classifier.predict_batch(images) - np.roll(expected, shift, axis=0)).max()

    with ThreadPoolExecutor(8) as pool:
        assert max(pool.map(difference, range(400))) < 1e-6


def test_unpickled_classifier_has_the_same_model_provider_and_threads(model_path, squares, monkeypatch, tmp_path):
    monkeypatch.chdir(model_path.parent)
    classifier = Classifier(model_path.name, provider="cpu", threads=2)
    pickled = pickle.dumps(classifier)
    monkeypatch.chdir("/")
    again = pickle.loads(pickled)
    assert (again.path, again.provider, again.threads) == (model_path, "cpu", 2)
    np.testing.assert_array_equal(again.predict_batch(squares), classifier.predict_batch(squares))
    assert len(pickled) < 1000


def test_new_process_opens_a_pickled_classifier(classifier, squares, tmp_path):
    (tmp_path / "classifier.pickle").write_bytes(pickle.dumps(classifier))
    np.save(tmp_path / "images.npy", squares)
    program = (
        "import pickle, sys, numpy\n"
        "classifier = pickle.load(open('classifier.pickle', 'rb'))\n"
        "print(*classifier.predict_batch(numpy.load('images.npy')).argmax(axis=1))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(digit) for digit in range(10)]


def test_closed_classifier_raises_usage_error(model_path, squares):
    with Classifier(model_path, provider="cpu") as classifier:
        classifier.predict_batch(squares)
    classifier.close()
    for call in (lambda: classifier.predict_batch(squares), lambda: classifier.predict(squares[0])):
        with pytest.raises(UsageError, match="closed"):
            call()
    assert pickle.loads(pickle.dumps(classifier)).predict(squares[3]).digit == 3


def test_golden_values_are_those_of_the_file(classifier, squares, keras_probabilities):
    np.testing.assert_array_equal(classifier.golden.images, squares)
    np.testing.assert_array_equal(classifier.golden.probabilities, keras_probabilities(squares))


@pytest.mark.parametrize("wrong", [{"output": "scores"}, {"batch": 1}, {"side": 32}])
def test_graph_that_violates_the_contract_is_rejected(make_model, wrong):
    with pytest.raises(ModelError, match=r"squares\.onnx has inputs and outputs"):
        Classifier(make_model(**wrong), provider="cpu")


def test_labels_that_do_not_match_the_output_are_rejected(make_model, metadata):
    with pytest.raises(ModelError, match="has inputs and outputs"):
        Classifier(make_model(metadata=replace(metadata, labels=("a", "b"))), provider="cpu")


def test_file_with_checksum_but_without_metadata_is_rejected(make_model):
    with pytest.raises(ModelError, match="digits_edge"):
        Classifier(make_model(metadata=None), provider="cpu")


def test_missing_model_file_is_named_in_the_error(tmp_path):
    with pytest.raises(ModelError, match=r"none\.onnx could not be read"):
        Classifier(tmp_path / "none.onnx")


def test_provider_is_the_bound_one_not_the_requested_one(model_path):
    assert Classifier(model_path, provider="auto").provider != "auto"
    assert Classifier(model_path, provider="CPUExecutionProvider").provider == "cpu"


def test_provider_failure_in_the_middle_of_a_batch_is_an_error(classifier, squares, monkeypatch):
    images = np.repeat(squares, 300, axis=0)  # three calls of onnxruntime
    predicted, run = [], classifier._run

    def fail_after_first_call(part):
        if predicted:
            raise RuntimeError("[ONNXRuntimeError] : 11 : EP_FAIL : device lost\nsecond line")
        predicted.append(len(part))
        return run(part)

    monkeypatch.setattr(classifier, "_run", fail_after_first_call)
    with pytest.raises(ModelError, match=r"squares\.onnx could not be run by provider cpu: .*device lost") as caught:
        classifier.predict_batch(images)
    assert predicted == [MAX_BATCH]
    assert "\n" not in str(caught.value)
