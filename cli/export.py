"""`digits-edge export`: a Keras model in, or several as an ensemble, one model file out."""

import shlex
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from digits_edge.cli.extras import needs_extra
from digits_edge.cli.options import (
    data_option,
    file_path,
    input_scale_option,
    json_option,
    output_option,
    overwrite_option,
    refuse_options,
)
from digits_edge.cli.output import percent, print_json, progress, say, show
from digits_edge.runtime.checks.accuracy import Accuracy
from digits_edge.runtime.datasets import Dataset, load
from digits_edge.runtime.errors import DataError, ModelError, UsageError
from digits_edge.runtime.files import refuse_existing
from digits_edge.runtime.model.bundled import is_model_name
from digits_edge.runtime.model.model_file import PRECISIONS, Precision, operators_path
from digits_edge.runtime.session.precision import ANOTHER_MACHINE, find_model

if TYPE_CHECKING:
    from digits_edge.export import Exported

_SUFFIXES = {".onnx", ".ort"}
#: Options that say how a Keras model becomes a model file.
_OF_KERAS = (
    "precision",
    "ensemble",
    "data",
    "labels",
    "input_scale",
    "name",
    "float_layers",
    "quantization_aware_epochs",
)


@click.command()
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@output_option("The model file to write; of --target web the folder.")
@click.option(
    "--target",
    "kind",
    type=click.Choice(["file", "web"]),
    default="file",
    show_default=True,
    help="web is a static site that reads digits in the browser.",
)
@click.option("--precision", type=click.Choice(PRECISIONS), default="int8", show_default=True)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["onnx", "ort"]),
    default="onnx",
    show_default=True,
    help="ort is for builds of onnxruntime with a model's operators alone; a list of them is written beside it.",
)
@click.option(
    "--onnxruntime-web", metavar="FILE.tgz", help="Of --target web: the npm package.  [default: npm fetches it once]"
)
@click.option("--ensemble", is_flag=True, help="Make one model of several: the mean of their calibrated probabilities.")
@data_option
@click.option(
    "--labels", metavar="A,B,…", help="The classes' names, in order.  [default: the run's, or the ten digits]"
)
@input_scale_option
@click.option(
    "--float-layers",
    metavar="A,B,…",
    help="Layers, such as conv_1, that int8 leaves float because they are quicker so.",
)
@click.option(
    "--quantization-aware",
    "quantization_aware_epochs",
    type=click.IntRange(min=1),
    metavar="EPOCHS",
    help="Train so many epochs with the roundings of int8 first, where int8 costs accuracy.",
)
@click.option("--name", help="The model's name.  [default: the source's, with the precision]")
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
    labels: str | None,
    input_scale: Literal[1, 255] | None,
    float_layers: str | None,
    quantization_aware_epochs: int | None,
    name: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Convert SOURCE, a run folder or anybody's .keras or .h5 classifier of 28×28 images, to one model file.

    The file is compared with Keras on validation images before it is written; if it does not answer alike, nothing is
    written and the exit code is 1. The validation images are those of the training data that validated the run; of
    another model they are a tenth of the data that --data names. Without data, fp32 and fp16 are compared on drawn
    digits only and stay uncalibrated.

    With --ensemble several SOURCEs trained on the same data become one model; they may be the folds of a
    cross-validation. With --format ort SOURCE may be a model file, or a bundled model's name, too; so it may with
    --target web, where several are a choice and none is the bundled default.
    """
    target = file_path(output)
    if kind == "web":
        refuse_options(context, ["file_format", "ensemble"], "with --target file")
    else:
        refuse_options(context, ["onnxruntime_web"], "with --target web")
        _check_number(sources, ensemble=ensemble)
        _check_file(target, output, file_format, overwrite=overwrite)

    def from_keras(model_file: Path) -> "Exported":
        for source in sources:
            _check_kind(file_path(source), source)
        with needs_extra("export"):
            from digits_edge.export import Ensemble, export, read_source

            named = labels.split(",") if labels else None
            read = tuple(read_source(file_path(source), input_scale=input_scale, labels=named) for source in sources)
            keras_source = Ensemble(read) if ensemble else read[0]
        training, test = _data(data, keras_source.data.get("name"), required=precision == "int8")
        return export(
            keras_source,
            model_file,
            precision=precision,
            training=training,
            test=test,
            name=name,
            float_layers=tuple(float_layers.split(",")) if float_layers else (),
            quantization_aware_epochs=quantization_aware_epochs or 0,
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
                refuse_options(context, _OF_KERAS, "where SOURCE is a Keras model")
                model_files = [find_model(source, ANOTHER_MACHINE) for source in sources or (None,)]
            else:
                if len(sources) > 1:
                    raise UsageError("a site takes model files and bundled names, or one Keras model")
                model_files = [from_keras(Path(folder) / "model.onnx").path]
            _write_site(model_files, target, archive, overwrite=overwrite, as_json=as_json)
    elif file_format == "onnx":
        _report(from_keras(target), as_json=as_json)
    elif is_model_name(sources[0]):
        refuse_options(context, _OF_KERAS, "where SOURCE is a Keras model")
        _write_ort(find_model(sources[0], ANOTHER_MACHINE), target, overwrite=overwrite, as_json=as_json)
    else:
        with tempfile.TemporaryDirectory() as folder:
            model_file = from_keras(Path(folder) / "model.onnx").path
            _write_ort(model_file, target, overwrite=overwrite, as_json=as_json)


def _check_file(target: Path, output: str, file_format: Literal["onnx", "ort"], *, overwrite: bool) -> None:
    if target.suffix.lower() in _SUFFIXES - {f".{file_format}"}:
        raise UsageError(f"{output} would hold a model in the format {file_format}; name it .{file_format}")
    refuse_existing(target, overwrite=overwrite)
    if file_format == "ort":
        refuse_existing(operators_path(target), overwrite=overwrite)


def _write_site(model_files: list[Path], target: Path, archive: Path | None, *, overwrite: bool, as_json: bool) -> None:
    from digits_edge.export.targets.web import export_web

    show("making the site")
    exported = export_web(model_files, target, archive=archive, overwrite=overwrite)
    if as_json:
        print_json({"path": str(exported.folder), "models": exported.models, "bytes": exported.size_bytes})
        return
    names = ", ".join(exported.models)
    say(f"{exported.folder}: {names}; {exported.files} files, {exported.size_bytes / 1e6:.1f} MB")
    say(
        f"to see it: python -m http.server --directory {shlex.quote(str(exported.folder))}; any server of files will do"
    )


def _write_ort(model_file: Path, target: Path, *, overwrite: bool, as_json: bool) -> None:
    with needs_extra("export"):
        from digits_edge.export.targets.ort import export_ort
    exported = export_ort(model_file, target, overwrite=overwrite)
    if as_json:
        paths = {"path": str(exported.path), "operators": str(exported.operators_path)}
        print_json(paths | {"bytes": exported.size_bytes, "name": exported.metadata.name})
        return
    say(f"{exported.path}: {exported.metadata.name}, {exported.size_bytes / 1000:,.0f} kB; golden answers hold")
    say(f"{exported.operators_path}: the operators and types that a build of onnxruntime needs")


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
        f"{parity.changed} answers changed"
        + (f", {parity.errors} errors to Keras's {parity.reference_errors}" if parity.errors is not None else "")
    )
    if metadata.test:
        figure = Accuracy(metadata.test["errors"], metadata.test["images"])
        say(f"test: {figure.errors} errors of {figure.images:,} ({percent(figure.value)}) on {metadata.test['name']}")
    if exported.float_layers:
        say(f"kept in float: {', '.join(exported.float_layers)}")
    if not metadata.calibrated:
        uncalibrated = ", ".join(member.name for member in metadata.members if not member.calibrated)
        say(
            f"not calibrated (T = 1){': ' if uncalibrated else ''}{uncalibrated}: "
            "no validation images, or too few to tell; name the training data with --data"
        )


def _check_number(sources: tuple[str, ...], *, ensemble: bool) -> None:
    if not sources:
        raise click.UsageError("Missing argument 'SOURCE...'.")
    if len(sources) > 1 and not ensemble:
        raise UsageError(f"{len(sources)} sources: name one, or make one model of them all with --ensemble")
    if len(sources) == 1 and ensemble:
        raise UsageError("an ensemble has at least two members; name more, or leave --ensemble out")
    twice = [source for source in sources if sum(_same(source, other) for other in sources) > 1]
    if twice:
        raise UsageError(f"{' and '.join(twice)} are the same; name each member of an ensemble once")


def _check_kind(path: Path, source: str) -> None:
    """Say before TensorFlow is loaded what is no model of Keras."""
    if path.suffix == ".onnx":
        raise ModelError(f"{source} is a model file already; name the run folder or .keras file that it was made from")
    if not path.exists():
        raise ModelError(f"{source}: no such file or folder; name a run folder, a .keras or a .h5 file")
    if not (path / "model.keras").exists() and (folds := sorted(path.glob("fold-*-of-*"))):
        raise ModelError(
            f"{source} holds a cross-validation; name one of its folds, {folds[0]}, or all of them with --ensemble"
        )


def _same(one: str, other: str) -> bool:
    return file_path(one).resolve() == file_path(other).resolve()


def _data(data: str | None, trained_on: str | None, *, required: bool) -> tuple[Dataset | None, Dataset | None]:
    """Training and test data, as far as they are at hand and needed."""
    if data is None and trained_on is None:
        return None, None
    name, bar = trained_on or "mnist", progress("downloading")
    try:
        training = load(name, "train", data=data, progress=bar)
    except DataError as error:
        if data is not None:
            raise
        if required:
            raise DataError(f"the run's data is not found, name it with --data: {error}") from error
        return None, None
    try:
        return training, load(name, "test", data=data, progress=bar)
    except DataError:
        return training, None
