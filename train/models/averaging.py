"""Exponential moving average of the weights: fewer errors for the memory of one more copy."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

#: Averaging every step costs more than it gains; ten steps are far below the horizon of the average.
STEPS_BETWEEN_UPDATES = 10


class WeightAverage(keras.callbacks.Callback):  # type: ignore[misc]
    """Maintain the exponential moving average of all weights, including BatchNorm's statistics.

    The model is validated with the averaged weights; the trained weights are restored before the next step.

    Args:
        decay: decay per step; 0.999 averages over about 1,000 steps (Polyak and Juditsky 1992; Izmailov et al. 2018).
    """

    def __init__(self, decay: float) -> None:
        super().__init__()
        self._decay = decay**STEPS_BETWEEN_UPDATES
        self._updates = 0
        self._trained: list[NDArray[Any]] | None = None
        self.average: list[NDArray[Any]] = []

    @property
    def updates(self) -> int:
        """Number of updates of the average."""
        return self._updates

    def restore(self, average: list[NDArray[Any]], updates: int) -> None:
        """Continue from an earlier average."""
        self.average, self._updates = average, updates

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Update the average after every tenth step."""
        if (batch + 1) % STEPS_BETWEEN_UPDATES:
            return
        weights = self.model.get_weights()
        if not self.average:
            self.average = weights
        # a smaller decay at the beginning reduces the influence of the first weights
        decay = np.float32(min(self._decay, (1 + self._updates) / (10 + self._updates)))
        self.average = [decay * mean + (1 - decay) * weight for mean, weight in zip(self.average, weights, strict=True)]
        self._updates += 1

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Validate with the averaged weights."""
        if self.average:
            self._trained = self.model.get_weights()
            self.model.set_weights(self.average)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Restore the trained weights."""
        if self._trained is not None:
            self.model.set_weights(self._trained)
            self._trained = None
