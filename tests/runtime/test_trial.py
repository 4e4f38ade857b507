"""Which provider "auto" is."""

import json
import os
import pickle
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_edge.runtime import trial as trials
from digits_edge.runtime.bound_session import BoundSession
from digits_edge.runtime.classifier import FEW_IMAGES, Classifier
from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.providers import available_providers
from digits_edge.runtime.trial import MARGIN, Timing, Trial, choose, forget_trials, keep_trial, kept_trial, make_trial

CPU = Timing("cpu", open_s=0.01, one_s=40e-6, each_s=20e-6)
OPENVINO = Timing("openvino", open_s=0.2, one_s=50e-6, each_s=8e-6)
NAMES = ["cpu", "openvino"]
positive = st.floats(1e-9, 10)
timings = st.builds(Timing, st.just("other"), positive, positive, positive)


class Session:
    """A model that takes its time, and more of it for the first call of each size."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.warm: set[int] = set()

    def run(self, outputs: list[str], inputs: dict) -> list:
        size = len(inputs["image"])
        time.sleep(self.seconds * size + (0 if size in self.warm else 0.1))
        self.warm.add(size)
        return [np.zeros((size, 10), np.float32)]


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Providers cpu and openvino, the second quicker; what is opened is written down."""
    opened: list[str] = []
    seconds = {"cpu": 4e-4, "openvino": 1e-4}

    def bind(name: str) -> tuple[Path, BoundSession]:
        opened.append(name)
        if seconds[name] is None:
            raise ModelError(f"{name} is gone")
        return tmp_path / name, BoundSession(Session(seconds[name]), name, 1)

    (tmp_path / "m.onnx").write_bytes(b"x" * 100)
    monkeypatch.setattr(trials, "user_cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(trials, "_made", {})

    def chosen(threads=1):
        """What is bound by another process."""
        opened.clear()
        trials._made.clear()
        return choose(bind, list(seconds), tmp_path / "m.onnx", threads)[1].provider

    return SimpleNamespace(chosen=chosen, opened=opened, seconds=seconds, cache=tmp_path / "cache/trials")


@given(st.lists(timings, max_size=3))
def test_none_is_chosen_that_is_not_clearly_quicker_than_the_cpu(others):
    others = [replace(timing, provider=f"other{number}") for number, timing in enumerate(others)]
    costs = {timing.provider: timing.cost_s for timing in (CPU, *others)}
    chosen = Trial((CPU, *others), {}, 0).quickest()
    if chosen == "cpu":
        assert all(cost >= MARGIN * costs["cpu"] for cost in costs.values())
    else:
        assert costs[chosen] == min(costs.values()) and costs[chosen] < MARGIN * costs["cpu"]


def test_the_first_call_is_not_what_counts(machine):
    machine.chosen()
    [path] = machine.cache.iterdir()
    assert all(
        timing["one_s"] < 0.1 and timing["each_s"] < 0.1 / 128 + 4e-4
        for timing in json.loads(path.read_text())["timings"]
    )


@given(st.lists(timings, max_size=3), st.dictionaries(st.text(), st.text()))
def test_a_trial_is_kept_as_it_is(tmp_path_factory, others, failed):
    cache, trial = tmp_path_factory.mktemp("cache"), Trial((CPU, *others), failed, time.time())
    keep_trial(trial, cache, "key")
    assert kept_trial(cache, "key", ["cpu", *(timing.provider for timing in others), *failed]) == trial
    assert kept_trial(cache, "another key", ["cpu"]) is None


@given(st.binary(max_size=60))
def test_a_damaged_trial_is_none(tmp_path_factory, content):
    cache = tmp_path_factory.mktemp("cache")
    keep_trial(Trial((CPU,), {}, time.time()), cache, "key")
    [path] = cache.iterdir()
    path.write_bytes(content)
    assert kept_trial(cache, "key", ["cpu"]) is None


@pytest.mark.parametrize(
    "change",
    [
        {"made_at": 0},
        {"made_at": time.time() + 1e6},
        {"made_at": 10**400},
        {"timings": []},
        {"timings": [{"provider": "cpu", "open_s": "x", "one_s": 1, "each_s": 1}]},
        {"timings": [{"provider": "cpu", "open_s": 1, "one_s": float("nan"), "each_s": 1}]},
        {"failed": {"cuda": "gone"}},
        {"key": "other"},
    ],
    ids=["old", "of tomorrow", "of no time", "empty", "of text", "of nan", "of other providers", "of another key"],
)
def test_a_trial_that_does_not_hold_is_none(tmp_path, change):
    keep_trial(Trial((CPU, OPENVINO), {}, time.time()), tmp_path, "key")
    assert kept_trial(tmp_path, "key", NAMES) is not None
    [path] = tmp_path.iterdir()
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert kept_trial(tmp_path, "key", NAMES) is None


def test_what_is_quicker_here_is_chosen_and_tried_once(machine):
    assert machine.chosen() == "openvino"
    assert set(machine.opened) == {"cpu", "openvino"}
    assert machine.chosen() == "openvino"
    assert machine.opened == ["openvino"]
    machine.chosen(threads=2)
    assert "cpu" in machine.opened  # other threads, another trial


def test_what_cannot_be_bound_is_not_chosen_and_remembered(machine):
    machine.seconds["openvino"] = None
    assert machine.chosen() == "cpu"
    assert machine.chosen() == "cpu"
    assert machine.opened == ["cpu"]


def test_a_device_that_was_lost_leaves_the_cpu_and_is_tried_again(machine):
    machine.chosen()
    machine.seconds["openvino"] = None
    assert machine.chosen() == "cpu"
    machine.seconds["openvino"] = 1e-4
    assert machine.chosen() == "openvino"


def test_without_a_cache_every_process_measures_once(machine):
    machine.cache.parent.write_text("a file where the folder would be")
    assert machine.chosen() == machine.chosen() == "openvino"
    assert "cpu" in machine.opened
    kept = dict(trials._made)
    assert len(kept) == 1
    forget_trials()
    assert not trials._made


def test_a_device_lost_leaves_the_cpu_where_the_cache_is_read_only(machine, monkeypatch):
    machine.chosen()
    machine.seconds["openvino"] = None

    def refused(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "unlink", refused)
    assert machine.chosen() == "cpu"


def test_what_failed_is_tried_again_within_the_day(tmp_path):
    for age_s, kept in ((600, True), (7200, False)):
        keep_trial(Trial((CPU,), {"openvino": "gone"}, time.time() - age_s), tmp_path, "key")
        assert (kept_trial(tmp_path, "key", NAMES) is not None) == kept


def test_the_doctor_has_trials_made_anew(machine):
    machine.chosen()
    forget_trials()
    machine.chosen()
    assert "cpu" in machine.opened


def test_real_providers_are_timed(model_path):
    def bind(name):
        classifier = Classifier(model_path, provider=name, threads=1)
        return BoundSession(SimpleNamespace(run=lambda _, inputs: classifier.predict_batch(inputs["image"])), name, 1)

    trial = make_trial(bind, available_providers())
    assert trial.timings[0].provider == "cpu"
    assert {timing.provider for timing in trial.timings} | set(trial.failed) == set(available_providers())
    assert all(timing.each_s > 0 and timing.one_s > 0 and timing.open_s > 0 for timing in trial.timings)


def test_auto_is_one_of_them(model_path):
    with Classifier(model_path) as classifier:
        assert classifier.provider in available_providers()


def test_few_images_are_answered_by_the_cpu_without_a_trial(model_path, monkeypatch):
    monkeypatch.setattr(trials, "choose", lambda *_: pytest.fail("tried"))
    with Classifier(model_path, images=FEW_IMAGES - 1) as classifier:
        assert classifier.provider == "cpu"


def test_a_copy_has_the_provider_of_the_original(model_path):
    with Classifier(model_path) as classifier, pickle.loads(pickle.dumps(classifier)) as copy:
        assert copy.provider == classifier.provider


def test_what_is_too_old_is_removed(tmp_path):
    for key in ("old", "new"):
        keep_trial(Trial((CPU,), {}, time.time()), tmp_path, key)
    assert len(list(tmp_path.iterdir())) == 2
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    keep_trial(Trial((CPU,), {}, time.time()), tmp_path, "new")
    assert len(list(tmp_path.iterdir())) == 1
    assert kept_trial(tmp_path, "new", ["cpu"]) is not None
