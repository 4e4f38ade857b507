"""Studies: effect of dropout, width, depth, optimizer, batch size and epochs on accuracy, and of the layers of `edge`.

A study is a list of recipes that differ in one setting. `study(name)` returns it and `study_runs.py` trains it.
Variants are compared by validation accuracy: studies select settings, and the test set must not influence selection.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from digits_edge.runtime.errors import unknown_name
from digits_edge.train.training.recipe import Optimizer, Recipe, named_recipe

#: Adam nearly converges on MNIST in ten epochs.
EPOCHS = 10
#: Epochs of the study of epochs, which has one run.
MAX_EPOCHS = 40
#: Widths of hidden layers, and batch sizes.
_SIZES = (16, 32, 64, 128, 256, 512)
_COMPARED_EPOCHS = (1, 2, 3, 5, 10, 20, 40, 80, 160)
#: Learning rates: Keras's defaults, and for Lion a fifth of AdamW's; its authors advise a third to a tenth (Chen et al.
#: 2023, "Symbolic discovery of optimization algorithms").
OPTIMIZER_RATES: dict[Optimizer, float] = {
    "sgd": 0.01,
    "rmsprop": 0.001,
    "adam": 0.001,
    "adamw": 0.001,
    "nadam": 0.001,
    "lion": 0.0002,
}


@dataclass(frozen=True)
class Variant:
    """One variant of a study.

    Attributes:
        label: name in tables and charts.
        recipe: recipe of its training.
        value: position on the axis; None if the varied setting is not a number.
        after_epoch: epoch whose accuracy is compared, from 1; None for the epoch whose weights are stored.
    """

    label: str
    recipe: Recipe
    value: float | None = None
    after_epoch: int | None = None

    @property
    def run(self) -> str:
        """Name of the run folder; variants of the same training share it."""
        epochs = f"{self.recipe.epochs}-epochs-seed-{self.recipe.seed}"
        return epochs if self.after_epoch is not None else f"{self.label.replace(' ', '-')}-{epochs}"


@dataclass(frozen=True)
class Study:
    """Variants that differ in one setting.

    Attributes:
        name: name for `study`.
        title: varied setting, capitalized.
        setting: description of the settings that all variants share.
        scale: scale of the axis; "names" if the varied setting is not a number.
        variants: variants in the order of their values.
    """

    name: str
    title: str
    setting: str
    scale: Literal["linear", "log", "names"]
    variants: tuple[Variant, ...]

    def seeded(self, seed: int) -> "Study":
        """The study with another seed for all its recipes."""
        variants = (replace(v, recipe=replace(v.recipe, seed=seed)) for v in self.variants)
        return replace(self, variants=tuple(variants))


def study(name: str, *, epochs: int | None = None) -> Study:
    """Create a study by name.

    Args:
        name: one of `study_names()`.
        epochs: epochs of each training; None for 10, or 40 in the study of epochs.

    Raises:
        UsageError: the name is unknown.

    Example:
        >>> [variant.label for variant in study("dropout").variants]
        ['0', '0.1', '0.3', '0.5', '0.7']
    """
    if name not in _STUDIES:
        raise unknown_name("study", name, _STUDIES)
    return _STUDIES[name](epochs)


def study_names() -> tuple[str, ...]:
    """Names of the studies.

    Example:
        >>> "depth" in study_names()
        True
    """
    return tuple(_STUDIES)


def _two_layers(epochs: int | None) -> Recipe:
    """Recipe of `mlp` with the settings of the reference recipe of `mlp-wide`: Adam, 0.001, batch size 128."""
    recipe = named_recipe("document", "mlp-wide", epochs=epochs or EPOCHS)
    return replace(recipe, model="mlp")


def _dropout(epochs: int | None) -> Study:
    base = named_recipe("document", "mlp-wide", epochs=epochs or EPOCHS)
    return Study(
        name="dropout",
        title="Dropout",
        setting="Two hidden layers of 512 units, each followed by dropout; Adam, learning rate 0.001, batch size 128.",
        scale="linear",
        variants=tuple(
            Variant(f"{share:g}", replace(base, structure={"dropout": share}), share)
            for share in (0.0, 0.1, 0.3, 0.5, 0.7)
        ),
    )


def _units(epochs: int | None) -> Study:
    base = _two_layers(epochs)
    return Study(
        name="units",
        title="Hidden units",
        setting="Two hidden layers of equal width; Adam, learning rate 0.001, batch size 128.",
        scale="log",
        variants=tuple(
            Variant(str(width), replace(base, structure={"units": [width, width]}), width) for width in _SIZES
        ),
    )


def _depth(epochs: int | None) -> Study:
    base = _two_layers(epochs)
    return Study(
        name="depth",
        title="Hidden layers",
        setting="Hidden layers of 64 units; Adam, learning rate 0.001, batch size 128.",
        scale="linear",
        variants=tuple(
            Variant(str(layers), replace(base, structure={"units": [64] * layers}), layers) for layers in (1, 2, 3, 4)
        ),
    )


def _optimizer(epochs: int | None) -> Study:
    base = named_recipe("document", "mlp", epochs=epochs or EPOCHS)
    return Study(
        name="optimizer",
        title="Optimizer",
        setting="Two hidden layers of 64 units, batch size 64; every optimizer with Keras's default learning rate, "
        "Lion with a fifth of AdamW's, as its authors advise.",
        scale="names",
        variants=tuple(
            Variant(optimizer, replace(base, optimizer=optimizer, learning_rate=rate))
            for optimizer, rate in OPTIMIZER_RATES.items()
        ),
    )


def _batch_size(epochs: int | None) -> Study:
    base = _two_layers(epochs)
    return Study(
        name="batch-size",
        title="Batch size",
        setting="Two hidden layers of 64 units; Adam, learning rate 0.001. The number of epochs is constant, so larger "
        "batches have fewer steps.",
        scale="log",
        variants=tuple(Variant(str(size), replace(base, batch_size=size), size) for size in _SIZES),
    )


def _epochs(epochs: int | None) -> Study:
    total = epochs or MAX_EPOCHS
    recipe = replace(_two_layers(total), batch_size=64)
    compared = [*(epoch for epoch in _COMPARED_EPOCHS if epoch < total), total]
    return Study(
        name="epochs",
        title="Epochs",
        setting="Two hidden layers of 64 units; Adam, learning rate 0.001, batch size 64. The learning rate is "
        "constant, so the accuracy of one training after each epoch is that of a shorter training.",
        scale="log",
        variants=tuple(Variant(str(epoch), recipe, epoch, after_epoch=epoch) for epoch in compared),
    )


def _edge(epochs: int | None) -> Study:
    base = named_recipe("best", "edge", epochs=epochs or EPOCHS)
    return Study(
        name="edge",
        title="Layers of edge",
        setting="Convolutions without padding, written as filters x kernel, s2 for stride 2, and one dense layer; all "
        "distilled from the teachers of edge, which are trained first.",
        scale="names",
        variants=tuple(Variant(_layers_text(layers), replace(base, structure=layers)) for layers in _EDGES),
    )


def _layers_text(layers: dict[str, list[int]]) -> str:
    each = zip(layers["filters"], layers["kernels"], layers["strides"], strict=True)
    return " ".join(f"{count}x{kernel}{'s2' if stride == 2 else ''}" for count, kernel, stride in each)


#: From 26,000 parameters to the most that fit into 128 KB of int8, with strides early or late, and few wide or more
#: narrow layers.
_EDGES: tuple[dict[str, list[int]], ...] = (
    {"filters": [12, 24, 32, 48], "kernels": [5, 3, 3, 3], "strides": [2, 1, 2, 1]},
    {"filters": [24, 40, 48, 64], "kernels": [5, 3, 3, 3], "strides": [2, 1, 2, 1]},
    {"filters": [32, 64, 64, 84], "kernels": [5, 3, 3, 3], "strides": [2, 1, 2, 1]},
    {"filters": [16, 48, 72, 96], "kernels": [5, 3, 3, 3], "strides": [2, 1, 2, 1]},
    {"filters": [48, 64, 96], "kernels": [5, 3, 3], "strides": [2, 1, 2]},
    {"filters": [32, 64, 128], "kernels": [5, 3, 3], "strides": [2, 2, 1]},
    {"filters": [16, 32, 48, 64, 64], "kernels": [3, 3, 3, 3, 3], "strides": [1, 2, 1, 2, 1]},
    {"filters": [24, 48, 48, 56, 64], "kernels": [5, 3, 3, 3, 3], "strides": [2, 1, 1, 1, 2]},
)
_STUDIES: dict[str, Callable[[int | None], Study]] = {
    "dropout": _dropout,
    "units": _units,
    "depth": _depth,
    "optimizer": _optimizer,
    "batch-size": _batch_size,
    "epochs": _epochs,
    "edge": _edge,
}
