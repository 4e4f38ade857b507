"""Whether a path is a run of a sequence model: `is_line_run`. This does not import Keras."""

from contextlib import suppress
from pathlib import Path

from digits_edge.runtime.json_record import read_json

_MODEL, _RECIPE = "model.keras", "recipe.json"


def run_folder(path: Path) -> Path:
    """The run folder of a path: the folder itself, or that of the Keras file in it.

    Example:
        >>> run_folder(Path("runs/number/model.keras")).name
        'number'
    """
    return path.parent if path.name == _MODEL else path


def is_line_run(path: Path) -> bool:
    """Whether a path is the run folder of a sequence model, or the Keras file in it.

    Example:
        >>> is_line_run(Path("no-such-folder"))
        False
    """
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        return read_json(run_folder(path) / _RECIPE)["recipe"].get("lines") is not None
    return False
