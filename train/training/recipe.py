"""Every setting of a training, and the documents' and our best setting of each model."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from digits_edge.runtime.errors import InputError, UsageError, unknown_name
from digits_edge.runtime.json_record import read_json
from digits_edge.train.data.augmentation import GARMENT, HAND, NO_AUGMENTATION, ROUGH, ROUGH_GARMENT, Augmentation

Schedule = Literal["constant", "cosine", "exponential", "plateau"]
Keep = Literal["best", "last"]
Optimizer = Literal["adam", "adamw", "lion", "nadam", "rmsprop", "sgd"]
DtypePolicy = Literal["float32", "mixed_bfloat16", "mixed_float16"]
_Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Distillation:
    """Whom a student learns from instead of the labels alone.

    Attributes:
        teachers: the recipes of the networks whose mean answer is learnt; their rule of validation is the student's.
        views: how many augmented copies of every training image they answer; the student's augmentation makes them.
        share: of their answer in what is learnt; the rest is the label.
        non_digits: how many drawings of what is no digit are shown in every view. They are learnt as equally likely to
            be anything, so that a student doubts what it does not know (Hendrycks, Mazeika and Dietterich 2019,
            "Deep anomaly detection with outlier exposure").
        cutmix: the share of the images of every view that are cut and continued by another of them, as
            `digits_edge.train.data.cutmix.cutmix` does it; of these the answer alone is learnt.
        seed: of the views and drawings; students with other seeds of their own learn from the same.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", strict=True)

    teachers: Annotated[tuple["Recipe", ...], Field(min_length=1)]
    views: _Count = 20
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    non_digits: Annotated[int, Field(ge=0)] = 0
    cutmix: Annotated[float, Field(ge=0, le=1)] = 0.0
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0


@dataclass(frozen=True)
class Recipe:
    """All that decides a training besides the data.

    Attributes:
        model: the architecture's name.
        epochs: how many at most.
        batch_size: images per step.
        optimizer: its Keras name.
        learning_rate: the optimizer's, at its highest.
        schedule: "constant"; "cosine": one epoch of warm-up, then a half cosine to zero; "exponential": times 0.9
            per epoch, smoothly; "plateau": times 0.2 after two epochs without a smaller validation loss, down to 1e-4
            (the documents').
        patience: stop after this many epochs without a smaller validation loss; None trains all epochs.
        keep: which epoch's weights: "best" has the smallest validation loss; "last" looks at no validation (the
            documents', where they restore no weights).
        min_delta: by how much a validation loss must be smaller to count for `patience`.
        validation: the rule that parts the data, as `digits_edge.runtime.datasets.parts` takes it.
        augmentation: what is done to each training image.
        average_decay: of the moving average of the weights, per step; None for no average.
        dtype_policy: of the training's arithmetic; "mixed_bfloat16" nearly halves the time on CPUs that have it.
            Weights are float32 always.
        structure: what is changed of the architecture, as `digits_edge.train.models.architectures.build` takes it.
        seed: of weights, order and dropout; and of the augmentation, where no teachers see that first.
        teaching: None to learn the labels.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", strict=True)

    model: str
    epochs: _Count
    batch_size: _Count
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    optimizer: Optimizer = "adam"
    schedule: Schedule = "constant"
    patience: _Count | None = None
    keep: Keep = "best"
    min_delta: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    validation: str = "tenth"
    augmentation: Augmentation = field(default=NO_AUGMENTATION)
    average_decay: Annotated[float, Field(ge=0, lt=1)] | None = None
    dtype_policy: DtypePolicy = "float32"
    structure: dict[str, Any] = field(default_factory=dict)
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    distillation: Distillation | None = None


def _document_mlp(model: str, epochs: int) -> Recipe:
    return Recipe(
        model, epochs, batch_size=64, learning_rate=0.01, optimizer="sgd", validation="last-fifth", keep="last"
    )


def _document_cnn(model: str) -> Recipe:
    usual: dict[str, Any] = {"schedule": "plateau", "patience": 3, "validation": "last-tenth"}
    return Recipe(model, epochs=50, batch_size=64, learning_rate=0.001, **usual)


def _best(model: str, epochs: int, learning_rate: float, **settings: Any) -> Recipe:
    usual: dict[str, Any] = {"batch_size": 128, "schedule": "cosine", "augmentation": HAND, "average_decay": 0.999}
    return Recipe(model, epochs, learning_rate=learning_rate, **(usual | settings))


DOCUMENT_RECIPES = {
    "perceptron": _document_mlp("perceptron", epochs=70),
    "mlp": _document_mlp("mlp", epochs=100),
    "mlp-dropout": _document_mlp("mlp-dropout", epochs=50),
    "mlp-wide": Recipe(
        "mlp-wide", epochs=31, batch_size=128, learning_rate=0.001, validation="last-fifth", keep="last"
    ),
    "cnn-small": Recipe("cnn-small", epochs=30, batch_size=32, learning_rate=0.005, keep="last"),
    "cnn": _document_cnn("cnn"),
    "resnet": _document_cnn("resnet"),
    "kaggle-cnn": Recipe(
        "kaggle-cnn",
        epochs=20,
        batch_size=32,
        learning_rate=0.001,
        schedule="plateau",
        patience=10,
        min_delta=1e-6,
        validation="kaggle",
    ),
}
BEST_RECIPES = {
    "perceptron": _best("perceptron", 30, 0.003, augmentation=NO_AUGMENTATION),
    "mlp": _best("mlp", 60, 0.002),
    "mlp-dropout": _best("mlp-dropout", 60, 0.002, structure={"dropout": 0.1}),
    "mlp-wide": _best("mlp-wide", 60, 0.001, structure={"dropout": 0.2}),
    "cnn-small": _best("cnn-small", 40, 0.003, batch_size=64),
    "cnn": _best("cnn", 36, 0.002, dtype_policy="mixed_bfloat16"),
    "resnet": _best("resnet", 30, 0.002, dtype_policy="mixed_bfloat16"),
    "kaggle-cnn": _best(
        "kaggle-cnn", 50, 0.001, dtype_policy="mixed_bfloat16", validation="kaggle", structure={"dropout": 0.4}
    ),
}
#: What teaches `edge`, and as one model is `edge-ensemble`: small networks of unlike shapes err in other places, and a
#: tenth of the time of a large one trains each.
_TEACHERS = (
    BEST_RECIPES["resnet"],
    _best(
        "edge",
        40,
        0.004,
        batch_size=256,
        augmentation=ROUGH,
        dtype_policy="mixed_bfloat16",
        structure={"filters": [64, 128, 128, 192]},
        seed=1,
    ),
    _best("edge", 30, 0.004, batch_size=256),
    _best(
        "edge",
        30,
        0.004,
        batch_size=256,
        structure={"filters": [32, 48, 64, 64, 64], "kernels": [5, 3, 3, 3, 3], "strides": [2, 1, 1, 2, 1]},
        seed=2,
    ),
)
_ROUGH_STUDENT, _ROUGH_GARMENT_STUDENT = ROUGH.corrupted(0.15), ROUGH_GARMENT.corrupted(0.15)
BEST_RECIPES["edge"] = _best(
    "edge",
    150,
    0.004,
    batch_size=256,
    augmentation=_ROUGH_STUDENT,
    dtype_policy="mixed_bfloat16",
    distillation=Distillation(_TEACHERS, non_digits=6000, cutmix=0.4),
)
_GARMENT_INSTEAD = {HAND: GARMENT, ROUGH: ROUGH_GARMENT, _ROUGH_STUDENT: _ROUGH_GARMENT_STUDENT}
#: Without drawings of what is no digit: to a model of garments a digit is as strange as those.
_GARMENT_TEACHING = Distillation((replace(BEST_RECIPES["resnet"], epochs=16, augmentation=GARMENT),), share=0.8)
#: Where garments want more than another augmentation: there is more to learn in them, and their turns are small.
_FOR_GARMENTS: dict[str, dict[str, Any]] = {
    "cnn-small": {
        "epochs": 80,
        "batch_size": 128,
        "optimizer": "adamw",
        "learning_rate": 0.004,
        "distillation": _GARMENT_TEACHING,
    },
    "edge": {"epochs": 40, "distillation": replace(_GARMENT_TEACHING, cutmix=0.4)},
}
RECIPES = {"best": BEST_RECIPES, "document": DOCUMENT_RECIPES}


def named_recipe(kind: str, model: str, *, data: str = "mnist", **settings: Any) -> Recipe:
    """The recipe of a model, with single settings changed.

    Args:
        kind: "best" or "document".
        model: the architecture's name.
        data: the data set's name; our best recipes treat garments (fashion-mnist) otherwise than digits.
        **settings: fields of `Recipe` that replace the recipe's own; not its teachers'.

    Raises:
        UsageError: no such kind or model.
    """
    if kind not in RECIPES:
        raise unknown_name("kind of recipe", kind, RECIPES)
    if model not in RECIPES[kind]:
        if model in BEST_RECIPES:
            raise UsageError(f"no document describes {model}, which is ours; its recipe is 'best'")
        raise unknown_name("model", model, RECIPES[kind])
    recipe = RECIPES[kind][model]
    return replace(for_data(recipe, data), **settings)


def for_data(recipe: Recipe, data: str) -> Recipe:
    """One of our best recipes as it is for a data set of this name: garments want another than digits."""
    return _for_garments(recipe) if data == "fashion-mnist" else recipe


def _for_garments(recipe: Recipe) -> Recipe:
    if recipe.augmentation not in _GARMENT_INSTEAD:
        return recipe
    changed = {"augmentation": _GARMENT_INSTEAD[recipe.augmentation], **_FOR_GARMENTS.get(recipe.model, {})}
    return replace(recipe, **changed)


def recipe_data(path: Path) -> tuple[str, str | None]:
    """Name and sha256 of the data that the run of a `recipe.json` was trained on; "mnist" where the file names none."""
    read_recipe(path)
    data = read_json(path).get("data")
    data = data if isinstance(data, dict) else {}
    return str(data.get("name", "mnist")), data.get("sha256")


def recipe_to_json(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain JSON values."""
    return asdict(recipe)


def read_recipe(path: Path) -> Recipe:
    """The recipe in a file: the `recipe.json` of a run, or one that `tune` has written.

    Raises:
        InputError: the file is missing, holds no recipe, or one with a setting that is unknown or out of range.
    """
    try:
        return TypeAdapter(Recipe).validate_json(json.dumps(read_json(path)["recipe"]))
    except ValidationError as error:
        first = error.errors()[0]
        setting = ".".join(map(str, first["loc"])) or "recipe"
        raise InputError(f"{path}: {setting} {first['input']!r}: {first['msg']}; mend it") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} holds no recipe ({error!r}); a run folder's recipe.json does") from error
