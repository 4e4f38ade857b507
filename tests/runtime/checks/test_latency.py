import json
import time

import numpy as np
import pytest

from digits_edge.runtime.checks.latency import Samples, benchmark, cold_start, measure, percentile
from digits_edge.runtime.errors import ModelError, UsageError


def test_percentile_is_interpolated():
    assert percentile([4, 1, 3, 2], 50) == 2.5
    assert percentile([1, 2, 3, 4, 5], 90) == pytest.approx(4.6)
    assert percentile([7], 99) == 7


def test_99th_percentile_needs_100_samples():
    assert Samples(np.arange(99.0)).p99_us is None
    assert Samples(np.arange(101.0)).p99_us == 99


def test_measured_times_are_in_microseconds():
    warm_up, measured = measure(lambda: time.sleep(0.002), warm_up=2, repeats=5)
    assert (len(warm_up.us), len(measured.us)) == (2, 5)
    assert 2_000 <= measured.us.min() < 200_000


def test_measurement_lasts_at_least_the_requested_time():
    started = time.perf_counter()
    _, measured = measure(lambda: None, warm_up=1, repeats=1, seconds=0.05)
    assert time.perf_counter() - started >= 0.05
    assert len(measured.us) > 1


@pytest.mark.parametrize("wrong", [{"warm_up": 0}, {"repeats": 0}])
def test_zero_calls_are_a_usage_error(wrong):
    with pytest.raises(UsageError, match="1 or more"):
        measure(lambda: None, **wrong)


def test_benchmark_has_the_model_and_the_latencies(classifier):
    found = benchmark(classifier, batch_sizes=(1, 32), warm_up=3, repeats=100, seconds=0)
    assert (found.model, found.provider, found.threads) == ("squares-fp32", "cpu", 1)
    assert [row.batch_size for row in found.rows] == [1, 32]
    for row in found.rows:
        assert len(row.warm_up.us) == 3
        assert 0 < row.latency.p50_us <= row.latency.p90_us <= row.latency.p99_us
        assert row.images_per_second == pytest.approx(row.batch_size * 100 / row.latency.us.sum() * 1e6)
    values = json.loads(json.dumps(found.to_json()))
    row, json_row = found.rows[0], values["rows"][0]
    assert (len(json_row.pop("samples_us")), len(json_row.pop("warm_up_samples_us"))) == (100, 3)
    assert json_row == {
        "batch_size": 1,
        "p50_us": row.latency.p50_us,
        "p90_us": row.latency.p90_us,
        "p99_us": row.latency.p99_us,
        "mean_us": row.latency.mean_us,
        "images_per_second": row.images_per_second,
        "first_us": row.warm_up.us[0],
    }
    assert [*values] == ["model", "provider", "threads", "rows", "cold_starts"]
    assert (values["model"], values["provider"], values["threads"], values["cold_starts"]) == (
        "squares-fp32",
        "cpu",
        1,
        [],
    )


@pytest.mark.parametrize("sizes", [(), (0,), (1, -1)])
def test_invalid_batch_sizes_are_a_usage_error(classifier, sizes):
    with pytest.raises(UsageError, match="batch sizes"):
        benchmark(classifier, batch_sizes=sizes)


def test_cold_start_measures_a_new_process(classifier):
    start = cold_start(classifier)
    assert start.total_ms > start.import_ms + start.open_ms + start.first_ms
    assert start.import_ms > 1


def test_failed_cold_start_reports_the_reason(classifier):
    classifier.path.unlink()
    with pytest.raises(ModelError, match=r"squares\.onnx could not be read"):
        cold_start(classifier)
