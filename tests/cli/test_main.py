"""The group of commands: help, slips of the finger, errors, pipes and interrupts."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from digits_edge.cli.main import COMMANDS

from .conftest import heed_interrupts

DIGITS_EDGE = [sys.executable, "-m", "digits_edge.cli"]


def process(*arguments: str | Path, **options) -> subprocess.CompletedProcess[str]:
    """Run `digits-edge` as a process of its own."""
    command = [*DIGITS_EDGE, *map(str, arguments)]
    return subprocess.run(command, **{"capture_output": True, "text": True, "timeout": 60, **options})


def modules_after(*arguments: str | Path) -> set[str]:
    """Packages that a fresh interpreter has imported after a command."""
    program = (
        "import contextlib, io, sys\n"
        "from digits_edge.cli.main import run\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    assert run(sys.argv[1:]) == 0\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_help_lists_every_command(run):
    answer = run("--help")
    assert answer.code == 0
    for command, summary in COMMANDS.items():
        assert f"  {command} " in answer.stdout
        assert summary in answer.stdout


def test_commands_and_their_files_agree():
    folder = Path(sys.modules["digits_edge.cli.main"].__file__).parent
    files = {path.stem for path in folder.glob("*.py") if "@click.command" in path.read_text(encoding="utf-8")}
    assert files == {command.replace("-", "_") for command in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
def test_command_explains_itself(run, command):
    answer = run(command, "--help")
    assert answer.code == 0
    assert answer.stdout.startswith(f"Usage: digits-edge {command} ")
    assert "--json" in answer.stdout
    assert answer.stderr == ""


def test_shell_completes_commands_with_their_help():
    asked = {"_DIGITS_EDGE_COMPLETE": "zsh_complete", "COMP_WORDS": "digits-edge verif", "COMP_CWORD": "1"}
    assert process(env={**os.environ, **asked}).stdout.splitlines() == ["plain", "verify", COMMANDS["verify"]]


def test_no_command_shows_the_help_and_is_wrong_usage(run):
    answer = run()
    assert answer.code == 2
    assert "Commands:" in answer.stderr


def test_version_is_the_packages(run):
    from importlib.metadata import version

    assert run("--version").stdout == f"digits-edge {version('digits-edge')}\n"


def test_help_imports_neither_numpy_nor_onnxruntime():
    assert not modules_after("--help") & {"numpy", "onnxruntime", "PIL", "tensorflow", "keras", "onnx"}


def test_predict_imports_nothing_of_the_training_side(seven):
    imported = modules_after("predict", seven)
    assert "onnxruntime" in imported
    assert not imported & {"tensorflow", "keras", "onnx", "tf2onnx", "matplotlib"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predct"], "No such command 'predct'. Did you mean 'predict'? See `digits-edge --help`."),
        (["--", "-help"], "No such option '-e'. See `digits-edge --help`."),
        (["xyzzy"], "No such command 'xyzzy'. See `digits-edge --help`."),
        (["--jsn"], "No such option"),
        (["predict"], "Missing argument 'IMAGE...'. See `digits-edge predict --help`."),
        (["predict", "a.png", "--treads", "2"], "Did you mean '--threads'?"),
        (["predict", "a.png", "--threads", "0"], "Invalid value for '--threads'"),
        (["predict", "a.png", "-"], "- stands alone"),
        (["batch-predict", "a.csv"], "Missing option '-o' / '--output'"),
        (["batch-predict", "a.csv", "-o", "-", "--json"], "would mix on standard output"),
        (["export", "run", "-o", "m.onnx", "--precision", "int4"], "'int4' is not one of 'fp32', 'fp16', 'int8'"),
        (["models", "extra"], "extra"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(run, arguments, message):
    answer = run(*arguments)
    assert (answer.code, answer.stdout) == (2, "")
    assert message in answer.complaint


def test_debug_may_stand_anywhere_and_shows_the_traceback(run):
    for arguments in (["--debug", "predict", "none.png"], ["predict", "none.png", "--debug"]):
        answer = run(*arguments)
        assert answer.code == 4
        assert "Traceback" in answer.stderr
        assert answer.stderr.splitlines()[-1].startswith("error: none.png does not exist")


def test_bug_is_one_line_too(run, monkeypatch):
    monkeypatch.setattr("digits_edge.runtime.model.bundled.bundled_models", lambda: 1 / 0)
    answer = run("models")
    assert answer.code == 1
    assert "ZeroDivisionError" in answer.complaint
    assert "--debug" in answer.complaint


def test_reader_that_has_enough_ends_the_command_quietly(seven):
    command = [*DIGITS_EDGE, "predict", *["seven.png"] * 50, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as predicting:
        assert predicting.stdout.readline().startswith(b'{"schema_version": 1')
        predicting.stdout.close()
        assert predicting.stderr.read() == b""
        assert predicting.wait(60) == 0


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="the full disk is Linux's /dev/full")
def test_full_standard_output_is_one_line(seven):
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = process("predict", seven, stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert done.returncode == 4
    assert done.stderr == "error: standard output could not be used: No space left on device\n"


@pytest.mark.skipif(os.name != "posix", reason="descriptors are closed by a POSIX shell")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_closed_standard_stream_is_no_error(seven, closed):
    shell = f'"$@" {closed}'
    done = subprocess.run(["sh", "-c", shell, "sh", *DIGITS_EDGE, "predict", "seven.png"], capture_output=True)
    assert done.returncode == 0
    assert done.stderr == b""


def test_narrow_encoding_of_a_terminal_escapes_what_it_lacks():
    done = process("train", "--help", env={**os.environ, "PYTHONIOENCODING": "latin-1"}, encoding="latin-1")
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_command_leaves_one_line_and_no_file(tmp_path, digits_csv, number, code):
    os.mkfifo("endless.csv")
    command = [*DIGITS_EDGE, "batch-predict", "endless.csv", "-o", "out.csv"]

    interruptible = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts)
    with interruptible as predicting, open("endless.csv", "wb") as rows:  # noqa: PTH123
        with contextlib.suppress(BrokenPipeError):
            rows.write(digits_csv.read_bytes())
            rows.flush()
        while not list(tmp_path.glob(".out.csv.unfinished")):
            time.sleep(0.01)
        predicting.send_signal(number)
        assert predicting.stderr.read() == "interrupted\n"
        assert predicting.wait(60) == code
    assert sorted(path.name for path in tmp_path.iterdir()) == ["endless.csv", "test.csv"]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_command_says_so_by_its_code_where_nobody_reads_its_note(number, code):
    """`digits-edge … 2>&1 | tee log`: tee gets the signal too, and is gone first."""
    read, write = os.pipe()
    command = [*DIGITS_EDGE, "predict", "-"]

    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=write, preexec_fn=heed_interrupts) as waiting:
        os.close(write)
        os.close(read)
        time.sleep(2)  # until it waits for a picture
        waiting.send_signal(number)
        assert waiting.wait(60) == code


@pytest.mark.skipif(os.name != "posix", reason="a pseudo-terminal of POSIX")
@pytest.mark.parametrize(("terminal", "shown"), [("xterm", True), ("dumb", False)])
def test_progress_is_drawn_on_a_terminal_that_can_and_wiped(seven, terminal, shown):
    import pty

    ours, theirs = pty.openpty()
    arguments = ["predict", *["seven.png"] * 80, "--json"]
    done = process(
        *arguments, capture_output=False, stdout=subprocess.PIPE, stderr=theirs, env={**os.environ, "TERM": terminal}
    )
    os.close(theirs)
    drawn = b""
    with contextlib.suppress(OSError):  # Linux says so where all is read
        while part := os.read(ours, 65536):
            drawn += part
    os.close(ours)
    assert done.returncode == 0
    assert done.stdout.count("\n") == 80
    assert (b"reading  [" in drawn) is shown
    assert drawn.endswith(b"\r\x1b[K") is shown


def test_progress_is_absent_from_pipes(seven):
    assert process("predict", *["seven.png"] * 40).stderr == ""
