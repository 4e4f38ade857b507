"""`digits-edge tune`: a search, its best recipe, and resuming after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import numpy as np
import pytest

from digits_edge.runtime.datasets.synthetic_digits import draw_image

pytestmark = pytest.mark.skipif(find_spec("keras_tuner") is None, reason="needs the extra [train]")

QUICK = ("--epochs", "1", "--batch-size", "16", "--seed", "3")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """An .npz file of 120 synthetic training digits."""
    rng = np.random.default_rng(11)
    path = tmp_path_factory.mktemp("digits") / "drawn.npz"
    labels = (np.arange(120) % 10).astype(np.uint8)
    drawn = np.stack([draw_image(int(label), rng) for label in labels[:40]])
    np.savez(path, x_train=np.concatenate([np.roll(drawn, shift, axis=2) for shift in range(3)]), y_train=labels)
    return path


@pytest.mark.slow
def test_train_accepts_the_best_recipe_of_a_search(run, digits, tmp_path):
    result = run("tune", "perceptron", "--data", digits, "--trials", "2", "-o", "found", "--json", *QUICK)
    assert result.code == 0, result.stderr
    [found] = result.objects
    assert [trial["trial"] for trial in found["trials"]] == [1, 2]
    assert found["best"]["recipe"]["epochs"] == 30
    assert "a trial has 7 steps" in result.stderr
    assert "trial 2/2: validation" in result.stderr
    assert "Tuning of perceptron" in (tmp_path / "found/tuning.html").read_text(encoding="utf-8")
    trained = run("train", "--recipe", "found/best.json", "--data", digits, "--epochs", "1", "-o", "run", "--json")
    assert trained.code == 0, trained.stderr

    again = run("tune", "perceptron", "--data", digits, "--trials", "2", "-o", "found", "--resume", *QUICK)
    assert (again.code, again.stderr) == (0, "")
    assert again.stdout.startswith("trial  optimizer  learning_rate")
    assert again.stdout.endswith(f"digits-edge train --recipe found/best.json --data {digits}\n")


@pytest.mark.slow
def test_killed_search_can_be_resumed(run, digits, tmp_path):
    arguments = ["tune", "perceptron", "--data", str(digits), "--trials", "2", "-o", "found", *QUICK, "--epochs", "8"]
    command = [sys.executable, "-P", "-c", "from digits_edge.cli.main import main; main()", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    try:
        deadline_s = time.monotonic() + 300
        while not (tmp_path / "found/trials/002/history.csv").exists():
            assert process.poll() is None, "the search ended before it was killed"
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    record = json.loads((tmp_path / "found/trials/002/trial.json").read_text())
    assert record["trial"] is None, "the second trial finished before it was killed"
    first = (tmp_path / "found/trials/001/history.csv").stat().st_mtime_ns
    result = run(*arguments, "--resume", "--json")
    assert result.code == 0, result.stderr
    assert "trial 1/2" not in result.stderr
    assert "trial 2/2" in result.stderr
    assert [trial["trial"] for trial in result.objects[0]["trials"]] == [1, 2]
    assert (tmp_path / "found/trials/001/history.csv").stat().st_mtime_ns == first
    assert len((tmp_path / "found/trials/002/history.csv").read_text().splitlines()) == 1 + 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("transformer",), "unknown model 'transformer'. Available: "),
        (("mlp", "--data", "none"), "none: no such file"),
        (("mlp", "--trials", "0"), "--trials"),
        (("mlp", "--images", "9"), "too few"),
    ],
)
def test_invalid_searches_are_refused(run, digits, tmp_path, arguments, message):
    result = run("tune", *arguments, *([] if "--data" in arguments else ["--data", digits]), "-o", "found")
    assert result.code in (2, 4)
    assert message in result.error
    assert not (tmp_path / "found").exists()
