"""The `digits-edge` command group; maps errors to exit codes.

The module of a command is imported when the command runs, so `digits-edge --help` imports neither NumPy nor ONNX
Runtime.
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

from digits_edge.cli.options import examples
from digits_edge.cli.output import finish, note, print_error, start
from digits_edge.runtime.errors import DigitsEdgeError, InputError, UsageError, did_you_mean

PROGRAM = "digits-edge"
INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM

#: Summary of each command. The module is named like the command, with underscores; its click command is `command`.
COMMANDS = {
    "predict": "Classify each picture.",
    "read": "Read the numbers in each picture.",
    "batch-predict": "Classify the rows of a table or the pictures of a folder.",
    "export": "Export a Keras model as an ONNX model file or a web page.",
    "verify": "Verify model files on this machine.",
    "benchmark": "Measure latency and throughput.",
    "serve": "Serve models over HTTP, with a page to try them.",
    "report": "Create a data report for a data set.",
    "train": "Train a Keras model.",
    "tune": "Search hyperparameters of a model.",
    "evaluate": "Evaluate a model on labelled images.",
    "compare": "Compare models, or run a study of hyperparameters.",
    "models": "List the bundled models, or describe model files.",
    "doctor": "Check the installation and show what is missing.",
}
#: Commands without large matrix products in NumPy.
_WITHOUT_BLAS = ("predict", "read", "batch-predict", "serve", "models", "doctor")
#: Flags that are accepted anywhere on the command line.
_DEBUG, _QUIET = "--debug", "--quiet"


class LazyGroup(click.Group):
    """A click group that imports a command when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of the help text."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"digits_edge.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        command.short_help = COMMANDS[cmd_name]  # shown by shell completion
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a command; an error suggests the closest name, which click does for imported commands only."""
        name = args[0]  # click empties the list before it raises some errors
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(f"{error.message}{did_you_mean(name, COMMANDS)}", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples("digits-edge predict seven.png", "digits-edge doctor"),
)
@click.version_option(package_name="digits-edge", message="%(prog)s %(version)s")
@click.option(
    _QUIET,
    is_flag=True,
    expose_value=False,
    help="Print no progress, neither on a terminal nor in a log; accepted anywhere on the command line.",
)
@click.option(
    _DEBUG,
    is_flag=True,
    expose_value=False,
    help="Show the traceback of an error; accepted anywhere on the command line.",
)
def cli() -> None:
    """Classify handwritten digits with small ONNX models that verify themselves.

    Exit codes: 0 success, 1 failed check, 2 wrong usage, 3 model or provider could not be loaded, 4 input could not be
    read or output could not be written.
    """


def main() -> NoReturn:
    """Run the command line and exit."""
    signal.signal(signal.SIGTERM, _terminate)
    _prepare_streams()
    if "_DIGITS_EDGE_COMPLETE" in os.environ:
        cli.main(prog_name=PROGRAM)  # shell completion
    if _DEBUG not in sys.argv and not sys.warnoptions:
        warnings.simplefilter("ignore")
    if next((word for word in sys.argv[1:] if not word.startswith("-")), None) in _WITHOUT_BLAS:
        # each thread of OpenBLAS waits actively when NumPy is imported: 25 to 50 ms of CPU time
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        code = run(sys.argv[1:])
    except BrokenPipeError:  # the reader closed the pipe
        _discard(sys.stdout, sys.stderr)
        code = 0
    except KeyboardInterrupt as interrupt:  # a second interrupt while the first was handled
        code = _code_of(interrupt)
    _leave(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command in this process.

    Args:
        arguments: command-line arguments after `digits-edge`.

    Returns:
        The exit code.

    Raises:
        BrokenPipeError: the reader of stdout closed the pipe.

    Example:
        >>> run(["predict", "missing.png"])  # doctest: +SKIP
        error: missing.png does not exist; check the spelling
        4
    """
    command = PROGRAM
    start(quiet=_QUIET in arguments)
    try:
        with cli.make_context(PROGRAM, [word for word in arguments if word not in (_DEBUG, _QUIET)]) as context:
            try:
                cli.invoke(context)
            finally:
                command = context.invoked_subcommand or PROGRAM
        sys.stdout.flush()  # report a full disk here; later errors would be lost
        return 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except KeyboardInterrupt as interrupt:
        with contextlib.suppress(OSError):  # the reader of stderr may have exited on the same signal
            note("; ".join(["interrupted", *getattr(interrupt, "__notes__", [])]))
        return _code_of(interrupt)
    except BrokenPipeError:
        raise
    except Exception as error:
        if _DEBUG in arguments:
            import traceback

            traceback.print_exc()
        converted = _converted(error, command)
        print_error(converted)
        return converted.exit_code
    finally:
        with contextlib.suppress(OSError):
            finish()


def _converted(error: Exception, command: str) -> DigitsEdgeError:
    """Convert any exception to an error with an exit code."""
    if isinstance(error, DigitsEdgeError):
        return error
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else PROGRAM
        return UsageError(f"{' '.join(error.format_message().split())} See `{path} --help`.")
    if isinstance(error, OSError):
        if error.filename is None:
            _discard(sys.stdout)
        return InputError(f"{error.filename or 'standard output'} could not be used: {error.strerror or error}")
    if isinstance(error, ImportError) and error.name:
        from digits_edge.runtime.packages import shadowing_file  # deferred: only needed for an error message

        package = error.name.partition(".")[0]
        if (file := shadowing_file(package)) is not None:
            return InputError(f"{file} is imported instead of the package {package}; rename it")
    if isinstance(error, ModuleNotFoundError):
        from digits_edge.cli.extras import missing_module  # deferred: only needed for an error message

        if missing := missing_module(error, subject=command):
            return missing
    return DigitsEdgeError(
        f"{type(error).__name__}: {error}; this is a bug; please report it with the traceback that {_DEBUG} shows"
    )


class _Terminated(KeyboardInterrupt):
    """SIGTERM was received; partial output is removed as after Ctrl-C."""


def _code_of(interrupt: KeyboardInterrupt) -> int:
    return TERMINATED if isinstance(interrupt, _Terminated) else INTERRUPTED


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise _Terminated


def _leave(code: int) -> NoReturn:
    """Exit without interpreter shutdown.

    The shutdown of ONNX Runtime takes a fifth of the run time of `predict`, and TensorFlow threads that call into
    Python during the shutdown hang.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def _prepare_streams() -> None:
    """Open closed standard streams on the null device and make stdout accept any text.

    The next file that is opened would otherwise get the descriptor of a closed stream.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _discard(*streams: TextIO) -> None:
    """Redirect streams to the null device, so that Python does not write buffered output again at exit."""
    for stream in streams:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
