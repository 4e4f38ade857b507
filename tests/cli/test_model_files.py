"""Damaged and missing models, missing providers, and the commands that inspect models."""

import shutil
import time

import numpy as np
import pytest

from digits_edge.cli.verify import command as verify_command
from digits_edge.runtime.checks import doctor
from digits_edge.runtime.datasets import load
from digits_edge.runtime.model.bundled import bundled_classifiers, bundled_models
from digits_edge.runtime.session import trial
from digits_edge.runtime.session.int8_kernels import saturate
from digits_edge.runtime.session.precision import find_model, ways_to_run
from digits_edge.runtime.session.provider_names import available_providers
from digits_edge.runtime.session.threads import available_threads


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


#: Function that damages the bytes of a model file, and the error message.
DAMAGED = {
    "corrupt": (lambda content: b"\0" * 1000, "is not a digits-edge model file"),
    "empty": (lambda content: b"", "is not a digits-edge model file"),
    "truncated": (lambda content: content[:-10], "is not a digits-edge model file"),
    "without metadata": (lambda content: content[:-88], "with `digits-edge export SOURCE -o FILE`"),
    "with one flipped byte": (flipped, "is damaged"),
}


@pytest.mark.parametrize("kind", DAMAGED)
@pytest.mark.parametrize("command", ["predict", "verify", "evaluate", "benchmark", "batch-predict"])
def test_damaged_model_file_is_refused_by_every_command(run, model, seven, digits_csv, tmp_path, command, kind):
    damage, message = DAMAGED[kind]
    (tmp_path / "damaged.onnx").write_bytes(damage(model.read_bytes()))
    arguments = {
        "predict": ["seven.png", "--model", "damaged.onnx"],
        "verify": ["damaged.onnx"],
        "evaluate": ["damaged.onnx", "--data", "labelled.csv"],
        "benchmark": ["--model", "damaged.onnx"],
        "batch-predict": ["test.csv", "-o", "out.csv", "--model", "damaged.onnx"],
    }
    if command == "evaluate":
        rows = digits_csv.read_text().splitlines()
        labels = ["label", *map(str, range(10))]
        lines = [f"{label},{row}" for label, row in zip(labels, rows, strict=True)]
        (tmp_path / "labelled.csv").write_text("\n".join(lines))
    result = run(command, *arguments[command])
    assert (result.code, result.stdout) == (3, "")
    assert result.error.startswith("damaged.onnx ")
    assert message in result.error
    assert not (tmp_path / "out.csv").exists()


def test_error_names_a_missing_model_file(run, seven):
    result = run("predict", "seven.png", "--model", "none.onnx")
    assert result.code == 3
    assert result.error.startswith("none.onnx could not be read")


def test_error_of_unknown_model_suggests_the_closest_name(run, seven):
    name = bundled_models()[0].name
    result = run("predict", "seven.png", "--model", name[:-1])
    assert result.code == 3
    assert f"Did you mean {name!r}?" in result.error


def test_error_of_unknown_provider_lists_the_available_ones(run, seven):
    result = run("predict", "seven.png", "--provider", "abacus")
    assert result.code == 2
    assert "unknown provider 'abacus'; available: auto, cpu" in result.error


def test_unavailable_provider_is_an_error_and_not_replaced_by_the_cpu(run, seven):
    from digits_edge.runtime.session.provider_names import available_providers

    missing = next(name for name in ("qnn", "cuda", "directml") if name not in available_providers())
    result = run("predict", "seven.png", "--provider", missing)
    assert (result.code, result.stdout) == (3, "")
    assert f"provider {missing} is not installed" in result.error


def test_models_lists_the_index(run):
    result = run("models", "--json")
    assert [line["name"] for line in result.objects] == [model.name for model in bundled_models()]
    keys = ("schema_version", "name", "file", "bytes", "sha256", "architecture", "precision", "default", "parameters")
    for line in result.objects:
        assert set(keys) <= set(line)
    assert sum(line["default"] for line in result.objects) == 1
    table = run("models").stdout.splitlines()
    assert len(table) >= 1 + len(result.objects)
    assert table[0].startswith("model ")


def test_models_and_the_shell_list_the_providers_of_this_installation(run):
    names = ["auto", *available_providers()]
    assert run("models").stdout.splitlines()[-1] == f"providers: {', '.join(names)}"
    context = verify_command.make_context("verify", [])
    [option] = [parameter for parameter in verify_command.params if parameter.name == "provider"]
    assert [item.value for item in option.shell_complete(context, "")] == names
    assert [item.value for item in option.shell_complete(context, "cp")] == ["cpu"]


def test_doctor_lists_the_devices_of_plug_ins(run, monkeypatch):
    monkeypatch.setattr(doctor, "plugin_devices", lambda ort: {"CPUExecutionProvider": ["cpu", "gpu.1"]})
    assert "provider   cpu: ok, device cpu:cpu, device cpu:gpu.1" in run("doctor").stdout.splitlines()
    assert run("doctor", "--json").objects[0]["devices"] == {"cpu": ["cpu", "gpu.1"]}


def test_models_shows_the_precision_that_a_plain_name_selects(run, monkeypatch, tmp_path):
    monkeypatch.setattr(trial, "user_cache", lambda: tmp_path)
    monkeypatch.setattr(trial, "_trials_by_key", {})
    few = find_model("edge", "cpu").stem
    assert f"edge selects {few} for few images" in run("models").stdout.splitlines()
    ways = ways_to_run("edge", available_providers())
    timings = tuple(
        trial.Timing(way.provider, way.file.stem, 1, 1, 1 if "int8" in way.file.stem else 9) for way in ways
    )
    trial.keep_trial(trial.SpeedTrial(timings, {}, time.time()), ways, available_threads())
    assert (
        f"edge selects {few} for few images, edge-int8 for many images (measured)" in run("models").stdout.splitlines()
    )
    listed = {line["name"]: line for line in run("models", "--json").objects}
    assert (listed["edge-int8"]["for_many_images"], listed["edge-fp32"]["for_many_images"]) == (True, False)
    assert listed[few]["for_few_images"]
    assert listed["fashion-int8"]["for_few_images"] and listed["fashion-int8"]["for_many_images"]


def test_default_model_is_verified(run, model):
    result = run("verify", model, "--provider", "cpu", "--json")
    [found] = result.objects
    assert (result.code, found["holds"], found["problems"], found["provider"]) == (0, True, [], "cpu")
    assert found["schema_version"] == 1
    assert {"model", "threads", "golden", "golden_tolerance", "batch_sizes", "accuracy", "parity"} <= set(found)
    assert "thread(s): ok" in run("verify", model, model).stdout


def test_bundled_models_are_measured_on_data_with_their_classes(run, data_folder, tmp_path):
    part = load("mnist", "test", data=str(data_folder))
    np.savez(tmp_path / "part.npz", images=part.images[:200], labels=part.labels[:200])
    classifiers = {model.name for model in bundled_classifiers()}
    objects = run("verify", "--data", tmp_path / "part.npz", "--json").objects
    found = {one["model"]: one for one in objects if one["model"] in classifiers}
    assert found["fashion-int8"]["holds"] and found["fashion-int8"]["accuracy"] is None
    for name, one in found.items():
        if name != "fashion-int8":
            assert one["accuracy"]["images"] == 200 and one["accuracy"]["errors"] < 5


@pytest.mark.parametrize("name", ["cnn-small-int8", "edge-int8", "edge-fp32", "fashion-int8"])
def test_errors_are_those_that_export_counted_on_every_processor(run, data_folder, name):
    data = data_folder / ("fashion-mnist" if name == "fashion-int8" else "mnist")
    [found] = run("verify", name, "--data", data, "--json").objects
    assert found["accuracy"]["errors"] == found["recorded"]["errors"]


def test_warning_if_the_classes_of_model_and_data_differ(run, drawn):
    shutil.copy(drawn, "fashion-mnist.npz")
    for command in ("verify", "evaluate"):
        result = run(command, "cnn-small-int8", "--data", "./fashion-mnist.npz")
        assert result.code == 0
        assert "the classes of cnn-small-int8 are 0, 1, 2, …, 9, but those of fashion-mnist are" in result.stderr


def test_failed_verification_returns_1(run, model, monkeypatch):
    from digits_edge.runtime.classifier import Classifier

    monkeypatch.setattr(Classifier, "predict_batch", lambda self, images: np.full((len(images), 10), 0.1, np.float32))
    result = run("verify", model)
    assert result.code == 1
    assert "FAILED" in result.stdout
    assert result.error.startswith("verification failed: ")


def test_doctor_finds_an_intact_default_model_and_the_cpu(run):
    result = run("doctor", "--json")
    [found] = result.objects
    assert result.code == 0
    assert (found["schema_version"], found["problems"], found["providers"]["cpu"]) == (1, [], "ok")
    assert all(found["models"].values())
    text = run("doctor").stdout
    assert "provider   cpu: ok" in text
    assert found["processor"]["int8_saturates"] == saturate()
    assert ("int8       kernels saturate" in text) == saturate()
    assert "auto       selected: edge-" in text
    assert "onnxruntime" in text


def test_doctor_with_a_provider_that_cannot_open_returns_0(run, monkeypatch):
    from digits_edge.runtime.checks import doctor

    monkeypatch.setattr(doctor, "available_providers", lambda: ["cpu", "cuda"])
    result = run("doctor")
    assert result.code == 0, result.stderr
    assert "provider   cuda: cannot be used, see below" in result.stdout
    assert "finding    provider cuda is skipped by auto: " in result.stdout


def test_benchmark_prints_raw_samples(run, model):
    options = ["--seconds", "0", "--repeats", "3", "--cold-starts", "0", "--batch-size", "1", "--threads", "1"]
    options += ["--provider", "cpu"]
    result = run("benchmark", "--model", model, *options, "--json")
    [measured] = result.objects
    assert (result.code, result.stderr) == (0, "")
    assert (measured["schema_version"], measured["provider"], measured["threads"]) == (1, "cpu", 1)
    [row] = measured["rows"]
    assert {"batch_size", "p50_us", "p90_us", "p99_us", "images_per_second", "samples_us"} <= set(row)
    assert len(row["samples_us"]) >= 3
    assert "images/s" in run("benchmark", "--model", model, *options).stdout


def test_benchmark_measures_every_bundled_classifier(run):
    options = ["--seconds", "0", "--repeats", "1", "--cold-starts", "0", "--batch-size", "1", "--provider", "cpu"]
    result = run("benchmark", *options, "--json")
    assert result.code == 0
    assert [measured["model"] for measured in result.objects] == [model.name for model in bundled_classifiers()]


def test_evaluate_counts_errors_by_class(run, model, images, write_csv):
    columns = ["label", *(f"pixel{index}" for index in range(784))]
    write_csv([[digit, *image.ravel()] for digit, image in enumerate(images)], "labelled.csv", columns=columns)
    result = run("evaluate", model, "--data", "labelled.csv", "--json")
    [counted] = result.objects
    assert result.code == 0
    assert counted["errors"] == 10 - sum(counted["confusion"][digit][digit] for digit in range(10))
    assert {"schema_version", "model", "provider", "data", "split", "images", "accuracy", "interval"} <= set(counted)
    assert "errors of 10" in run("evaluate", model, "--data", "labelled.csv").stdout


def test_evaluate_needs_labels(run, model, digits_csv):
    result = run("evaluate", model, "--data", digits_csv)
    assert result.code == 4
    assert "have no labels" in result.error


def test_error_names_missing_data(run, model):
    result = run("evaluate", model, "--data", "none.npz")
    assert result.code == 4
    assert result.error.startswith("none.npz: no such file or folder")


def test_copy_of_a_model_file_is_another_model(run, model, tmp_path):
    """A speed trial is stored with the names of its files; a copy with the same content must not find it."""
    for name in ("one.onnx", "two.onnx"):
        (tmp_path / name).write_bytes(model.read_bytes())
        result = run("verify", name, "--json")
        assert (result.code, result.stderr) == (0, "")


def test_models_describes_given_files(run, photograph_model, position_model):
    first, second = run("models", photograph_model, position_model, "--json").objects
    assert (first["name"], first["labels"]) == ("photographs-fp32", ["tomato", "leaf", "sky"])
    assert first["input"] == {"height": 32, "width": 32, "channels": 3, "polarity": "as-photographed"}
    assert [step["step"] for step in first["preprocessing"]] == ["resize", "center_crop"]
    assert second["output"] == "sigmoid"
    lines = run("models", photograph_model, position_model).stdout.splitlines()
    assert "32×32×3 as-photographed  resize → center_crop  3, softmax" in lines[1]
    assert "64×64 white-on-black" in lines[2] and "5, sigmoid" in lines[2]


def test_model_of_other_images_is_verified_and_measured(run, photograph_model):
    assert run("verify", photograph_model).code == 0
    options = ("--batch-size", 2, "--seconds", 0, "--repeats", 3, "--cold-starts", 1, "--provider", "cpu")
    [measured] = run("benchmark", "--model", photograph_model, *options, "--json").objects
    assert measured["rows"][0]["p50_us"] > 0
    assert measured["cold_starts"][0]["first_ms"] > 0
