"""The documents' studies: what dropout, width, depth, optimizer, batch size and epochs do to the accuracy.

And one of ours, which layers `edge` has.

A study is a list of recipes that differ in one thing. `study(name)` gives it; `study_runs.py` trains it, and what is
compared is the accuracy on the validation images: a study chooses, and no choice looks at the test set.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from digits_edge.runtime.errors import unknown_name
from digits_edge.train.training.recipe import Optimizer, Recipe, named_recipe

#: Enough for Adam to come near its end on MNIST.
EPOCHS = 10
#: The study of epochs has one run, so it can be longer.
MAX_EPOCHS = 40
#: Of hidden layers, and of batches.
_SIZES = (16, 32, 64, 128, 256, 512)
_READ_AFTER = (1, 2, 3, 5, 10, 20, 40, 80, 160)
#: Keras's defaults; Lion's is a fifth of AdamW's, since its authors advise a third to a tenth (Chen et al. 2023,
#: "Symbolic discovery of optimization algorithms").
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
    """One of the things compared.

    Attributes:
        label: what it is called in tables and pictures.
        recipe: how it is trained.
        value: where it stands on the axis; None where there is no number.
        after_epoch: its figure is that of this epoch, from 1; None for the epoch that the run keeps, here the last.
    """

    label: str
    recipe: Recipe
    value: float | None = None
    after_epoch: int | None = None

    @property
    def run(self) -> str:
        """The name of its run folder; variants that are read off one run share it."""
        epochs = f"{self.recipe.epochs}-epochs-seed-{self.recipe.seed}"
        return epochs if self.after_epoch is not None else f"{self.label.replace(' ', '-')}-{epochs}"


@dataclass(frozen=True)
class Study:
    """Variants that differ in one thing.

    Attributes:
        name: as `study` knows it.
        title: what is varied, with a capital.
        setting: what all variants have in common, as a sentence.
        scale: of the axis on which the values lie; "names" where they are none.
        variants: in the order of their values.
    """

    name: str
    title: str
    setting: str
    scale: Literal["linear", "log", "names"]
    variants: tuple[Variant, ...]

    def seeded(self, seed: int) -> "Study":
        """The same study with another seed."""
        variants = (replace(v, recipe=replace(v.recipe, seed=seed)) for v in self.variants)
        return replace(self, variants=tuple(variants))


def study(name: str, *, epochs: int | None = None) -> Study:
    """A study by its name.

    Args:
        name: one of `study_names()`.
        epochs: of each training; None for 10, and 40 in the study of epochs.

    Raises:
        UsageError: there is no such study.
    """
    if name not in _STUDIES:
        raise unknown_name("study", name, _STUDIES)
    return _STUDIES[name](epochs)


def study_names() -> tuple[str, ...]:
    """The names that `study` knows."""
    return tuple(_STUDIES)


def _two_layers(epochs: int | None) -> Recipe:
    """The plain network of the documents, trained as their best one of its kind: Adam, 0.001, batch 128."""
    trained = named_recipe("document", "mlp-wide", epochs=epochs or EPOCHS)
    return replace(trained, model="mlp")


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
        setting="Two hidden layers of as many units; Adam, learning rate 0.001, batch size 128.",
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
        setting="Two hidden layers of 64 units; Adam. The learning rate stays 0.001, and so does the number of epochs: "
        "a larger batch makes fewer steps.",
        scale="log",
        variants=tuple(Variant(str(size), replace(base, batch_size=size), size) for size in _SIZES),
    )


def _epochs(epochs: int | None) -> Study:
    most = epochs or MAX_EPOCHS
    recipe = replace(_two_layers(most), batch_size=64)
    read = [*(epoch for epoch in _READ_AFTER if epoch < most), most]
    return Study(
        name="epochs",
        title="Epochs",
        setting="Two hidden layers of 64 units; Adam, learning rate 0.001, batch size 64. The learning rate is "
        "constant, so one training is read after every epoch: a shorter one would have ended there.",
        scale="log",
        variants=tuple(Variant(str(epoch), recipe, epoch, after_epoch=epoch) for epoch in read),
    )


def _edge(epochs: int | None) -> Study:
    base = named_recipe("best", "edge", epochs=epochs or EPOCHS)
    return Study(
        name="edge",
        title="Layers of edge",
        setting="Convolutions without padding, each by its filters and kernel, s2 where it takes every second pixel, "
        "and one dense layer; taught as edge is, all by the same teachers, which are trained first.",
        scale="names",
        variants=tuple(Variant(_layers_text(layers), replace(base, structure=layers)) for layers in _EDGES),
    )


def _layers_text(layers: dict[str, list[int]]) -> str:
    each = zip(layers["filters"], layers["kernels"], layers["strides"], strict=True)
    return " ".join(f"{count}x{kernel}{'s2' if stride == 2 else ''}" for count, kernel, stride in each)


#: From 26,000 parameters to what fits into 128 KB of int8, and that in different shapes: strided early or late, few
#: wide layers or more narrow ones.
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
