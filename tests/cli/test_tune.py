"""`tune`: a search from the command line, killed and gone on with, and its result trained."""

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

QUICK = ("--epochs", "2", "--batch-size", "16", "--seed", "3")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The training images of 120 drawn digits, as an .npz."""
    rng = np.random.default_rng(11)
    path = tmp_path_factory.mktemp("digits") / "drawn.npz"
    labels = (np.arange(120) % 10).astype(np.uint8)
    np.savez(path, x_train=np.stack([draw_image(int(label), rng) for label in labels]), y_train=labels)
    return path


def test_a_search_answers_with_a_recipe_that_train_takes(run, digits):
    answer = run("tune", "perceptron", "--data", digits, "--trials", "2", "-o", "found", "--json", *QUICK)
    assert answer.code == 0, answer.stderr
    [found] = answer.objects
    assert [trial["trial"] for trial in found["trials"]] == [1, 2]
    assert found["best"]["recipe"]["epochs"] == 30
    assert "a trial has 14 steps" in answer.stderr
    assert "trial 2/2: validation" in answer.stderr
    trained = run("train", "--recipe", "found/best.json", "--data", digits, "--epochs", "1", "-o", "run", "--json")
    assert trained.code == 0, trained.stderr

    again = run("tune", "perceptron", "--data", digits, "--trials", "2", "-o", "found", "--resume", *QUICK)
    assert (again.code, again.stderr) == (0, "")
    assert again.stdout.startswith("trial  optimizer  learning_rate")
    assert again.stdout.endswith(f"digits-edge train --recipe found/best.json --data {digits}\n")


@pytest.mark.slow
def test_a_killed_search_goes_on(run, digits, tmp_path):
    arguments = ["tune", "perceptron", "--data", str(digits), "--trials", "2", "-o", "found", *QUICK, "--epochs", "8"]
    command = [sys.executable, "-P", "-c", "from digits_edge.cli.main import main; main()", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    try:
        until = time.monotonic() + 300
        while not (tmp_path / "found/trials/002/history.csv").exists():
            assert process.poll() is None, "the search has ended by itself"
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    noted = json.loads((tmp_path / "found/trials/002/trial.json").read_text())
    assert noted["trial"] is None, "the second trial was over before it was killed"
    first = (tmp_path / "found/trials/001/history.csv").stat().st_mtime_ns
    answer = run(*arguments, "--resume", "--json")
    assert answer.code == 0, answer.stderr
    assert "trial 1/2" not in answer.stderr
    assert "trial 2/2" in answer.stderr
    assert [trial["trial"] for trial in answer.objects[0]["trials"]] == [1, 2]
    assert (tmp_path / "found/trials/001/history.csv").stat().st_mtime_ns == first
    assert len((tmp_path / "found/trials/002/history.csv").read_text().splitlines()) == 1 + 8


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("transformer",), "no model is called 'transformer'. There are: "),
        (("mlp", "--data", "none"), "none: no such file"),
        (("mlp", "--trials", "0"), "--trials"),
        (("mlp", "--images", "9"), "too few"),
    ],
)
def test_what_cannot_be_searched_is_said(run, digits, tmp_path, arguments, said):
    answer = run("tune", *arguments, *([] if "--data" in arguments else ["--data", digits]), "-o", "found")
    assert answer.code in (2, 4)
    assert said in answer.complaint
    assert not (tmp_path / "found").exists()
