"""Export of ensembles, from Python and on the command line."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from keras import saving

from digits_edge.cli.main import run as run_command
from digits_edge.export import Ensemble, Exported, Source, calibrated_outputs, export, read_source
from digits_edge.runtime.checks.parity import compare, shortfalls
from digits_edge.runtime.checks.verify import verify
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets import Dataset, parts
from digits_edge.runtime.errors import CheckError, ModelError, UsageError
from digits_edge.runtime.model.model_file import PRECISIONS, Member, Metadata, Precision, read_model_file
from digits_edge.runtime.model.pixel_range import PixelRange
from tests.export.conftest import shared_conversions

#: These differ in input shape, input scale and output (logits or probabilities).
MEMBERS = ("batch-norm-before-padding", "softmax-rows", "pooled")
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def sources(read: Callable[[str], Source]) -> tuple[Source, ...]:
    return tuple(read(kind) for kind in MEMBERS)


@pytest.fixture(scope="module", params=PRECISIONS)
def exported(
    sources: tuple[Source, ...],
    mislabelled: Dataset,
    evaluation_set: Dataset,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Exported:
    """The exported ensemble in each precision."""
    target = tmp_path_factory.mktemp("ensemble") / "e.onnx"
    return export(Ensemble(sources), target, precision=request.param, training=mislabelled, test=evaluation_set)


@pytest.fixture(scope="module", autouse=True)
def _shared_conversions() -> Iterator[None]:
    """Convert each member only once; every test exports some of the same."""
    with shared_conversions():
        yield


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """A function that runs `digits-edge` and returns exit code, stdout and stderr."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        return run_command([str(argument) for argument in arguments]), *capsys.readouterr()

    return run


def keras_mean(sources: tuple[Source, ...], images: np.ndarray, metadata: Metadata) -> np.ndarray:
    outputs = [calibrated_outputs(s, images, m.temperature) for s, m in zip(sources, metadata.members, strict=True)]
    return (sum(outputs) / len(outputs)).astype(np.float32)


def test_ensemble_predicts_the_mean_of_keras_predictions(
    exported: Exported, sources: tuple[Source, ...], mislabelled: Dataset
) -> None:
    metadata = exported.metadata
    rows = parts(mislabelled.labels).validation
    with Classifier(exported.path, provider="cpu") as classifier:
        probabilities = classifier.predict_batch(mislabelled.images[rows])
        expected = keras_mean(sources, mislabelled.images[rows], metadata)
        assert not shortfalls(compare(expected, probabilities, mislabelled.labels[rows]), metadata.precision)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
        errors = int((classifier.predict_batch(mislabelled.images).argmax(axis=1) != mislabelled.labels).sum())
    assert metadata.test is not None
    assert (metadata.test["errors"], metadata.test["images"]) == (errors, len(mislabelled))


def test_golden_values_are_the_keras_mean_and_hold_for_any_batch_size(
    exported: Exported, sources: tuple[Source, ...]
) -> None:
    with Classifier(exported.path, provider="cpu") as classifier:
        golden = classifier.golden
        np.testing.assert_allclose(
            golden.probabilities, keras_mean(sources, golden.images, exported.metadata), atol=1e-6
        )
        result = verify(classifier)
        assert result.holds, result.problems
        for count in (0, 1, 3):
            assert classifier.predict_batch(golden.images[:count]).shape == (count, 10)


def test_metadata_lists_the_members(exported: Exported, sources: tuple[Source, ...]) -> None:
    metadata = exported.metadata
    assert (metadata.name, metadata.architecture) == (f"ensemble-of-3-{metadata.precision}", "ensemble")
    assert metadata.parameters == sum(source.model.count_params() for source in sources)
    assert [member.name for member in metadata.members] == list(MEMBERS)
    assert {member.precision for member in metadata.members} == {metadata.precision}
    assert metadata.temperature == 1
    assert len({member.temperature for member in metadata.members}) == 3, "each member has its own temperature"
    assert metadata.calibrated
    assert all(member.calibrated for member in metadata.members)
    assert metadata.parity is not None
    assert metadata.parity["on"] == "validation images"
    with Classifier(exported.path, provider="cpu") as classifier:
        assert classifier.metadata == metadata


def test_graph_is_valid_and_every_member_reads_the_same_image(exported: Exported) -> None:
    graph = onnx.load_from_string(read_model_file(exported.path)).graph
    assert [value.name for value in graph.input] == ["image"]
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [value.name for value in graph.output] == ["probabilities"]
    readers = [node.name for node in graph.node if "image" in node.input]
    assert [name[:8] for name in readers] == ["member_1", "member_2", "member_3"]
    names = [node.name for node in graph.node]
    assert len(set(names)) == len(names)
    assert [node.op_type for node in graph.node if not node.name.startswith("member_")] == ["Sum", "Div"]


def test_member_predicts_the_same_alone_and_in_an_ensemble(
    sources: tuple[Source, ...],
    export_once: Callable[[str, Precision], Exported],
    mislabelled: Dataset,
    tmp_path: Path,
) -> None:
    single = [export_once(kind, "int8") for kind in MEMBERS[:2]]
    both = export(Ensemble(sources[:2]), tmp_path / "both.onnx", precision="int8", training=mislabelled)
    assert [m.temperature for m in both.metadata.members] == [one.metadata.temperature for one in single]

    def probabilities(path: Path) -> np.ndarray:
        with Classifier(path, provider="cpu") as classifier:
            return classifier.predict_batch(mislabelled.images)

    expected = np.mean([probabilities(one.path) for one in single], axis=0)
    np.testing.assert_allclose(probabilities(both.path), expected, atol=1e-6)


def test_each_fold_is_calibrated_on_its_own_validation_images(
    sources: tuple[Source, ...], mislabelled: Dataset, tmp_path: Path
) -> None:
    data = {"name": "drawn", "sha256": mislabelled.sha256}
    folds = tuple(
        replace(source, data={**data, "validation": f"fold-{number}-of-2"})
        for number, source in enumerate(sources[1:], start=1)
    )
    exported = export(Ensemble(folds), tmp_path / "e.onnx", precision="fp32", training=mislabelled)
    single = [export(fold, tmp_path / f"{fold.name}.onnx", precision="fp32", training=mislabelled) for fold in folds]
    metadata = exported.metadata
    assert [m.validation for m in metadata.members] == ["fold-1-of-2", "fold-2-of-2"]
    assert [m.temperature for m in metadata.members] == [one.metadata.temperature for one in single]
    assert metadata.data["validation"] == "fold-1-of-2"
    assert metadata.parity is not None
    assert metadata.parity["on"] == "validation images of fold-1-of-2"
    assert exported.parity.images == len(parts(mislabelled.labels, "fold-1-of-2").validation)


def test_images_that_every_member_held_back_are_the_test_set(
    sources: tuple[Source, ...], drawn: Dataset, tmp_path: Path
) -> None:
    data = {"name": "drawn", "sha256": drawn.sha256}
    by_rows, by_tenth = (
        replace(source, data={**data, "validation": rule})
        for source, rule in zip(sources[1:], ("kaggle", "tenth"), strict=True)
    )
    test = replace(drawn.taken(np.arange(50), "given"), sha256="1" * 64)
    for members, images in (((by_rows, replace(by_tenth, data=by_rows.data)), 48), ((by_rows, by_tenth), 50)):
        target = tmp_path / f"{images}.onnx"
        metadata = export(Ensemble(members), target, precision="fp32", training=drawn, test=test).metadata
        assert metadata.test is not None
        assert metadata.test["images"] == images


def test_without_data_ensemble_is_not_calibrated(sources: tuple[Source, ...], tmp_path: Path) -> None:
    metadata = export(Ensemble(sources[1:]), tmp_path / "e.onnx", precision="fp32").metadata
    assert not metadata.calibrated
    assert [m.temperature for m in metadata.members] == [1, 1]
    assert metadata.parity is not None
    assert metadata.parity["on"] == "reference images"


def test_ensemble_that_disagrees_with_keras_is_not_written(
    trained: Callable[[str], Path], sources: tuple[Source, ...], drawn: Dataset, tmp_path: Path
) -> None:
    broken = read_source(trained("pooled"), pixel_range=PixelRange(1))
    # activations exceed float16; the last layer reverts the factor, so Keras's predictions do not change
    last = next(layer for layer in reversed(broken.model.layers) if layer.get_weights())
    first, second = [layer for layer in broken.model.layers if layer.name.startswith("conv2d")]
    for layer, factors in ((first, (1e7, 1e7)), (second, (1.0, 1e7)), (last, (1e-7, 1.0))):
        layer.set_weights([weights * factor for weights, factor in zip(layer.get_weights(), factors, strict=True)])
    with pytest.raises(CheckError, match="nothing is written"):
        export(Ensemble((sources[1], broken)), tmp_path / "e.onnx", precision="fp16", training=drawn)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": tuple("abcdefghij")}, r"member 2 \(softmax-rows\) has the labels a,b"),
        ({"labels": tuple("9876543210")}, "members must have the same labels"),
        ({"data": {"name": "other", "sha256": "0" * 64}}, "different data: mine .*, other"),
    ],
)
def test_members_with_other_labels_or_data_are_an_error(
    sources: tuple[Source, ...], change: dict[str, object], message: str
) -> None:
    first = replace(sources[0], data={"name": "mine", "sha256": "1" * 64})
    with pytest.raises(UsageError, match=message) as caught:
        Ensemble((first, replace(sources[1], **change)))
    assert "\n" not in str(caught.value)


def test_single_member_is_an_error(sources: tuple[Source, ...]) -> None:
    with pytest.raises(UsageError, match="at least two"):
        Ensemble(sources[:1])


def test_metadata_without_members_is_read() -> None:
    metadata = Metadata("m", "1", "cnn", "int8", tuple("0123456789"), 7, test={"errors": 1, "images": 9})
    without_members = json.loads(metadata.to_json())
    del without_members["members"]
    assert Metadata.from_json(json.dumps(without_members)) == metadata
    member = Member("m", "cnn", "int8", 7, 1.5, True, "tenth")
    ensemble = replace(metadata, members=(member, replace(member, name="n")))
    assert Metadata.from_json(ensemble.to_json()) == ensemble
    for damaged in ([{"name": "m"}], 7, ["m"]):
        with pytest.raises(ModelError, match="metadata"):
            Metadata.from_json(json.dumps(without_members | {"members": damaged}))


def test_command_line_exports_verifies_and_uses_an_ensemble(
    command: Command, trained: Callable[[str], Path], drawn: Dataset, tmp_path: Path
) -> None:
    data, target = tmp_path / "drawn.npz", tmp_path / "e.onnx"
    test = drawn.taken(np.arange(100), "test")
    np.savez(data, x_train=drawn.images, y_train=drawn.labels, x_test=test.images, y_test=test.labels)
    # both models have input scale 1
    one, other = trained("softmax-rows"), trained("pooled")
    common = ("--data", data, "--input-scale", "1", "--json")
    code, out, err = command("export", one, other, "--ensemble", "-o", target, "--precision", "int8", *common)
    assert (code, err) == (0, "")
    exported = json.loads(out)
    assert exported["name"] == "ensemble-of-2-int8"
    assert [member["name"] for member in exported["members"]] == ["softmax-rows", "pooled"]

    code, out, err = command("verify", target, "--keras", one, "--keras", other, *common)
    verified = json.loads(out)
    assert (code, err, verified["holds"], verified["parity"]["images"]) == (0, "", True, 100)
    assert verified["accuracy"]["errors"] == exported["test"]["errors"]

    code, out, err = command("verify", target, "--keras", other, "--keras", one, *common)
    assert (code, out) == (2, "")
    assert "in order: softmax-rows, pooled" in err
    code, out, err = command("verify", target, "--keras", one, *common)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "ensemble-of-2-int8 has 2 member(s), but --keras was given 1 time(s)" in err

    rows = [",".join(map(str, row)) for row in test.images.reshape(-1, 784)]
    (tmp_path / "test.csv").write_text("\n".join([",".join(f"pixel{i}" for i in range(784)), *rows]) + "\n")
    submission = tmp_path / "submission.csv"
    assert command("batch-predict", tmp_path / "test.csv", "--model", target, "-o", submission)[0] == 0
    predicted = np.loadtxt(submission, delimiter=",", skiprows=1, dtype=int)[:, 1]
    assert int((predicted != test.labels).sum()) == exported["test"]["errors"]


def test_keras_model_is_loaded_once_for_several_files(
    command: Command, trained: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keras = trained("softmax-rows")
    target = tmp_path / "m.onnx"
    assert command("export", keras, "-o", target, "--precision", "fp32", "--input-scale", "1")[0] == 0
    loaded = []
    load_model = saving.load_model
    monkeypatch.setattr(saving, "load_model", lambda *a, **k: (loaded.append(a), load_model(*a, **k))[1])
    code, out, _ = command("verify", target, target, "--keras", keras, "--input-scale", "1", "--json")
    assert (code, out.count('"holds": true'), len(loaded)) == (0, 2, 1)
    code, out, err = command("verify", target, "--keras", keras, "--keras", keras, "--input-scale", "1")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "softmax-rows-fp32 has 1 member(s), but --keras was given 2 time(s)" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a.keras", "b.keras"), "--ensemble"),
        (("a.keras", "--ensemble"), "at least two"),
        (("a.keras", "./a.keras", "--ensemble"), "are the same"),
        ((), "SOURCE"),
    ],
)
def test_wrong_number_of_sources_is_an_error(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = command("export", *arguments, "-o", "e.onnx")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert list(tmp_path.iterdir()) == []
