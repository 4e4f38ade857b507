"""Lines for the training and validation of sequence models, from a data set of digits: `training_lines`."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from digits_edge.runtime.datasets import Dataset, parts
from digits_edge.runtime.datasets.line_set import LineSet
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.steps import LineStep
from digits_edge.runtime.reader.line_image import INK_HEIGHT, LINE_HEIGHT
from digits_edge.train.models.line_network import COLUMN_PX
from digits_edge.train.numbers.lines import BLOCK, NumberLines
from digits_edge.train.numbers.pool import make_pool
from digits_edge.train.numbers.settings import Lines
from digits_edge.train.numbers.texts import CHARACTERS

#: Input of sequence models.
LINE_INPUT = ImageInput(LINE_HEIGHT, None)
#: Added to the seed of the validation lines.
_VALIDATION_SEED = 1_000_003

#: Called with a description and 0 before lines are made, and for each tenth of them.
PartListener = Callable[[str, int], None]


def training_lines(dataset: Dataset, rule: str, lines: Lines, folder: Path, on_part: PartListener) -> LineSet:
    """Make the training lines, or read those of an earlier call.

    Args:
        dataset: labelled images of digits in MNIST format.
        rule: rule of the split, as for `digits_edge.runtime.datasets.parts`.
        lines: number and settings of the lines.
        folder: folder of all lines of a run.
        on_part: listener of the progress.
    """
    return _pool(dataset, rule, lines, folder / "training", on_part)


def validation_lines(dataset: Dataset, rule: str, lines: Lines, folder: Path, on_part: PartListener) -> LineSet:
    """Make the validation lines, whose digits of the data set are validation images; see `training_lines`."""
    return _pool(dataset, rule, lines, folder / "validation", on_part)


def _pool(dataset: Dataset, rule: str, lines: Lines, folder: Path, on_part: PartListener) -> LineSet:
    assert dataset.labels is not None
    is_validation = folder.name == "validation"
    split = parts(dataset.labels, rule)
    rows = split.validation if is_validation else split.train
    count = lines.validation if is_validation else lines.count
    seed = lines.seed + (_VALIDATION_SEED if is_validation else 0)
    source = NumberLines(seed, lines.settings, images=dataset.images[rows], labels=dataset.labels[rows])
    about = {
        "seed": seed,
        "settings": asdict(lines.settings),
        "data": dataset.sha256,
        "rule": rule,
        "part": folder.name,
    }
    on_part(f"{count:,} {folder.name} lines", 0)
    return make_pool(source, count, folder, about, _tenths(folder.name, on_part), block=min(count, BLOCK))


def _tenths(name: str, on_part: PartListener) -> Callable[[int, int], None]:
    told = [0]

    def progress(done: int, count: int) -> None:
        if 10 * done // count > told[0] and done < count:
            told[0] = 10 * done // count
            on_part(f"{done:,} of {count:,} {name} lines", 0)

    return progress


def describe_lines() -> dict[str, Any]:
    """Classes, input and preprocessing of a sequence model, as `recipe.json` records them with its data.

    Example:
        >>> describe_lines()["input"]["width"] is None
        True
    """
    return {
        "classes": list(CHARACTERS),
        "input": asdict(LINE_INPUT),
        "preprocessing": [asdict(LineStep(INK_HEIGHT, LINE_HEIGHT))],
        "column_px": COLUMN_PX,
    }
