"""Options of an export to int8: `Int8Options`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Int8Options:
    """How a model is quantized.

    Attributes:
        float_layers: names of layers, such as `conv_1`, that are not quantized because they are faster in float. Layers
            that must remain float for agreement with Keras are found automatically.
        quantization_aware_epochs: epochs of quantization-aware fine-tuning on the training images before quantization,
            if int8 costs accuracy (`digits_edge.export.precision.quantization_aware`). The file is still compared with
            the original Keras model.
        allow_float: write a file even if less than half of its multiplications are int8.

    Example:
        >>> Int8Options(float_layers=("conv_1",)).quantization_aware_epochs
        0
    """

    float_layers: tuple[str, ...] = ()
    quantization_aware_epochs: int = 0
    allow_float: bool = False
