"""The `digits-edge export` command."""

import shlex
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from digits_edge.cli.data_options import READING_OPTIONS, PictureOptions, reading_of, reading_options
from digits_edge.cli.extras import needs_extra
from digits_edge.cli.model_facts import accuracy_at_export, multiplications_in_int8
from digits_edge.cli.options import (
    KERAS_LOADING_OPTIONS,
    PIXEL_RANGE_OPTIONS,
    data_option,
    examples,
    file_path,
    json_option,
    keras_loading_options,
    labels_option,
    output_option,
    overwrite_option,
    pixel_range_options,
    refuse_options,
)
from digits_edge.cli.output import note, percent, print_json, progress, say, show
from digits_edge.runtime.checks.accuracy import Accuracy
from digits_edge.runtime.checks.string_parity import StringParity
from digits_edge.runtime.datasets import Dataset, load
from digits_edge.runtime.datasets.fitting import FitMethod, fitted
from digits_edge.runtime.datasets.label_map import relabelled
from digits_edge.runtime.datasets.loading import locate
from digits_edge.runtime.datasets.options import ReadingOptions
from digits_edge.runtime.errors import DataError, ModelError, UsageError
from digits_edge.runtime.files import refuse_existing
from digits_edge.runtime.model.bundled import is_model_name
from digits_edge.runtime.model.model_file import PRECISIONS, Precision, operators_path
from digits_edge.runtime.model.pixel_range import PixelRange
from digits_edge.runtime.model.steps import NamedSteps
from digits_edge.runtime.session.precision import ANOTHER_MACHINE, find_model

if TYPE_CHECKING:
    from digits_edge.export import Ensemble, Exported, ExportedLines, Source

_SUFFIXES = {".onnx", ".ort"}
#: Options that apply only if SOURCE is a Keras model.
_KERAS_OPTIONS = (
    "precision",
    "ensemble",
    "data",
    *READING_OPTIONS,
    "labels",
    "label_map",
    "fit",
    "preprocessing",
    "golden_from_data",
    *PIXEL_RANGE_OPTIONS,
    *KERAS_LOADING_OPTIONS,
    "name",
    "float_layers",
    "quantization_aware_epochs",
    "allow_float",
)


#: Options that apply only if SOURCE is a classifier.
_CLASSIFIER_OPTIONS = tuple(option for option in _KERAS_OPTIONS if option not in ("precision", "name"))


@click.command(
    epilog=examples(
        "digits-edge export runs/cnn -o cnn-int8.onnx",
        "digits-edge export model.keras --data mnist --precision fp32 -o model.onnx",
    )
)
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@output_option("Output model file; with --target web, the output folder.")
@click.option(
    "--target",
    "kind",
    type=click.Choice(["file", "web"]),
    default="file",
    show_default=True,
    help="Output kind: a model file, or a static web page that classifies digits in the browser.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="int8",
    show_default=True,
    help="Precision of the weights.",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["onnx", "ort"]),
    default="onnx",
    show_default=True,
    help="Model format; ort is for minimal builds of ONNX Runtime, and also writes the list of operators.",
)
@click.option(
    "--onnxruntime-web", metavar="FILE.tgz", help="npm package for --target web.  [default: download it with npm]"
)
@click.option(
    "--ensemble", is_flag=True, help="Combine several SOURCEs to one model: the mean of their calibrated probabilities."
)
@data_option
@reading_options
@labels_option
@click.option(
    "--label-map",
    metavar="0,1,…",
    help="Class of the model for each class of --data, if they differ; 0,1,0,1,0,1,0,1,0,1 for even and odd digits.",
)
@click.option(
    "--fit",
    type=click.Choice(["resize", "pad"]),
    default="resize",
    show_default=True,
    help="How images of --data become inputs of another size: scaled, or with a black border.",
)
@click.option(
    "--preprocessing",
    type=click.Choice(["digit", "object", "stretch", "crop", "letterbox"]),
    help="How the model file prepares pictures: find a digit or an object, or scale the whole picture.  "
    "[default: as for the training data]",
)
@click.option(
    "--golden-from-data",
    is_flag=True,
    help="Check the model file with images of --data, which it then contains, instead of drawn images.",
)
@pixel_range_options
@keras_loading_options
@click.option(
    "--float-layers",
    metavar="A,B,…",
    help="Layers to leave in float with int8 because they are faster in float, for example conv_1.",
)
@click.option(
    "--quantization-aware",
    "quantization_aware_epochs",
    type=click.IntRange(min=1),
    metavar="EPOCHS",
    help="Epochs of quantization-aware training before the export, if int8 reduces the accuracy.",
)
@click.option(
    "--allow-float", is_flag=True, help="Write an int8 file even if less than half of its multiplications are int8."
)
@click.option("--name", help="Model name.  [default: name of SOURCE and the precision]")
@overwrite_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    sources: tuple[str, ...],
    output: str,
    kind: Literal["file", "web"],
    precision: Precision,
    file_format: Literal["onnx", "ort"],
    onnxruntime_web: str | None,
    ensemble: bool,
    data: str | None,
    pictures: PictureOptions,
    labels: str | None,
    label_map: str | None,
    fit: FitMethod,
    preprocessing: NamedSteps | None,
    golden_from_data: bool,
    pixel_range: PixelRange,
    keras_output: str | None,
    custom_objects: str | None,
    float_layers: str | None,
    quantization_aware_epochs: int | None,
    allow_float: bool,
    name: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Export a Keras model as an ONNX model file or a web page.

    SOURCE is a run folder, or any .keras, .h5 or SavedModel classifier of images, of Keras 2 or 3.

    The export fails with exit code 1 and writes nothing if the model disagrees with Keras on validation images. These
    are the validation images of the run, or a tenth of the data in --data for other models. Without data, fp32 and fp16
    models are compared on drawn images only and are not calibrated.

    With --ensemble, several SOURCEs trained on the same data become one model, for example the folds of a
    cross-validation. With --format ort, SOURCE can also be a model file or a bundled model. With --target web, it can
    be several of these, among which the page offers a choice; the default is the default model.
    """
    target = file_path(output)
    if kind == "web":
        refuse_options(context, ["file_format", "ensemble"], "with --target file")
    else:
        refuse_options(context, ["onnxruntime_web"], "with --target web")
        _check_source_count(sources, ensemble=ensemble)
        _check_target(target, output, file_format, overwrite=overwrite)

    def from_keras(model_file: Path) -> "Exported | ExportedLines":
        for source in sources:
            _check_keras(file_path(source), source)
        if _is_of_lines(sources):
            refuse_options(context, _CLASSIFIER_OPTIONS, "if SOURCE is a classifier")
            return _export_lines(file_path(sources[0]), model_file, precision, name, overwrite=overwrite)
        with needs_extra("export"):
            from digits_edge.export import Ensemble, Int8Options, export, read_source

            is_run = any(_is_run(file_path(source)) for source in sources)
            named = None if data is None or is_run else _data(data, None, pictures.reading(), required=True)
            members = tuple(
                read_source(
                    file_path(source),
                    pixel_range=pixel_range,
                    labels=labels.split(",") if labels else None,
                    usual_labels=named[0].class_names if named and named[0] and not label_map else None,
                    preprocessing=preprocessing,
                    output=keras_output,
                    custom_objects=custom_objects,
                )
                for source in sources
            )
            keras_source = Ensemble(members) if ensemble else members[0]
        found = named
        # only pictures are read in the size of the model; other images keep their polarity and steps, and are fitted
        if found is None or (_is_of_pictures(data) and found[0] and found[0].image.shape != keras_source.image.shape):
            options = pictures.reading(reading_of(keras_source.image, keras_source.preprocessing))
            found = _data(data, keras_source.data.get("name"), options, required=precision == "int8")
        pictures.note_skipped()
        training, test = (_as_inputs(each, keras_source, label_map, fit) for each in found)
        return export(
            keras_source,
            model_file,
            precision=precision,
            training=training,
            test=test,
            golden_from_data=golden_from_data,
            name=name,
            int8=Int8Options(
                float_layers=tuple(float_layers.split(",")) if float_layers else (),
                quantization_aware_epochs=quantization_aware_epochs or 0,
                allow_float=allow_float,
            ),
            command=shlex.join(["digits-edge", *sys.argv[1:]]),
            overwrite=overwrite,
            listener=show,
        )

    if kind == "web":
        from digits_edge.export.targets.web import refuse_folder

        refuse_folder(target, overwrite=overwrite)
        archive = None if onnxruntime_web is None else file_path(onnxruntime_web)
        with tempfile.TemporaryDirectory() as folder:
            if all(is_model_name(source) for source in sources):
                refuse_options(context, _KERAS_OPTIONS, "if SOURCE is a Keras model")
                model_files = [find_model(source, ANOTHER_MACHINE) for source in sources or (None,)]
            else:
                if len(sources) > 1:
                    raise UsageError("--target web takes model files and bundled models, or one Keras model")
                model_files = [from_keras(Path(folder) / "model.onnx").path]
            _write_web(model_files, target, archive, overwrite=overwrite, as_json=as_json)
    elif file_format == "onnx":
        exported = from_keras(target)
        if isinstance(exported.parity, StringParity):
            _report_lines(exported, as_json=as_json)
        else:
            _report(exported, as_json=as_json)
    elif is_model_name(sources[0]):
        refuse_options(context, _KERAS_OPTIONS, "if SOURCE is a Keras model")
        _write_ort(find_model(sources[0], ANOTHER_MACHINE), target, overwrite=overwrite, as_json=as_json)
    else:
        with tempfile.TemporaryDirectory() as folder:
            model_file = from_keras(Path(folder) / "model.onnx").path
            _write_ort(model_file, target, overwrite=overwrite, as_json=as_json)


def _is_of_lines(sources: tuple[str, ...]) -> bool:
    """Whether the sources are the run of a sequence model.

    Raises:
        UsageError: there are several sources, and one is such a run.
    """
    from digits_edge.export import is_line_run

    found = [source for source in sources if is_line_run(file_path(source))]
    if found and len(sources) > 1:
        raise UsageError(f"{found[0]} reads lines of numbers and cannot be in an ensemble; pass it alone")
    return bool(found)


def _export_lines(
    path: Path, model_file: Path, precision: Precision, name: str | None, *, overwrite: bool
) -> "ExportedLines":
    with needs_extra("export"):
        from digits_edge.export import export_lines, read_line_source
    return export_lines(
        read_line_source(path),
        model_file,
        precision=precision,
        name=name,
        command=shlex.join(["digits-edge", *sys.argv[1:]]),
        overwrite=overwrite,
        listener=show,
    )


def _check_target(target: Path, output: str, file_format: Literal["onnx", "ort"], *, overwrite: bool) -> None:
    if target.suffix.lower() in _SUFFIXES - {f".{file_format}"}:
        raise UsageError(f"{output}: wrong extension for --format {file_format}; use .{file_format}")
    refuse_existing(target, overwrite=overwrite)
    if file_format == "ort":
        refuse_existing(operators_path(target), overwrite=overwrite)


def _write_web(model_files: list[Path], target: Path, archive: Path | None, *, overwrite: bool, as_json: bool) -> None:
    from digits_edge.export.targets.web import export_web

    show("writing the web page")
    exported = export_web(model_files, target, archive=archive, overwrite=overwrite)
    if as_json:
        print_json({"path": str(exported.folder), "models": exported.models, "bytes": exported.size_bytes})
        return
    names = ", ".join(exported.models)
    say(f"{exported.folder}: {names}; {exported.files} files, {exported.size_bytes / 1e6:.1f} MB")
    say(f"serve it with a static file server: python -m http.server --directory {shlex.quote(str(exported.folder))}")


def _write_ort(model_file: Path, target: Path, *, overwrite: bool, as_json: bool) -> None:
    with needs_extra("export"):
        from digits_edge.export.targets.ort import export_ort
    exported = export_ort(model_file, target, overwrite=overwrite)
    if as_json:
        paths = {"path": str(exported.path), "operators": str(exported.operators_path)}
        print_json(paths | {"bytes": exported.size_bytes, "name": exported.metadata.name})
        return
    say(
        f"{exported.path}: {exported.metadata.name}, {exported.size_bytes / 1000:,.0f} kB; "
        "reference predictions verified"
    )
    say(f"{exported.operators_path}: operators and types for a minimal build of ONNX Runtime")


def _report_lines(exported: "ExportedLines", *, as_json: bool) -> None:
    metadata, parity = exported.metadata, exported.parity
    if as_json:
        shown = ("name", "precision", "temperature", "calibrated", "uncertain_below", "int8_share")
        facts = {key: getattr(metadata, key) for key in shown}
        size = {"path": str(exported.path), "bytes": exported.size_bytes}
        print_json(size | facts | {"parity": metadata.parity, "float_layers": list(exported.float_layers)})
        return
    say(f"{exported.path}: {metadata.name}, {exported.size_bytes / 1000:,.0f} kB")
    say(
        f"parity: {parity.lines:,} validation lines, {parity.changed} changed strings, {parity.changed_confident} of "
        f"the {parity.confident:,} confident ones; {parity.errors} wrong strings (Keras: {parity.reference_errors})"
    )
    say(f"temperature {metadata.temperature:g}; strings below {percent(metadata.uncertain_below)} are uncertain")
    if metadata.precision == "int8":
        say(multiplications_in_int8(metadata.int8_share))
    if exported.float_layers:
        say(f"kept in float: {', '.join(exported.float_layers)}")


def _report(exported: "Exported", *, as_json: bool) -> None:
    metadata, parity = exported.metadata, exported.parity
    if as_json:
        print_json(
            {
                "path": str(exported.path),
                "bytes": exported.size_bytes,
                "name": metadata.name,
                "precision": metadata.precision,
                "temperature": metadata.temperature,
                "calibrated": metadata.calibrated,
                "parity": metadata.parity,
                "pixel_range": None if metadata.pixel_range is None else asdict(metadata.pixel_range),
                "keras_accuracy": metadata.keras_accuracy,
                "int8_share": metadata.int8_share,
                "test": metadata.test,
                "members": [asdict(member) for member in metadata.members],
                "float_layers": list(exported.float_layers),
            }
        )
        return
    say(f"{exported.path}: {metadata.name}, {exported.size_bytes / 1000:,.0f} kB")
    for member in metadata.members:
        say(f"member: {member.name}, {member.parameters:,} parameters, T = {member.temperature:g}")
    compared_on = (metadata.parity or {}).get("on")
    say(
        f"parity: {parity.images:,} {compared_on}, largest difference {parity.max_difference:.2g}, "
        f"{parity.changed} changed predictions"
        + (f", {parity.errors} errors (Keras: {parity.reference_errors})" if parity.errors is not None else "")
    )
    say(accuracy_at_export(metadata))
    if metadata.test:
        figure = Accuracy(metadata.test["errors"], metadata.test["images"])
        say(
            f"test: {figure.errors} errors of {figure.images:,} ({percent(figure.value)} accuracy), "
            f"{metadata.test['name']}"
        )
    if metadata.precision == "int8":
        say(multiplications_in_int8(metadata.int8_share))
    if exported.float_layers:
        say(f"kept in float: {', '.join(exported.float_layers)}")
    if not metadata.calibrated:
        uncalibrated = ", ".join(member.name for member in metadata.members if not member.calibrated)
        say(
            f"not calibrated (T = 1){': ' if uncalibrated else ''}{uncalibrated}: "
            "there are no validation images, or too few; pass the training data with --data"
        )
    for warning in exported.warnings:
        note(f"warning: {warning}")


def _check_source_count(sources: tuple[str, ...], *, ensemble: bool) -> None:
    if not sources:
        raise click.UsageError("Missing argument 'SOURCE...'.")
    if len(sources) > 1 and not ensemble:
        raise UsageError(f"{len(sources)} sources: pass one, or combine them with --ensemble")
    if len(sources) == 1 and ensemble:
        raise UsageError("an ensemble needs at least two members; pass more sources or omit --ensemble")
    repeated = [source for source in sources if sum(_is_same(source, other) for other in sources) > 1]
    if repeated:
        raise UsageError(f"{' and '.join(repeated)} are the same model; pass each member of an ensemble once")


def _check_keras(path: Path, source: str) -> None:
    """Raise an error for sources that are not Keras models, before TensorFlow is imported."""
    if path.suffix == ".onnx":
        raise ModelError(f"{source} is already a model file; pass its run folder or .keras file")
    if not path.exists():
        raise ModelError(f"{source}: no such file or folder; pass a run folder, a .keras or .h5 file, or a SavedModel")
    if not (path / "model.keras").exists() and (folds := sorted(path.glob("fold-*-of-*"))):
        raise ModelError(
            f"{source} contains a cross-validation; pass one fold, for example {folds[0]}, or all with --ensemble"
        )


def _is_same(one: str, other: str) -> bool:
    return file_path(one).resolve() == file_path(other).resolve()


def _is_run(path: Path) -> bool:
    """Whether a source records its training data, with the class names."""
    return (path if path.is_dir() else path.parent).joinpath("recipe.json").exists()


def _is_of_pictures(data: str | None) -> bool:
    """Whether a value of `--data` is a folder whose sub-folders of pictures are the classes."""
    return data is not None and locate("mnist", "train", data=data)[0].is_dir()


def _as_inputs(
    data: Dataset | None, source: "Source | Ensemble", label_map: str | None, fit: FitMethod
) -> Dataset | None:
    """A data set with the classes and the input size of a model."""
    if data is None:
        return None
    if label_map is not None and data.labels is not None:
        try:
            classes = [int(each) for each in label_map.split(",")]
        except ValueError as error:
            raise UsageError(f"--label-map {label_map}: expected numbers of classes, for example 0,0,1") from error
        data = relabelled(data, classes, source.labels)
    return fitted(data, source.image, fit, progress=progress("converting images"))


def _data(
    data: str | None, trained_on: str | None, options: ReadingOptions, *, required: bool
) -> tuple[Dataset | None, Dataset | None]:
    """Load the training and test data; None for data that is not available and not required."""
    if data is None and trained_on is None:
        return None, None
    name, bar = trained_on or "mnist", progress("reading data")
    try:
        training = load(name, "train", data=data, progress=bar, options=options)
    except DataError as error:
        if data is not None:
            raise
        if required:
            raise DataError(f"the training data was not found, pass it with --data: {error}") from error
        return None, None
    try:
        return training, load(name, "test", data=data, progress=bar, options=options)
    except DataError:
        return training, None
