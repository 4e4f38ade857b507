"""`digits-edge compare`: models side by side; with `--study`, one of the documents' studies."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from digits_edge.cli.extras import needs_extra
from digits_edge.cli.labelled_images import Split, choose_data, note_other_classes
from digits_edge.cli.loaded_model import LoadedModel, open_model
from digits_edge.cli.options import (
    batch_size_option,
    data_option,
    file_path,
    input_scale_option,
    json_option,
    output_option,
    overwrite_option,
    refuse_options,
    session_options,
    split_option,
)
from digits_edge.cli.output import note, print_json, print_table, progress
from digits_edge.cli.study import run_study
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.files import refuse_existing
from digits_edge.runtime.model.bundled import MODELS
from digits_edge.runtime.session.threads import available_threads

if TYPE_CHECKING:
    from digits_edge.train.evaluation.comparison import Candidate

#: What only one of the two ways of this command takes.
_OF_MODELS = ("split", "batch_size", "provider", "threads", "input_scale")
_OF_STUDIES = ("epochs", "seed", "seeds", "runs")
_SHORT_TYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@data_option
@split_option
@batch_size_option(32)
@session_options
@input_scale_option
@click.option("--study", metavar="NAME", help="dropout, units, depth, optimizer, batch-size, epochs or edge.")
@click.option("--epochs", type=click.IntRange(min=1), help="Of each training of a study.  [default: 10; epochs: 40]")
@click.option("--seed", type=click.IntRange(0, 2**31), default=0, show_default=True, help="A study's first seed.")
@click.option("--seeds", type=click.IntRange(1, 100), default=3, show_default=True, help="How many seeds a study has.")
@click.option("--runs", metavar="FOLDER", help="Gets a study's run folders.  [default: runs/studies/NAME]")
@output_option("A page (HTML) with the table and pictures.", required=False)
@overwrite_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    models: tuple[str, ...],
    data: str | None,
    split: Split | None,
    batch_size: int,
    provider: str,
    threads: int | None,
    input_scale: Literal[1, 255] | None,
    study: str | None,
    epochs: int | None,
    seed: int,
    seeds: int,
    runs: str | None,
    output: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Compare models on the same labelled images: errors, size, latency and what their training cost.

    MODEL is a bundled name, a model file, a run folder, a .keras or a .h5 file. The latencies are measured in turns, so
    that other work on the machine hurts all models alike. --provider holds for .onnx, --threads for all.

    With --study instead of models, one of the documents' experiments is trained and compared on validation images: what
    dropout, hidden units, depth, optimizer, batch size or epochs do. A study that was cut goes on where it was, and
    runs that are finished are not trained again.
    """
    if bool(models) == (study is not None):
        raise click.UsageError("Name either the models to compare, or a study with --study.")
    if study is None:
        refuse_options(context, _OF_STUDIES, "with --study")
    else:
        refuse_options(context, _OF_MODELS, "without --study")
    page = None if output is None else file_path(output)
    if page is not None:
        refuse_existing(page, overwrite=overwrite)
    if study is None:
        _compare(models, data, split, batch_size, provider, threads, input_scale, page, as_json)
    else:
        folder = Path("runs", "studies", study) if runs is None else file_path(runs)
        run_study(study, data, epochs, range(seed, seed + seeds), folder, page, as_json)


def _compare(
    models: tuple[str, ...],
    data: str | None,
    split: Split | None,
    batch_size: int,
    provider: str,
    threads: int | None,
    input_scale: Literal[1, 255] | None,
    page: Path | None,
    as_json: bool,
) -> None:
    with needs_extra("train"):
        from digits_edge.train.evaluation.comparison import compare, unique_names
        from digits_edge.train.report.comparison_page import HEAD, comparison_page, row_of
        from digits_edge.train.report.page import write_page

    threads = threads or available_threads()
    # TensorFlow reads it when it is loaded, as it is for the first Keras model
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
    with ExitStack() as stack:
        opened = [
            open_model(model, provider=provider, threads=threads, input_scale=input_scale, labels=None)
            for model in models
        ]
        for one in opened:
            if isinstance(one.opened, Classifier):
                stack.enter_context(one.opened)
        dataset, split = choose_data(opened, data, split)
        candidates = [_candidate(one) for one in opened]
        for one in opened:
            if one.data:
                note_other_classes(one.asked, one.labels, dataset)
        names = unique_names([candidate.name for candidate in candidates])
        candidates = [replace(candidate, name=name) for candidate, name in zip(candidates, names, strict=True)]
        bars: dict[str, Callable[[int, int | None], None]] = {}

        def step(what: str, done: int, steps: int) -> None:
            bars.setdefault(what, progress(what))(done, steps)

        compared = compare(candidates, dataset, batch_size=batch_size, on_step=step)
    if as_json:
        for row in compared:
            print_json({"data": dataset.name, "split": split, "threads": threads, **row.to_json()})
    else:
        print_table(HEAD, [row_of(row) for row in compared], left=2)
        note(f"{dataset.name} {split}, {len(dataset):,} images; {threads} thread(s)")
    if page is not None:
        write_page(page, comparison_page(compared, data=f"{dataset.name} {split}", threads=threads))
        note(f"{page} has the table and pictures")


def _candidate(model: LoadedModel) -> "Candidate":
    """A model as one that can be compared, under its own name where it is bundled, else under its path."""
    from digits_edge.train.evaluation.comparison import Candidate, training_cost

    if isinstance(opened := model.opened, Classifier):
        return Candidate(
            name=opened.metadata.name if opened.path.parent == MODELS else model.asked,
            engine="onnx",
            provider=opened.provider,
            precision=opened.metadata.precision,
            answers=opened.predict_batch,
            parameters=opened.metadata.parameters,
            size_bytes=opened.path.stat().st_size,
            architecture=opened.metadata.architecture,
        )
    import keras

    weights = {weight.dtype for weight in opened.model.trainable_weights}
    is_run = model.path.is_dir()
    return Candidate(
        name=str(model.path),
        engine="keras",
        provider=keras.backend.backend(),
        precision="/".join(sorted(_SHORT_TYPES.get(dtype, dtype) for dtype in weights)),
        answers=opened.answers,
        parameters=opened.parameters,
        size_bytes=(model.path / "model.keras" if is_run else model.path).stat().st_size,
        training=training_cost(model.path) if is_run else None,
        architecture=opened.architecture if is_run else None,
    )
