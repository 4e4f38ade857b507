"""The list of engines to measure with a model file and its Keras model: `engine_list()`."""

from collections.abc import Sequence
from pathlib import Path

from digits_edge.measure.engine_spec import OWN_ENGINE, EngineSpec, KerasSpec
from digits_edge.measure.engines import FILE_ENGINES, KERAS_ENGINES, LITERT
from digits_edge.runtime.session.provider_names import available_providers

#: Providers of digits-edge that are in the list on every machine.
PROVIDERS = ("cpu", "openvino")


def engine_list(
    model: Path,
    images: Path,
    threads: int,
    *,
    keras: KerasSpec | None = None,
    litert: Sequence[tuple[int, Path]] = (),
) -> list[EngineSpec]:
    """List digits-edge with every installed provider and with OpenVINO, and all other engines that can run the model.

    An engine whose library is not installed is in the list; it cannot be opened, and its error has the remedy.

    Args:
        model: the model file.
        images: `.npy` file of the images to predict.
        threads: number of threads of each engine.
        keras: the Keras model that the model file was exported from; adds the Keras engines.
        litert: pairs of batch size and `.tflite` file made from the model file; adds LiteRT.

    Example:
        >>> [spec.name for spec in engine_list(Path("m.onnx"), Path("images.npy"), 1)]  # doctest: +SKIP
        ['digits-edge cpu', 'digits-edge openvino', 'onnxruntime', 'openvino']
    """
    path, pixels = str(model.absolute()), str(images)
    providers = dict.fromkeys([*available_providers(), *PROVIDERS])
    specs = [EngineSpec(OWN_ENGINE, path, pixels, threads, provider=provider) for provider in providers]
    specs += [EngineSpec(engine, path, pixels, threads) for engine in FILE_ENGINES]
    if litert:
        files = tuple((batch_size, str(file)) for batch_size, file in litert)
        specs.append(EngineSpec(LITERT, path, pixels, threads, litert=files))
    if keras is not None:
        specs += [EngineSpec(engine, path, pixels, threads, keras=keras) for engine in KERAS_ENGINES]
    return specs
