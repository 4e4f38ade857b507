"""Checkpoints: the state of a training after an epoch in one file, so that a resumed training gives the same weights.

Keras's BackupAndRestore omits callbacks, weight averages and the random state of dropout. A checkpoint stores weights,
optimizer, average and callbacks; everything random is drawn from (seed, epoch).
"""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.errors import InputError
from digits_edge.runtime.files import atomic_write
from digits_edge.runtime.json_record import as_record, parse_json
from digits_edge.train.models.averaging import WeightAverage

#: Attributes of Keras callbacks that carry over from one epoch to the next.
_CALLBACK_STATE = {
    keras.callbacks.EarlyStopping: ("best", "wait", "best_epoch", "stopped_epoch"),
    keras.callbacks.ReduceLROnPlateau: ("best", "wait", "cooldown_counter"),
}


@dataclass(frozen=True)
class TrainingState:
    """Progress of a training.

    Attributes:
        history: one row per finished epoch.
        seconds: wall time spent training, over all restarts.
        stopped: whether a callback ended the training early.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    stopped: bool = False


def save_checkpoint(
    path: Path, progress: TrainingState, model: keras.Model, callbacks: list[keras.callbacks.Callback]
) -> None:
    """Write the state of a training atomically."""
    state = {"progress": vars(progress), "callbacks": [_callback_state(callback) for callback in callbacks]}
    arrays = {
        **_numbered("weight", model.get_weights()),
        **_numbered("optimizer", [np.asarray(keras.ops.convert_to_numpy(v)) for v in model.optimizer.variables]),
    }
    for callback in callbacks:
        if isinstance(callback, WeightAverage):
            arrays |= _numbered("average", callback.average)
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, state=np.array(json.dumps(state)), **arrays)
    with atomic_write(path) as stream:
        stream.write(packed.getbuffer())


def read_state(path: Path) -> TrainingState:
    """Progress of the training that wrote this checkpoint.

    Raises:
        InputError: the file is not a checkpoint.
    """
    with _opened(path) as (state, _):
        return as_record(TrainingState, state["progress"])


def restore_checkpoint(path: Path, model: keras.Model, callbacks: list[keras.callbacks.Callback]) -> None:
    """Restore the state that `save_checkpoint` wrote.

    Call it after Keras has called `on_train_begin` of the callbacks, which resets them.

    Raises:
        InputError: the file is not a checkpoint of this model and recipe.
    """
    with _opened(path) as (state, arrays):
        model.set_weights(_in_order(arrays, "weight"))
        for variable, value in zip(model.optimizer.variables, _in_order(arrays, "optimizer"), strict=True):
            variable.assign(value)
        for callback, values in zip(callbacks, state["callbacks"], strict=True):
            if isinstance(callback, WeightAverage):
                callback.restore(_in_order(arrays, "average"), values["updates"])
            else:
                vars(callback).update({name: values[name] for name in _CALLBACK_STATE.get(type(callback), ())})


@contextmanager
def _opened(path: Path) -> Iterator[tuple[dict[str, Any], Any]]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            yield parse_json(str(arrays["state"])), arrays
    except Exception as error:  # numpy, zipfile and zlib raise a dozen exception types for damaged archives
        raise InputError(
            f"{path} is not a checkpoint of this training ({error!r}); train again with --overwrite"
        ) from error


def _callback_state(callback: keras.callbacks.Callback) -> dict[str, Any]:
    if isinstance(callback, WeightAverage):
        return {"updates": callback.updates}
    values = {name: getattr(callback, name) for name in _CALLBACK_STATE.get(type(callback), ())}
    return {name: None if value is None else float(value) for name, value in values.items()}


def _numbered(prefix: str, arrays: list[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {f"{prefix}_{i}": array for i, array in enumerate(arrays)}


def _in_order(arrays: Any, prefix: str) -> list[NDArray[Any]]:
    count = sum(name.startswith(f"{prefix}_") for name in arrays.files)
    return [arrays[f"{prefix}_{i}"] for i in range(count)]
