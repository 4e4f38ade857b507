"""The records in the recipe.json of a run folder that export needs: `RunRecord`, `read_run_record`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from digits_edge.runtime.json_record import as_record, read_json

#: File name of the record in a run folder.
RECIPE = "recipe.json"


@dataclass(frozen=True)
class RecipeRecord:
    """The recipe of a run.

    Attributes:
        model: name of the architecture.
    """

    model: str


@dataclass(frozen=True)
class ResultRecord:
    """The result of a run.

    Attributes:
        validation_accuracy: share of the validation images or lines that the run predicted correctly, if known.
    """

    validation_accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The keys that all runs have; those of a kind of run add its `data`.

    Attributes:
        recipe: the recipe.
        versions: of the libraries of the training.
        result: the result of the training.
    """

    recipe: RecipeRecord
    versions: dict[str, str] = field(default_factory=dict)
    result: ResultRecord = ResultRecord()


_Run = TypeVar("_Run", bound=RunRecord)


def read_run_record(kind: type[_Run], path: Path) -> tuple[_Run, dict[str, Any]]:
    """Read a recipe.json.

    Args:
        kind: the record to read.
        path: the file.

    Returns:
        The record, and the complete `data` entry.

    Raises:
        ValueError: the file is not JSON, or lacks a key of the record.
        OSError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, RECIPE)
        ...     _ = path.write_text('{"recipe": {"model": "cnn"}, "data": {"name": "mnist"}}')
        ...     run, data = read_run_record(RunRecord, path)
        >>> run.recipe.model, data
        ('cnn', {'name': 'mnist'})
    """
    content = read_json(path)
    return as_record(kind, content), dict(content["data"])
