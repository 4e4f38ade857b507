"""`digits-edge evaluate`: metrics, splits, class names and page, for Keras models and model files."""

import json
import re
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from .conftest import copy_with_rule

pytestmark = pytest.mark.skipif(find_spec("tf2onnx") is None, reason="needs the extras [train] and [export]")


@pytest.fixture(scope="module")
def lone(drawn, tmp_path_factory):
    """The synthetic digits as a labelled CSV, and runs on it with the validation rules "kaggle" and "tenth"."""
    from digits_edge.runtime.datasets import load
    from digits_edge.train import named_recipe, train

    archive = np.load(drawn)
    images, labels = (np.concatenate([archive[f"{kind}_train"], archive[f"{kind}_test"]]) for kind in "xy")
    folder = tmp_path_factory.mktemp("lone")
    rows = np.column_stack([labels, images.reshape(len(images), -1)])
    header = ",".join(["label", *(f"pixel{index}" for index in range(784))])
    np.savetxt(folder / "train.csv", rows, fmt="%d", delimiter=",", header=header, comments="")
    dataset = load(folder / "train.csv")
    train(named_recipe("best", "perceptron", epochs=1, validation="kaggle"), dataset, folder / "kaggle")
    copy_with_rule(folder / "kaggle", folder / "tenth", "tenth")
    return folder


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """An untrained .keras model with three classes and a convolution, and data for it."""
    import keras
    from keras import layers

    folder = tmp_path_factory.mktemp("three")
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.save(folder / "three.keras")
    images = np.random.default_rng(0).integers(0, 256, (30, 28, 28), dtype=np.uint8)
    labels = np.arange(30) % 3
    np.savez(folder / "three.npz", x_train=images[:3], y_train=labels[:3], x_test=images, y_test=labels)
    return folder


def sections(page):
    return re.findall(r"<h2[^>]*>([^<]+)</h2>", page)


def test_text_and_json_have_the_same_metrics(run, drawn):
    arguments = ["evaluate", "cnn-small-int8", "--data", drawn, "--provider", "cpu"]
    result = run(*arguments, "--json")
    [found] = result.objects
    assert (result.code, result.stderr) == (0, "")
    assert (found["model"], found["provider"], found["split"]) == ("cnn-small-int8", "cpu", "test")
    assert found["data"] == "drawn"
    confusion = np.array(found["confusion"])
    assert found["images"] == confusion.sum() == 100
    assert found["errors"] == 100 - confusion.trace()
    assert [one["support"] for one in found["classes"]] == [10] * 10
    text = run(*arguments).stdout
    assert f"drawn test: {found['errors']} errors of 100" in text
    assert f"log loss {found['log_loss']:.4f}" in text
    assert "15 bins of equal width" in text
    assert re.search(r"^macro +\d+\.\d\d % ", text, re.MULTILINE)


def test_page_of_a_model_file_is_self_contained_and_lists_its_nodes(run, drawn, tmp_path):
    assert run("evaluate", "cnn-small-int8", "--data", drawn, "-o", "page.html").code == 0
    page = (tmp_path / "page.html").read_text("utf-8")
    assert sections(page) == [
        "Metrics",
        "Confusion matrix",
        "Reliability diagram and ROC curves",
        "Misclassified images",
        "Sample predictions",
        "Saliency maps",
        "Model",
    ]
    assert "Occlusion maps" in page and "Grad-CAM" not in page
    assert '<td class="left">Conv</td><td class="left">3×3, int8</td>' in page.replace("\n", "")
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)
    refused = run("evaluate", "cnn-small-int8", "--data", drawn, "-o", "page.html")
    assert (refused.code, refused.error) == (2, "page.html already exists; replace it with --overwrite")


def test_page_of_a_run_folder_shows_its_training(run, lone, tmp_path):
    result = run("evaluate", lone / "kaggle", "--data", lone / "train.csv", "-o", "page.html", "--json")
    assert result.objects[0]["page"] == "page.html"
    page = (tmp_path / "page.html").read_text("utf-8")
    assert sections(page)[-1] == "Training"
    assert "Grad-CAM needs a convolution" in page
    assert "learning rate per epoch" in page
    assert "perceptron" in page and "7,850" in page


def test_own_training_data_is_measured_on_the_held_back_rows(run, lone):
    [found] = run("evaluate", lone / "kaggle", "--data", lone / "train.csv", "--json").objects
    assert (found["split"], found["images"]) == ("held-back", 15)
    for split, images in (("validation", 93), ("train", 192), ("held-back", 15)):
        [found] = run("evaluate", lone / "kaggle", "--data", lone / "train.csv", "--split", split, "--json").objects
        assert (found["split"], found["images"], found["data"]) == (split, images, "train")


def test_own_training_data_is_not_used_as_test_images(run, lone):
    for more in ((), ("--split", "test")):
        result = run("evaluate", lone / "tenth", "--data", lone / "train.csv", *more)
        assert (result.code, result.stdout) == (2, "")
        assert "was trained on train; use --split validation" in result.error


def test_labels_beyond_the_classes_of_a_model_are_refused(run, three, drawn):
    result = run("evaluate", three / "three.keras", "--data", drawn, "--labels", "cat,dog,owl")
    assert result.code == 4
    assert "drawn has labels beyond the 3 classes of" in result.error


def test_warning_if_a_model_trained_on_kaggle_rows_is_tested_on_mnist(run, lone, data_folder):
    """The Kaggle rows include MNIST test images."""
    result = run("evaluate", lone / "kaggle", "--data", data_folder / "mnist")
    assert result.code == 0
    assert "kaggle was trained on Kaggle rows, which include MNIST test images" in result.stderr
    assert "Kaggle" not in run("evaluate", lone / "tenth", "--data", data_folder / "mnist").stderr


def test_error_names_a_rule_without_held_back_images(run, lone):
    result = run("evaluate", lone / "tenth", "--data", lone / "train.csv", "--split", "held-back")
    assert result.code == 2
    assert "validation rule 'tenth' leaves no held-back images" in result.error


def test_other_data_has_no_validation_images(run, lone, drawn):
    result = run("evaluate", lone / "tenth", "--data", drawn, "--split", "validation")
    assert result.code == 2
    assert "was not trained on drawn, so there are no validation images" in result.error
    shutil.copy(lone / "tenth/model.keras", "bare.keras")
    result = run("evaluate", "bare.keras", "--data", drawn, "--split", "validation", "--input-scale", "1")
    assert result.code == 2
    assert "does not record its validation images" in result.error


@pytest.mark.slow
def test_training_images_of_one_member_do_not_validate_an_ensemble(run, lone):
    """The held-back images of one run can be training images of another run on the same file."""
    from digits_edge.runtime.datasets import load
    from digits_edge.train import named_recipe, train

    clear = named_recipe("best", "perceptron", epochs=40, batch_size=32, learning_rate=0.01, average_decay=None)
    members = ("kaggle", "tenth")
    for rule in members:
        train(replace(clear, validation=rule), load(lone / "train.csv"), Path(rule))
    made = run("export", *members, "--ensemble", "--precision", "fp32", "--data", lone / "train.csv", "-o", "e.onnx")
    assert made.code == 0, made.stderr
    result = run("evaluate", "e.onnx", "--data", lone / "train.csv", "--split", "held-back")
    assert result.code == 2
    assert "validation rule 'kaggle' and 'tenth' leaves no held-back images" in result.error
    [found] = run("evaluate", "e.onnx", "--data", lone / "train.csv", "--split", "validation", "--json").objects
    assert 0 < found["images"] < 30


def test_error_requests_data_that_is_not_a_known_data_set(run, lone):
    result = run("evaluate", lone / "kaggle")
    assert result.code == 4
    assert "was trained on train, which is not a known data set; pass its path with --data" in result.error


def test_labels_name_the_classes(run, three, tmp_path):
    arguments = ("evaluate", three / "three.keras", "--data", three / "three.npz")
    assert "pass all labels with --labels" in run(*arguments).error
    result = run(*arguments, "--labels", "cat,dog,owl", "-o", "page.html")
    assert (result.code, result.stderr) == (0, "")
    assert re.search(r"^owl +", result.stdout, re.MULTILINE)
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "Grad-CAM (Selvaraju" in page and "owl" in page
    [found] = run(*arguments, "--labels", "cat,dog,owl", "--json").objects
    assert [one["name"] for one in found["classes"]] == ["cat", "dog", "owl"]


def test_probabilities_of_a_softmax_model_are_unchanged(run, three):
    """No second softmax is applied to a model that ends in a softmax."""
    import keras

    images = np.load(three / "three.npz")["x_test"].astype(np.float32)[..., None]
    answers = np.asarray(keras.saving.load_model(three / "three.keras")(images))
    truth = answers[np.arange(30), np.arange(30) % 3]
    [found] = run(
        "evaluate", three / "three.keras", "--data", three / "three.npz", "--labels", "a,b,c", "--json"
    ).objects
    assert found["log_loss"] == pytest.approx(-np.log(truth).mean(), abs=1e-5)


def test_class_names_of_the_data_are_the_default_of_a_model_without_names(run, drawn, tmp_path):
    from digits_edge.train import build

    archive = np.load(drawn)
    images, labels = archive["x_test"], archive["y_test"]
    build("perceptron").save(tmp_path / "bare.keras")
    np.savez(tmp_path / "fashion-mnist.npz", x_test=images, y_test=labels, x_train=images[:10], y_train=labels[:10])
    bare = ("evaluate", "bare.keras", "--input-scale", "1", "--data", "./fashion-mnist.npz", "--json")
    [found] = run(*bare).objects
    assert found["classes"][9]["name"] == "Ankle boot"
    labelled = ("--labels", "a,b,c,d,e,f,g,h,i,j")
    result = run("evaluate", "cnn-small-int8", "--data", "./fashion-mnist.npz", *labelled, "--json")
    assert (result.objects[0]["classes"][9]["name"], result.stderr) == ("j", "")
    wrong = run("evaluate", "cnn-small-int8", "--data", "./fashion-mnist.npz", "--labels", "a,b")
    assert (wrong.code, wrong.error) == (2, "cnn-small-int8 has 10 classes, but --labels names 2")


def test_data_without_labels_is_refused(run, digits_csv):
    result = run("evaluate", "cnn-small-int8", "--data", digits_csv)
    assert result.code == 4
    assert "no labels" in result.error


def test_error_names_a_damaged_history(run, lone, drawn, tmp_path):
    shutil.copytree(lone / "tenth", "run")
    (tmp_path / "run/history.csv").write_text("epoch,loss\n1,many\n")
    result = run("evaluate", "run", "--data", drawn, "-o", "page.html")
    assert (result.code, result.stdout) == (4, "")
    assert "run/history.csv is not a training history" in result.error
    assert not (tmp_path / "page.html").exists()
    assert json.loads(run("evaluate", "run", "--data", drawn, "--json").stdout)["images"] == 100
