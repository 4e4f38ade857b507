"""Training digit classifiers in Keras 3, on any of its backends.

Keras is imported when a name that needs it is first used, so that the data report and the pages start without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from digits_edge.train.augmentation import AUGMENTATIONS, Augmentation
    from digits_edge.train.bayesian import Budget
    from digits_edge.train.folds import cross_validate
    from digits_edge.train.models import build, names, structure_of
    from digits_edge.train.recipe import RECIPES, Recipe, named_recipe, read_recipe, recipe_data
    from digits_edge.train.search_folder import Trial
    from digits_edge.train.search_space import ENOUGH_STEPS
    from digits_edge.train.training import train
    from digits_edge.train.trials import Listeners
    from digits_edge.train.tuning import tune

__all__ = [
    "AUGMENTATIONS",
    "ENOUGH_STEPS",
    "RECIPES",
    "Augmentation",
    "Budget",
    "Listeners",
    "Recipe",
    "Trial",
    "build",
    "cross_validate",
    "named_recipe",
    "names",
    "read_recipe",
    "recipe_data",
    "structure_of",
    "train",
    "tune",
]

_HOMES = {
    "augmentation": ("AUGMENTATIONS", "Augmentation"),
    "bayesian": ("Budget",),
    "folds": ("cross_validate",),
    "models": ("build", "names", "structure_of"),
    "recipe": ("RECIPES", "Recipe", "named_recipe", "read_recipe", "recipe_data"),
    "search_folder": ("Trial",),
    "search_space": ("ENOUGH_STEPS",),
    "training": ("train",),
    "trials": ("Listeners",),
    "tuning": ("tune",),
}


def __getattr__(name: str) -> Any:
    for module, exported in _HOMES.items():
        if name in exported:
            return getattr(import_module(f"digits_edge.train.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
