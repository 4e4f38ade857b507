"""`digits-edge benchmark --peers`."""

import re
import sys
from importlib.util import find_spec

import pytest

from digits_edge.cli.peers import _skip_notes
from digits_edge.measure import peers
from digits_edge.measure.engine_list import PROVIDERS
from digits_edge.measure.engine_spec import OWN_ENGINE
from digits_edge.measure.engines import ENGINES, KERAS_ENGINES
from digits_edge.measure.results import PeerRow, SkippedEngine, read_results

SHORT = ("--seconds", "0", "--rounds", "2", "--threads", "1", "--batch-size", "1", "--batch-size", "3")
MISSING = "this engine needs the extra \"bench\": pip install 'digits-edge[bench]'"


def installed(*modules):
    return all(find_spec(module) is not None for module in modules)


def test_every_engine_is_measured_or_explained(run):
    result = run("benchmark", "--peers", "--model", "cnn-small-int8", *SHORT, "--json")
    assert result.code == 0, result.stderr
    rows = [row for row in result.objects if "skipped" not in row]
    skipped = {row["engine"]: row["skipped"] for row in result.objects if "skipped" in row}
    engines = {row["engine"] for row in rows}
    named = {f"{engine} {provider}" for engine in ENGINES if engine == OWN_ENGINE for provider in PROVIDERS}
    assert engines | set(skipped) >= named | (set(ENGINES) - {OWN_ENGINE})
    assert not engines & set(skipped)
    assert {"digits-edge cpu", "onnxruntime"} <= engines
    assert ("openvino" in engines) == installed("openvino")
    assert ("litert" in engines) == installed("ai_edge_litert", "tensorflow")
    assert {skipped[engine] for engine in KERAS_ENGINES} == {"it runs the Keras model; pass its source with --keras"}
    for engine in ("openvino", "litert"):
        assert skipped.get(engine, MISSING) == MISSING
    if "digits-edge openvino" in skipped:
        assert re.search(r"Intel processors only|install it with", skipped["digits-edge openvino"])
    assert "skipped keras predict, keras called, tf.function: it runs the Keras model" in result.stderr
    assert {(row["schema_version"], row["model"], row["threads"]) for row in rows} == {(1, "cnn-small-int8", 1)}
    assert {row["agreement"] for row in rows} == {1.0}
    for size in (1, 3):
        ratios = {row["engine"]: row["ratio"] for row in rows if row["batch_size"] == size}
        assert min(ratio for engine, ratio in ratios.items() if engine.startswith("digits-edge")) == 1
        assert set(ratios) == engines


def test_skipped_engines_are_listed_by_reason():
    skipped = [
        SkippedEngine("a", "keras called", "no source"),
        SkippedEngine("a", "tf.function", "no source"),
        SkippedEngine("b", "keras called", "no source"),
        SkippedEngine("b", "tf.function", "no source"),
        SkippedEngine("b", "litert", "its predictions differ", threads=1, batch_size=8),
        SkippedEngine("b", "litert", "its predictions differ", threads=2, batch_size=8),
    ]
    assert _skip_notes(skipped, models=2) == [
        "skipped keras called, tf.function: no source",
        "skipped litert for b, batch size 8: its predictions differ",
    ]


@pytest.mark.parametrize("name", ["chart.svg", "chart.png"])
def test_chart_is_drawn(run, tmp_path, name, monkeypatch):
    pytest.importorskip("matplotlib", reason="needs the extra [bench]")
    rows = [PeerRow("m", "int8", "digits-edge cpu", "digits-edge 1.0", 1, 1, 20.0, 19.0, 21.0, 5e4, 1.0, 1.0, 0.0)]
    monkeypatch.setattr(peers, "measure_peers", lambda subject, **options: rows)
    result = run("benchmark", "--peers", "--model", "cnn-small-int8", *SHORT, "-o", name)
    assert result.code == 0, result.stderr
    assert f"wrote {name}" in result.stderr
    content = (tmp_path / name).read_bytes()
    assert content.startswith(b"\x89PNG" if name.endswith("png") else b"<?xml")
    again = run("benchmark", "--peers", "--model", "cnn-small-int8", *SHORT, "-o", name)
    assert (again.code, again.error) == (2, f"{name} already exists; replace it with --overwrite")


def test_chart_without_matplotlib_is_an_error_before_the_measurement(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "digits_edge.train.charts.peers", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for module in [name for name in sys.modules if name.startswith("digits_edge.train.charts")]:
        monkeypatch.delitem(sys.modules, module)
    result = run("benchmark", "--peers", "--model", "cnn-small-int8", *SHORT, "-o", "chart.svg")
    assert (result.code, result.stdout, list(tmp_path.iterdir())) == (2, "", [])
    assert re.search(r"(needs the extra|could not import matplotlib).*pip install .*digits-edge\[bench\]", result.error)


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
