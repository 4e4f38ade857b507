"""The `digits-edge verify` command."""

from typing import TYPE_CHECKING, Literal, NamedTuple

import click

from digits_edge.cli.data_options import PictureOptions, reading_of, reading_options
from digits_edge.cli.extras import needs_extra
from digits_edge.cli.labelled_images import note_other_classes
from digits_edge.cli.line_verification import verify_sequence
from digits_edge.cli.model_facts import accuracy_at_export, multiplications_in_int8
from digits_edge.cli.options import (
    data_option,
    examples,
    file_path,
    json_option,
    keras_loading_options,
    pixel_range_options,
    session_options,
)
from digits_edge.cli.output import percent, print_json, say, show
from digits_edge.runtime.any_model import open_any
from digits_edge.runtime.checks.verify import Reference, Verification, verify
from digits_edge.runtime.classifier import FEW_IMAGES, Classifier
from digits_edge.runtime.datasets import Dataset, parts
from digits_edge.runtime.datasets.options import ReadingOptions
from digits_edge.runtime.errors import CheckError, ModelError, UsageError
from digits_edge.runtime.model.bundled import bundled_models
from digits_edge.runtime.model.model_file import Metadata
from digits_edge.runtime.model.pixel_range import PixelRange
from digits_edge.runtime.reader.line_model import LineModel

if TYPE_CHECKING:
    from digits_edge.export import Source


@click.command(epilog=examples("digits-edge verify", "digits-edge verify edge-int8 --data mnist"))
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@session_options
@click.option(
    "--keras",
    multiple=True,
    metavar="PATH",
    help="Run folder or Keras file to compare with; repeat for each member of an ensemble, in its order.",
)
@pixel_range_options
@keras_loading_options
@data_option
@reading_options
@json_option
def command(
    models: tuple[str, ...],
    provider: str,
    threads: int | None,
    keras: tuple[str, ...],
    pixel_range: PixelRange,
    keras_output: str | None,
    custom_objects: str | None,
    data: str | None,
    pictures: PictureOptions,
    as_json: bool,
) -> None:
    """Verify model files on this machine.

    MODEL is a bundled model or a model file; the default is all bundled models.

    Every model is run on the reference images in its file, in batches of several sizes, and compared with the
    predictions that Keras gave at export. int8 models are also compared with exact integer arithmetic, from which the
    kernels of a processor must not differ. --data also counts the errors on the test set; without MODEL, for the
    models with the classes of the data only. --keras also compares with Keras on the validation images of --data, or
    on the reference images without --data. For a model that reads lines, --data is a folder as for evaluate. The exit
    code is 1 if a check fails.
    """
    test = None if data is None else _DataForModels(data, "test", pictures)
    code = _KerasCode(keras_output, custom_objects)
    training = None if data is None else _DataForModels(data, "train", pictures)
    keras_models = _KerasReference(keras, pixel_range, training, code) if keras else None
    failed = []
    names = models or [model.name for model in bundled_models()]
    if not names:
        raise ModelError("this installation has no bundled models; pass a model file")
    for name in names:
        opened = open_any(name, provider=provider, threads=threads, images=FEW_IMAGES)
        show(f"verifying {opened.metadata.name} on {opened.provider}")
        if isinstance(opened, LineModel):
            holds = verify_sequence(opened, data if models else None, as_json=as_json)
            failed += [] if holds else [name]
            continue
        with opened as classifier:
            reference = keras_models.outputs_for(classifier) if keras_models is not None else None
            # without MODEL, models with other classes than the data are not measured on it
            dataset = None if test is None else test.of(classifier)
            counted = dataset if models or dataset is None or classifier.labels == dataset.class_names else None
            if counted is not None:
                note_other_classes(name, classifier.labels, counted)
            verification = verify(classifier, dataset=counted, reference=reference)
        if as_json:
            print_json(verification.to_json())
        else:
            _print(verification, classifier.metadata, counted)
        failed += [] if verification.holds else [verification.model]
    if failed:
        raise CheckError(f"verification failed: {', '.join(failed)}")


class _KerasCode(NamedTuple):
    """The options `--keras-output` and `--custom-objects`."""

    output: str | None
    custom_objects: str | None


class _DataForModels:
    """A split of a data set as inputs of several models, read once for models with the same input and preprocessing."""

    def __init__(self, data: str, split: Literal["train", "test"], pictures: PictureOptions) -> None:
        self._data, self._split, self._pictures = data, split, pictures
        self._read: dict[ReadingOptions, Dataset] = {}

    def of(self, classifier: Classifier) -> Dataset:
        """Read the images as inputs of a model."""
        options = reading_of(classifier.metadata.input, classifier.metadata.preprocessing)
        if options not in self._read:
            self._read[options] = self._pictures.load("mnist", self._split, self._data, recorded=options)
        return self._read[options]


class _KerasReference:
    """Keras models to compare with, read once for all model files."""

    def __init__(
        self, paths: tuple[str, ...], pixel_range: PixelRange, training: _DataForModels | None, code: "_KerasCode"
    ) -> None:
        self._paths = paths
        self._pixel_range = pixel_range
        self._training = training
        self._code = code
        self._read: dict[tuple[tuple[str, ...], tuple[PixelRange, ...]], list[Source]] = {}

    def outputs_for(self, classifier: Classifier) -> Reference:
        """Run Keras on the validation images or, without data, on the reference images of the model file."""
        metadata = classifier.metadata
        members = len(metadata.members) or 1
        if len(self._paths) != members:
            raise UsageError(
                f"{metadata.name} has {members} member(s), but --keras was given {len(self._paths)} time(s)"
            )
        sources = self._sources(classifier)
        for path, source, member in zip(self._paths, sources, metadata.members, strict=False):
            if source.parameters != member.parameters:
                order = ", ".join(member.name for member in metadata.members)
                raise UsageError(
                    f"{path} is not member {member.name} of {metadata.name}; pass --keras in order: {order}"
                )
        from digits_edge.export import mean_outputs

        images, labels = classifier.golden.images, None
        training = None if self._training is None else self._training.of(classifier)
        if training is not None and training.labels is not None:
            rows = parts(training.labels, metadata.data.get("validation", "tenth")).validation
            images, labels = training.images[rows], training.labels[rows]
        temperatures = [member.temperature for member in metadata.members] or [metadata.temperature]
        return Reference(images, mean_outputs(sources, images, temperatures), labels)

    def _sources(self, classifier: Classifier) -> "list[Source]":
        """Read the Keras models with the labels and the pixel ranges of a model file."""
        metadata = classifier.metadata
        recorded = [member.pixel_range for member in metadata.members] or [metadata.pixel_range]
        key = classifier.labels, tuple(map(self._pixel_range.or_recorded, recorded))
        if key not in self._read:
            with needs_extra("export"):
                from digits_edge.export import read_source

                labels, ranges = key
                self._read[key] = [
                    read_source(
                        file_path(path),
                        pixel_range=pixel_range,
                        labels=labels,
                        output=self._code.output,
                        custom_objects=self._code.custom_objects,
                    )
                    for path, pixel_range in zip(self._paths, ranges, strict=True)
                ]
        return self._read[key]


def _print(verification: Verification, metadata: Metadata, dataset: Dataset | None) -> None:
    state = "ok" if verification.holds else "FAILED"
    say(f"{verification.model} on {verification.provider}, {verification.threads} thread(s): {state}")
    golden = verification.golden
    say(
        f"  reference images: {golden.images}, largest difference {golden.max_difference:.2g} "
        f"(allowed {verification.golden_tolerance:g}), {golden.changed} changed predictions"
    )
    if metadata.precision == "int8":
        say(f"  {multiplications_in_int8(metadata.int8_share)}")
    if verification.exact_difference is not None:
        say(
            f"  exact arithmetic: largest difference {verification.exact_difference:.2g} "
            f"(allowed {verification.exact_tolerance:g})"
            + ("" if verification.provider == "cpu" else ", not required for this provider")
        )
    if verification.exact_kernels:
        say("  int8 weights may overflow on this processor, so slower exact kernels are used; export the model again")
    if verification.parity is not None:
        parity = verification.parity
        counted = f", {parity.errors} errors (Keras: {parity.reference_errors})" if parity.errors is not None else ""
        say(
            f"  Keras: {parity.images:,} images, largest difference {parity.max_difference:.2g}, "
            f"{parity.changed} changed predictions, {parity.changed_clear} of them clear{counted}"
        )
    if verification.accuracy is not None and dataset is not None:
        low, high = verification.accuracy.interval()
        say(
            f"  {dataset.name}: {verification.accuracy.errors} errors of {verification.accuracy.images:,}, "
            f"{percent(verification.accuracy.value)} accuracy (95 % interval: {percent(low)} to {percent(high)})"
        )
    else:
        say(f"  {accuracy_at_export(metadata)}")
    for problem in verification.problems:
        say(f"  problem: {problem}")
