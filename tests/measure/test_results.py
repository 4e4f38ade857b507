"""Result files, the regression check that compares two of them, and the chart."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digits_edge.measure.engine_spec import BASELINE_ENGINE
from digits_edge.measure.regression import changes
from digits_edge.measure.results import SUFFIX, PeerRow, read_results, results_name, write_results
from digits_edge.runtime.errors import DataError

ROOT = Path(__file__).parents[2]
#: Engine → time for one image in µs.
TIMES_US = {
    "digits-edge cpu": 50.0,
    "digits-edge openvino": 40.0,
    BASELINE_ENGINE: 45.0,
    "tf.function": 400.0,
    "litert": 60.0,
}


def row(engine, p50_us, *, batch_size=1, threads=1, model="small-int8"):
    rate = batch_size / p50_us * 1e6
    return PeerRow(
        model, "int8", engine, "it 1.0", threads, batch_size, p50_us, p50_us, p50_us, rate, p50_us / 40, 1.0, 0.0
    )


def table(**slower):
    """Rows at two batch sizes; the named engines are slower by the given factor."""
    factors = {name.replace("_", " "): factor for name, factor in slower.items()}
    return [
        row(engine, time * size**0.9 * factors.get(engine, 1), batch_size=size)
        for size in (1, 32)
        for engine, time in TIMES_US.items()
    ]


def run(module, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr
    return done


#: Without carriage returns: Python's csv writes a lone one, but cannot read it.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12)
NUMBERS = st.floats(min_value=0, allow_nan=False)
ROWS = st.builds(PeerRow, *[TEXTS] * 4, st.integers(1, 1024), st.integers(1, 65_536), *[NUMBERS] * 7)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROWS, max_size=4))
def test_written_results_are_read_back(rows, tmp_path):
    write_results(rows, tmp_path / "r.csv")
    assert read_results(tmp_path / "r.csv") == rows


def test_error_for_a_damaged_file_names_the_line(tmp_path):
    path = tmp_path / "r.csv"
    write_results(table(), path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], lines[2].replace("40.0", "fast", 1), *lines[3:]]))
    with pytest.raises(DataError, match=r"r\.csv, line 3: not a result: .*fast"):
        read_results(path)
    path.write_text("\n".join([*lines[:3], lines[3][:20]]))
    with pytest.raises(DataError, match=r"r\.csv, line 4: not a result"):
        read_results(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not a CSV file"):
        read_results(path)
    with pytest.raises(DataError, match="could not be read"):
        read_results(tmp_path / "none.csv")


def test_file_name_has_date_and_environment():
    name = results_name(SUFFIX, "2 Threads")
    assert name[:2] == "20" and name.endswith("-peers.csv")
    assert "-2_threads-ort" in name and name == name.lower() and "/" not in name


def test_slower_machine_is_not_a_regression():
    slow = [replace(one, p50_us=one.p50_us * 3) for one in table()]
    assert len(changes(table(), slow)) == 4  # digits-edge with two providers, at two batch sizes
    assert [change.factor for change in changes(table(), slow)] == pytest.approx([1.0] * 4)


def test_higher_ratio_is_a_regression():
    compared = changes(table(), table(**{"digits-edge_openvino": 1.5, "tf.function": 9.0}))
    worse = {(change.engine, change.batch_size): change.factor for change in compared if change.factor > 1.1}
    assert worse == {("digits-edge openvino", size): pytest.approx(1.5) for size in (1, 32)}


def test_slower_model_file_is_detected_with_another_baseline():
    slow = table(**{"digits-edge_cpu": 2.0, "digits-edge_openvino": 2.0, BASELINE_ENGINE: 2.0})
    assert all(change.factor == pytest.approx(1) for change in changes(table(), slow))
    compared = changes(table(), slow, floor="tf.function")
    assert {change.engine for change in compared} == {"digits-edge cpu", "digits-edge openvino", BASELINE_ENGINE}
    assert all(change.factor == pytest.approx(2) for change in compared)


def test_only_common_rows_are_compared():
    old = [*table(), row("digits-edge cpu", 9.0, threads=2), row(BASELINE_ENGINE, 9.0, threads=2)]
    assert len(changes(old, table())) == 4
    with pytest.raises(DataError, match="in common"):
        changes(old, [replace(one, model="another") for one in table()])
    with pytest.raises(DataError, match="the new file has no row of onnxruntime"):
        changes(old, [one for one in table() if one.engine != BASELINE_ENGINE])


def test_regression_check_sets_the_exit_code(tmp_path):
    old, same, worse, record = (tmp_path / f"{name}.csv" for name in ("old", "same", "worse", "record"))
    write_results(table(), old)
    write_results([replace(one, p50_us=one.p50_us * 1.7) for one in table()], same)
    write_results(table(**{"digits-edge_cpu": 1.25}), worse)
    good = run("regression", old, same)
    assert (good.returncode, good.stdout) == (0, "4 compared, 0 more than 1.1× slower\n")
    bad = run("regression", old, worse)
    assert bad.returncode == 1
    assert bad.stdout.count("1.25× slower") == 2 and "small-int8 by digits-edge cpu, 1 thread(s)" in bad.stdout
    assert run("regression", old, worse, "--most", "1.3").returncode == 0
    record.write_text("model,provider,threads,batch_size,p50_us\ncnn,cpu,1,1,40\n")
    refused = run("regression", old, record)
    assert refused.returncode == 4
    assert "record.csv has no column precision; create it with `digits-edge benchmark --peers" in refused.stderr
    assert run("regression", old, same, "--most", "0.5").returncode == 2


def test_chart_is_reproducible(tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra [bench]")
    results, one, two = tmp_path / "r.csv", tmp_path / "1.svg", tmp_path / "2.svg"
    write_results([*table(), *(replace(one, model="small-fp32", precision="fp32") for one in table())], results)
    for target in (one, two):
        assert run("peers_picture", results, "-o", target).returncode == 0
    assert one.read_bytes() == two.read_bytes()
    assert one.read_text().count('<g id="axes_') == 2


def test_chart_without_results_is_an_error(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib", reason="needs the extra [bench]")
    from benchmarks.peers_picture import main

    write_results(table(), tmp_path / "r.csv")
    arguments = [str(tmp_path / "r.csv"), "-o", str(tmp_path / "p.svg"), "--threads", "7"]
    monkeypatch.setattr(sys, "argv", ["peers_picture", *arguments])
    assert main() == 2
    assert capsys.readouterr().err == "error: no results with 7 thread(s): use another value of --threads\n"
