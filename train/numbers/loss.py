"""Loss and accuracy of sequence models: `ColumnLoss`, `TextAccuracy`.

Targets are int32 (N, 1 + L): the number of columns that belong to the line, and its characters, filled with the blank.
"""

from typing import Any

import keras
from keras import ops


class ColumnLoss(keras.losses.Loss):  # type: ignore[misc]
    """Connectionist temporal classification (Graves, Fernández, Gomez and Schmidhuber 2006) of padded lines.

    Args:
        blank: class of the blank, the last one.
    """

    def __init__(self, blank: int) -> None:
        super().__init__(name="ctc", dtype="float32")
        self._blank = blank

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss of each line, (N,), from targets and logits (N, T, K + 1)."""
        columns, characters = split_targets(y_true)
        lengths = ops.sum(ops.cast(ops.not_equal(characters, self._blank), "int32"), axis=1)
        return ops.ctc_loss(characters, y_pred, lengths, columns, mask_index=self._blank)


class TextAccuracy(keras.metrics.Mean):  # type: ignore[misc]
    """Share of the lines whose text is right if the most likely class of each column is taken.

    Args:
        blank: class of the blank, the last one.
    """

    def __init__(self, blank: int) -> None:
        super().__init__(name="accuracy")
        self._blank = blank

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count the lines of a batch."""
        columns, characters = split_targets(y_true)
        best = ops.cast(ops.argmax(y_pred, axis=2), "int32")
        before = ops.concatenate([ops.full_like(best[:, :1], self._blank), best[:, :-1]], axis=1)
        inside = ops.expand_dims(ops.arange(ops.shape(best)[1], dtype="int32"), 0) < ops.expand_dims(columns, 1)
        starts = ops.logical_and(ops.logical_and(best != self._blank, best != before), inside)
        place = ops.cumsum(ops.cast(starts, "int32"), axis=1) - 1
        last = ops.shape(characters)[1] - 1
        expected = ops.take_along_axis(characters, ops.clip(place, 0, last), axis=1)
        wrong = ops.any(ops.logical_and(starts, ops.not_equal(best, expected)), axis=1)
        count = ops.sum(ops.cast(starts, "int32"), axis=1)
        lengths = ops.sum(ops.cast(ops.not_equal(characters, self._blank), "int32"), axis=1)
        is_right = ops.logical_and(ops.logical_not(wrong), ops.equal(count, lengths))
        super().update_state(ops.cast(is_right, "float32"), sample_weight=sample_weight)


def split_targets(targets: Any) -> tuple[Any, Any]:
    """Number of columns, (N,), and characters, (N, L)."""
    targets = ops.cast(targets, "int32")
    return targets[:, 0], targets[:, 1:]
