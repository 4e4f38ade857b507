"""Speed trials and the selection of precision and provider."""

import json
import os
import pickle
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_edge.runtime.checks.parity import compare
from digits_edge.runtime.classifier import FEW_IMAGES, TRIAL_IMAGES, Classifier
from digits_edge.runtime.datasets.synthetic_digits import draw_image
from digits_edge.runtime.errors import ModelError, ProviderError, UsageError
from digits_edge.runtime.model.model_file import read_model_file
from digits_edge.runtime.session import int8_kernels
from digits_edge.runtime.session import trial as trials
from digits_edge.runtime.session.bound_session import BoundSession
from digits_edge.runtime.session.precision import Way, find_model, open_first, ways_to_run
from digits_edge.runtime.session.provider_names import available_providers
from digits_edge.runtime.session.providers import open_session
from digits_edge.runtime.session.trial import (
    MARGIN,
    SpeedTrial,
    Timing,
    choose,
    clear_trials,
    make_trial,
    store_trial,
    stored_trial,
)
from scripts.bundle_model import add_model

CPU = Timing("cpu", "m-int8", open_s=0.01, one_s=40e-6, each_s=20e-6)
OPENVINO = Timing("openvino", "m-int8", open_s=0.2, one_s=50e-6, each_s=8e-6)
WAYS = [Way(Path("m-int8.onnx"), "cpu"), Way(Path("m-int8.onnx"), "openvino")]
positive = st.floats(1e-9, 10)
timings = st.builds(Timing, st.just("other"), st.just("m-int8"), positive, positive, positive)


@pytest.fixture
def bundled(make_model, metadata, models_folder, tmp_path):
    """A function that bundles a model with a given name in a folder, its attribute `folder`."""

    def add(name: str) -> None:
        architecture, _, precision = name.rpartition("-")
        described = replace(metadata, name=name, architecture=architecture, precision=precision)
        add_model(make_model(tmp_path / "new.onnx", metadata=described), described, folder=models_folder)

    add.folder = models_folder
    return add


def ways_of(*providers: str) -> list[Way]:
    return [Way(Path("m-int8.onnx"), provider) for provider in providers]


class Clock:
    """Replaces the module `time` in trials: models advance it instead of sleeping."""

    time = staticmethod(time.time)

    def __init__(self) -> None:
        self.seconds = 0.0

    def perf_counter(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class Session:
    """A model with a fixed time per image, and a slow first call of each size."""

    def __init__(self, seconds: float, clock: Clock, shape: tuple[int, ...] = (28, 28)) -> None:
        self.seconds, self.clock, self.shape = seconds, clock, shape
        self.warm: set[int] = set()

    def get_inputs(self) -> list:
        return [SimpleNamespace(shape=["N", *self.shape])]

    def run(self, outputs: list[str], inputs: dict) -> list:
        size = len(inputs["image"])
        assert inputs["image"].shape == (size, *self.shape)
        self.clock.sleep(self.seconds * size + (0 if size in self.warm else 0.1))
        self.warm.add(size)
        return [np.zeros((size, 10), np.float32)]

    def get_outputs(self) -> list:
        return [SimpleNamespace(shape=["N", 10])]

    def io_binding(self) -> SimpleNamespace:
        binding = SimpleNamespace(bind_ortvalue_output=lambda name, value: None)
        binding.synchronize_inputs = binding.synchronize_outputs = lambda: None
        binding.bind_ortvalue_input = lambda name, value: setattr(binding, "images", value.numpy())
        return binding

    def run_with_iobinding(self, binding: SimpleNamespace) -> None:
        self.run([], {"image": binding.images})


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with providers cpu and openvino, of which the second is faster; opened ways are recorded."""
    opened: list[str] = []
    clock = Clock()
    seconds = {"cpu m-int8": 4e-4, "openvino m-int8": 1e-4}

    def bind(way: Way) -> BoundSession:
        name = f"{way.provider} {way.file.stem}"
        opened.append(name)
        clock.sleep(0.01)
        if seconds[name] is None:
            raise ProviderError(f"{name} is not available")
        return BoundSession(Session(seconds[name], clock), way.provider, 1)

    monkeypatch.setattr(trials, "time", clock)
    monkeypatch.setattr(trials, "user_cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(trials, "_trials_by_key", {})

    def chosen(threads=1):
        """The way selected by a new process."""
        opened.clear()
        trials._trials_by_key.clear()
        ways = []
        for name in seconds:
            provider, model = name.split()
            file = tmp_path / f"{model}.onnx"
            file.write_bytes(model.encode() * 100)
            ways.append(Way(file, provider))
        file, session = choose(bind, ways, threads)
        return f"{session.provider} {file.stem}"

    return SimpleNamespace(chosen=chosen, opened=opened, seconds=seconds, cache=tmp_path / "cache/trials")


@given(st.lists(timings, max_size=3))
def test_other_provider_is_selected_only_if_clearly_faster_than_the_cpu(others):
    others = [replace(timing, provider=f"other{number}") for number, timing in enumerate(others)]
    costs = {timing.provider: timing.cost_s for timing in (CPU, *others)}
    chosen = SpeedTrial((CPU, *others), {}, 0).fastest().provider
    if chosen == "cpu":
        assert all(cost >= MARGIN * costs["cpu"] for cost in costs.values())
    else:
        assert costs[chosen] == min(costs.values()) and costs[chosen] < MARGIN * costs["cpu"]


def test_first_call_is_not_measured(machine):
    machine.chosen()
    [path] = machine.cache.iterdir()
    assert all(
        timing["one_s"] < 0.1 and timing["each_s"] < 0.1 / 128 + 4e-4
        for timing in json.loads(path.read_text())["timings"]
    )


@given(st.lists(timings, max_size=3), st.dictionaries(st.text(), st.text()))
def test_trial_is_equal_after_storing(tmp_path_factory, others, failed):
    failed = {f"failed {name}": reason for name, reason in failed.items()}
    cache, trial = tmp_path_factory.mktemp("cache"), SpeedTrial((CPU, *others), failed, time.time())
    store_trial(trial, cache, "key")
    assert stored_trial(cache, "key", ways_of("cpu", *(timing.provider for timing in others), *failed)) == trial
    assert stored_trial(cache, "another key", WAYS[:1]) is None


@given(st.binary(max_size=60))
def test_damaged_trial_is_ignored(tmp_path_factory, content):
    cache = tmp_path_factory.mktemp("cache")
    store_trial(SpeedTrial((CPU,), {}, time.time()), cache, "key")
    [path] = cache.iterdir()
    path.write_bytes(content)
    assert stored_trial(cache, "key", WAYS[:1]) is None


@pytest.mark.parametrize(
    "change",
    [
        {"made_at": 0},
        {"made_at": time.time() + 1e6},
        {"made_at": 10**400},
        {"timings": []},
        {"timings": [{"provider": "cpu", "model": "m-int8", "open_s": "x", "one_s": 1, "each_s": 1}]},
        {"timings": [{"provider": "cpu", "model": "m-int8", "open_s": 1, "one_s": float("nan"), "each_s": 1}]},
        {"failed": {"cuda": "not available"}},
        {"key": "other"},
    ],
    ids=["expired", "future", "infinite time", "empty", "text", "nan", "other providers", "other key"],
)
def test_invalid_trial_is_ignored(tmp_path, change):
    store_trial(SpeedTrial((CPU, OPENVINO), {}, time.time()), tmp_path, "key")
    assert stored_trial(tmp_path, "key", WAYS) is not None
    [path] = tmp_path.iterdir()
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert stored_trial(tmp_path, "key", WAYS) is None


def test_models_of_any_input_are_timed():
    trial = make_trial(lambda way: BoundSession(Session(1e-4, Clock(), (32, 32, 3)), way.provider, 1), WAYS[:1])
    assert [timing.provider for timing in trial.timings] == ["cpu"]


def test_fastest_way_is_selected_and_measured_once(machine):
    assert machine.chosen() == "openvino m-int8"
    assert set(machine.opened) == {"cpu m-int8", "openvino m-int8"}
    assert machine.chosen() == "openvino m-int8"
    assert machine.opened == ["openvino m-int8"]
    machine.chosen(threads=2)
    assert "cpu m-int8" in machine.opened  # another number of threads needs another trial


def test_provider_that_cannot_be_bound_is_stored_as_failed(machine):
    machine.seconds["openvino m-int8"] = None
    assert machine.chosen() == "cpu m-int8"
    assert machine.chosen() == "cpu m-int8"
    assert machine.opened == ["cpu m-int8"]


def test_provider_that_is_expected_but_cannot_be_opened_is_skipped(machine):
    machine.seconds["cpu m-int8"] = None
    assert machine.chosen() == "openvino m-int8"
    assert machine.chosen() == "openvino m-int8"
    assert machine.opened == ["openvino m-int8"]  # the trial without the CPU is stored and valid


def test_precision_that_cannot_be_opened_is_skipped(machine):
    machine.seconds |= {"cpu m-int8": None, "cpu m-fp32": 1e-4, "openvino m-int8": 9e-4}
    assert machine.chosen() == "cpu m-fp32"
    assert machine.chosen() == "cpu m-fp32"
    assert machine.opened == ["cpu m-fp32"]


def test_error_is_that_of_the_expected_way_if_none_can_be_opened(machine):
    machine.seconds |= {"cpu m-int8": None, "openvino m-int8": None}
    with pytest.raises(ModelError, match="cpu m-int8 is not available"):
        machine.chosen()


def test_damaged_file_of_the_expected_precision_is_not_skipped(tmp_path):
    def bind(way):
        raise ModelError(f"{way} is damaged")

    for select in (lambda ways: make_trial(bind, ways), lambda ways: open_first(bind, ways)):
        with pytest.raises(ModelError, match="m-int8 on cpu is damaged"):
            select(WAYS)


def test_lost_device_falls_back_to_the_cpu_and_is_tried_again(machine):
    machine.chosen()
    machine.seconds["openvino m-int8"] = None
    assert machine.chosen() == "cpu m-int8"
    machine.seconds["openvino m-int8"] = 1e-4
    assert machine.chosen() == "openvino m-int8"


def test_without_a_cache_every_process_measures_once(machine):
    machine.cache.parent.write_text("a file instead of the folder")
    assert machine.chosen() == machine.chosen() == "openvino m-int8"
    assert "cpu m-int8" in machine.opened
    assert len(trials._trials_by_key) == 1
    clear_trials()
    assert not trials._trials_by_key


def test_lost_device_falls_back_to_the_cpu_with_a_read_only_cache(machine, monkeypatch):
    machine.chosen()
    machine.seconds["openvino m-int8"] = None

    def refused(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "unlink", refused)
    assert machine.chosen() == "cpu m-int8"


def test_failed_provider_is_tried_again_after_an_hour(tmp_path):
    for age_s, is_valid in ((600, True), (7200, False)):
        store_trial(SpeedTrial((CPU,), {"openvino": "not available"}, time.time() - age_s), tmp_path, "key")
        assert (stored_trial(tmp_path, "key", WAYS) is not None) == is_valid


def test_cleared_trials_are_measured_again(machine):
    machine.chosen()
    clear_trials()
    machine.chosen()
    assert "cpu m-int8" in machine.opened


def test_real_providers_are_timed(model_path):
    def bind(way):
        return open_session(read_model_file(way.file), way.provider, threads=1)

    trial = make_trial(bind, ways_to_run(model_path, available_providers()))
    assert (trial.timings[0].provider, trial.timings[0].model) == ("cpu", model_path.stem)
    assert {timing.provider for timing in trial.timings} | set(trial.failed) == set(available_providers())
    assert all(timing.each_s > 0 and timing.one_s > 0 and timing.open_s > 0 for timing in trial.timings)


def test_fastest_precision_is_selected(machine):
    machine.seconds |= {"cpu m-fp32": 1e-4, "openvino m-int8": 9e-4, "openvino m-fp32": 9e-4}
    assert machine.chosen() == "cpu m-fp32"
    assert machine.chosen() == "cpu m-fp32"
    assert machine.opened == ["cpu m-fp32"]


def test_expected_precision_is_selected_among_equally_fast_ones(machine):
    machine.seconds["openvino m-int8"] = None
    machine.seconds["cpu m-fp32"] = 3.9e-4
    assert machine.chosen() == "cpu m-int8"


@pytest.mark.parametrize(("fp16_s", "selected"), [(1e-5, "m-fp16"), (9e-5, "m-fp32"), (None, "m-fp32")])
def test_accelerator_uses_fp16_if_the_trial_shows_that_it_is_faster(machine, fp16_s, selected):
    """Some devices do not support fp16; the provider then refuses the file (None)."""
    machine.seconds |= {"openvino m-int8": 9e-4, "webgpu m-fp32": 5e-5, "webgpu m-fp16": fp16_s}
    assert machine.chosen() == f"webgpu {selected}"
    assert machine.chosen() == f"webgpu {selected}"


def test_float_precisions_are_candidates_for_accelerators_and_int8_for_processors(bundled, monkeypatch):
    monkeypatch.setattr(int8_kernels, "are_fast", lambda: True)
    for precision in ("int8", "fp32", "fp16"):
        bundled(f"cnn-{precision}")
    bundled("tiny-int8")
    bundled("half-fp16")
    expected = {
        "cnn": [("int8", "cpu"), ("fp32", "cpu"), ("fp32", "webgpu:gpu"), ("fp16", "webgpu:gpu")],
        "tiny": [("int8", "cpu"), ("int8", "webgpu:gpu")],
        "half": [("fp16", "cpu"), ("fp16", "webgpu:gpu")],
    }
    for name, ways in expected.items():
        found = ways_to_run(name, ["webgpu:gpu", "cpu"], folder=bundled.folder)
        assert [(way.file.stem.removeprefix(f"{name}-"), way.provider) for way in found] == ways


def test_trial_has_one_precision_for_accelerators_and_all_for_the_cpu(monkeypatch):
    monkeypatch.setattr(int8_kernels, "are_fast", lambda: True)
    ways = [(way.file.stem, way.provider) for way in ways_to_run("edge", ["cuda", "cpu"])]
    assert ways == [("edge-int8", "cpu"), ("edge-fp32", "cpu"), ("edge-fp32", "cuda")]


@pytest.fixture
def other(monkeypatch) -> str:
    """Replace the trial by one that selects another precision than the expected one; returns the selected model."""

    def chosen(bind, ways, threads):
        way = next(way for way in ways if way.file != ways[0].file)
        return way.file, bind(way)

    monkeypatch.setattr(int8_kernels, "are_fast", lambda: False)
    monkeypatch.setattr(trials, "choose", chosen)
    return "edge-int8"


BATCH = np.zeros((TRIAL_IMAGES, 28, 28), np.uint8)


def test_large_first_batch_starts_a_trial(other):
    with Classifier("edge", provider="cpu") as classifier:
        assert classifier.metadata.name == "edge-fp32"
        classifier.predict_batch(BATCH)
        assert classifier.metadata.name == classifier.path.stem == other
        with Classifier(other, provider="cpu") as named:
            assert classifier.golden.tolerance == named.golden.tolerance
            np.testing.assert_array_equal(classifier.predict_batch(BATCH), named.predict_batch(BATCH))
        with pickle.loads(pickle.dumps(classifier)) as copy:
            assert copy.metadata.name == other


def test_single_first_image_prevents_a_trial(other):
    with Classifier("edge", provider="cpu") as classifier:
        before = classifier.predict_batch(BATCH[:1])
        np.testing.assert_array_equal(classifier.predict_batch(BATCH)[:1], before)
        assert classifier.metadata.name == "edge-fp32"


def test_many_expected_images_start_a_trial_at_opening(other):
    with Classifier("edge", provider="cpu", images=FEW_IMAGES) as classifier:
        assert classifier.metadata.name == other


def test_concurrent_first_batches_start_one_trial(other):
    with Classifier("edge", provider="cpu") as classifier, ThreadPoolExecutor(4) as callers:
        found = list(callers.map(classifier.predict_batch, [BATCH] * 8))
        assert classifier.metadata.name == other
        assert all(np.array_equal(found[0], one) for one in found)


def test_closed_classifier_starts_no_trial(other):
    classifier = Classifier("edge", provider="cpu")
    classifier.close()
    with pytest.raises(UsageError, match="closed"):
        classifier.predict_batch(BATCH)


def test_precision_for_few_images_is_selected_by_rule(monkeypatch):
    monkeypatch.setattr(trials, "choose", lambda *_: pytest.fail("a trial was started"))
    for is_fast, name in ((True, "edge-int8"), (False, "edge-fp32")):
        monkeypatch.setattr(int8_kernels, "are_fast", lambda is_fast=is_fast: is_fast)
        with Classifier("edge", images=1) as classifier:
            assert classifier.metadata.name == name


def test_precisions_of_a_model_agree_on_clear_predictions():
    rng = np.random.default_rng(0)
    images = np.stack([draw_image(digit, rng) for digit in range(10) for _ in range(20)])
    with Classifier("edge-fp32", provider="cpu") as float_model, Classifier("edge-int8", provider="cpu") as int8_model:
        parity = compare(float_model.predict_batch(images), int8_model.predict_batch(images))
    assert parity.clear > 180
    assert parity.changed_clear == 0


def test_copy_of_a_model_under_another_name_has_a_trial_of_its_own(tmp_path):
    original = find_model("edge-int8", "cpu")
    copy = Path(shutil.copy(original, tmp_path / "copy.onnx"))
    for file in (original, copy):
        with Classifier(file, images=FEW_IMAGES) as classifier:
            assert classifier.path == file


def test_auto_binds_an_available_provider(model_path):
    with Classifier(model_path) as classifier:
        assert classifier.provider in available_providers()


def test_few_expected_images_use_the_cpu_without_a_trial(model_path, monkeypatch):
    monkeypatch.setattr(trials, "choose", lambda *_: pytest.fail("a trial was started"))
    with Classifier(model_path, images=FEW_IMAGES - 1) as classifier:
        assert classifier.provider == "cpu"


def test_pickled_copy_has_the_provider_of_the_original(model_path):
    with Classifier(model_path) as classifier, pickle.loads(pickle.dumps(classifier)) as copy:
        assert copy.provider == classifier.provider


def test_expired_trials_are_removed(tmp_path):
    for key in ("old", "new"):
        store_trial(SpeedTrial((CPU,), {}, time.time()), tmp_path, key)
    assert len(list(tmp_path.iterdir())) == 2
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    store_trial(SpeedTrial((CPU,), {}, time.time()), tmp_path, "new")
    assert len(list(tmp_path.iterdir())) == 1
    assert stored_trial(tmp_path, "new", WAYS[:1]) is not None
