import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from digits_edge.runtime.errors import ModelError, UsageError
from digits_edge.runtime.model.bundled import MODELS, bundled_models, is_intact
from digits_edge.runtime.model.golden import GoldenValues
from digits_edge.runtime.session import int8_kernels
from digits_edge.runtime.session.precision import ANOTHER_MACHINE, find_model, find_precisions
from scripts.bundle_model import add_model, main


@pytest.fixture
def add(make_model, metadata, models_folder, tmp_path):
    """Create a model with a given name and bundle it."""

    def add_named(name, **options):
        architecture, _, precision = name.rpartition("-")
        new_metadata = replace(metadata, name=name, architecture=architecture, precision=precision)
        path = make_model(tmp_path / "new.onnx", metadata=new_metadata)
        return add_model(path, new_metadata, folder=models_folder, **options)

    return add_named


def test_added_model_is_in_the_index_with_its_checksum(add, models_folder):
    added = add("cnn-int8")
    assert bundled_models(models_folder) == [added]
    content = (models_folder / "cnn-int8.onnx").read_bytes()
    assert (added.bytes, added.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert added.figures["parameters"] == 7850
    assert json.loads((models_folder / "index.json").read_text())["schema_version"] == 1


def test_first_model_is_the_default_until_another_is_set(add, models_folder):
    add("cnn-int8")
    add("resnet-int8")
    assert find_model(None, "cpu", folder=models_folder).name == "cnn-int8.onnx"
    add("mlp-fp32", default=True)
    assert find_model(None, "cpu", folder=models_folder).name == "mlp-fp32.onnx"
    assert [model.name for model in bundled_models(models_folder) if model.default] == ["mlp-fp32"]


def test_replaced_model_keeps_its_position_and_stays_the_default(add, models_folder):
    add("cnn-int8")
    add("resnet-int8")
    assert add("cnn-int8").default
    assert not add("resnet-int8").default
    assert [model.name for model in bundled_models(models_folder)] == ["cnn-int8", "resnet-int8"]


@pytest.mark.parametrize(
    ("provider", "int8_is_fast", "order"),
    [
        ("cpu", True, ["int8", "fp32"]),
        ("cpu", False, ["fp32", "int8"]),
        ("openvino", True, ["int8", "fp32"]),
        ("cuda", True, ["fp32", "int8"]),
        ("coreml", False, ["fp32", "int8"]),
        (ANOTHER_MACHINE, False, ["int8", "fp32"]),
    ],
)
def test_name_without_precision_means_all_precisions_by_expected_speed(
    add, models_folder, monkeypatch, provider, int8_is_fast, order
):
    monkeypatch.setattr(int8_kernels, "are_fast", lambda: int8_is_fast)
    add("cnn-int8")
    add("cnn-fp32")
    for name in ("cnn", None):
        found = find_precisions(name, provider, folder=models_folder)
        assert [file.name for file in found] == [f"cnn-{precision}.onnx" for precision in order]
        assert find_model(name, provider, folder=models_folder) == found[0]
    assert [file.name for file in find_precisions("cnn-fp32", provider, folder=models_folder)] == ["cnn-fp32.onnx"]


def test_name_without_precision_with_one_bundled_precision(add, models_folder):
    add("resnet-int8")
    assert find_model("resnet", "cuda", folder=models_folder).name == "resnet-int8.onnx"


def test_unknown_name_lists_the_names_with_a_suggestion(add, models_folder):
    add("cnn-int8")
    with pytest.raises(ModelError, match=r"Did you mean 'cnn-int8'\? Bundled models: cnn-int8") as caught:
        find_model("cnn-int9", "cpu", folder=models_folder)
    assert caught.value.exit_code == 3


def test_empty_index_is_reported(models_folder):
    for name in (None, "cnn"):
        with pytest.raises(ModelError, match="no model is bundled"):
            find_model(name, "cpu", folder=models_folder)


@pytest.mark.parametrize("path", ["my.onnx", "./my", "runs/my", Path("my")])
def test_path_is_used_unchanged(path, models_folder):
    assert find_model(path, "cpu", folder=models_folder) == Path(path)


def test_existing_file_without_suffix_is_a_path(models_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my").touch()
    assert find_model("my", "cpu", folder=models_folder) == Path("my")


def test_name_without_its_precision_cannot_be_bundled(make_model, metadata, models_folder):
    with pytest.raises(UsageError, match="-fp32"):
        add_model(make_model(), replace(metadata, name="cnn"), folder=models_folder)


def test_damaged_or_missing_file_is_not_intact(add, models_folder):
    added = add("cnn-int8")
    assert is_intact(added, models_folder)
    path = models_folder / added.file
    path.write_bytes(path.read_bytes()[:-1])
    assert not is_intact(added, models_folder)
    path.unlink()
    assert not is_intact(added, models_folder)


def test_damaged_index_is_reported(models_folder):
    for text in ("", "{}", '{"models": [{}]}'):
        (models_folder / "index.json").write_text(text)
        with pytest.raises(ModelError, match=r"index\.json cannot be read"):
            bundled_models(models_folder)


def test_index_of_this_installation_matches_its_files():
    models = bundled_models()
    assert all(is_intact(model) for model in models)
    assert {model.file for model in models} == {path.name for path in MODELS.glob("*.onnx")}
    assert sum(model.default for model in models) == (1 if models else 0)


def test_bundle_command_adds_a_verified_model(make_model, models_folder, tmp_path, capsys):
    path = make_model()
    assert main([str(path), "--folder", str(models_folder)]) == 0
    [added] = bundled_models(models_folder)
    written = models_folder / "squares-fp32.onnx"
    assert capsys.readouterr().out == f"{written}: {path.stat().st_size:,} bytes, default model\n"
    assert (added.name, added.default, written.read_bytes()) == ("squares-fp32", True, path.read_bytes())


def test_bundle_command_sets_the_default(make_model, models_folder, metadata, tmp_path, capsys):
    for name in ("first-fp32", "second-fp32"):
        path = make_model(tmp_path / f"{name}.onnx", metadata=replace(metadata, name=name))
        assert main([str(path), "--folder", str(models_folder), "--default"]) == 0
    assert [model.name for model in bundled_models(models_folder) if model.default] == ["second-fp32"]


def test_bundle_command_rejects_a_model_that_fails_verification(
    make_model, models_folder, squares, keras_probabilities, capsys
):
    others = GoldenValues(squares, keras_probabilities(squares[::-1]), 1e-4)
    assert main([str(make_model(golden=others)), "--folder", str(models_folder)]) == 1
    assert "squares.onnx failed verification: " in capsys.readouterr().err
    assert main([str(models_folder / "index.json"), "--folder", str(models_folder)]) == 3
    assert capsys.readouterr().err.startswith("error: ")
    assert bundled_models(models_folder) == []
