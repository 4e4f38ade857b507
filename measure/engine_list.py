"""Who is measured: the engines that run a model file, and those that run the Keras model behind it."""

from collections.abc import Sequence
from pathlib import Path

from digits_edge.measure.engine_spec import OURS, EngineSpec, KerasSpec
from digits_edge.measure.engines import LITERT, OF_KERAS, OF_THE_FILE
from digits_edge.runtime.session.providers import available_providers


def engine_list(
    model: Path,
    images: Path,
    threads: int,
    *,
    keras: KerasSpec | None = None,
    litert: Sequence[tuple[int, Path]] = (),
) -> list[EngineSpec]:
    """Ours on every provider of this installation, and all other engines that have what they need.

    Args:
        model: the model file.
        images: an `.npy` of the images that are answered.
        threads: of each engine.
        keras: the Keras model that the file was made of.
        litert: batch size → `.tflite` file of that model.
    """
    path, pixels = str(model.absolute()), str(images)
    specs = [EngineSpec(OURS, path, pixels, threads, provider=provider) for provider in available_providers()]
    specs += [EngineSpec(engine, path, pixels, threads) for engine in OF_THE_FILE]
    if litert:
        files = tuple((batch_size, str(file)) for batch_size, file in litert)
        specs.append(EngineSpec(LITERT, path, pixels, threads, litert=files))
    if keras is not None:
        specs += [EngineSpec(engine, path, pixels, threads, keras=keras) for engine in OF_KERAS]
    return specs
