"""`export_lines()`: convert a Keras sequence model to a model file, and write it only if its strings are Keras's."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from digits_edge.export.description import described
from digits_edge.export.exact_golden import with_exact
from digits_edge.export.graph.contract import QuantizedPixels, take_quantized_pixels
from digits_edge.export.graph.multiplications import int8_share
from digits_edge.export.graph.rewriting import parameters
from digits_edge.export.package import write_package
from digits_edge.export.precision.float_layers import find_float_layers
from digits_edge.export.precision.half import to_half
from digits_edge.export.precision.quantize import Quantizer, candidate_groups
from digits_edge.export.sequences.calibration import confidence_threshold, fit_line_temperature
from digits_edge.export.sequences.convert import (
    WIDTH,
    finished,
    fixed_width_graph,
    from_centred_pixels,
    from_scaled_pixels,
)
from digits_edge.export.sequences.gate import LineGate, LineOutputs
from digits_edge.export.sequences.reference import reference_lines
from digits_edge.export.sequences.source import LineSource
from digits_edge.runtime.checks.string_parity import StringParity
from digits_edge.runtime.datasets.line_set import LineSet, read_line_set
from digits_edge.runtime.errors import CheckError, UsageError
from digits_edge.runtime.files import refuse_existing
from digits_edge.runtime.model.model_file import Metadata, Precision
from digits_edge.runtime.model.pixel_range import PixelRange

#: Folder of the training lines in a run folder, and number of images that calibrate the int8 ranges.
TRAINING_LINES, _CALIBRATION_IMAGES = Path("lines", "training"), 200
#: Largest difference of a golden probability from exact arithmetic on the machine that exports.
_MAX_FROM_EXACT = 0.05
#: Layers with a smaller share of the weights may be float without a large file.
_SMALL_SHARE = 0.05
#: Lines on which the effect of each layer in int8 is measured.
_SENSITIVITY_LINES = 200

#: Called with a description of each step.
Listener = Callable[[str], None]


@dataclass(frozen=True)
class ExportedLines:
    """The result of a successful export of a sequence model.

    Attributes:
        path: the model file.
        size_bytes: size of the file.
        metadata: the file's metadata.
        parity: agreement with Keras on the validation lines.
        float_layers: the layers of an int8 model that are computed in float.

    Example:
        >>> exported = export_lines(source, Path("number-int8.onnx"), precision="int8")  # doctest: +SKIP
        >>> exported.metadata.output  # doctest: +SKIP
        'columns'
    """

    path: Path
    size_bytes: int
    metadata: Metadata
    parity: StringParity
    float_layers: tuple[str, ...]


def export_lines(
    source: LineSource,
    target: Path,
    *,
    precision: Precision,
    name: str | None = None,
    command: str = "",
    overwrite: bool = False,
    listener: Listener = lambda step: None,
) -> ExportedLines:
    """Convert a sequence model to a model file, verify its strings against Keras, and write it if they agree.

    The temperature, the confidence threshold and the parity come from the validation lines of the run, and the int8
    ranges from its training lines.

    Args:
        source: the Keras model of a run.
        target: path of the model file.
        precision: precision of weights and arithmetic.
        name: name of the model; by default the name of the source and the precision.
        command: the command line, recorded in the metadata.
        overwrite: replace an existing file.
        listener: called with a description of each step.

    Raises:
        UsageError: the target exists.
        DataError: the run folder lacks its lines.
        CheckError: the converted model changes confident strings, or has more wrong ones than Keras. No file is
            written.
        ModelError: a layer cannot be converted.

    Example:
        >>> source = read_line_source(Path("runs/number"))  # doctest: +SKIP
        >>> export_lines(source, Path("number-int8.onnx"), precision="int8").parity.changed_confident  # doctest: +SKIP
        0
    """
    refuse_existing(target, overwrite=overwrite)
    listener(f"running {source.name} in Keras")
    lines = source.validation
    logits = source.logits(lines)
    fitted = fit_line_temperature(logits, source.labels, lines.texts)
    temperature = fitted or 1.0
    gate = LineGate.of(source, precision, lines, logits, reference_lines(), temperature)
    listener(f"converting {source.name} to {precision}")
    graph, float_layers, share = _graph(source, gate, temperature, listener)

    listener("verifying")
    predict = LineOutputs(graph, source.column_px)
    parity, problems = gate.check(predict)
    if problems:
        raise CheckError(f"the {precision} model disagrees with Keras, nothing is written: {'; '.join(problems)}")
    golden = gate.golden(predict)
    if precision == "int8":
        listener("computing exact golden values")
        golden = with_exact(golden, graph, predict.batch(golden.images), max_difference=_MAX_FROM_EXACT)
    metadata = replace(
        described(source, graph, precision, name=name, command=command),
        output="columns",
        column_px=source.column_px,
        temperature=temperature,
        calibrated=fitted is not None,
        uncertain_below=confidence_threshold(predict(lines), source.labels, lines.texts),
        data={key: source.data[key] for key in ("name", "sha256", "licence", "validation") if key in source.data},
        parity={"on": "validation lines", **asdict(parity)},
        pixel_range=PixelRange(1),
        keras_accuracy={"on": "validation lines", "errors": parity.reference_errors, "images": parity.lines},
        int8_share=round(share, 4),
    )
    size_bytes = write_package(target, graph, metadata, golden)
    return ExportedLines(target, size_bytes, metadata, parity, float_layers)


def _graph(
    source: LineSource, gate: LineGate, temperature: float, listener: Listener
) -> tuple[ir.Model, tuple[str, ...], float]:
    """The graph, the names of its float layers, and the share of multiplications in int8."""
    classes = len(source.labels) + 1
    logits_graph = fixed_width_graph(source.model, source.image.height, temperature)
    if gate.precision == "int8":
        return _int8_graph(logits_graph, source, gate, listener)
    graph = from_scaled_pixels(logits_graph)
    return finished(to_half(graph) if gate.precision == "fp16" else graph, classes), (), 0.0


def _int8_graph(
    logits_graph: ir.Model, source: LineSource, gate: LineGate, listener: Listener
) -> tuple[ir.Model, tuple[str, ...], float]:
    """Quantize as many layers as agreement with Keras allows."""
    pixels = QuantizedPixels.of(PixelRange(1))
    images = calibration_images(read_line_set(source.folder / TRAINING_LINES))
    model = from_centred_pixels(logits_graph, pixels)
    last = [node.name or "" for node in model.graph if node.op_type == "Conv"][-1]
    # the last layer is float: an int8 convolution would round the logits to 256 levels
    groups = {first: names for first, names in candidate_groups(model).items() if last not in names}
    rows = np.linspace(0, len(gate.lines) - 1, min(len(gate.lines), _SENSITIVITY_LINES)).astype(int).tolist()
    few = LineSet.of("some", [gate.lines.image(row) for row in rows], [gate.lines.texts[row] for row in rows])
    tried: list[str] = []

    with Quantizer(model, pixels.centred(images)) as quantizer:

        def quantized(float_layers: Sequence[str]) -> ir.Model:
            graph = quantizer((last, *(name for first in float_layers for name in groups[first])))
            return take_quantized_pixels(graph, pixels.step, pixels.zero_point)

        def predict(float_layers: Sequence[str]) -> LineOutputs:
            return LineOutputs(finished(quantized(float_layers), len(source.labels) + 1), source.column_px)

        def passes(float_layers: Sequence[str]) -> bool:
            problems = gate.check(predict(float_layers))[1]
            tried.append(f"{len(float_layers)} of {len(groups)} layers float: {', '.join(problems)}")
            return not problems

        def sensitivity(layer: str) -> float:
            columns = predict([other for other in groups if other != layer])(few)
            return float(
                np.mean([np.abs(one - gate.columns[row]).mean() for one, row in zip(columns, rows, strict=True)])
            )

        # a float layer costs four times its size: the smallest ones are tried before the search
        first = [(), *((layer,) for layer in _smallest(model, groups))]
        found = next((layers for layers in first if passes(layers)), None)
        if found is None:
            found = find_float_layers(list(groups), passes, sensitivity, listener=listener)
        if found is None:
            raise CheckError(f"no int8 model agrees with Keras ({'; '.join(tried)}), nothing is written; use fp16")
        graph = quantized(found)
        share = int8_share(graph)
        return finished(graph, len(source.labels) + 1), (*found, last), share


def _smallest(model: ir.Model, groups: dict[str, tuple[str, ...]]) -> list[str]:
    """The layers with few weights, the smallest first."""
    sizes = {node.name or "": parameters(node)[0].size for node in model.graph if node.op_type == "Conv"}
    small = _SMALL_SHARE * sum(sizes.values())
    return sorted((name for name in groups if sizes.get(name, small) < small), key=lambda name: sizes[name])


def calibration_images(lines: LineSet) -> NDArray[np.uint8]:
    """Put lines side by side until they fill images of the width of the conversion.

    Args:
        lines: training lines.

    Returns:
        uint8 (200, 32, 256), fewer with too few lines.

    Raises:
        UsageError: the lines do not fill an image.

    Example:
        >>> lines = LineSet.of("many", [np.zeros((32, 100), np.uint8)] * 6, [""] * 6)
        >>> calibration_images(lines).shape
        (2, 32, 256)
    """
    count = min(_CALIBRATION_IMAGES, lines.pixels.shape[1] // WIDTH)
    if not count:
        raise UsageError(f"the {len(lines)} training lines are too few for the ranges of int8; train with more --lines")
    height = lines.pixels.shape[0]
    return np.ascontiguousarray(lines.pixels[:, : count * WIDTH].reshape(height, count, WIDTH).swapaxes(0, 1))
