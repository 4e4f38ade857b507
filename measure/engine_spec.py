"""What a process that runs one engine is told to open: `EngineSpec`, and of Keras's engines `KerasSpec`, as JSON."""

import json
from dataclasses import asdict, dataclass
from typing import Literal

#: The engine that is this package's own runtime.
OURS = "digits-edge"
#: The engine whose times cancel what the machine does: onnxruntime alone, with the same file.
FLOOR = "onnxruntime"


@dataclass(frozen=True)
class KerasSpec:
    """The Keras model that a model file was made of.

    Attributes:
        path: run folder or Keras file.
        input_scale: what white is in its input.
        labels: the classes' names.
        temperature: what the model file's logits were divided by.
    """

    path: str
    input_scale: Literal[1, 255]
    labels: tuple[str, ...]
    temperature: float


@dataclass(frozen=True)
class EngineSpec:
    """One engine, and what it runs.

    Attributes:
        engine: a key of `engines.ENGINES`.
        model: the model file, as an absolute path.
        images: an `.npy` of the images that are answered, uint8 (K, 28, 28).
        threads: how many compute a batch together.
        provider: which of ours; None for other engines.
        keras: what the engines of Keras run; None for others.
        litert: batch size → `.tflite` file; empty for other engines.
    """

    engine: str
    model: str
    images: str
    threads: int
    provider: str | None = None
    keras: KerasSpec | None = None
    litert: tuple[tuple[int, str], ...] = ()

    @property
    def name(self) -> str:
        """What the results call the engine: its own name and, of ours, the provider."""
        return f"{self.engine} {self.provider}" if self.provider else self.engine

    def to_json(self) -> str:
        """On one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> "EngineSpec":
        """Read what `to_json` wrote."""
        values = json.loads(line)
        if values["keras"] is not None:
            values["keras"] = KerasSpec(**values["keras"] | {"labels": tuple(values["keras"]["labels"])})
        return cls(**values | {"litert": tuple((size, path) for size, path in values["litert"])})
