"""Models and providers that cannot be had, and the commands that look at models."""

import time

import pytest

from digits_edge.runtime.model.bundled import bundled_models
from digits_edge.runtime.session import trial
from digits_edge.runtime.session.int8_kernels import saturate
from digits_edge.runtime.session.precision import find_model, ways_to_run
from digits_edge.runtime.session.providers import available_providers
from digits_edge.runtime.session.threads import available_threads


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


#: How the bytes of a model file are spoilt → what is said of it.
SPOILT = {
    "corrupt": (lambda content: b"\0" * 1000, "is not a digits-edge model file"),
    "empty": (lambda content: b"", "is not a digits-edge model file"),
    "cut short": (lambda content: content[:-10], "is not a digits-edge model file"),
    "of another maker": (lambda content: content[:-88], "`digits-edge export SOURCE -o FILE` makes one"),
    "with one flipped byte": (flipped, "is damaged"),
}


@pytest.mark.parametrize("kind", SPOILT)
@pytest.mark.parametrize("command", ["predict", "verify", "evaluate", "benchmark", "batch-predict"])
def test_spoilt_model_file_is_refused_by_every_command(run, model, seven, digits_csv, tmp_path, command, kind):
    corrupt, message = SPOILT[kind]
    (tmp_path / "spoilt.onnx").write_bytes(corrupt(model.read_bytes()))
    arguments = {
        "predict": ["seven.png", "--model", "spoilt.onnx"],
        "verify": ["spoilt.onnx"],
        "evaluate": ["spoilt.onnx", "--data", "labelled.csv"],
        "benchmark": ["--model", "spoilt.onnx"],
        "batch-predict": ["test.csv", "-o", "out.csv", "--model", "spoilt.onnx"],
    }
    if command == "evaluate":
        rows = digits_csv.read_text().splitlines()
        labels = ["label", *map(str, range(10))]
        lines = [f"{label},{row}" for label, row in zip(labels, rows, strict=True)]
        (tmp_path / "labelled.csv").write_text("\n".join(lines))
    answer = run(command, *arguments[command])
    assert (answer.code, answer.stdout) == (3, "")
    assert answer.complaint.startswith("spoilt.onnx ")
    assert message in answer.complaint
    assert not (tmp_path / "out.csv").exists()


def test_missing_model_file_is_named(run, seven):
    answer = run("predict", "seven.png", "--model", "none.onnx")
    assert answer.code == 3
    assert answer.complaint.startswith("none.onnx could not be read")


def test_unknown_model_is_answered_with_the_nearest(run, seven):
    name = bundled_models()[0].name
    answer = run("predict", "seven.png", "--model", name[:-1])
    assert answer.code == 3
    assert f"Did you mean {name!r}?" in answer.complaint


def test_unknown_provider_is_answered_with_those_there_are(run, seven):
    answer = run("predict", "seven.png", "--provider", "abacus")
    assert answer.code == 2
    assert "there is no provider 'abacus'; here are auto, cpu" in answer.complaint


def test_provider_that_cannot_be_bound_is_an_error_not_the_cpu(run, seven):
    from digits_edge.runtime.session.providers import available_providers

    missing = next(name for name in ("qnn", "cuda", "directml") if name not in available_providers())
    answer = run("predict", "seven.png", "--provider", missing)
    assert (answer.code, answer.stdout) == (3, "")
    assert f"provider {missing} is not installed" in answer.complaint


def test_models_are_listed_as_the_index_has_them(run):
    answer = run("models", "--json")
    assert [line["name"] for line in answer.objects] == [model.name for model in bundled_models()]
    keys = ("schema_version", "name", "file", "bytes", "sha256", "architecture", "precision", "default", "parameters")
    for line in answer.objects:
        assert set(keys) <= set(line)
    assert sum(line["default"] for line in answer.objects) == 1
    table = run("models").stdout.splitlines()
    assert len(table) >= 1 + len(answer.objects)
    assert table[0].startswith("model ")


def test_the_precision_that_a_name_stands_for_here_is_listed(run, monkeypatch, tmp_path):
    monkeypatch.setattr(trial, "user_cache", lambda: tmp_path)
    monkeypatch.setattr(trial, "_made", {})
    few = find_model("edge", "cpu").stem
    assert f"edge is {few} here for a few images" in run("models").stdout.splitlines()
    ways = ways_to_run("edge", available_providers())
    timings = tuple(
        trial.Timing(way.provider, way.file.stem, 1, 1, 1 if "int8" in way.file.stem else 9) for way in ways
    )
    trial.keep_trial(trial.SpeedTrial(timings, {}, time.time()), ways, available_threads())
    assert f"edge is {few} here for a few images, edge-int8 for more, as measured" in run("models").stdout.splitlines()
    listed = {line["name"]: line for line in run("models", "--json").objects}
    assert (listed["edge-int8"]["for_many_images"], listed["edge-fp32"]["for_many_images"]) == (True, False)
    assert listed[few]["for_few_images"]
    assert listed["fashion-int8"]["for_few_images"] and listed["fashion-int8"]["for_many_images"]


def test_default_model_holds_here(run, model):
    answer = run("verify", model, "--provider", "cpu", "--json")
    [found] = answer.objects
    assert (answer.code, found["holds"], found["problems"], found["provider"]) == (0, True, [], "cpu")
    assert found["schema_version"] == 1
    assert {"model", "threads", "golden", "golden_tolerance", "batch_sizes", "accuracy", "parity"} <= set(found)
    assert "holds" in run("verify", model, model).stdout


def test_bundled_models_are_measured_on_their_own_kind_of_data(run, data_folder):
    answers = {found["model"]: found for found in run("verify", "--data", data_folder / "mnist", "--json").objects}
    for name in ("cnn-small-int8", "edge-int8", "edge-fp32"):  # the same on every processor
        assert answers[name]["accuracy"]["errors"] == answers[name]["recorded"]["errors"]
    assert answers["fashion-int8"]["holds"] and answers["fashion-int8"]["accuracy"] is None
    [asked] = run("verify", "fashion-int8", "--data", data_folder / "fashion-mnist", "--json").objects
    assert asked["accuracy"]["errors"] == asked["recorded"]["errors"]


def test_errors_on_another_kind_of_data_are_counted_but_said_to_be(run, data_folder):
    for command in ("verify", "evaluate"):
        answer = run(command, "cnn-small-int8", "--data", data_folder / "fashion-mnist")
        assert answer.code == 0
        assert "cnn-small-int8 tells 0, 1, 2, …, 9 apart, and the classes of fashion-mnist are" in answer.stderr


def test_model_that_does_not_hold_is_code_1(run, model, monkeypatch):
    import numpy as np

    from digits_edge.runtime.classifier import Classifier

    monkeypatch.setattr(Classifier, "predict_batch", lambda self, images: np.full((len(images), 10), 0.1, np.float32))
    answer = run("verify", model)
    assert answer.code == 1
    assert "DOES NOT HOLD" in answer.stdout
    assert answer.complaint.startswith("does not hold here: ")


def test_doctor_finds_the_default_model_whole_and_the_cpu_ready(run):
    answer = run("doctor", "--json")
    [found] = answer.objects
    assert answer.code == 0
    assert (found["schema_version"], found["problems"], found["providers"]["cpu"]) == (1, [], "ok")
    assert all(found["models"].values())
    text = run("doctor").stdout
    assert "provider   cpu: ok" in text
    assert found["processor"]["int8_saturates"] == saturate()
    assert ("int8       sums saturate" in text) == saturate()
    assert "auto       taken: edge-" in text
    assert "onnxruntime" in text


def test_benchmark_answers_with_raw_samples(run, model):
    options = ["--seconds", "0", "--repeats", "3", "--cold-starts", "0", "--batch-size", "1", "--threads", "1"]
    options += ["--provider", "cpu"]
    answer = run("benchmark", "--model", model, *options, "--json")
    [measured] = answer.objects
    assert (answer.code, answer.stderr) == (0, "")
    assert (measured["schema_version"], measured["provider"], measured["threads"]) == (1, "cpu", 1)
    [row] = measured["rows"]
    assert {"batch_size", "p50_us", "p90_us", "p99_us", "images_per_second", "samples_us"} <= set(row)
    assert len(row["samples_us"]) >= 3
    assert "images/s" in run("benchmark", "--model", model, *options).stdout


def test_evaluate_counts_errors_by_class(run, model, images, write_csv):
    columns = ["label", *(f"pixel{index}" for index in range(784))]
    write_csv([[digit, *image.ravel()] for digit, image in enumerate(images)], "labelled.csv", columns=columns)
    answer = run("evaluate", model, "--data", "labelled.csv", "--json")
    [counted] = answer.objects
    assert answer.code == 0
    assert counted["errors"] == 10 - sum(counted["confusion"][digit][digit] for digit in range(10))
    assert {"schema_version", "model", "provider", "data", "split", "images", "accuracy", "interval"} <= set(counted)
    assert "errors of 10" in run("evaluate", model, "--data", "labelled.csv").stdout


def test_evaluate_needs_labels(run, model, digits_csv):
    answer = run("evaluate", model, "--data", digits_csv)
    assert answer.code == 4
    assert "has no labels" in answer.complaint


def test_missing_data_is_named(run, model):
    answer = run("evaluate", model, "--data", "none.npz")
    assert answer.code == 4
    assert answer.complaint.startswith("none.npz: no such file or folder")
