"""Click options shared by several commands."""

import os
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any, Literal, TypeVar

import click
from click.core import ParameterSource

from digits_edge.runtime.model.pixel_range import PixelRange
from digits_edge.runtime.session.threads import MAX_THREADS

THREADS = click.IntRange(1, MAX_THREADS)
#: Larger batches are most likely a typing error and would exhaust the memory.
BATCH_SIZE = click.IntRange(1, 65_536)

#: Parameter names of `pixel_range_options`.
PIXEL_RANGE_OPTIONS = ("input_scale", "invert", "mean", "std")

#: Parameter names of `keras_loading_options`.
KERAS_LOADING_OPTIONS = ("keras_output", "custom_objects")


_Command = TypeVar("_Command", bound=Callable[..., Any])


def examples(*commands: str) -> str:
    r"""Return the epilog of a command's help: an "Examples:" block with one command per line.

    Args:
        commands: command lines of at most 76 characters.

    Example:
        >>> examples("digits-edge doctor")
        '\x08\nExamples:\n  digits-edge doctor'
    """
    return "\n".join(["\b", "Examples:", *(f"  {command}" for command in commands)])  # \b: click does not rewrap


def model_option(function: _Command) -> _Command:
    """Add `--model`, one bundled name or model file."""
    text = "Bundled model (see `digits-edge models`) or path of a model file.  [default: the default model]"
    return click.option("--model", metavar="NAME|FILE", help=text)(function)


def models_option(function: _Command) -> _Command:
    """Add `--model` as a repeatable option, stored in `models`."""
    text = "Bundled model or path of a model file; repeatable.  [default: all bundled models]"
    return click.option("--model", "models", multiple=True, metavar="NAME|FILE", help=text)(function)


def _providers(context: click.Context, option: click.Parameter, incomplete: str) -> list[str]:
    """Return the providers of this installation that begin with a text, for shell completion."""
    from digits_edge.runtime.session.provider_names import AUTO, available_providers  # deferred: imports onnxruntime

    return [name for name in (AUTO, *available_providers()) if name.startswith(incomplete)]


def session_options(function: _Command) -> _Command:
    """Add `--provider` and `--threads`."""
    function = click.option("--threads", type=THREADS, help="Number of threads.  [default: all available]")(function)
    return click.option(
        "--provider",
        default="auto",
        show_default=True,
        metavar="NAME[:DEVICE]",
        help="ONNX Runtime execution provider: auto, cpu, openvino, webgpu, cuda, tensorrt, coreml, directml, … "
        "`digits-edge doctor` lists those of this machine.",
        shell_complete=_providers,
    )(function)


def batch_size_option(default: int) -> Callable[[_Command], _Command]:
    """Add `--batch-size`.

    Args:
        default: images per batch.
    """
    return click.option("--batch-size", type=BATCH_SIZE, default=default, show_default=True, help="Images per batch.")


def data_option(function: _Command) -> _Command:
    """Add `--data`, a data set's name or path."""
    text = (
        "Data set: mnist, fashion-mnist, kaggle, or the path of a data file, of a folder of data files, or of a folder "
        "whose sub-folders of pictures are the classes."
    )
    return click.option("--data", metavar="NAME|PATH", help=text)(function)


def split_option(function: _Command) -> _Command:
    """Add `--split`."""
    text = (
        "Split to measure on; train, validation and held-back are parts of the training data.  "
        "[default: test; held-back if the data is the models' training data]"
    )
    return click.option("--split", type=click.Choice(["train", "validation", "test", "held-back"]), help=text)(function)


def labels_option(function: _Command) -> _Command:
    """Add `--labels`, class names separated by commas."""
    text = "Class names in label order.  [default: those of the model or data set]"
    return click.option("--labels", metavar="A,B,…", help=text)(function)


def output_option(help: str, *, required: bool = True) -> Callable[[_Command], _Command]:
    """Add `--output`, a path or "-".

    Args:
        help: help text of the option.
        required: whether the option must be given.
    """
    return click.option("-o", "--output", required=required, metavar="PATH", help=help)


def _per_channel(context: click.Context, option: click.Parameter, text: str) -> float | tuple[float, ...]:
    """Parse a number, or three numbers for red, green and blue, separated by commas."""
    try:
        numbers = tuple(float(each) for each in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) not in (1, 3):
        raise click.BadParameter(
            f"{text!r} is not a number, or three numbers such as 0.485,0.456,0.406", context, option
        )
    return numbers[0] if len(numbers) == 1 else numbers


def pixel_range_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--input-scale`, `--invert`, `--mean` and `--std`; the command receives them as one `pixel_range`."""

    @wraps(function)
    def command(
        *,
        input_scale: Literal[1, 255] | None,
        invert: bool,
        mean: float | tuple[float, ...],
        std: float | tuple[float, ...],
        **options: Any,
    ) -> Any:
        return function(pixel_range=PixelRange(input_scale, invert, mean, std), **options)

    scale_text = (
        "Pixel range the Keras model expects: 1 for 0–1, 255 for 0–255.  "
        "[default: read from the run folder or a Rescaling layer]"
    )
    mean_text = "Mean that is subtracted from the pixels in this range, after --invert; three for red, green and blue."
    std_text = "Standard deviation that the pixels are divided by after that; one or three."
    metavar = "NUMBER[,…]"
    added: Callable[..., Any] = command
    for option in (
        click.option("--std", callback=_per_channel, default="1", show_default=True, metavar=metavar, help=std_text),
        click.option("--mean", callback=_per_channel, default="0", show_default=True, metavar=metavar, help=mean_text),
        click.option("--invert", is_flag=True, help="Dark ink on white: the Keras model expects inverted pixels."),
        click.option("--input-scale", type=click.Choice([1, 255]), help=scale_text),
    ):
        added = option(added)
    return added


def keras_loading_options(function: _Command) -> _Command:
    """Add `--keras-output` and `--custom-objects`, for Keras models with several outputs or code of the user."""
    objects = (
        "Classes and functions that the Keras model needs, from a module or .py file, or Lambda for its Lambda layers. "
        "This runs the module and code in the model file: use it for files you trust."
    )
    function = click.option("--custom-objects", metavar="MODULE:NAME[,NAME]", help=objects)(function)
    text = "Output of the Keras model to use, if it has several; an error lists their names."
    return click.option("--keras-output", metavar="NAME", help=text)(function)


def dtype_policy_option(function: _Command) -> _Command:
    """Add `--dtype-policy`, the Keras dtype policy of a training."""
    text = "Keras dtype policy; mixed_bfloat16 is faster on CPUs that support it.  [default: the recipe's]"
    choices = click.Choice(["float32", "mixed_bfloat16", "mixed_float16"])
    return click.option("--dtype-policy", type=choices, help=text)(function)


def overwrite_option(function: _Command) -> _Command:
    """Add `--overwrite`."""
    return click.option("--overwrite", is_flag=True, help="Replace an existing output.")(function)


def json_option(function: _Command) -> _Command:
    """Add `--json`, stored in `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")(function)


def refuse_options(context: click.Context, options: Iterable[str], condition: str) -> None:
    """Refuse options that have no effect in the current mode of a command.

    Args:
        context: context of the command.
        options: parameter names.
        condition: where the options apply, for example "with --study".

    Raises:
        click.UsageError: one of the options is on the command line.
    """
    flags = {parameter.name: max(parameter.opts, key=len) for parameter in context.command.params}
    for option in options:
        if context.get_parameter_source(option) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{flags[option]} applies only {condition}.")


def file_path(value: str) -> Path:
    """Convert a path argument; `~` is expanded if the user has a home folder.

    Example:
        >>> file_path("runs/edge").parts
        ('runs', 'edge')
    """
    return Path(os.path.expanduser(value))  # noqa: PTH111 - Path.expanduser raises if there is no home folder
