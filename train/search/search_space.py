"""What `tune` searches: the hyperparameters around a recipe, and the recipe that a choice of them makes."""

from dataclasses import replace
from typing import Any

import keras_tuner

from digits_edge.train.models.architectures import structure_of
from digits_edge.train.training.recipe import Optimizer, Recipe

#: Steps of a trial below which its figures tell little: BatchNorm's statistics (momentum 0.99) and the averaged weights
#: still remember the beginning, and the validation is done with them.
ENOUGH_STEPS = 500
#: The optimizers that are tried, and their usual learning rates in units of Adam's. With them in the rate, one range
#: fits all, and what is learnt of the rate under one optimizer serves the others.
_RATE_OF: dict[Optimizer, float] = {"adam": 1.0, "adamw": 1.0, "nadam": 1.0, "rmsprop": 0.5, "sgd": 30.0}
_FACTOR = "learning_rate_factor"
_MAX_DROPOUT, _DROPOUT_STEP = 0.6, 0.05


#: Parts of a structure that are not searched.
_KEPT = ("kernel", "kernels", "strides")


def search_space(recipe: Recipe) -> keras_tuner.HyperParameters:
    """The hyperparameters that are searched; their defaults are the recipe's own settings.

    A width w (filters, units) goes from w/4 to 3w/2 in steps of w/4, dropout from 0 to 0.6 in steps of 0.05, the
    learning rate from a tenth to ten times the recipe's, evenly in its logarithm.
    """
    space = keras_tuner.HyperParameters()
    for part, value in _structure(recipe).items():
        if isinstance(value, list):
            for place, width in enumerate(value, start=1):
                _add_width(space, f"{part}_{place}", width)
        elif isinstance(value, int):
            _add_width(space, part, value)
        else:
            space.Float(part, 0.0, _MAX_DROPOUT, step=_DROPOUT_STEP, default=value)
    space.Choice("optimizer", list(_RATE_OF), default=recipe.optimizer)
    space.Float(_FACTOR, 0.1, 10.0, sampling="log", default=1.0)
    return space


def recipe_with(recipe: Recipe, values: dict[str, Any]) -> Recipe:
    """The recipe with these hyperparameters, a value for each name of its `search_space`."""
    structure = {part: value for part, value in recipe.structure.items() if part in _KEPT}
    for part, value in _structure(recipe).items():
        if isinstance(value, list):
            structure[part] = [int(values[f"{part}_{place}"]) for place in range(1, len(value) + 1)]
        else:
            # steps of 0.05 leave a dust of rounding
            structure[part] = int(values[part]) if isinstance(value, int) else round(float(values[part]), 3)
    optimizer: Optimizer = values["optimizer"]
    rate = recipe.learning_rate * float(values[_FACTOR]) * _RATE_OF[optimizer] / _RATE_OF[recipe.optimizer]
    return replace(recipe, structure=structure, optimizer=optimizer, learning_rate=float(f"{rate:.3g}"))


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """The searched settings of a recipe as a flat table row: `filters_1`, …, `optimizer`, `learning_rate`."""
    settings: dict[str, Any] = {}
    for part, value in _structure(recipe).items():
        if isinstance(value, list):
            settings |= {f"{part}_{place}": width for place, width in enumerate(value, start=1)}
        else:
            settings[part] = value
    return settings | {"optimizer": recipe.optimizer, "learning_rate": recipe.learning_rate}


def _structure(recipe: Recipe) -> dict[str, Any]:
    """What is searched of the structure: widths and dropout; kernels and strides depend on each other."""
    whole = structure_of(recipe.model) | recipe.structure
    return {part: value for part, value in whole.items() if part not in _KEPT}


def _add_width(space: keras_tuner.HyperParameters, name: str, width: int) -> None:
    step = max(1, width // 4)
    space.Int(name, step, 6 * step, step=step, default=4 * step if width >= 4 else width)
