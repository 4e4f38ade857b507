"""Runs of sequence models to export or evaluate: `LineSource`, `read_line_source`."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from digits_edge.export.loading import load_keras
from digits_edge.export.run_record import RECIPE, RunRecord, read_run_record
from digits_edge.export.sequences.runs import run_folder
from digits_edge.export.source import RUN_MODEL
from digits_edge.runtime.datasets.line_set import LineSet, read_line_set
from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.steps import PreprocessingStep

#: Folder of the validation lines in a run folder.
VALIDATION_LINES = Path("lines", "validation")
#: Added to the logit of the blank. Unknown hands make a network omit characters more often than add some; 1 to 4 more
#: of 400 amounts on cheques were right. Lower values take more scribbles for numbers.
BLANK_LOGIT = -0.2


@dataclass(frozen=True)
class LineSource:
    """A Keras sequence model and its metadata.

    Attributes:
        name: the architecture of the run.
        model: Keras model from float32 (N, 32, W, 1), white is 1, to logits (N, T, K + 1), that of the blank changed by
            `BLANK_LOGIT`.
        labels: the K characters; the blank is the class after them.
        image: the input, of free width.
        preprocessing: the steps that convert a picture of a line.
        column_px: width of a column in pixels.
        data: record of the training data.
        versions: of the libraries of the training.
        validation_accuracy: share of the validation lines that the run read correctly.
        folder: run folder.

    Example:
        >>> source = read_line_source(Path("runs/number"))  # doctest: +SKIP
        >>> source.logits(source.validation)[0].shape[1]  # doctest: +SKIP
        18
    """

    name: str
    model: keras.Model
    labels: tuple[str, ...]
    image: ImageInput
    preprocessing: tuple[PreprocessingStep, ...]
    column_px: int
    data: dict[str, Any]
    versions: dict[str, str]
    validation_accuracy: float | None
    folder: Path

    @property
    def architecture(self) -> str:
        """The architecture of the run, which is also its name."""
        return self.name

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return int(self.model.count_params())

    @cached_property
    def validation(self) -> LineSet:
        """The validation lines of the run.

        Raises:
            DataError: the run folder has none.
        """
        return read_line_set(self.folder / VALIDATION_LINES)

    def logits(self, lines: LineSet) -> list[NDArray[np.float32]]:
        """Compute the logits of each line, float32 (T, K + 1) each."""
        found: dict[int, NDArray[np.float32]] = {}
        for rows, batch in lines.batches():
            outputs = np.asarray(
                self.model(batch[..., np.newaxis].astype(np.float32) / np.float32(255), training=False)
            )
            for row, output in zip(rows, outputs, strict=True):
                found[row] = output[: columns_of(int(lines.widths[row]), self.column_px)]
        return [found[row] for row in range(len(lines))]


def add_to_blank(model: keras.Model, classes: int, change: float = BLANK_LOGIT) -> None:
    """Add to the logit of the blank in the bias of a sequence model's last layer, which may have several columns."""
    bias = [layer for layer in model.layers if layer.weights][-1].bias
    values = np.array(keras.ops.convert_to_numpy(bias)).reshape(-1, classes)
    values[:, -1] += change
    bias.assign(values.ravel())


def columns_of(width: int, column_px: int) -> int:
    """Number of columns of a line.

    Example:
        >>> columns_of(16, 4), columns_of(17, 4)
        (4, 5)
    """
    return -(-width // column_px)


@dataclass(frozen=True)
class _Data:
    name: str
    classes: tuple[str, ...]
    input: ImageInput
    preprocessing: tuple[PreprocessingStep, ...]
    column_px: int
    input_scale: Literal[1] = 1


@dataclass(frozen=True, kw_only=True)
class _Run(RunRecord):
    """The keys of a sequence model's run that export needs."""

    data: _Data


def read_line_source(path: Path) -> LineSource:
    """Read a run of a sequence model.

    Args:
        path: run folder, or the Keras file in it.

    Raises:
        ModelError: the folder or its model is damaged.

    Example:
        >>> "".join(read_line_source(Path("runs/number")).labels)  # doctest: +SKIP
        '0123456789.,-/=$€'
    """
    folder = run_folder(path)
    try:
        run, data = read_run_record(_Run, folder / RECIPE)
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder} is not a run of a sequence model ({error}); train it again") from error
    model = load_keras(folder / RUN_MODEL)
    classes = model.outputs[0].shape[-1]
    if classes != len(run.data.classes) + 1:
        raise ModelError(f"{folder / RUN_MODEL} has {classes} classes, expected {len(run.data.classes)} and a blank")
    add_to_blank(model, classes)
    return LineSource(
        name=run.recipe.model,
        model=model,
        labels=run.data.classes,
        image=run.data.input,
        preprocessing=run.data.preprocessing,
        column_px=run.data.column_px,
        data=data,
        versions=run.versions,
        validation_accuracy=run.result.validation_accuracy,
        folder=folder,
    )
