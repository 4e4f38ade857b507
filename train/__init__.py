"""Train digit classifiers with Keras 3, on any of its backends.

Keras is imported when a name that needs it is first used, so the data report and the HTML pages start without it.
"""

from typing import TYPE_CHECKING

from digits_edge.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from digits_edge.train.data.augmentation import AUGMENTATIONS, Augmentation
    from digits_edge.train.data.hands import Hands
    from digits_edge.train.models.architectures import build, names, structure_of
    from digits_edge.train.numbers.settings import Lines
    from digits_edge.train.search.bayesian import Budget
    from digits_edge.train.search.search_folder import Trial
    from digits_edge.train.search.search_space import ENOUGH_STEPS
    from digits_edge.train.search.trials import Listeners
    from digits_edge.train.search.tuning import tune
    from digits_edge.train.training.folds import cross_validate
    from digits_edge.train.training.recipe import (
        RECIPES,
        Recipe,
        augmentation_for,
        named_recipe,
        read_recipe,
        recipe_data,
        recipe_images,
    )
    from digits_edge.train.training.training import train

__all__ = [
    "AUGMENTATIONS",
    "ENOUGH_STEPS",
    "RECIPES",
    "Augmentation",
    "Budget",
    "Hands",
    "Lines",
    "Listeners",
    "Recipe",
    "Trial",
    "augmentation_for",
    "build",
    "cross_validate",
    "named_recipe",
    "names",
    "read_recipe",
    "recipe_data",
    "recipe_images",
    "structure_of",
    "train",
    "tune",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "data.augmentation": ("AUGMENTATIONS", "Augmentation"),
        "data.hands": ("Hands",),
        "numbers.settings": ("Lines",),
        "search.bayesian": ("Budget",),
        "training.folds": ("cross_validate",),
        "models.architectures": ("build", "names", "structure_of"),
        "training.recipe": (
            "RECIPES",
            "Recipe",
            "augmentation_for",
            "named_recipe",
            "read_recipe",
            "recipe_data",
            "recipe_images",
        ),
        "search.search_folder": ("Trial",),
        "search.search_space": ("ENOUGH_STEPS",),
        "training.training": ("train",),
        "search.trials": ("Listeners",),
        "search.tuning": ("tune",),
    },
)
