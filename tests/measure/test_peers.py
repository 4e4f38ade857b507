"""Every engine answers the same, computes alone, and is not timed where it answers otherwise."""

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

from digits_edge.export import export, read_source
from digits_edge.export.exporting import calibration_images
from digits_edge.export.source import as_logits
from digits_edge.export.temperature import softmax
from digits_edge.measure.engine_spec import FLOOR, OURS, EngineSpec
from digits_edge.measure.engines import ENGINES, LITERT, OF_KERAS, open_engine
from digits_edge.measure.keras_peer import KerasPeer
from digits_edge.measure.litert import to_litert, write_litert
from digits_edge.measure.peers import Subject, measure_engines
from digits_edge.measure.process import EngineError, EngineProcess
from digits_edge.measure.round_robin import round_robin
from digits_edge.runtime.errors import CheckError, ModelError, UsageError
from digits_edge.runtime.session.precision import find_model

LIBRARIES = {"openvino": "openvino", LITERT: "ai_edge_litert"}
#: Kind of network → precision; one in raw pixels and with logits, one of rows that ends in a softmax.
FILES = {"batch-norm-before-padding": "int8", "softmax-rows": "fp32"}


@pytest.fixture
def spec(tmp_path):
    """Orders for the small bundled model, on one thread."""
    np.save(tmp_path / "images.npy", Subject.of("cnn-small-int8").golden.images)

    def make(engine, model="cnn-small-int8", **more):
        return EngineSpec(engine, str(find_model(model, "cpu")), str(tmp_path / "images.npy"), 1, **more)

    return make


@pytest.fixture(scope="module", params=FILES)
def made(request, trained, drawn, tmp_path_factory):
    """A model file as a subject, and the Keras model that it was made of."""
    kind, folder = request.param, tmp_path_factory.mktemp("peers")
    path = trained(kind)
    source = read_source(path, input_scale=255 if kind == "batch-norm-before-padding" else 1)
    exported = export(source, folder / "m.onnx", precision=FILES[kind], training=drawn)
    subject = Subject.of(str(exported.path))
    return subject, KerasPeer.of_model_file(source, path, subject.metadata, subject.golden), folder


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_answers_like_the_model_file(engine, made, drawn):
    subject, peer, folder = made
    if engine in LIBRARIES and find_spec(LIBRARIES[engine]) is None:
        pytest.skip(f"needs {LIBRARIES[engine]}, of the extra [bench]")
    np.save(folder / "images.npy", subject.golden.images)
    litert = ()
    if engine == LITERT:
        images = calibration_images(peer.source, drawn)
        litert = tuple(
            (size, str(path)) for size, path in write_litert(peer, subject.metadata.precision, [7], folder, images)
        )
    keras = peer.spec if engine in OF_KERAS else None
    ordered = EngineSpec(engine, str(subject.path), str(folder / "images.npy"), 1, keras=keras, litert=litert)
    opened = open_engine(EngineSpec.from_json(ordered.to_json()))
    answers = opened.program(7)(subject.golden.images[:7])
    assert (answers.dtype, answers.shape) == (np.float32, (7, 10))
    np.testing.assert_allclose(answers, subject.answers[:7], atol=subject.tolerance)
    assert " " in opened.version


@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_calibration_is_part_of_what_is_compared(made, temperature):
    subject, known, _ = made
    peer = replace(known, temperature=temperature)
    answers = peer.source.answers(subject.golden.images)
    assert peer.in_softmax == (as_logits(answers) is not answers)
    expected = softmax(as_logits(answers), peer.temperature)
    np.testing.assert_allclose(peer.calibrated(answers), expected, atol=1e-6)
    np.testing.assert_allclose(peer.from_pixels(subject.golden.images).numpy(), expected, atol=1e-5)


def test_another_keras_model_is_refused(made, trained):
    subject, peer, _ = made
    other = read_source(trained("pooled"), input_scale=1)
    with pytest.raises(UsageError, match=r"pooled\.keras is not what .* was made of: it has [\d,]+ parameters, not"):
        KerasPeer.of_model_file(other, trained("pooled"), subject.metadata, subject.golden)
    weights = peer.source.model.get_weights()
    peer.source.model.set_weights([*weights[:-2], weights[-2][:, ::-1], weights[-1]])
    try:
        with pytest.raises(UsageError, match=r"a probability of its answers to the golden images is \S+ off"):
            KerasPeer.of_model_file(peer.source, peer.path, subject.metadata, subject.golden)
    finally:
        peer.source.model.set_weights(weights)


def test_int8_for_litert_wants_training_images(made):
    _, peer, _ = made
    with pytest.raises(ModelError, match="name them with --data"):
        to_litert(peer, "int8", 1)


def test_a_process_answers_and_is_timed(spec):
    subject = Subject.of("cnn-small-int8")
    with EngineProcess(spec(FLOOR)) as process:
        process.wait()
        assert process.version.startswith("onnxruntime ")
        for batch_size in (5, 1, 100):
            np.testing.assert_allclose(process.prepare(batch_size), subject.answers, atol=1e-6)
            assert process.time_us(0) > 1
    with pytest.raises(ProcessLookupError):
        os.kill(process.process_id, 0)


def test_threads_are_limited_before_the_libraries_are_loaded(spec):
    with EngineProcess(spec(FLOOR)) as process:
        process.wait()
        environment = Path(f"/proc/{process.process_id}/environ")
        if not environment.exists():
            pytest.skip("needs Linux's /proc")
        assert {b"OMP_NUM_THREADS=1", b"TF_NUM_INTRAOP_THREADS=1"} <= set(environment.read_bytes().split(b"\0"))


def test_openvino_reports_to_nobody(spec):
    """Importing it does so from a forked process, which may hang and keeps the pipe of the replies open."""
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


def test_an_engine_that_does_not_open_says_why(spec, tmp_path):
    missing = spec(FLOOR, model=str(tmp_path / "none.onnx"))
    with EngineProcess(missing) as process, pytest.raises(EngineError, match=r"none\.onnx could not be read"):
        process.wait()


def test_timing_before_a_batch_size_is_an_error_and_no_end(spec):
    with EngineProcess(spec(FLOOR)) as process:
        process.wait()
        with pytest.raises(EngineError, match="nothing is ready"):
            process.time_us(0)
        process.prepare(1)
        assert process.time_us(0) > 0


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_process_that_dies_is_an_error_of_one_line(spec):
    with EngineProcess(spec(FLOOR)) as process:
        process.wait()
        os.kill(process.process_id, signal.SIGKILL)
        with pytest.raises(EngineError, match="its process ended with code -9"):
            process.prepare(1)


def test_an_engine_that_answers_wrongly_is_left_out_and_the_others_go_on(spec):
    left_out = []
    rows = measure_engines(
        Subject.of("cnn-small-int8"),
        [spec(OURS, provider="cpu"), spec(FLOOR, model="fashion-int8"), spec("openvino", model="fashion-int8")],
        batch_sizes=(1, 4),
        rounds=1,
        seconds=0,
        on_skip=lambda engine, reason: left_out.append((engine, reason)),
    )
    assert [(row.engine, row.batch_size) for row in rows] == [("digits-edge cpu", 1), ("digits-edge cpu", 4)]
    reasons = dict(left_out)
    assert reasons[FLOOR].startswith("it does not answer like ours: changed golden answers")
    assert find_spec("openvino") is None or reasons["openvino"].startswith("it does not answer like ours: changed")


def test_nothing_of_ours_is_no_result(spec):
    with pytest.raises(CheckError, match="could not be measured with any provider of ours"):
        measure_engines(Subject.of("cnn-small-int8"), [spec(FLOOR)], batch_sizes=(1,), rounds=1, seconds=0)


def test_a_row_has_the_median_of_the_rounds_and_the_ratio_to_ours(spec, monkeypatch):
    times_us = {"digits-edge cpu": [50.0, 10.0, 20.0], FLOOR: [30.0, 70.0, 40.0]}
    monkeypatch.setattr(EngineProcess, "time_us", lambda self, seconds: times_us[self.name].pop(0))
    ours, floor = measure_engines(
        Subject.of("cnn-small-int8"),
        [spec(OURS, provider="cpu"), spec(FLOOR)],
        batch_sizes=(8,),
        rounds=3,
        seconds=0,
    )
    assert (ours.p50_us, ours.lowest_us, ours.highest_us, ours.ratio) == (20, 10, 50, 1)
    assert (floor.p50_us, floor.ratio, floor.images_per_second) == (40, 2, 200_000)
    assert (floor.agreement, floor.threads, floor.model, floor.precision) == (1, 1, "cnn-small-int8", "int8")


class Recorder:
    """A subject that records when it had its turn, and fails in one of them."""

    def __init__(self, name, turns, fails_at):
        self.name, self._turns, self._left = name, turns, fails_at

    def time_us(self):
        self._turns.append(self.name)
        self._left -= 1
        if not self._left:
            raise EngineError("it broke")
        return float(len(self._turns))


@given(st.lists(st.integers(1, 8), min_size=1, max_size=6), st.integers(1, 6))
def test_peers_take_turns(fails_at, rounds):
    """Each has one turn a round while it lives, every round begins with the next, and failures stop nobody else."""
    turns, failed, told = [], [], []
    peers = [Recorder(f"peer {index}", turns, at) for index, at in enumerate(fails_at)]
    medians = round_robin(
        {peer.name: peer.time_us for peer in peers},
        rounds=rounds,
        on_turn=lambda name, number: told.append((number, name)),
        on_failure=lambda name, error: failed.append(name),
    )
    assert [name for _, name in told] == turns
    for number in range(rounds):
        alive = [f"peer {index}" for index, at in enumerate(fails_at) if at > number]
        first = number % len(peers)
        in_order = sorted(alive, key=lambda name: (int(name[5:]) - first) % len(peers))
        assert [name for when, name in told if when == number] == in_order
    dead = {f"peer {index}" for index, at in enumerate(fails_at) if at <= rounds}
    assert set(failed) == dead
    assert {name: len(times) for name, times in medians.items()} == {
        peer.name: rounds for peer in peers if peer.name not in dead
    }
