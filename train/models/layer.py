"""`Layer`: a layer of a Keras model or a node of an ONNX graph, as plain data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """A layer of a Keras model or a node of an ONNX graph.

    Attributes:
        name: name, unique in the model.
        kind: type, such as "Conv2D" or "MaxPool".
        detail: main settings in a few words; may be empty.
        shape: output shape without the batch axis.
        parameters: number of parameters.
        inputs: names of the layers whose outputs it takes.
    """

    name: str
    kind: str
    detail: str
    shape: tuple[int | None, ...]
    parameters: int
    inputs: tuple[str, ...]
