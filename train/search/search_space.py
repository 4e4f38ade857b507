"""Search space of `tune`: the hyperparameters around a recipe, and the recipe for their values."""

from dataclasses import replace
from typing import Any

import keras_tuner

from digits_edge.train.models.architectures import structure_of
from digits_edge.train.training.recipe import Optimizer, Recipe

#: Smallest number of steps for a meaningful trial: the validation uses BatchNorm's statistics (momentum 0.99) and the
#: averaged weights, which depend on the initial values before.
ENOUGH_STEPS = 500
#: Searched optimizers and their usual learning rates relative to Adam's. The factor is searched relative to these, so
#: one range fits all optimizers and the search can transfer results between them.
_RELATIVE_RATES: dict[Optimizer, float] = {"adam": 1.0, "adamw": 1.0, "nadam": 1.0, "rmsprop": 0.5, "sgd": 30.0}
_FACTOR = "learning_rate_factor"
_MAX_DROPOUT, _DROPOUT_STEP = 0.6, 0.05


#: Settings of a structure that are not searched.
_FIXED = ("kernel", "kernels", "strides")


def search_space(recipe: Recipe) -> keras_tuner.HyperParameters:
    """Hyperparameters around a recipe; their defaults are the recipe's settings.

    Widths w (filters, units) range from w/4 to 3w/2 in steps of w/4, dropout from 0 to 0.6 in steps of 0.05, and the
    learning rate from 0.1 to 10 times the recipe's, uniformly in its logarithm.

    Example:
        >>> from digits_edge.train import named_recipe
        >>> [parameter.name for parameter in search_space(named_recipe("best", "mlp")).space]
        ['units_1', 'units_2', 'dropout', 'optimizer', 'learning_rate_factor']
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
    space.Choice("optimizer", list(_RELATIVE_RATES), default=recipe.optimizer)
    space.Float(_FACTOR, 0.1, 10.0, sampling="log", default=1.0)
    return space


def recipe_with(recipe: Recipe, values: dict[str, Any]) -> Recipe:
    """The recipe with the given values, one for each hyperparameter of its `search_space`.

    Example:
        >>> from digits_edge.train import named_recipe
        >>> recipe = named_recipe("best", "perceptron")
        >>> recipe_with(recipe, {"optimizer": "nadam", "learning_rate_factor": 2.0}).optimizer
        'nadam'
    """
    structure = {part: value for part, value in recipe.structure.items() if part in _FIXED}
    for part, value in _structure(recipe).items():
        if isinstance(value, list):
            structure[part] = [int(values[f"{part}_{place}"]) for place in range(1, len(value) + 1)]
        else:
            # removes rounding errors of the steps of 0.05
            structure[part] = int(values[part]) if isinstance(value, int) else round(float(values[part]), 3)
    optimizer: Optimizer = values["optimizer"]
    rate = (
        recipe.learning_rate * float(values[_FACTOR]) * _RELATIVE_RATES[optimizer] / _RELATIVE_RATES[recipe.optimizer]
    )
    return replace(recipe, structure=structure, optimizer=optimizer, learning_rate=float(f"{rate:.3g}"))


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """Searched settings of a recipe by name: `filters_1`, …, `optimizer`, `learning_rate`.

    Example:
        >>> from digits_edge.train import named_recipe
        >>> settings_of(named_recipe("document", "perceptron"))
        {'optimizer': 'sgd', 'learning_rate': 0.01}
    """
    settings: dict[str, Any] = {}
    for part, value in _structure(recipe).items():
        if isinstance(value, list):
            settings |= {f"{part}_{place}": width for place, width in enumerate(value, start=1)}
        else:
            settings[part] = value
    return settings | {"optimizer": recipe.optimizer, "learning_rate": recipe.learning_rate}


def _structure(recipe: Recipe) -> dict[str, Any]:
    """Searched settings of the structure, widths and dropout; kernels and strides depend on each other."""
    structure = structure_of(recipe.model) | recipe.structure
    return {part: value for part, value in structure.items() if part not in _FIXED}


def _add_width(space: keras_tuner.HyperParameters, name: str, width: int) -> None:
    step = max(1, width // 4)
    space.Int(name, step, 6 * step, step=step, default=4 * step if width >= 4 else width)
