"""`digits-edge`: the lazy group of commands, and the one place where errors become exit codes.

A command's module is imported when the command runs; `digits-edge --help` imports neither numpy nor onnxruntime.
"""

import os
import signal
import sys
from importlib import import_module

import click

from digits_edge.runtime.errors import DigitsEdgeError

INTERRUPTED = 128 + signal.SIGINT

#: Command → its help in one line. Its module has the name with underscores, its click command the name `command`.
COMMANDS = {
    "predict": "Read the digit in pictures.",
    "batch-predict": "Answer a Kaggle CSV with a submission CSV.",
    "export": "Turn a Keras model into one self-checking ONNX model file.",
    "verify": "Check model files on this machine and provider.",
    "benchmark": "Measure latency and throughput.",
    "train": "Train a model by name.",
    "evaluate": "Count a model's errors on a data set.",
    "models": "List the models in this package.",
    "doctor": "Show what this machine has and what is missing.",
}


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
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the command that was probably meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            if near := get_close_matches(args[0], COMMANDS, 1):
                raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from error
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="digits-edge", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Read handwritten digits with small, self-checking ONNX models.

    Exit codes: 0 done, 1 a check did not hold, 2 wrong usage, 3 a model could not be loaded or bound, 4 input could
    not be read or output not written.
    """


def main() -> None:
    """Run the command line; never returns."""
    debug = "--debug" in sys.argv[1:]
    try:
        code = cli.main(standalone_mode=False, prog_name="digits-edge")
    except DigitsEdgeError as error:
        if debug:
            raise
        complain(error)
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        code = INTERRUPTED
    except BrokenPipeError:
        # the reader has enough; nothing of Python's own may be written there at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)


def complain(error: DigitsEdgeError) -> None:
    """One line on stderr; control characters of names and rows are shown, not sent to the terminal."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(error))
    click.echo(f"error: {line}", err=True)
