"""`digits-edge verify`: do model files hold on this machine and provider?"""

from typing import Literal

import click

from digits_edge.cli.keras_side import needs_extra
from digits_edge.cli.options import data_option, file_path, input_scale_option, json_option, session_options
from digits_edge.cli.output import percent, print_json, progress, say, show
from digits_edge.runtime.bundled import bundled_models
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets import Dataset, load, parts
from digits_edge.runtime.errors import CheckError, ModelError
from digits_edge.runtime.verify import Reference, Verification, verify


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@session_options
@click.option("--keras", metavar="PATH", help="Also ask this Keras file or run folder, live.")
@input_scale_option
@data_option
@json_option
def command(
    models: tuple[str, ...],
    provider: str,
    threads: int | None,
    keras: str | None,
    input_scale: Literal[1, 255] | None,
    data: str | None,
    as_json: bool,
) -> None:
    """Check that MODEL answers here as Keras did where it was made; without MODEL, all bundled models are checked.

    Always compared: the golden answers in the file, in batches of several sizes. With --data the errors on the test set
    are counted as well, with --keras the validation images (or, without --data, the golden ones) are answered by Keras
    now. The exit code is 1 if a model does not hold.
    """
    dataset = None
    if data is not None:
        dataset = load(split="test", data=data, progress=progress("downloading"))
    failed = []
    names = models or [model.name for model in bundled_models()]
    if not names:
        raise ModelError("no model is bundled here; name a model file")
    for name in names:
        with Classifier(name, provider=provider, threads=threads) as classifier:
            show(f"verifying {classifier.metadata.name} on {classifier.provider}")
            reference = _ask_keras(classifier, keras, input_scale, data) if keras is not None else None
            found = verify(classifier, dataset=dataset, reference=reference)
        if as_json:
            print_json(found.to_json())
        else:
            _print(found, dataset)
        failed += [] if found.holds else [found.model]
    if failed:
        raise CheckError(f"does not hold here: {', '.join(failed)}")


def _ask_keras(classifier: Classifier, keras: str, input_scale: Literal[1, 255] | None, data: str | None) -> Reference:
    with needs_extra("export"):
        from digits_edge.export import calibrated_answers, read_source

        source = read_source(
            file_path(keras),
            input_scale=input_scale,
            labels=classifier.labels,
        )
    images, labels = classifier.golden.images, None
    if data is not None:
        training = load(split="train", data=data, progress=progress("downloading"))
        if training.labels is not None:
            rows = parts(training.labels, classifier.metadata.data.get("validation", "tenth")).validation
            images, labels = training.images[rows], training.labels[rows]
    return Reference(images, calibrated_answers(source, images, classifier.metadata.temperature), labels)


def _print(found: Verification, dataset: Dataset | None) -> None:
    state = "holds" if found.holds else "DOES NOT HOLD"
    say(f"{found.model} on {found.provider}, {found.threads} thread(s): {state}")
    golden = found.golden
    say(
        f"  golden answers: {golden.images}, largest difference {golden.max_difference:.2g} "
        f"(allowed {found.golden_tolerance:g}), {golden.changed} changed"
    )
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
