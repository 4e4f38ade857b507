"""Long work without a terminal prints its current step every ten seconds, and nothing with `--quiet`."""

import re
import subprocess
import sys
import time

import click
import pytest

from digits_edge.cli import main, output
from digits_edge.cli.extras import needs_extra

SILENCE_S = 0.05


@pytest.fixture
def slow(monkeypatch):
    """Replace `models` by a command that takes 0.5 s, with the given steps."""
    monkeypatch.setattr(output, "SILENCE_S", SILENCE_S)

    def replace(work):
        @click.command()
        def command():
            work()

        monkeypatch.setattr(sys.modules["digits_edge.cli.models"], "command", command)

    import digits_edge.cli.models  # noqa: F401 - the module must be imported before it is changed

    return replace


def compute():
    output.show("exporting the model")
    time.sleep(10 * SILENCE_S)


def train():
    advance = output.progress("epoch 1/4")
    for step in range(10):
        time.sleep(SILENCE_S)
        output._REDRAW_INTERVAL_S = 0
        advance(step + 1, 10)


@pytest.fixture(autouse=True)
def _interval(monkeypatch):
    monkeypatch.setattr(output, "_REDRAW_INTERVAL_S", output._REDRAW_INTERVAL_S)


def test_blocking_work_prints_its_step_and_the_time(slow, run):
    slow(compute)
    result = run("models")
    lines = result.stderr.splitlines()
    assert result.code == 0 and 3 <= len(lines) <= 10
    assert all(re.fullmatch(r"exporting the model \(\d+ s\)", line) for line in lines)


def test_bars_are_lines_with_the_share(slow, run):
    slow(train)
    lines = run("models").stderr.splitlines()
    assert lines and all(re.fullmatch(r"epoch 1/4(  +\d+%)? \(\d+ s\)", line) for line in lines)
    assert "#" not in "".join(lines)


@pytest.mark.parametrize("arguments", [("--quiet", "models"), ("models", "--quiet")])
@pytest.mark.parametrize("work", [compute, train])
def test_quiet_prints_no_progress(slow, run, arguments, work):
    slow(work)
    assert run(*arguments) == (0, "", "")


def test_quiet_keeps_results_notes_and_errors(slow, run):
    def work():
        output.say("a result")
        output.note("a note")
        raise output.DigitsEdgeError("an error")

    slow(work)
    assert run("models", "--quiet") == (1, "a result\n", "a note\nerror: an error\n")


def test_work_that_prints_is_not_silent(slow, run):
    def work():
        output.show("training")
        for epoch in range(10):
            output.note(f"epoch {epoch}")
            time.sleep(SILENCE_S / 5)

    slow(work)
    assert "training (" not in run("models").stderr


def test_nothing_is_printed_after_a_result_or_the_end(slow, run, capsys):
    def work():
        output.show("loading")
        output.note("Serving")
        time.sleep(5 * SILENCE_S)

    slow(work)
    assert run("models").stderr == "Serving\n"
    slow(lambda: output.show("loading"))
    assert run("models").stderr == ""
    time.sleep(5 * SILENCE_S)
    assert capsys.readouterr().err == ""


def test_the_interval_is_ten_seconds():
    program = "from digits_edge.cli.output import SILENCE_S; print(SILENCE_S)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "10.0\n"
    assert main._QUIET == "--quiet"


def test_loading_of_libraries_is_not_silent_either(slow, capfd):
    def work():
        with needs_extra("export"):
            time.sleep(5 * SILENCE_S)

    slow(work)
    main.run(["models"])
    assert "loading libraries (0 s)\n" in capfd.readouterr().err
