"""`digits-edge benchmark --peers`."""

from importlib.util import find_spec

import pytest

from digits_edge.measure.results import read_results

QUICK = ("--seconds", "0", "--rounds", "2", "--threads", "1", "--batch-size", "1", "--batch-size", "3")


def test_engines_of_the_file_are_measured_with_it(run):
    answer = run("benchmark", "--peers", "--model", "cnn-small-int8", *QUICK, "--json")
    assert answer.code == 0, answer.stderr
    assert answer.stderr.startswith("litert, keras and tf.function are left out: they run a Keras model")
    rows = answer.objects
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


def test_the_table_goes_to_a_file_named_after_day_and_environment(run, tmp_path):
    asked = ("benchmark", "--peers", "--model", "cnn-small", *QUICK[:-2], "-o", ".")
    answer = run(*asked)
    assert answer.code == 0, answer.stderr
    [path] = tmp_path.iterdir()
    assert path.name.endswith("-peers.csv") and f"{path.name} has the table" in answer.stderr
    assert {row.engine for row in read_results(path)} >= {"digits-edge cpu", "onnxruntime"}
    assert answer.stdout.startswith("model ") and "images/s" in answer.stdout
    assert len(answer.stdout.splitlines()) == 1 + len(read_results(path))
    again = run(*asked)
    assert (again.code, again.complaint) == (2, f"{path.name} exists already; --overwrite replaces it")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--peers", "--provider", "cpu"), "--provider holds only without --peers."),
        (("--peers", "--repeats", "3"), "--repeats holds only without --peers."),
        (("--rounds", "3"), "--rounds holds only with --peers."),
        (("-o", "x.csv"), "--output holds only with --peers."),
        (("--peers", "--rounds", "0"), "0 is not in the range"),
        (("--peers", "--keras", "run"), "--keras needs the model files that were made of it"),
        (
            ("--peers", "--model", "cnn-small-int8", "--model", "cnn-small-int8"),
            "is called cnn-small-int8 like another",
        ),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(run, tmp_path, words, message):
    answer = run("benchmark", *words)
    assert (answer.code, answer.stdout) == (2, "")
    assert message in answer.complaint
    assert list(tmp_path.iterdir()) == []


def test_a_keras_model_of_another_network_is_refused(run, tmp_path):
    keras = pytest.importorskip("keras", reason="needs the extra [export]")
    image = keras.Input((28, 28))
    keras.Model(image, keras.layers.Dense(10)(keras.layers.Flatten()(image))).save(tmp_path / "other.keras")
    asked = ("benchmark", "--peers", "--model", "cnn-small-int8", "--keras", "other.keras")
    answer = run(*asked, "--input-scale", "1")
    assert (answer.code, answer.stdout) == (2, "")
    assert answer.complaint.startswith(
        "other.keras is not what cnn-small-int8 was made of: it has 7,850 parameters, not 50,186"
    )
    assert run(*asked).code == 2  # its scale is not known
    missing = run("benchmark", "--peers", "--model", "cnn-small-int8", "--keras", "none.keras")
    assert (missing.code, missing.complaint.startswith("none.keras cannot be read")) == (3, True)
