"""Training digit classifiers in Keras 3, on any of its backends."""

from digits_edge.train.augmentation import AUGMENTATIONS, Augmentation
from digits_edge.train.models import build, names, structure_of
from digits_edge.train.recipe import RECIPES, Recipe, named_recipe, read_recipe
from digits_edge.train.training import train

__all__ = [
    "AUGMENTATIONS",
    "RECIPES",
    "Augmentation",
    "Recipe",
    "build",
    "named_recipe",
    "names",
    "read_recipe",
    "structure_of",
    "train",
]
