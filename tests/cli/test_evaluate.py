"""`evaluate`: figures, splits, names and the page, for Keras models and model files."""

import json
import re
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from digits_edge.runtime.datasets.synthetic_digits import draw_image

pytestmark = pytest.mark.skipif(find_spec("tf2onnx") is None, reason="needs the extras [train] and [export]")


@pytest.fixture(scope="module")
def drawn():
    """300 drawn digits: images and labels, in the order of Kaggle's file."""
    rng = np.random.default_rng(11)
    labels = (np.arange(300) % 10).astype(np.uint8)
    return np.stack([draw_image(int(label), rng) for label in labels]), labels


@pytest.fixture(scope="module")
def data(drawn, tmp_path_factory):
    """The drawn digits as an .npz with both splits."""
    images, labels = drawn
    path = tmp_path_factory.mktemp("data") / "drawn.npz"
    np.savez(path, x_train=images[:200], y_train=labels[:200], x_test=images[200:], y_test=labels[200:])
    return path


@pytest.fixture(scope="module")
def lone(drawn, tmp_path_factory):
    """The drawn digits as one labelled CSV, and a perceptron's run on it under the rule "kaggle"."""
    from digits_edge.runtime.datasets import load
    from digits_edge.train import named_recipe, train

    images, labels = drawn
    folder = tmp_path_factory.mktemp("lone")
    rows = np.column_stack([labels, images.reshape(len(images), -1)])
    header = ",".join(["label", *(f"pixel{index}" for index in range(784))])
    np.savetxt(folder / "train.csv", rows, fmt="%d", delimiter=",", header=header, comments="")
    dataset = load(folder / "train.csv")
    for rule in ("kaggle", "tenth"):
        train(named_recipe("best", "perceptron", epochs=1, validation=rule), dataset, folder / rule)
    return folder


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """An untrained .keras of three classes and a convolution, and data for it."""
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


def test_model_file_is_measured_and_the_text_says_what_json_says(run, data):
    asked = ["evaluate", "cnn-small-int8", "--data", data, "--provider", "cpu"]
    answer = run(*asked, "--json")
    [found] = answer.objects
    assert (answer.code, answer.stderr) == (0, "")
    assert (found["model"], found["provider"], found["split"]) == ("cnn-small-int8", "cpu", "test")
    assert found["data"] == "drawn"
    confusion = np.array(found["confusion"])
    assert found["images"] == confusion.sum() == 100
    assert found["errors"] == 100 - confusion.trace()
    assert [one["support"] for one in found["classes"]] == [10] * 10
    text = run(*asked).stdout
    assert f"drawn test: {found['errors']} errors of 100" in text
    assert f"log loss {found['log_loss']:.4f}" in text
    assert "15 bins of equal width" in text
    assert re.search(r"^macro +\d+\.\d\d % ", text, re.MULTILINE)


def test_page_of_a_model_file_stands_alone_and_shows_its_nodes(run, data, tmp_path):
    assert run("evaluate", "cnn-small-int8", "--data", data, "-o", "page.html").code == 0
    page = (tmp_path / "page.html").read_text("utf-8")
    assert sections(page) == [
        "Result",
        "What is taken for what",
        "Confidence",
        "The worst mistakes",
        "Predictions",
        "Where the model looks",
        "The model",
    ]
    assert "Occlusion maps" in page and "Grad-CAM" not in page
    assert '<td class="left">Conv</td><td class="left">3×3, int8</td>' in page.replace("\n", "")
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)
    refused = run("evaluate", "cnn-small-int8", "--data", data, "-o", "page.html")
    assert (refused.code, refused.complaint) == (2, "page.html exists already; --overwrite replaces it")


def test_page_of_a_run_folder_shows_its_training(run, lone, tmp_path):
    answer = run("evaluate", lone / "kaggle", "--data", lone / "train.csv", "-o", "page.html", "--json")
    assert answer.objects[0]["page"] == "page.html"
    page = (tmp_path / "page.html").read_text("utf-8")
    assert sections(page)[-1] == "Training"
    assert "no convolution, so there is no Grad-CAM" in page
    assert "learning rate per epoch" in page
    assert "perceptron" in page and "7,850" in page


def test_own_training_data_is_measured_on_the_rows_held_back(run, lone):
    [found] = run("evaluate", lone / "kaggle", "--data", lone / "train.csv", "--json").objects
    assert (found["split"], found["images"]) == ("held-back", 15)
    for split, images in (("validation", 93), ("train", 192), ("held-back", 15)):
        [found] = run("evaluate", lone / "kaggle", "--data", lone / "train.csv", "--split", split, "--json").objects
        assert (found["split"], found["images"], found["data"]) == (split, images, "train")


def test_own_training_data_is_never_called_test_images(run, lone):
    for more in ((), ("--split", "test")):
        answer = run("evaluate", lone / "tenth", "--data", lone / "train.csv", *more)
        assert (answer.code, answer.stdout) == (2, "")
        assert "was trained on; name --split validation or --split train" in answer.complaint


def test_labels_beyond_a_models_classes_are_no_errors_of_it(run, three, data):
    answer = run("evaluate", three / "three.keras", "--data", data, "--labels", "cat,dog,owl")
    assert answer.code == 4
    assert "drawn has labels beyond the 3 classes of" in answer.complaint


def test_mnists_test_images_are_no_test_of_what_kaggle_taught(run, lone, data_folder):
    """Kaggle's rows are MNIST's images, so the figure would count what was learnt."""
    answer = run("evaluate", lone / "kaggle", "--data", data_folder / "mnist")
    assert answer.code == 0
    assert "kaggle was trained on Kaggle's rows, which lie inside MNIST" in answer.stderr
    assert "Kaggle" not in run("evaluate", lone / "tenth", "--data", data_folder / "mnist").stderr


def test_rule_that_holds_nothing_back_is_named(run, lone):
    answer = run("evaluate", lone / "tenth", "--data", lone / "train.csv", "--split", "held-back")
    assert answer.code == 2
    assert "trained by the rule 'tenth', which leaves no held-back images" in answer.complaint


def test_no_part_of_other_data_is_called_a_models_validation(run, lone, data):
    answer = run("evaluate", lone / "tenth", "--data", data, "--split", "validation")
    assert answer.code == 2
    assert "was not trained on drawn, so that has no validation images for it" in answer.complaint
    answer = run("evaluate", lone / "tenth/model.keras", "--data", data, "--split", "validation", "--input-scale", "1")
    assert answer.code == 2
    assert "does not say which images validated it" in answer.complaint


@pytest.mark.slow
def test_images_that_taught_one_member_of_an_ensemble_validate_none(run, lone):
    """What a run holds back, another that trained on the same file may have learnt from."""
    from digits_edge.runtime.datasets import load
    from digits_edge.train import named_recipe, train

    clear = named_recipe("best", "perceptron", epochs=40, batch_size=32, learning_rate=0.01, average_decay=None)
    members = ("kaggle", "tenth")
    for rule in members:
        train(replace(clear, validation=rule), load(lone / "train.csv"), Path(rule))
    made = run("export", *members, "--ensemble", "--precision", "fp32", "--data", lone / "train.csv", "-o", "e.onnx")
    assert made.code == 0, made.stderr
    answer = run("evaluate", "e.onnx", "--data", lone / "train.csv", "--split", "held-back")
    assert answer.code == 2
    assert "trained by the rule 'kaggle' and 'tenth', which leaves no held-back images" in answer.complaint
    [found] = run("evaluate", "e.onnx", "--data", lone / "train.csv", "--split", "validation", "--json").objects
    assert 0 < found["images"] < 30


def test_run_on_unnamed_data_asks_for_it(run, lone):
    answer = run("evaluate", lone / "kaggle")
    assert answer.code == 4
    assert "was trained on train, which is no data set known by name; use --data" in answer.complaint


def test_classes_are_named_by_labels(run, three, tmp_path):
    arguments = ("evaluate", three / "three.keras", "--data", three / "three.npz")
    assert "name all with --labels" in run(*arguments).complaint
    answer = run(*arguments, "--labels", "cat,dog,owl", "-o", "page.html")
    assert (answer.code, answer.stderr) == (0, "")
    assert re.search(r"^owl +", answer.stdout, re.MULTILINE)
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "Grad-CAM (Selvaraju" in page and "owl" in page
    [found] = run(*arguments, "--labels", "cat,dog,owl", "--json").objects
    assert [one["name"] for one in found["classes"]] == ["cat", "dog", "owl"]


def test_probabilities_of_a_softmax_model_are_its_own(run, three):
    """A model that ends in softmax is not sent through another one."""
    import keras

    images = np.load(three / "three.npz")["x_test"].astype(np.float32)[..., None]
    answers = np.asarray(keras.saving.load_model(three / "three.keras")(images))
    truth = answers[np.arange(30), np.arange(30) % 3]
    [found] = run(
        "evaluate", three / "three.keras", "--data", three / "three.npz", "--labels", "a,b,c", "--json"
    ).objects
    assert found["log_loss"] == pytest.approx(-np.log(truth).mean(), abs=1e-5)


def test_names_of_the_data_are_taken_where_the_model_knows_none(run, drawn, tmp_path):
    from digits_edge.train import build

    images, labels = drawn
    build("perceptron").save(tmp_path / "bare.keras")
    np.savez(tmp_path / "fashion-mnist.npz", x_test=images, y_test=labels, x_train=images[:10], y_train=labels[:10])
    bare = ("evaluate", "bare.keras", "--input-scale", "1", "--data", "./fashion-mnist.npz", "--json")
    [found] = run(*bare).objects
    assert found["classes"][9]["name"] == "Ankle boot"
    labelled = ("--labels", "a,b,c,d,e,f,g,h,i,j")
    answer = run("evaluate", "cnn-small-int8", "--data", "./fashion-mnist.npz", *labelled, "--json")
    assert (answer.objects[0]["classes"][9]["name"], answer.stderr) == ("j", "")
    wrong = run("evaluate", "cnn-small-int8", "--data", "./fashion-mnist.npz", "--labels", "a,b")
    assert (wrong.code, wrong.complaint) == (2, "cnn-small-int8 tells 10 classes apart and --labels names 2")


def test_data_without_labels_is_refused(run, digits_csv):
    answer = run("evaluate", "cnn-small-int8", "--data", digits_csv)
    assert answer.code == 4
    assert "no labels" in answer.complaint


def test_damaged_history_is_named(run, lone, data, tmp_path):
    shutil.copytree(lone / "tenth", "run")
    (tmp_path / "run/history.csv").write_text("epoch,loss\n1,many\n")
    answer = run("evaluate", "run", "--data", data, "-o", "page.html")
    assert (answer.code, answer.stdout) == (4, "")
    assert "run/history.csv is no history of a training" in answer.complaint
    assert not (tmp_path / "page.html").exists()
    assert json.loads(run("evaluate", "run", "--data", data, "--json").stdout)["images"] == 100
