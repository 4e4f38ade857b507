"""`digits-edge benchmark --peers`."""

from importlib.util import find_spec

import pytest

from digits_edge.measure.results import read_results

SHORT = ("--seconds", "0", "--rounds", "2", "--threads", "1", "--batch-size", "1", "--batch-size", "3")


def test_engines_that_read_the_model_file_are_measured(run):
    result = run("benchmark", "--peers", "--model", "cnn-small-int8", *SHORT, "--json")
    assert result.code == 0, result.stderr
    assert result.stderr.startswith("skipped litert, keras and tf.function: they need the Keras source")
    rows = result.objects
    engines = {row["engine"] for row in rows}
    assert {"digits-edge cpu", "onnxruntime"} <= engines
    assert ("openvino" in engines) == (find_spec("openvino") is not None)
    assert {(row["schema_version"], row["model"], row["precision"], row["threads"]) for row in rows} == {
        (1, "cnn-small-int8", "int8", 1)
    }
    assert {row["agreement"] for row in rows} == {1.0}
    for size in (1, 3):
        ratios = {row["engine"]: row["ratio"] for row in rows if row["batch_size"] == size}
        assert min(ratio for engine, ratio in ratios.items() if engine.startswith("digits-edge")) == 1
        assert set(ratios) == engines


def test_file_name_of_the_results_has_date_and_environment(run, tmp_path):
    arguments = ("benchmark", "--peers", "--model", "cnn-small", *SHORT[:-2], "-o", ".")
    result = run(*arguments)
    assert result.code == 0, result.stderr
    [path] = tmp_path.iterdir()
    assert path.name.endswith("-peers.csv") and f"wrote {path.name}" in result.stderr
    assert {row.engine for row in read_results(path)} >= {"digits-edge cpu", "onnxruntime"}
    assert result.stdout.startswith("model ") and "images/s" in result.stdout
    assert len(result.stdout.splitlines()) == 1 + len(read_results(path))
    again = run(*arguments)
    assert (again.code, again.error) == (2, f"{path.name} already exists; replace it with --overwrite")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--peers", "--provider", "cpu"), "--provider applies only without --peers."),
        (("--peers", "--repeats", "3"), "--repeats applies only without --peers."),
        (("--rounds", "3"), "--rounds applies only with --peers."),
        (("-o", "x.csv"), "--output applies only with --peers."),
        (("--peers", "--rounds", "0"), "0 is not in the range"),
        (("--peers", "--keras", "run"), "--keras needs the model files exported from it"),
        (
            ("--peers", "--model", "cnn-small-int8", "--model", "cnn-small-int8"),
            "another model is also named cnn-small-int8",
        ),
    ],
)
def test_invalid_combinations_of_options_are_refused(run, tmp_path, words, message):
    result = run("benchmark", *words)
    assert (result.code, result.stdout) == (2, "")
    assert message in result.error
    assert list(tmp_path.iterdir()) == []


def test_keras_model_of_another_network_is_refused(run, tmp_path):
    keras = pytest.importorskip("keras", reason="needs the extra [export]")
    image = keras.Input((28, 28))
    keras.Model(image, keras.layers.Dense(10)(keras.layers.Flatten()(image))).save(tmp_path / "other.keras")
    arguments = ("benchmark", "--peers", "--model", "cnn-small-int8", "--keras", "other.keras")
    result = run(*arguments, "--input-scale", "1")
    assert (result.code, result.stdout) == (2, "")
    assert result.error.startswith(
        "other.keras is not the Keras model of cnn-small-int8: it has 7,850 parameters, not 50,186"
    )
    assert run(*arguments).code == 2  # unknown input scale
    missing = run("benchmark", "--peers", "--model", "cnn-small-int8", "--keras", "none.keras")
    assert (missing.code, missing.error.startswith("none.keras: cannot be read")) == (3, True)
