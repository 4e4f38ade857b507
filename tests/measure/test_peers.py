"""Every engine gives the same predictions, runs in its own process, and is skipped if its predictions differ."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_edge.export import read_source
from digits_edge.export.temperature import softmax
from digits_edge.measure.engine_spec import BASELINE_ENGINE, OWN_ENGINE, EngineSpec
from digits_edge.measure.engines import ENGINES, KERAS_ENGINES, LITERT, open_engine
from digits_edge.measure.keras_peer import KerasPeer
from digits_edge.measure.litert import write_litert
from digits_edge.measure.peers import Subject, measure_engines
from digits_edge.measure.process import EngineError, EngineProcess
from digits_edge.measure.round_robin import round_robin
from digits_edge.runtime.errors import CheckError, UsageError
from digits_edge.runtime.model.pixel_range import PixelRange
from digits_edge.runtime.session.precision import find_model

LIBRARIES = {"openvino": "openvino", LITERT: "ai_edge_litert"}
#: Kind of network → precision: one with input scale 255 and logits, one of rows that ends in a softmax.
FILES = {"batch-norm-before-padding": "int8", "softmax-rows": "fp32"}


@pytest.fixture
def spec(tmp_path):
    """A function that creates specifications for a small bundled model, on one thread."""
    np.save(tmp_path / "images.npy", Subject.of("cnn-small-int8").golden.images)

    def create(engine, model="cnn-small-int8", **options):
        return EngineSpec(engine, str(find_model(model, "cpu")), str(tmp_path / "images.npy"), 1, **options)

    return create


@pytest.fixture(scope="module", params=FILES)
def exported(request, trained, read, export_once, tmp_path_factory):
    """A model file, the Keras model it was exported from, and a folder."""
    kind, folder = request.param, tmp_path_factory.mktemp("peers")
    subject = Subject.of(str(export_once(kind, FILES[kind]).path))
    return subject, KerasPeer.of_model_file(read(kind), trained(kind), subject.metadata, subject.golden), folder


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_predicts_like_digits_edge(engine, exported):
    subject, peer, folder = exported
    if engine in LIBRARIES and find_spec(LIBRARIES[engine]) is None:
        pytest.skip(f"needs {LIBRARIES[engine]}, of the extra [bench]")
    np.save(folder / "images.npy", subject.golden.images)
    litert = ()
    if engine == LITERT:
        files = write_litert(subject.path, subject.metadata.precision, subject.golden.images, [7], folder)
        litert = tuple((size, str(path)) for size, path in files)
    keras = peer.spec if engine in KERAS_ENGINES else None
    spec = EngineSpec(engine, str(subject.path), str(folder / "images.npy"), 1, keras=keras, litert=litert)
    opened = open_engine(EngineSpec.from_json(spec.to_json()))
    probabilities = opened.program(7)(subject.golden.images[:7])
    assert (probabilities.dtype, probabilities.shape) == (np.float32, (7, 10))
    np.testing.assert_allclose(probabilities, subject.probabilities[:7], atol=subject.tolerance)
    assert " " in opened.version


@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_keras_peer_predicts_calibrated_probabilities(exported, temperature):
    subject, exported_peer, _ = exported
    peer = replace(exported_peer, temperature=temperature)
    outputs = peer.source.outputs(subject.golden.images)
    expected = softmax(peer.source.logits(subject.golden.images), peer.temperature)
    np.testing.assert_allclose(peer.calibrated(outputs), expected, atol=1e-6)
    np.testing.assert_allclose(peer.from_pixels(subject.golden.images).numpy(), expected, atol=1e-5)


def test_other_keras_model_is_an_error(exported, trained):
    subject, peer, _ = exported
    other = read_source(trained("pooled"), pixel_range=PixelRange(1))
    with pytest.raises(UsageError, match=r"pooled\.keras is not the Keras model of .*: it has [\d,]+ parameters, not"):
        KerasPeer.of_model_file(other, trained("pooled"), subject.metadata, subject.golden)
    weights = peer.source.model.get_weights()
    peer.source.model.set_weights([*weights[:-2], weights[-2][:, ::-1], weights[-1]])
    try:
        with pytest.raises(UsageError, match="a probability on the golden images differs by"):
            KerasPeer.of_model_file(peer.source, peer.path, subject.metadata, subject.golden)
    finally:
        peer.source.model.set_weights(weights)


def test_process_predicts_and_measures_time(spec):
    subject = Subject.of("cnn-small-int8")
    with EngineProcess(spec(BASELINE_ENGINE)) as process:
        process.wait()
        assert process.version.startswith("onnxruntime ")
        for batch_size in (5, 1, 100):
            np.testing.assert_allclose(process.prepare(batch_size), subject.probabilities, atol=1e-6)
            assert process.time_us(0) > 1
    with pytest.raises(ProcessLookupError):
        os.kill(process.process_id, 0)


def test_thread_variables_are_set_in_the_environment(spec):
    with EngineProcess(spec(BASELINE_ENGINE)) as process:
        process.wait()
        environment = Path(f"/proc/{process.process_id}/environ")
        if not environment.exists():
            pytest.skip("needs Linux's /proc")
        assert {b"OMP_NUM_THREADS=1", b"TF_NUM_INTRAOP_THREADS=1"} <= set(environment.read_bytes().split(b"\0"))


def test_openvino_telemetry_is_disabled(spec):
    """The import sends telemetry from a forked process, which may hang and hold the pipe of the replies open."""
    pytest.importorskip("openvino", reason="needs openvino, of the extra [bench]")
    program = (
        "import sys\n"
        "from digits_edge.measure.engines import open_engine\n"
        "from digits_edge.measure.engine_spec import EngineSpec\n"
        "open_engine(EngineSpec.from_json(sys.argv[1]))\n"
        "print([name for name, module in sys.modules.items() if name.startswith('openvino_telemetry') and module])"
    )
    command = [sys.executable, "-c", program, spec("openvino").to_json()]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_engine_that_cannot_be_opened_is_an_error(spec, tmp_path):
    missing = spec(BASELINE_ENGINE, model=str(tmp_path / "none.onnx"))
    with EngineProcess(missing) as process, pytest.raises(EngineError, match=r"none\.onnx could not be read"):
        process.wait()


def test_process_continues_after_an_invalid_request(spec):
    with EngineProcess(spec(BASELINE_ENGINE)) as process:
        process.wait()
        with pytest.raises(EngineError, match="no batch size is prepared"):
            process.time_us(0)
        process.prepare(1)
        assert process.time_us(0) > 0


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_killed_process_is_an_error(spec):
    with EngineProcess(spec(BASELINE_ENGINE)) as process:
        process.wait()
        os.kill(process.process_id, signal.SIGKILL)
        with pytest.raises(EngineError, match="the process exited with code -9"):
            process.prepare(1)


def test_engine_with_wrong_predictions_is_skipped(spec):
    skipped = []
    rows = measure_engines(
        Subject.of("cnn-small-int8"),
        [
            spec(OWN_ENGINE, provider="cpu"),
            spec(BASELINE_ENGINE, model="fashion-int8"),
            spec("openvino", model="fashion-int8"),
        ],
        batch_sizes=(1, 4),
        rounds=1,
        seconds=0,
        on_skip=skipped.append,
    )
    assert [(row.engine, row.batch_size) for row in rows] == [("digits-edge cpu", 1), ("digits-edge cpu", 4)]
    reasons = {each.engine: each.skipped for each in skipped}
    assert {(each.model, each.threads) for each in skipped} == {("cnn-small-int8", 1)}
    assert [each.batch_size for each in skipped if each.engine == BASELINE_ENGINE] == [1, 4]
    assert reasons[BASELINE_ENGINE].startswith(
        "its predictions differ from digits-edge: changed clear golden predictions"
    )
    assert find_spec("openvino") is None or reasons["openvino"].startswith(
        "its predictions differ from digits-edge: changed"
    )


def test_measurement_without_digits_edge_is_an_error(spec):
    with pytest.raises(CheckError, match="no digits-edge provider could be measured"):
        measure_engines(Subject.of("cnn-small-int8"), [spec(BASELINE_ENGINE)], batch_sizes=(1,), rounds=1, seconds=0)


def test_row_has_the_median_of_the_rounds_and_the_ratio_to_digits_edge(spec, monkeypatch):
    times_us = {"digits-edge cpu": [50.0, 10.0, 20.0], BASELINE_ENGINE: [30.0, 70.0, 40.0]}
    monkeypatch.setattr(EngineProcess, "time_us", lambda self, seconds: times_us[self.name].pop(0))
    ours, floor = measure_engines(
        Subject.of("cnn-small-int8"),
        [spec(OWN_ENGINE, provider="cpu"), spec(BASELINE_ENGINE)],
        batch_sizes=(8,),
        rounds=3,
        seconds=0,
    )
    assert (ours.p50_us, ours.lowest_us, ours.highest_us, ours.ratio) == (20, 10, 50, 1)
    assert (floor.p50_us, floor.ratio, floor.images_per_second) == (40, 2, 200_000)
    assert (floor.agreement, floor.threads, floor.model, floor.precision) == (1, 1, "cnn-small-int8", "int8")


class Recorder:
    """A subject that records its turns and fails in one of them."""

    def __init__(self, name, turns, fails_at):
        self.name, self._turns, self._remaining = name, turns, fails_at

    def time_us(self):
        self._turns.append(self.name)
        self._remaining -= 1
        if not self._remaining:
            raise EngineError("broken")
        return float(len(self._turns))


@given(st.lists(st.integers(1, 8), min_size=1, max_size=6), st.integers(1, 6))
def test_round_robin_continues_after_failures(fails_at, rounds):
    """Each subject has one turn per round until it fails, and every round starts with the next subject."""
    turns, failed, announced = [], [], []
    peers = [Recorder(f"peer {index}", turns, at) for index, at in enumerate(fails_at)]
    medians = round_robin(
        {peer.name: peer.time_us for peer in peers},
        rounds=rounds,
        on_turn=lambda name, number: announced.append((number, name)),
        on_failure=lambda name, error: failed.append(name),
    )
    assert [name for _, name in announced] == turns
    for number in range(rounds):
        alive = [f"peer {index}" for index, at in enumerate(fails_at) if at > number]
        first = number % len(peers)
        in_order = sorted(alive, key=lambda name: (int(name[5:]) - first) % len(peers))
        assert [name for round_number, name in announced if round_number == number] == in_order
    dead = {f"peer {index}" for index, at in enumerate(fails_at) if at <= rounds}
    assert set(failed) == dead
    assert {name: len(times) for name, times in medians.items()} == {
        peer.name: rounds for peer in peers if peer.name not in dead
    }
