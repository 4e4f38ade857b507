"""A moving average of the weights: flatter minima, and so fewer errors, for nothing but memory."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

#: Averaging every step costs more than it gains; ten steps are far below the average's horizon.
STEPS_BETWEEN_UPDATES = 10


class WeightAverage(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the exponential moving average of all weights, BatchNorm's statistics among them.

    The model is validated with the averaged weights, and has the trained ones back before the next step.

    Args:
        decay: of the average, per step; 0.999 looks back about 1,000 steps (Polyak and Juditsky 1992; Izmailov et al.
            2018).
    """

    def __init__(self, decay: float) -> None:
        super().__init__()
        self._decay = decay**STEPS_BETWEEN_UPDATES
        self._updates = 0
        self._trained: list[NDArray[Any]] | None = None
        self.average: list[NDArray[Any]] = []

    @property
    def updates(self) -> int:
        """How often the average was updated."""
        return self._updates

    def restore(self, average: list[NDArray[Any]], updates: int) -> None:
        """Go on from an earlier average."""
        self.average, self._updates = average, updates

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Take the weights of every tenth step into the average."""
        if (batch + 1) % STEPS_BETWEEN_UPDATES:
            return
        weights = self.model.get_weights()
        if not self.average:
            self.average = weights
        # young averages forget faster, so that they are not held back by the first weights
        decay = np.float32(min(self._decay, (1 + self._updates) / (10 + self._updates)))
        self.average = [decay * mean + (1 - decay) * weight for mean, weight in zip(self.average, weights, strict=True)]
        self._updates += 1

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Validate with the averaged weights."""
        if self.average:
            self._trained = self.model.get_weights()
            self.model.set_weights(self.average)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Train on with the trained ones."""
        if self._trained is not None:
            self.model.set_weights(self._trained)
            self._trained = None
