"""An accelerator computes what the model files define: classes, batches, commands and service, in fp32 and fp16."""

import json
import pickle
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digits_edge.runtime import Classifier, ProviderError
from digits_edge.runtime.datasets.synthetic_digits import draw_image
from digits_edge.runtime.model.bundled import MODELS
from digits_edge.runtime.model.model_file import read_model_file
from digits_edge.runtime.session.ep_devices import NUMBERED, plugin_devices
from digits_edge.runtime.session.fixed_batches import batch_shape
from digits_edge.runtime.session.precision import Way, ways_to_run
from digits_edge.runtime.session.provider_names import ON_PROCESSOR, available_providers, full_name
from digits_edge.runtime.session.providers import open_session
from digits_edge.runtime.session.trial import make_trial
from tests.providers.conftest import NO_HALF, half_of

SAMPLES = Path(__file__).parents[2] / "samples"
TOLERANCE = {"fp32": 1e-5, "fp16": 1e-2}


def tolerance(path: Path) -> float:
    return TOLERANCE[path.stem.rpartition("-")[2]]


@pytest.fixture(scope="session")
def drawn() -> np.ndarray:
    """Synthetic digits, uint8 (20, 28, 28)."""
    rng = np.random.default_rng(5)
    return np.stack([draw_image(index % 10, rng) for index in range(20)])


def test_bound_provider_is_the_one_that_was_asked_for(digits, provider):
    with Classifier(digits, provider=provider) as classifier:
        session = classifier._run.__self__.session
        assert classifier.provider == provider and session.get_providers()[0] == full_name(provider.partition(":")[0])
        if provider != "cpu":
            assert session.get_providers()[0] in [part.ep_name for part in session.get_provider_graph_assignment_info()]


def test_probabilities_are_those_of_the_cpu(digits, provider, drawn):
    """Two different batches of one shape: the second must not get the images of the first."""
    with Classifier(digits, provider=provider) as classifier, Classifier(digits, provider="cpu") as expected:
        for images in (drawn[:3], drawn[5:8], drawn[8:12], drawn[:1], drawn[1:2]):
            found = classifier.predict_batch(images)
            np.testing.assert_allclose(found, expected.predict_batch(images), atol=tolerance(digits))


@pytest.fixture(scope="session")
def both(filters, provider):
    """The small model on the accelerator and on the processor."""
    with Classifier(filters, provider=provider) as classifier, Classifier(filters, provider="cpu") as expected:
        yield classifier, expected


@settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow])
@given(counts=st.lists(st.integers(1, 40), min_size=1, max_size=3), seed=st.integers(0, 2**32 - 1))
def test_probabilities_do_not_depend_on_the_number_of_images(both, counts, seed):
    classifier, expected = both
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, 256, (max(counts), 1, 1, 3), np.uint8)
    images = np.broadcast_to(levels, (max(counts), 32, 32, 3)).copy()
    reference = expected.predict_batch(images)
    for count in counts:
        np.testing.assert_allclose(
            classifier.predict_batch(images[:count]), reference[:count], atol=tolerance(classifier.path)
        )


def test_few_batch_shapes_are_used(filters, provider, colours):
    if provider in ON_PROCESSOR:
        pytest.skip(f"provider {provider} needs no fixed shapes")
    with Classifier(filters, provider=provider) as classifier:
        for count in range(1, 7):
            classifier.predict_batch(colours[:count])
        assert classifier._run.__self__._batches.shapes == sorted({batch_shape(count) for count in range(1, 7)})


def test_session_for_single_images_predicts_the_same(filters, provider, colours):
    with (
        Classifier(filters, provider=provider, single_image=True) as single,
        Classifier(filters, provider="cpu") as expected,
    ):
        found = single.predict_batch(colours)
        np.testing.assert_allclose(found, expected.predict_batch(colours), atol=tolerance(filters))


def test_threads_can_share_a_classifier(filters, provider, colours):
    with Classifier(filters, provider=provider) as classifier, ThreadPoolExecutor(4) as callers:
        expected = classifier.predict_batch(colours)
        jobs = [callers.submit(classifier.predict_batch, colours[start : start + 3]) for start in [0, 1, 2, 3] * 8]
        for start, job in zip([0, 1, 2, 3] * 8, jobs, strict=True):
            np.testing.assert_allclose(job.result(), expected[start : start + 3], atol=tolerance(filters))


def test_copy_from_a_pickle_uses_the_same_provider(filters, provider, colours):
    with Classifier(filters, provider=provider) as classifier, pickle.loads(pickle.dumps(classifier)) as copy:
        assert copy.provider == provider
        np.testing.assert_array_equal(copy.predict_batch(colours), classifier.predict_batch(colours))


def test_precision_without_hardware_support_is_refused_and_the_trial_uses_the_other(filter_model, provider, make_once):
    ways = [Way(filter_model, provider), Way(half_of(filter_model, make_once), provider)]
    trial = make_trial(lambda way: open_session(read_model_file(way.file), way.provider, 1), ways)
    timed = [timing.model for timing in trial.timings]
    if trial.failed_models:
        assert timed == ["filters-fp32"] and list(trial.failed_models) == [str(ways[1])]
        assert NO_HALF in trial.failed_models[str(ways[1])]
        with pytest.raises(ProviderError, match=NO_HALF) as caught:
            Classifier(ways[1].file, provider=provider)
        assert caught.value.exit_code == 3
    else:
        assert timed == ["filters-fp32", "filters-fp16"]


def test_trial_of_auto_includes_the_provider(filter_model, provider):
    """The two trials of this file run every installed provider; those that cannot be bound have a reason."""
    name = provider.partition(":")[0]
    assert name in available_providers()
    ways = ways_to_run(filter_model, available_providers())
    trial = make_trial(lambda way: open_session(read_model_file(way.file), way.provider, 1), ways)
    assert name in {timing.provider for timing in trial.timings}, trial.failed


def test_device_is_bound_by_its_name(filter_model, provider, colours):
    short = provider.partition(":")[0]
    Classifier(filter_model, provider=provider).close()  # registers a plug-in
    listed = plugin_devices(onnxruntime).get(full_name(short))
    names = listed or (["0"] if short in NUMBERED else [])
    for name in names:
        with Classifier(filter_model, provider=f"{short}:{name}") as classifier:
            assert classifier.provider == f"{short}:{name}"
            assert classifier.predict_batch(colours).argmax(axis=1).tolist() == [0, 1, 2, 0, 1, 2]
    with pytest.raises(ProviderError, match="99") as caught:
        Classifier(filter_model, provider=f"{short}:99")
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("name", ["edge-int8", "cnn-small-int8"])
def test_int8_model_is_computed_or_refused_in_one_line(provider, command, name):
    """Graphs of int8 need operators that some releases lack."""
    sample = SAMPLES / "3-on-black.png"
    result = command("predict", sample, "--model", name, "--provider", provider, "--json")
    if result.code == 0:
        assert [line["digit"] for line in result.objects] == [3] and result.stderr == ""
    else:
        assert result.code == 3 and result.stdout == ""
        assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
        assert f"could not be opened by provider {provider}" in result.stderr


def test_verify_holds(filters, provider, command):
    result = command("verify", filters, "--provider", provider, "--json")
    assert (result.code, result.stderr) == (0, ""), result
    [found] = result.objects
    assert (found["holds"], found["provider"], found["problems"]) == (True, provider, [])


def test_samples_are_predicted(digits, provider, command):
    pictures = [SAMPLES / name for name in ("3-on-black.png", "7-dark-on-transparent.png", "5-turned-by-exif.png")]
    result = command("predict", *pictures, "--model", digits, "--provider", provider, "--json")
    assert (result.code, result.stderr) == (0, "")
    assert [line["digit"] for line in result.objects] == [3, 7, 5]
    assert {line["provider"] for line in result.objects} == {provider}


def test_table_is_predicted(digits, provider, drawn, command, tmp_path):
    rows = [",".join(f"pixel{index}" for index in range(784)), *(",".join(map(str, image.ravel())) for image in drawn)]
    (tmp_path / "rows.csv").write_text("\n".join(rows) + "\n")
    result = command("batch-predict", "rows.csv", "-o", "out.csv", "--model", digits, "--provider", provider, "--json")
    assert (result.code, result.stderr) == (0, ""), result
    assert result.objects[0]["provider"] == provider
    with Classifier(digits, provider="cpu") as expected:
        labels = expected.predict_batch(drawn).argmax(axis=1)
    submission = ["ImageId,Label", *(f"{row},{label}" for row, label in enumerate(labels, start=1))]
    assert (tmp_path / "out.csv").read_text().splitlines() == submission


def test_service_predicts_and_is_ready(filters, provider, colours):
    pytest.importorskip("starlette", reason="the service needs the extra serve")
    line = [sys.executable, "-m", "digits_edge.cli", "serve", "--model", str(filters), "--provider", provider]
    with subprocess.Popen([*line, "--port", "0", "--json"], stdout=subprocess.PIPE, text=True) as service:
        try:
            assert service.stdout is not None
            url = json.loads(service.stdout.readline())["url"]
            tensor = {"name": "image", "datatype": "UINT8", "shape": list(colours.shape), "data": colours.tolist()}
            body = json.dumps({"inputs": [tensor]}).encode()
            request = urllib.request.Request(f"{url}v2/models/{filters.stem}/infer", body)
            request.add_header("content-type", "application/json")
            with urllib.request.urlopen(request) as response:
                data = json.load(response)["outputs"][0]["data"]
            assert np.reshape(data, (6, 3)).argmax(axis=1).tolist() == [0, 1, 2, 0, 1, 2]
            with urllib.request.urlopen(f"{url}v2/health/ready") as response:
                assert response.status == 200
            with urllib.request.urlopen(f"{url}models") as response:
                assert provider in response.read().decode()
        finally:
            service.send_signal(signal.SIGTERM)
        assert service.wait(60) in (0, -signal.SIGTERM)


def test_bundled_float_models_open(provider):
    for path in sorted(MODELS.glob("*-fp32.onnx")):
        with Classifier(path, provider=provider) as classifier:
            found = classifier.predict_batch(classifier.golden.images[:2])
            np.testing.assert_allclose(found, classifier.golden.probabilities[:2], atol=classifier.golden.tolerance)
