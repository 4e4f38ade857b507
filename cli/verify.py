"""`digits-edge verify`: do model files hold on this machine and provider?"""

from functools import cached_property
from typing import TYPE_CHECKING, Literal

import click

from digits_edge.cli.extras import needs_extra
from digits_edge.cli.labelled_images import note_other_classes
from digits_edge.cli.options import data_option, file_path, input_scale_option, json_option, session_options
from digits_edge.cli.output import percent, print_json, progress, say, show
from digits_edge.runtime.checks.verify import Reference, Verification, verify
from digits_edge.runtime.classifier import FEW_IMAGES, Classifier
from digits_edge.runtime.datasets import Dataset, load, parts
from digits_edge.runtime.errors import CheckError, ModelError, UsageError
from digits_edge.runtime.model.bundled import bundled_models

if TYPE_CHECKING:
    from digits_edge.export import Source


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@session_options
@click.option(
    "--keras",
    multiple=True,
    metavar="PATH",
    help="Also ask this Keras file or run folder, live; of an ensemble every member, in the order of its export.",
)
@input_scale_option
@data_option
@json_option
def command(
    models: tuple[str, ...],
    provider: str,
    threads: int | None,
    keras: tuple[str, ...],
    input_scale: Literal[1, 255] | None,
    data: str | None,
    as_json: bool,
) -> None:
    """Check that MODEL answers here as Keras did where it was made; without MODEL, all bundled models are checked.

    Always compared: the golden answers in the file, in batches of several sizes; of int8 models also with what exact
    integer arithmetic predicts, which no processor's kernels may differ from. With --data the errors on the test set
    are counted as well (of all bundled models only for those with the data's classes), with --keras the validation
    images (or, without --data, the golden ones) are answered by Keras now. The exit code is 1 if a model does not hold.
    """
    dataset = None
    if data is not None:
        dataset = load(split="test", data=data, progress=progress("downloading"))
    live = _LiveKeras(keras, input_scale, data) if keras else None
    failed = []
    names = models or [model.name for model in bundled_models()]
    if not names:
        raise ModelError("no model is bundled here; name a model file")
    for name in names:
        with Classifier(name, provider=provider, threads=threads, images=FEW_IMAGES) as classifier:
            show(f"verifying {classifier.metadata.name} on {classifier.provider}")
            reference = live.ask(classifier) if live is not None else None
            # of all bundled models some tell other things apart; a model that is named is measured as asked
            counted = dataset if models or dataset is None or classifier.labels == dataset.class_names else None
            if counted is not None:
                note_other_classes(name, classifier.labels, counted)
            found = verify(classifier, dataset=counted, reference=reference)
        if as_json:
            print_json(found.to_json())
        else:
            _print(found, counted)
        failed += [] if found.holds else [found.model]
    if failed:
        raise CheckError(f"does not hold here: {', '.join(failed)}")


class _LiveKeras:
    """The Keras models to compare with: read once, asked for every model file."""

    def __init__(self, paths: tuple[str, ...], input_scale: Literal[1, 255] | None, data: str | None) -> None:
        self._paths = paths
        self._input_scale: Literal[1, 255] | None = input_scale
        self._data = data
        self._read: dict[tuple[str, ...], list[Source]] = {}

    def ask(self, classifier: Classifier) -> Reference:
        """What they answer to the validation images or, without data, to the golden ones."""
        metadata = classifier.metadata
        members = len(metadata.members) or 1
        if len(self._paths) != members:
            kind = f"an ensemble of {members}" if metadata.members else "one model"
            raise UsageError(f"{metadata.name} is {kind}: name {members} with --keras, not {len(self._paths)}")
        sources = self._sources(classifier.labels)
        for path, source, member in zip(self._paths, sources, metadata.members, strict=False):
            if source.parameters != member.parameters:
                order = ", ".join(member.name for member in metadata.members)
                raise UsageError(f"{path} is not the {member.name} of {metadata.name}; --keras goes in order: {order}")
        from digits_edge.export import mean_outputs

        images, labels = classifier.golden.images, None
        if self._training is not None and self._training.labels is not None:
            rows = parts(self._training.labels, metadata.data.get("validation", "tenth")).validation
            images, labels = self._training.images[rows], self._training.labels[rows]
        temperatures = [member.temperature for member in metadata.members] or [metadata.temperature]
        return Reference(images, mean_outputs(sources, images, temperatures), labels)

    def _sources(self, labels: tuple[str, ...]) -> "list[Source]":
        """The models, for files with these labels."""
        if labels not in self._read:
            with needs_extra("export"):
                from digits_edge.export import read_source

                self._read[labels] = [
                    read_source(file_path(path), input_scale=self._input_scale, labels=labels) for path in self._paths
                ]
        return self._read[labels]

    @cached_property
    def _training(self) -> Dataset | None:
        if self._data is None:
            return None
        return load(split="train", data=self._data, progress=progress("downloading"))


def _print(found: Verification, dataset: Dataset | None) -> None:
    state = "holds" if found.holds else "DOES NOT HOLD"
    say(f"{found.model} on {found.provider}, {found.threads} thread(s): {state}")
    golden = found.golden
    say(
        f"  golden answers: {golden.images}, largest difference {golden.max_difference:.2g} "
        f"(allowed {found.golden_tolerance:g}), {golden.changed} changed"
    )
    if found.exact_difference is not None:
        say(
            f"  exact arithmetic: largest difference {found.exact_difference:.2g} (allowed {found.exact_tolerance:g})"
            + ("" if found.provider == "cpu" else ", not required of this provider")
        )
    if found.exact_kernels:
        say("  int8 weights may overflow this processor's kernels: slower, exact ones are used; export the model again")
    if found.parity is not None:
        parity = found.parity
        counted = f", {parity.errors} errors to Keras's {parity.reference_errors}" if parity.errors is not None else ""
        say(
            f"  Keras, live: {parity.images:,} images, largest difference {parity.max_difference:.2g}, "
            f"{parity.changed} changed, {parity.changed_clear} of them clear{counted}"
        )
    if found.accuracy is not None and dataset is not None:
        low, high = found.accuracy.interval()
        say(
            f"  {dataset.name}: {found.accuracy.errors} errors of {found.accuracy.images:,}, "
            f"{percent(found.accuracy.value)} right (95 %: {percent(low)} to {percent(high)})"
        )
    for problem in found.problems:
        say(f"  problem: {problem}")
