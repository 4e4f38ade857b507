"""The options that are the same in every command."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from digits_edge.runtime.session.threads import MAX_THREADS

THREADS = click.IntRange(1, MAX_THREADS)
#: More is a slip of the finger, and a process that the system ends.
BATCH_SIZE = click.IntRange(1, 65_536)

_Command = TypeVar("_Command", bound=Callable[..., Any])


def model_option(function: _Command) -> _Command:
    """Give a command `--model`."""
    text = "A bundled model's name (`digits-edge models`) or a model file.  [default: the bundled default]"
    return click.option("--model", metavar="NAME|FILE", help=text)(function)


def session_options(function: _Command) -> _Command:
    """Give a command `--provider` and `--threads`."""
    function = click.option("--threads", type=THREADS, help="Threads that share a batch.  [default: all allowed]")(
        function
    )
    return click.option(
        "--provider",
        default="auto",
        show_default=True,
        metavar="NAME",
        help="auto, cpu, openvino, cuda, tensorrt, coreml, directml or another that onnxruntime knows.",
    )(function)


def batch_size_option(default: int) -> Callable[[_Command], _Command]:
    """Give a command `--batch-size`."""
    return click.option("--batch-size", type=BATCH_SIZE, default=default, show_default=True, help="Images at once.")


def data_option(function: _Command) -> _Command:
    """Give a command `--data`."""
    text = "mnist, fashion-mnist, kaggle, a folder or file of one data set, or a folder that holds sets by name."
    return click.option("--data", metavar="NAME|PATH", help=text)(function)


def split_option(function: _Command) -> _Command:
    """Give a command that measures models `--split`."""
    text = (
        "train, validation and held-back are the parts of the models' training data.  "
        "[default: test; held-back where the data is the models' own training data]"
    )
    return click.option("--split", type=click.Choice(["train", "validation", "test", "held-back"]), help=text)(function)


def output_option(help: str, *, required: bool = True) -> Callable[[_Command], _Command]:
    """Give a command `--output`, as a path or "-"."""
    return click.option("-o", "--output", required=required, metavar="PATH", help=help)


def input_scale_option(function: _Command) -> _Command:
    """Give a command that reads a Keras model `--input-scale`."""
    text = "What white is in the Keras model's input.  [default: read from the run or a Rescaling layer]"
    return click.option("--input-scale", type=click.Choice([1, 255]), help=text)(function)


def overwrite_option(function: _Command) -> _Command:
    """Give a command `--overwrite`."""
    return click.option("--overwrite", is_flag=True, help="Replace an output that exists.")(function)


def json_option(function: _Command) -> _Command:
    """Give a command `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object per line.")(function)


def refuse_options(context: click.Context, options: Iterable[str], where: str) -> None:
    """Refuse options that would change nothing.

    Args:
        context: of the command.
        options: parameters by name.
        where: they hold, such as "with --study".
    """
    flags = {parameter.name: max(parameter.opts, key=len) for parameter in context.command.params}
    for option in options:
        if context.get_parameter_source(option) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{flags[option]} holds only {where}.")


def file_path(value: str) -> Path:
    """A path as the user wrote it, with ~ resolved where there is a home."""
    return Path(os.path.expanduser(value))  # noqa: PTH111 - the other one raises where there is none
