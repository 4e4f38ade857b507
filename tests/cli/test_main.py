"""The command group: help, wrong usage, errors, pipes and signals."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from digits_edge.cli.main import COMMANDS

from .conftest import enable_interrupts

DIGITS_EDGE = [sys.executable, "-m", "digits_edge.cli"]


def process(*arguments: str | Path, **options) -> subprocess.CompletedProcess[str]:
    """Run `digits-edge` as a process of its own."""
    command = [*DIGITS_EDGE, *map(str, arguments)]
    return subprocess.run(command, **{"capture_output": True, "text": True, "timeout": 60, **options})


def modules_after(*arguments: str | Path) -> set[str]:
    """Return the packages that a new interpreter imports for a command."""
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
    result = run("--help")
    assert result.code == 0
    for command, summary in COMMANDS.items():
        assert f"  {command} " in result.stdout
        assert summary in result.stdout


def test_commands_and_their_files_agree():
    folder = Path(sys.modules["digits_edge.cli.main"].__file__).parent
    files = {path.stem for path in folder.glob("*.py") if "@click.command" in path.read_text(encoding="utf-8")}
    assert files == {command.replace("-", "_") for command in COMMANDS}


@pytest.mark.parametrize(
    ("words", "given", "threads"),
    [
        (["--quiet", "predict", "--help"], None, "1"),
        (["predict", "--help"], "3", "3"),
        (["train", "--help"], None, "None"),
        (["--version"], None, "None"),
    ],
)
def test_commands_without_matrix_products_start_one_thread_of_openblas(words, given, threads):
    """Idle threads wait actively at the start; commands that train keep theirs, and the user's setting is kept."""
    program = (
        "import os, sys\n"
        "from digits_edge.cli import main\n"
        "main._leave = lambda code: print(code, os.environ.get('OPENBLAS_NUM_THREADS'))\n"
        "main.main()"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    environment |= {} if given is None else {"OPENBLAS_NUM_THREADS": given}
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, env=environment)
    assert done.stdout.splitlines()[-1] == f"0 {threads}", done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_a_summary_and_examples(run, command):
    result = run(command, "--help")
    assert (result.code, result.stderr) == (0, "")
    usage, summary, *_ = result.stdout.split("\n\n")
    assert usage.startswith(f"Usage: digits-edge {command} ")
    assert " ".join(summary.split()) == COMMANDS[command]
    assert "--json" in result.stdout
    examples = result.stdout.rpartition("\n  Examples:\n")[2].splitlines()
    assert examples and all(line.startswith(f"    digits-edge {command}") for line in examples)


def test_shell_completes_commands_with_their_help():
    variables = {"_DIGITS_EDGE_COMPLETE": "zsh_complete", "COMP_WORDS": "digits-edge verif", "COMP_CWORD": "1"}
    assert process(env={**os.environ, **variables}).stdout.splitlines() == ["plain", "verify", COMMANDS["verify"]]


def test_call_without_a_command_prints_the_help_and_returns_2(run):
    result = run()
    assert result.code == 2
    assert "Commands:" in result.stderr


def test_version_is_that_of_the_package(run):
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
        (["predict", "a.png", "-"], "- cannot be combined with other pictures"),
        (["batch-predict", "a.csv"], "Missing option '-o' / '--output'"),
        (["batch-predict", "a.csv", "-o", "-", "--json"], "both write to standard output"),
        (["export", "run", "-o", "m.onnx", "--precision", "int4"], "'int4' is not one of 'fp32', 'fp16', 'int8'"),
        (["doctor", "extra"], "extra"),
    ],
)
def test_wrong_usage_prints_one_line_and_returns_2(run, arguments, message):
    result = run(*arguments)
    assert (result.code, result.stdout) == (2, "")
    assert message in result.error


def test_debug_prints_the_traceback_anywhere_on_the_command_line(run):
    for arguments in (["--debug", "predict", "none.png"], ["predict", "none.png", "--debug"]):
        result = run(*arguments)
        assert result.code == 4
        assert "Traceback" in result.stderr
        assert result.stderr.splitlines()[-1].startswith("error: none.png does not exist")


def test_unexpected_exception_prints_one_line(run, monkeypatch):
    monkeypatch.setattr("digits_edge.runtime.model.bundled.bundled_models", lambda: 1 / 0)
    result = run("models")
    assert result.code == 1
    assert "ZeroDivisionError" in result.error
    assert "--debug" in result.error


def test_closed_pipe_ends_the_command_without_an_error(seven):
    command = [*DIGITS_EDGE, "predict", *["seven.png"] * 50, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as predicting:
        assert predicting.stdout.readline().startswith(b'{"schema_version": 1')
        predicting.stdout.close()
        assert predicting.stderr.read() == b""
        assert predicting.wait(60) == 0


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs /dev/full")
def test_full_disk_at_standard_output_prints_one_line(seven):
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = process("predict", seven, stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert done.returncode == 4
    assert done.stderr == "error: standard output could not be used: No space left on device\n"


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_closed_standard_stream_is_no_error(seven, closed):
    shell = f'"$@" {closed}'
    done = subprocess.run(["sh", "-c", shell, "sh", *DIGITS_EDGE, "predict", "seven.png"], capture_output=True)
    assert done.returncode == 0
    assert done.stderr == b""


@pytest.mark.skipif(sys.platform != "linux", reason="the locale sets the encoding of file names on Linux")
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_names_outside_ascii_are_printed_in_every_locale(seven, tmp_path, encoding):
    (tmp_path / "naïve-папка").mkdir()
    seven.rename(tmp_path / "naïve-папка" / "七.png")
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": encoding}
    done = process("predict", "naïve-папка", env={**os.environ, **locale})
    assert (done.returncode, done.stderr) == (0, "")
    assert ".png'  7 " in done.stdout


def test_characters_missing_from_the_encoding_of_the_terminal_are_escaped():
    done = process("train", "--help", env={**os.environ, "PYTHONIOENCODING": "latin-1"}, encoding="latin-1")
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_prints_one_line_and_leaves_no_file(tmp_path, digits_csv, number, code):
    os.mkfifo("endless.csv")
    command = [*DIGITS_EDGE, "batch-predict", "endless.csv", "-o", "out.csv"]

    interruptible = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=enable_interrupts)
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


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_returns_its_exit_code_if_stderr_is_closed(number, code):
    """In `digits-edge … 2>&1 | tee log`, tee gets the signal too and exits first."""
    import fcntl
    import termios

    (stdin, to_stdin), (stderr, to_stderr) = os.pipe(), os.pipe()
    command = [*DIGITS_EDGE, "predict", "-"]
    with subprocess.Popen(command, stdin=stdin, stderr=to_stderr, preexec_fn=enable_interrupts) as waiting:
        os.close(to_stderr)
        os.close(stderr)
        os.write(to_stdin, b"\0")
        while any(fcntl.ioctl(stdin, termios.FIONREAD, bytes(4))):
            time.sleep(0.01)  # until the command reads standard input
        for _ in range(60):
            # again after a second, because a signal just before a read does not interrupt it
            waiting.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                waiting.wait(1)
                break
        assert waiting.poll() == code
    os.close(to_stdin)
    os.close(stdin)


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("terminal", "shown"), [("xterm", True), ("dumb", False)])
def test_progress_is_drawn_on_a_capable_terminal_and_erased(seven, terminal, shown):
    import pty

    parent, child = pty.openpty()
    arguments = ["predict", *["seven.png"] * 80, "--json"]
    done = process(
        *arguments, capture_output=False, stdout=subprocess.PIPE, stderr=child, env={**os.environ, "TERM": terminal}
    )
    os.close(child)
    drawn = b""
    with contextlib.suppress(OSError):  # Linux raises this at the end of the data
        while part := os.read(parent, 65536):
            drawn += part
    os.close(parent)
    assert done.returncode == 0
    assert done.stdout.count("\n") == 80
    assert (b"predicting  [" in drawn) is shown
    assert drawn.endswith(b"\r\x1b[K") is shown


def test_no_progress_is_written_to_pipes(seven):
    assert process("predict", *["seven.png"] * 40).stderr == ""
