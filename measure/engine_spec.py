"""Engine specifications that are passed to engine processes as JSON: `EngineSpec` and `KerasSpec`."""

import json
from dataclasses import asdict, dataclass

from digits_edge.runtime.model.pixel_range import PixelRange

#: Name of this package's own runtime.
OWN_ENGINE = "digits-edge"
#: Name of the baseline engine, plain onnxruntime with the same file; ratios to it cancel the machine's load.
BASELINE_ENGINE = "onnxruntime"


@dataclass(frozen=True)
class KerasSpec:
    """Specification of the Keras model that a model file was exported from.

    Attributes:
        path: run folder or Keras file.
        pixel_range: the input the model expects.
        labels: the class names.
        temperature: divisor of the logits in the model file.
    """

    path: str
    pixel_range: PixelRange
    labels: tuple[str, ...]
    temperature: float


@dataclass(frozen=True)
class EngineSpec:
    """Specification of an engine and the model it runs.

    Attributes:
        engine: a key of `engines.ENGINES`.
        model: absolute path of the model file.
        images: `.npy` file of the images to predict, uint8 (K, H, W[, 3]).
        threads: number of threads that compute a batch.
        provider: provider of digits-edge; None for other engines.
        keras: the Keras model; None for engines that do not run Keras.
        litert: pairs of batch size and `.tflite` file; empty for other engines.

    Example:
        >>> spec = EngineSpec("digits-edge", "/models/m.onnx", "/tmp/images.npy", threads=1, provider="cpu")
        >>> spec.name
        'digits-edge cpu'
        >>> EngineSpec.from_json(spec.to_json()) == spec
        True
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
        """The name in the results: the engine and, for digits-edge, the provider."""
        return f"{self.engine} {self.provider}" if self.provider else self.engine

    def to_json(self) -> str:
        """Serialize as JSON on one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> "EngineSpec":
        """Parse the output of `to_json`."""
        values = json.loads(line)
        if values["keras"] is not None:
            keras = values["keras"]
            labels, pixel_range = tuple(keras["labels"]), PixelRange(**keras["pixel_range"])
            values["keras"] = KerasSpec(**keras | {"labels": labels, "pixel_range": pixel_range})
        return cls(**values | {"litert": tuple((size, path) for size, path in values["litert"])})
