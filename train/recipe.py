"""Every setting of a training, and the documents' and our best setting of each model."""

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from digits_edge.runtime.errors import InputError, UsageError
from digits_edge.train.augmentation import HAND, NO_AUGMENTATION, Augmentation

Schedule = Literal["constant", "cosine", "plateau"]


@dataclass(frozen=True)
class Recipe:
    """All that decides a training besides the data.

    Attributes:
        model: the architecture's name.
        epochs: how many at most.
        batch_size: images per step.
        optimizer: its Keras name.
        learning_rate: the optimizer's, at its highest.
        schedule: "constant"; "cosine": one epoch of warm-up, then a half cosine to zero; "plateau": times
            0.2 after two epochs without a smaller validation loss, down to 1e-4 (the documents').
        patience: stop after this many epochs without a smaller validation loss; None trains all epochs.
        augmentation: what is done to each training image.
        average_decay: of the moving average of the weights, per step; None for no average.
        dtype_policy: of the training's arithmetic; "mixed_bfloat16" nearly halves resnet's time on CPUs
            that have it. Weights are float32 always.
        seed: of weights, order, augmentation and dropout.
    """

    model: str
    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: str = "adam"
    schedule: Schedule = "constant"
    patience: int | None = None
    augmentation: Augmentation = field(default=NO_AUGMENTATION)
    average_decay: float | None = None
    dtype_policy: str = "float32"
    seed: int = 0


_CALLBACKS = {"schedule": "plateau", "patience": 3}
_BEST = {"schedule": "cosine", "augmentation": HAND, "average_decay": 0.999}

DOCUMENT_RECIPES = {
    "cnn-small": Recipe("cnn-small", epochs=30, batch_size=32, learning_rate=0.005),
    "cnn": Recipe("cnn", epochs=50, batch_size=64, learning_rate=0.001, **_CALLBACKS),  # type: ignore[arg-type]
    "resnet": Recipe("resnet", epochs=50, batch_size=64, learning_rate=0.001, **_CALLBACKS),  # type: ignore[arg-type]
}
BEST_RECIPES = {
    "cnn-small": Recipe("cnn-small", epochs=40, batch_size=64, learning_rate=0.003, **_BEST),  # type: ignore[arg-type]
    "cnn": Recipe("cnn", epochs=20, batch_size=128, learning_rate=0.002, **_BEST),  # type: ignore[arg-type]
    "resnet": Recipe("resnet", epochs=16, batch_size=128, learning_rate=0.002, **_BEST),  # type: ignore[arg-type]
}
RECIPES = {"best": BEST_RECIPES, "document": DOCUMENT_RECIPES}


def named_recipe(kind: str, model: str, **settings: Any) -> Recipe:
    """The recipe of a model, with single settings changed.

    Args:
        kind: "best" or "document".
        model: the architecture's name.
        **settings: fields of `Recipe` that replace the recipe's own.

    Raises:
        UsageError: no such kind or model.
    """
    try:
        return replace(RECIPES[kind][model], **settings)
    except KeyError as error:
        known = f"recipes: {', '.join(RECIPES)}; models: {', '.join(BEST_RECIPES)}"
        raise UsageError(f"no recipe is known for {error.args[0]!r}; {known}") from None


def recipe_to_json(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain JSON values."""
    return asdict(recipe)


def read_recipe(path: Path) -> Recipe:
    """The recipe of an earlier run, from its `recipe.json`.

    Raises:
        InputError: the file is missing or holds no recipe.
    """
    try:
        values = dict(json.loads(path.read_text("utf-8"))["recipe"])
        augmentation = Augmentation(**values.pop("augmentation"))
        return Recipe(augmentation=augmentation, **{f.name: values[f.name] for f in fields(Recipe) if f.name in values})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} holds no recipe ({error}); a run folder's recipe.json does") from error
