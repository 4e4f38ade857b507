"""Recipes: the settings of a training, with the reference recipe and this project's best recipe of each model."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from digits_edge.runtime.datasets.dataset import DIGIT_INPUT
from digits_edge.runtime.datasets.options import ReadingOptions
from digits_edge.runtime.errors import InputError, UsageError, unknown_name
from digits_edge.runtime.json_record import as_record, read_json
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.steps import PreprocessingStep
from digits_edge.train.data.augmentation import (
    GARMENT,
    HAND,
    NO_AUGMENTATION,
    PHOTO,
    ROUGH,
    ROUGH_GARMENT,
    Augmentation,
)
from digits_edge.train.data.hands import Hands
from digits_edge.train.numbers.settings import Lines

Schedule = Literal["constant", "cosine", "exponential", "plateau"]
Keep = Literal["best", "last"]
Optimizer = Literal["adam", "adamw", "lion", "nadam", "rmsprop", "sgd"]
DtypePolicy = Literal["float32", "mixed_bfloat16", "mixed_float16"]
_Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Distillation:
    """Settings of a distillation: a student is trained on the predictions of teachers.

    Attributes:
        teachers: recipes of the teachers, whose mean probabilities are the soft targets. The student's validation rule
            replaces theirs.
        views: number of augmented copies of each training image, made by the student's augmentation.
        share: weight of the teachers' probabilities in the targets; the rest is the label.
        non_digits: number of drawings per view that are not digits. Their target is the uniform distribution, which
            lowers the student's confidence on unknown inputs (Hendrycks, Mazeika and Dietterich 2019, "Deep anomaly
            detection with outlier exposure").
        cutmix: share of the images of each view that `digits_edge.train.data.cutmix.cutmix` mixes with others; their
            targets are the teachers' probabilities alone.
        seed: seed of the views and drawings, independent of the student's seed.

    Example:
        >>> teacher = Recipe("cnn", epochs=2, batch_size=64, learning_rate=0.001)
        >>> Distillation((teacher,), views=5).share
        1.0
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
    """All settings of a training besides the data.

    Attributes:
        model: name of the architecture.
        epochs: largest number of epochs.
        batch_size: images per step.
        learning_rate: largest learning rate of the schedule.
        optimizer: Keras name of the optimizer.
        schedule: "constant"; "cosine": one epoch of warm-up, then a half cosine to zero; "exponential": × 0.9 per
            epoch, smoothly; "plateau": × 0.2 after two epochs without a smaller validation loss, down to 1e-4.
        patience: stop after this many epochs without a smaller validation loss; None trains all epochs.
        keep: epoch whose weights are stored: "best" has the smallest validation loss; "last" ignores the validation.
        min_delta: smallest decrease of the validation loss that counts for `patience`.
        validation: rule that splits the data, as in `digits_edge.runtime.datasets.parts`.
        augmentation: augmentation of the training images.
        average_decay: decay per step of the moving average of the weights; None for no average.
        dtype_policy: Keras dtype policy; "mixed_bfloat16" is nearly 2× faster on CPUs with bfloat16 instructions.
            Stored weights are always float32.
        structure: changes of the architecture, as in `digits_edge.train.models.architectures.build`.
        seed: seed of weights, order and dropout; without distillation also of the augmentation.
        distillation: teachers and their settings; None to train on the labels.
        hands: made images of digits that are added to the training images; None for none. They replace those of its
            teachers; a teacher whose recipe has none sees none.
        lines: made lines of numbers, for a sequence model; None for classifiers. The data set's images are digits on
            the lines, and validation lines have digits of the validation images.

    Example:
        >>> Recipe("mlp", epochs=5, batch_size=64, learning_rate=0.01).schedule
        'constant'
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
    hands: Hands | None = None
    lines: Lines | None = None


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
_HANDS = Hands(30_000)
_WIDE = {"filters": [64, 128, 128, 192]}
_DEEP = {"filters": [48, 96, 96, 128, 128], "kernels": [3, 3, 3, 3, 3], "strides": [1, 2, 1, 2, 1]}
_COARSE = {"filters": [32, 96, 160], "kernels": [7, 5, 3], "strides": [2, 1, 2]}
_NARROW = {"filters": [32, 48, 64, 64, 64], "kernels": [5, 3, 3, 3, 3], "strides": [2, 1, 1, 2, 1]}


def _teacher(epochs: int, structure: dict[str, Any], seed: int, **settings: Any) -> Recipe:
    return _best(
        "edge", epochs, 0.004, batch_size=256, dtype_policy="mixed_bfloat16", structure=structure, seed=seed, **settings
    )


#: Teachers of `edge`, exported together as `edge-ensemble`. Small networks of different shapes make different errors,
#: and each trains in a tenth of the time of a large one. Two see only MNIST: with them, the mean makes fewer errors on
#: MNIST, and hardly more on the digits of other hands.
_TEACHERS = (
    _teacher(60, _WIDE, 1, augmentation=ROUGH, hands=_HANDS),
    _teacher(50, _DEEP, 3, augmentation=ROUGH, hands=_HANDS),
    _teacher(50, _COARSE, 4, augmentation=ROUGH, hands=_HANDS),
    _teacher(40, _NARROW, 2, augmentation=ROUGH, hands=_HANDS),
    _teacher(40, _WIDE, 5),
    _teacher(30, _DEEP, 6),
)
_ROUGH_STUDENT, _ROUGH_GARMENT_STUDENT = ROUGH.corrupted(0.15), ROUGH_GARMENT.corrupted(0.15)
BEST_RECIPES["edge"] = _best(
    "edge",
    120,
    0.004,
    batch_size=256,
    augmentation=_ROUGH_STUDENT,
    dtype_policy="mixed_bfloat16",
    distillation=Distillation(_TEACHERS, views=16, non_digits=6000, cutmix=0.4),
    hands=_HANDS,
)
BEST_RECIPES["number"] = _best(
    "number",
    10,
    0.0016,
    schedule="constant",
    average_decay=0.9998,
    batch_size=32,
    augmentation=NO_AUGMENTATION,
    dtype_policy="mixed_bfloat16",
    keep="last",
    lines=Lines(90_000),
)
_GARMENT_INSTEAD = {HAND: GARMENT, ROUGH: ROUGH_GARMENT, _ROUGH_STUDENT: _ROUGH_GARMENT_STUDENT}
#: Without drawings that are not digits: to a model of garments, digits are outliers as well.
_GARMENT_DISTILLATION = Distillation((replace(BEST_RECIPES["resnet"], epochs=16, augmentation=GARMENT),), share=0.8)
#: Settings besides the augmentation that differ for garments, which need more training.
_FOR_GARMENTS: dict[str, dict[str, Any]] = {
    "cnn-small": {
        "epochs": 80,
        "batch_size": 128,
        "optimizer": "adamw",
        "learning_rate": 0.004,
        "distillation": _GARMENT_DISTILLATION,
    },
    "edge": {"epochs": 40, "distillation": replace(_GARMENT_DISTILLATION, cutmix=0.4)},
}
RECIPES = {"best": BEST_RECIPES, "document": DOCUMENT_RECIPES}


def named_recipe(
    kind: str, model: str, *, data: str = "mnist", image: ImageInput = DIGIT_INPUT, **settings: Any
) -> Recipe:
    """Recipe of a model, with changes.

    Args:
        kind: "best" for this project's recipe, "document" for the reference recipe.
        model: name of the architecture.
        data: name of the data set; the best recipes differ for fashion-mnist.
        image: images of the data set; the best recipes differ for photographs and for other sizes, see `for_data`.
        **settings: fields of `Recipe` to change; teachers are not changed.

    Raises:
        UsageError: the kind or model is unknown, or the model has no recipe of this kind.

    Example:
        >>> named_recipe("best", "mlp", epochs=3).epochs
        3
        >>> named_recipe("document", "cnn").optimizer
        'adam'
    """
    if kind not in RECIPES:
        raise unknown_name("recipe", kind, RECIPES)
    if model not in RECIPES[kind]:
        if model in BEST_RECIPES:
            raise UsageError(f"{model} has no {kind!r} recipe; use 'best'")
        raise unknown_name("model", model, RECIPES[kind])
    recipe = RECIPES[kind][model]
    return replace(for_data(recipe, data, image), **settings)


def for_data(recipe: Recipe, data: str, image: ImageInput = DIGIT_INPUT) -> Recipe:
    """Adapt a best recipe to a data set.

    Fashion-MNIST has other settings than digits. Images of another size have larger or smaller shifts, photographs no
    corruption of ink and paper. Neither has drawings for the distillation, nor made images of digits.

    Example:
        >>> for_data(named_recipe("best", "cnn-small"), "fashion-mnist").epochs
        80
        >>> photo = ImageInput(56, 56, 3, "as-photographed")
        >>> for_data(named_recipe("best", "cnn-small"), "pets", photo).augmentation.translation_px
        5.0
    """
    if data == "fashion-mnist":
        return _for_garments(recipe)
    return recipe if image == DIGIT_INPUT else _for_image(recipe, image)


def augmentation_for(augmentation: Augmentation, image: ImageInput) -> Augmentation:
    """Adapt an augmentation for 28×28 digits to other images.

    Example:
        >>> augmentation_for(HAND, ImageInput(28, 28, 3, "as-photographed")) == PHOTO
        True
    """
    if image.polarity == "as-photographed":
        if augmentation.uncorrupted == HAND:
            augmentation = replace(PHOTO, corruption=augmentation.corruption)
        augmentation = augmentation.for_photographs()
    return augmentation.for_side(max(image.shape[:2]))


def _for_image(recipe: Recipe, image: ImageInput) -> Recipe:
    distillation = recipe.distillation
    if distillation is not None:
        teachers = tuple(_for_image(teacher, image) for teacher in distillation.teachers)
        distillation = replace(distillation, teachers=teachers, non_digits=0)
    augmentation = augmentation_for(recipe.augmentation, image)
    return replace(recipe, augmentation=augmentation, distillation=distillation, hands=None)


def _for_garments(recipe: Recipe) -> Recipe:
    recipe = replace(recipe, hands=None)
    if recipe.augmentation not in _GARMENT_INSTEAD:
        return recipe
    changed = {"augmentation": _GARMENT_INSTEAD[recipe.augmentation], **_FOR_GARMENTS.get(recipe.model, {})}
    return replace(recipe, **changed)


def recipe_data(path: Path) -> tuple[str, str | None]:
    """Name and SHA-256 of the training data that a `recipe.json` records; ("mnist", None) if it records none.

    Raises:
        InputError: the file is missing or not a recipe.

    Example:
        >>> import tempfile
        >>> values = {"recipe": recipe_to_json(named_recipe("best", "mlp")), "data": {"name": "kaggle"}}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "recipe.json")
        ...     _ = path.write_text(json.dumps(values))
        ...     recipe_data(path)
        ('kaggle', None)
    """
    read_recipe(path)
    data = read_json(path).get("data")
    data = data if isinstance(data, dict) else {}
    return str(data.get("name", "mnist")), data.get("sha256")


@dataclass(frozen=True)
class _RecordedImages:
    input: ImageInput | None = None
    preprocessing: tuple[PreprocessingStep, ...] | None = None


def recipe_images(path: Path) -> ReadingOptions:
    """Input and preprocessing steps that a `recipe.json` records; the defaults if it records none.

    A sequence model's record is of its lines; the digits on them are read with the defaults.

    Raises:
        InputError: the file is missing or not a recipe, or the record is invalid.

    Example:
        >>> import tempfile
        >>> data = {"input": asdict(ImageInput(32, 32))}
        >>> values = {"recipe": recipe_to_json(named_recipe("best", "mlp")), "data": data}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "recipe.json")
        ...     _ = path.write_text(json.dumps(values))
        ...     recipe_images(path).image.description
        '32×32'
    """
    if read_recipe(path).lines is not None:
        return ReadingOptions()
    try:
        found = as_record(_RecordedImages, read_json(path).get("data") or {})
    except (ValueError, UsageError) as error:
        raise InputError(f"{path}: the record of the images is invalid ({error}); fix the file") from error
    return ReadingOptions(found.input, found.preprocessing)


def recipe_to_json(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON values.

    Example:
        >>> recipe_to_json(named_recipe("best", "mlp"))["model"]
        'mlp'
    """
    return asdict(recipe)


def read_recipe(path: Path) -> Recipe:
    """Read the recipe in the `recipe.json` of a run or the `best.json` of a search.

    Raises:
        InputError: the file is missing or not a recipe, or a setting is unknown or out of range.

    Example:
        >>> import tempfile
        >>> recipe = named_recipe("best", "mlp", epochs=3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "recipe.json")
        ...     _ = path.write_text(json.dumps({"recipe": recipe_to_json(recipe)}))
        ...     read_recipe(path) == recipe
        True
    """
    try:
        return TypeAdapter(Recipe).validate_json(json.dumps(read_json(path)["recipe"]))
    except ValidationError as error:
        first = error.errors()[0]
        setting = ".".join(map(str, first["loc"])) or "recipe"
        raise InputError(f"{path}: {setting} {first['input']!r} is invalid ({first['msg']}); fix the file") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}; name the recipe.json of a run") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a recipe ({error!r}); name the recipe.json of a run") from error
