"""Several classifiers as one: `Ensemble`, the mean of what Keras answers, and the one graph that computes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from digits_edge.export.source import Source, calibrated_outputs
from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.model.model_file import BATCH_AXIS, INPUT_NAME, OUTPUT_NAME


@dataclass(frozen=True)
class Ensemble:
    """Keras classifiers whose calibrated probabilities are averaged; to be exported like one `Source`.

    They may differ in architecture, input scale and the part of the data that validated: the folds of a
    cross-validation are an ensemble too.

    Attributes:
        members: at least two.

    Raises:
        UsageError: fewer, or members that differ in their labels or in the data they were trained on.
    """

    members: tuple[Source, ...]

    def __post_init__(self) -> None:
        if len(self.members) < 2:
            raise UsageError("an ensemble has at least two members; name more, or export the one alone")
        first = self.members[0]
        for number, member in enumerate(self.members[1:], start=2):
            if member.labels != first.labels:
                raise UsageError(
                    f"member {number}, {member.name}, has the labels {','.join(member.labels)}, "
                    f"and the first, {first.name}, {','.join(first.labels)}; an ensemble's members share theirs"
                )
        trained_on = {member.data["sha256"]: member.data["name"] for member in self.members if "sha256" in member.data}
        if len(trained_on) > 1:
            named = ", ".join(f"{name} ({sha256[:12]}…)" for sha256, name in trained_on.items())
            raise UsageError(f"the members were trained on different data: {named}; an ensemble's share theirs")

    @property
    def name(self) -> str:
        """`ensemble-of-3`."""
        return f"ensemble-of-{len(self.members)}"

    @property
    def architecture(self) -> str:
        """Always `ensemble`."""
        return "ensemble"

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes' names, which all members share."""
        return self.members[0].labels

    @property
    def parameters(self) -> int:
        """Of all members together."""
        return sum(member.parameters for member in self.members)

    @property
    def data(self) -> dict[str, Any]:
        """What the first run folder among the members says of the data; empty where all are bare files."""
        return next((member.data for member in self.members if member.data), {})

    @property
    def validation(self) -> str:
        """The rule by which the first member's data was parted: on its validation images the ensemble is compared."""
        return self.members[0].validation

    @property
    def versions(self) -> dict[str, str]:
        """The libraries the members were trained with; all versions of each where they differ."""
        libraries = sorted({library for member in self.members for library in member.versions})
        return {
            library: ", ".join(sorted({m.versions[library] for m in self.members if library in m.versions}))
            for library in libraries
        }


def mean_of(answers: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The mean of several members' probabilities, each (N, C), summed in float64."""
    mean: NDArray[np.float64] = np.mean(np.stack(answers), axis=0, dtype=np.float64)
    return mean.astype(np.float32)


def mean_outputs(
    sources: Sequence[Source], images: NDArray[np.uint8], temperatures: Sequence[float]
) -> NDArray[np.float32]:
    """The mean of Keras's calibrated probabilities, float32 (N, C).

    Args:
        sources: the members.
        images: uint8 (N, 28, 28).
        temperatures: of each member.
    """
    return mean_of([calibrated_outputs(s, images, t) for s, t in zip(sources, temperatures, strict=True)])


def average(models: Sequence[ir.Model]) -> ir.Model:
    """One graph that gives every member the same image and answers with the mean of their probabilities.

    Args:
        models: input uint8 (N, 28, 28), output probabilities (N, C); they are taken apart. Of one, itself.

    Returns:
        A model with the same contract; the names of each member's nodes and values begin with `member_1_` and so on.
    """
    if len(models) == 1:
        return models[0]
    image = ir.Value(name=INPUT_NAME, type=ir.TensorType(ir.DataType.UINT8), shape=ir.Shape([BATCH_AXIS, 28, 28]))
    count = ir.Value(name="members", const_value=ir.tensor(np.array(len(models), np.float32), name="members"))
    nodes: list[ir.Node] = []
    initializers, answers = [count], []
    opsets: dict[str, int] = {}
    for number, model in enumerate(models, start=1):
        graph = model.graph
        _put_in_front_of_names(graph, f"member_{number}_")
        graph.inputs[0].replace_all_uses_with(image)
        answers.append(graph.outputs[0])
        graph.outputs.clear()
        initializers += graph.initializers.values()
        graph.initializers.clear()
        nodes += (own := list(graph))
        graph.remove(own)
        opsets |= graph.opset_imports
    # Sum and Div, since not every provider has a kernel for Mean
    total = ir.node("Sum", answers, name="sum")
    mean = ir.node("Div", [total.outputs[0], count], name="mean")
    total.outputs[0].name, mean.outputs[0].name = "sum_output_0", OUTPUT_NAME
    mean.outputs[0].type, mean.outputs[0].shape = answers[0].type, answers[0].shape
    merged = ir.Graph(
        [image], mean.outputs, nodes=[*nodes, total, mean], initializers=initializers, opset_imports=opsets
    )
    return ir.Model(merged, ir_version=max(model.ir_version for model in models))


def _put_in_front_of_names(graph: ir.Graph, prefix: str) -> None:
    for value in (*graph.initializers.values(), *(result for node in graph for result in node.outputs)):
        value.name = f"{prefix}{value.name}"
    for node in graph:
        node.name = f"{prefix}{node.name}"
