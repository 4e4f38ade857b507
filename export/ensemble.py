"""Ensembles: several classifiers whose probabilities are averaged, in Keras and in a single ONNX graph."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from digits_edge.export.source import Source, calibrated_outputs
from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.model_file import INPUT_NAME, OUTPUT_NAME, OutputKind
from digits_edge.runtime.model.steps import PreprocessingStep


@dataclass(frozen=True)
class Ensemble:
    """Keras classifiers whose calibrated probabilities are averaged; exported like a single `Source`.

    Members may differ in architecture, input scale and validation images. The folds of a cross-validation can be an
    ensemble.

    Attributes:
        members: at least two sources.

    Raises:
        UsageError: there are fewer than two members, or members differ in labels or training data.

    Example:
        >>> ensemble = Ensemble((read_source("run-1"), read_source("run-2")))  # doctest: +SKIP
        >>> export(ensemble, Path("ensemble.onnx"), precision="fp32")  # doctest: +SKIP
    """

    members: tuple[Source, ...]

    def __post_init__(self) -> None:
        if len(self.members) < 2:
            raise UsageError("an ensemble needs at least two members; add a member, or export the source on its own")
        first = self.members[0]
        for number, member in enumerate(self.members[1:], start=2):
            if member.labels != first.labels:
                raise UsageError(
                    f"member {number} ({member.name}) has the labels {','.join(member.labels)}, "
                    f"member 1 ({first.name}) has {','.join(first.labels)}; all members must have the same labels"
                )
            if (member.image, member.output) != (first.image, first.output):
                raise UsageError(
                    f"member {number} ({member.name}) takes {member.image.description} pixels and ends in a "
                    f"{member.output}, member 1 ({first.name}) takes {first.image.description} and ends in a "
                    f"{first.output}; all members must have the same input and output"
                )
        trained_on = {member.data["sha256"]: member.data["name"] for member in self.members if "sha256" in member.data}
        if len(trained_on) > 1:
            datasets = ", ".join(f"{name} ({sha256[:12]}…)" for sha256, name in trained_on.items())
            raise UsageError(f"members were trained on different data: {datasets}; choose members with the same data")

    @property
    def name(self) -> str:
        """The default name, such as `ensemble-of-3`."""
        return f"ensemble-of-{len(self.members)}"

    @property
    def architecture(self) -> str:
        """Always `ensemble`."""
        return "ensemble"

    @property
    def labels(self) -> tuple[str, ...]:
        """The class names, which all members share."""
        return self.members[0].labels

    @property
    def image(self) -> ImageInput:
        """The input, which all members share."""
        return self.members[0].image

    @property
    def preprocessing(self) -> tuple[PreprocessingStep, ...]:
        """The preprocessing of the first member."""
        return self.members[0].preprocessing

    @property
    def output(self) -> OutputKind:
        """Kind of the probabilities, which all members share."""
        return self.members[0].output

    @property
    def parameters(self) -> int:
        """The number of parameters of all members together."""
        return sum(member.parameters for member in self.members)

    @property
    def data(self) -> dict[str, Any]:
        """The training data recorded in the first member that is a run folder; empty if all are Keras files."""
        return next((member.data for member in self.members if member.data), {})

    @property
    def validation(self) -> str:
        """The split rule of the first member; the ensemble is compared on its validation images."""
        return self.members[0].validation

    @property
    def versions(self) -> dict[str, str]:
        """The versions of the libraries the members were trained with; all versions of a library if they differ."""
        libraries = sorted({library for member in self.members for library in member.versions})
        return {
            library: ", ".join(sorted({m.versions[library] for m in self.members if library in m.versions}))
            for library in libraries
        }


def mean_probabilities(probabilities: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Average the probabilities of several members, each (N, C), in float64.

    Example:
        >>> mean_probabilities([np.array([[1.0, 0.0]], np.float32), np.array([[0.5, 0.5]], np.float32)])
        array([[0.75, 0.25]], dtype=float32)
    """
    mean: NDArray[np.float64] = np.mean(np.stack(probabilities), axis=0, dtype=np.float64)
    return mean.astype(np.float32)


def mean_outputs(
    sources: Sequence[Source], images: NDArray[np.uint8], temperatures: Sequence[float]
) -> NDArray[np.float32]:
    """Average the calibrated probabilities of several Keras models.

    Args:
        sources: the members.
        images: uint8 (N, H, W[, 3]).
        temperatures: the temperature of each member.

    Returns:
        Shape (N, C), float32.

    Example:
        >>> import keras
        >>> from digits_edge.runtime.model.pixel_range import PixelRange
        >>> model = keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten(), keras.layers.Dense(10)])
        >>> source = Source("tiny", "tiny", model, PixelRange(1), tuple("0123456789"))
        >>> mean_outputs([source, source], np.zeros((3, 28, 28), np.uint8), [1.0, 2.0]).shape
        (3, 10)
    """
    return mean_probabilities([calibrated_outputs(s, images, t) for s, t in zip(sources, temperatures, strict=True)])


def average(models: Sequence[ir.Model]) -> ir.Model:
    """Merge several models into one that outputs the mean of their probabilities.

    Args:
        models: input uint8 (N, H, W[, 3]), output probabilities (N, C); their nodes are moved into the new graph.

    Returns:
        A model with the same input and output; names of a member's nodes and values begin with `member_1_`, `member_2_`
        and so on. A single model is returned unchanged.
    """
    if len(models) == 1:
        return models[0]
    shape = models[0].graph.inputs[0].shape
    image = ir.Value(name=INPUT_NAME, type=ir.TensorType(ir.DataType.UINT8), shape=shape)
    count = ir.Value(name="members", const_value=ir.tensor(np.array(len(models), np.float32), name="members"))
    nodes: list[ir.Node] = []
    initializers, outputs = [count], []
    opsets: dict[str, int] = {}
    for number, model in enumerate(models, start=1):
        graph = model.graph
        _prefix_names(graph, f"member_{number}_")
        graph.inputs[0].replace_all_uses_with(image)
        outputs.append(graph.outputs[0])
        graph.outputs.clear()
        initializers += graph.initializers.values()
        graph.initializers.clear()
        nodes += (own := list(graph))
        graph.remove(own)
        opsets |= graph.opset_imports
    # Sum and Div, because not every provider has a kernel for Mean
    total = ir.node("Sum", outputs, name="sum")
    mean = ir.node("Div", [total.outputs[0], count], name="mean")
    total.outputs[0].name, mean.outputs[0].name = "sum_output_0", OUTPUT_NAME
    mean.outputs[0].type, mean.outputs[0].shape = outputs[0].type, outputs[0].shape
    merged = ir.Graph(
        [image], mean.outputs, nodes=[*nodes, total, mean], initializers=initializers, opset_imports=opsets
    )
    return ir.Model(merged, ir_version=max(model.ir_version for model in models))


def _prefix_names(graph: ir.Graph, prefix: str) -> None:
    for value in (*graph.initializers.values(), *(result for node in graph for result in node.outputs)):
        value.name = f"{prefix}{value.name}"
    for node in graph:
        node.name = f"{prefix}{node.name}"
