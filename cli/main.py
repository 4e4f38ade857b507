"""`digits-edge`: the lazy group of commands, and the one place where errors become exit codes.

A command's module is imported when the command runs; `digits-edge --help` imports neither numpy nor onnxruntime.
"""

import contextlib
import io
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from types import FrameType
from typing import NoReturn, TextIO

import click

from digits_edge.cli.output import note, print_error, wipe
from digits_edge.runtime.errors import DigitsEdgeError, InputError, UsageError, did_you_mean

PROGRAM = "digits-edge"
INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM

#: Command → its help in one line. Its module has the name with underscores, its click command the name `command`.
COMMANDS = {
    "predict": "Read the digit in pictures.",
    "batch-predict": "Answer a Kaggle CSV with a submission CSV.",
    "export": "Turn a Keras model into one self-checking ONNX model file.",
    "verify": "Check model files on this machine and provider.",
    "benchmark": "Measure latency and throughput.",
    "serve": "Serve a page to draw digits on, and an API.",
    "report": "Describe a data set on one page.",
    "train": "Train a model by name.",
    "tune": "Search a model's best settings within a budget.",
    "evaluate": "Measure a model, and show its mistakes on a page.",
    "compare": "Compare models, or repeat a study.",
    "models": "List the models in this package.",
    "doctor": "Show what this machine has and what is missing.",
}
_DEBUG = "--debug"


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of a user's day."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"digits_edge.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        command.short_help = COMMANDS[cmd_name]  # for the shell that completes it
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the command that was probably meant; click itself knows only those that are imported."""
        name = args[0]  # click empties the list on its way to some errors
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(f"{error.message}{did_you_mean(name, COMMANDS)}", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="digits-edge", message="%(prog)s %(version)s")
@click.option(_DEBUG, is_flag=True, expose_value=False, help="Show the traceback of an error; may stand anywhere.")
def cli() -> None:
    """Read handwritten digits with small, self-checking ONNX models.

    Exit codes: 0 done, 1 a check did not hold, 2 wrong usage, 3 a model could not be loaded or bound, 4 input could
    not be read or output not written.
    """


def main() -> NoReturn:
    """Run the command line of this process."""
    signal.signal(signal.SIGTERM, _terminate)
    _prepare_streams()
    if "_DIGITS_EDGE_COMPLETE" in os.environ:
        cli.main(prog_name=PROGRAM)  # a shell asks what could stand here
    if _DEBUG not in sys.argv and not sys.warnoptions:
        warnings.simplefilter("ignore")
    try:
        code = run(sys.argv[1:])
    except BrokenPipeError:  # the reader has enough
        _discard(sys.stdout, sys.stderr)
        code = 0
    except KeyboardInterrupt as interrupt:  # once more, while the first was being answered
        code = _code_of(interrupt)
    _leave(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Args:
        arguments: the words after `digits-edge`.

    Returns:
        The exit code.

    Raises:
        BrokenPipeError: nobody reads what is printed.
    """
    try:
        with cli.make_context(PROGRAM, [word for word in arguments if word != _DEBUG]) as context:
            cli.invoke(context)
        sys.stdout.flush()  # nothing is said after this, of a full disk either
        return 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except KeyboardInterrupt as interrupt:
        with contextlib.suppress(OSError):  # who reads stderr may have got the signal first
            note("; ".join(["interrupted", *getattr(interrupt, "__notes__", [])]))
        return _code_of(interrupt)
    except BrokenPipeError:
        raise
    except Exception as error:
        if _DEBUG in arguments:
            import traceback

            traceback.print_exc()
        ours = _as_ours(error)
        print_error(ours)
        return ours.exit_code
    finally:
        with contextlib.suppress(OSError):
            wipe()


def _as_ours(error: Exception) -> DigitsEdgeError:
    """What is not an error of ours, as one."""
    if isinstance(error, DigitsEdgeError):
        return error
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else PROGRAM
        return UsageError(f"{' '.join(error.format_message().split())} See `{path} --help`.")
    if isinstance(error, OSError):
        if error.filename is None:
            _discard(sys.stdout)
        return InputError(f"{error.filename or 'standard output'} could not be used: {error.strerror or error}")
    return DigitsEdgeError(f"{type(error).__name__}: {error}; this is a bug, please report it with what {_DEBUG} shows")


class _Terminated(KeyboardInterrupt):
    """Somebody ended the process; what is half done is cleared away as after Ctrl-C."""


def _code_of(interrupt: KeyboardInterrupt) -> int:
    return TERMINATED if isinstance(interrupt, _Terminated) else INTERRUPTED


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise _Terminated


def _leave(code: int) -> NoReturn:
    """End the process at once.

    To take onnxruntime down piece by piece takes a fifth of the time in which `predict` answers, and threads of
    TensorFlow that still call into Python while it is taken down hang.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def _prepare_streams() -> None:
    """Make sure that the three standard streams are there and take any text.

    Where one was closed the null device takes its place, or the next file opened would.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _discard(*streams: TextIO) -> None:
    """Let what Python still holds for a stream go nowhere, or it would try once more when it exits."""
    for stream in streams:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
