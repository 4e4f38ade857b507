"""The `digits-edge compare` command."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from digits_edge.cli.data_options import INPUT_OPTIONS, PictureOptions, picture_options
from digits_edge.cli.extras import needs_extra
from digits_edge.cli.labelled_images import Split, choose_data, note_other_classes
from digits_edge.cli.loaded_model import LoadedModel, open_model
from digits_edge.cli.options import (
    PIXEL_RANGE_OPTIONS,
    batch_size_option,
    data_option,
    examples,
    file_path,
    json_option,
    output_option,
    overwrite_option,
    pixel_range_options,
    refuse_options,
    session_options,
    split_option,
)
from digits_edge.cli.output import note, print_json, print_table, progress
from digits_edge.cli.study import run_study
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.files import refuse_existing
from digits_edge.runtime.model.bundled import MODELS
from digits_edge.runtime.model.pixel_range import PixelRange
from digits_edge.runtime.session.threads import available_threads

if TYPE_CHECKING:
    from digits_edge.train.evaluation.comparison import Candidate

#: Options that apply only without --study, and only with it.
_MODEL_OPTIONS = ("split", "batch_size", "provider", "threads", *PIXEL_RANGE_OPTIONS)
_STUDY_OPTIONS = ("epochs", "seed", "seeds", "runs", *INPUT_OPTIONS)
_SHORT_TYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}


@click.command(
    epilog=examples(
        "digits-edge compare edge-int8 cnn-small-int8 --data mnist -o comparison.html",
        "digits-edge compare --study dropout --seeds 1",
    )
)
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@data_option
@picture_options
@split_option
@batch_size_option(32)
@session_options
@pixel_range_options
@click.option(
    "--study", metavar="NAME", help="Study to run: dropout, units, depth, optimizer, batch-size, epochs or edge."
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    help="Epochs of each training of a study.  [default: 10; 40 in the study epochs]",
)
@click.option("--seed", type=click.IntRange(0, 2**31), default=0, show_default=True, help="First seed of a study.")
@click.option("--seeds", type=click.IntRange(1, 100), default=3, show_default=True, help="Number of seeds of a study.")
@click.option("--runs", metavar="FOLDER", help="Output folder for the runs of a study.  [default: runs/studies/NAME]")
@output_option("HTML page with the table and charts.", required=False)
@overwrite_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    models: tuple[str, ...],
    data: str | None,
    pictures: PictureOptions,
    split: Split | None,
    batch_size: int,
    provider: str,
    threads: int | None,
    pixel_range: PixelRange,
    study: str | None,
    epochs: int | None,
    seed: int,
    seeds: int,
    runs: str | None,
    output: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Compare models, or run a study of hyperparameters.

    MODEL is a bundled model, a model file, a run folder, or a .keras or .h5 file. The models are compared on the same
    labelled images by errors, size, latency and training cost. Latencies are measured round-robin, so that other load
    on the machine affects all models equally. --provider applies to ONNX models, --threads to all models.

    --study trains the variants of one hyperparameter and compares them on validation images. Repeat the same command to
    resume an interrupted study; finished runs are not trained again.
    """
    if bool(models) == (study is not None):
        raise click.UsageError("Pass either the models to compare or a study with --study.")
    if study is None:
        refuse_options(context, _STUDY_OPTIONS, "with --study")
    else:
        refuse_options(context, _MODEL_OPTIONS, "without --study")
    page = None if output is None else file_path(output)
    if page is not None:
        refuse_existing(page, overwrite=overwrite)
    if study is None:
        _compare(models, data, pictures, split, batch_size, provider, threads, pixel_range, page, as_json)
    else:
        folder = Path("runs", "studies", study) if runs is None else file_path(runs)
        run_study(study, data, pictures, epochs, range(seed, seed + seeds), folder, page, as_json)


def _compare(
    models: tuple[str, ...],
    data: str | None,
    pictures: PictureOptions,
    split: Split | None,
    batch_size: int,
    provider: str,
    threads: int | None,
    pixel_range: PixelRange,
    page: Path | None,
    as_json: bool,
) -> None:
    with needs_extra("train"):
        from digits_edge.train.evaluation.comparison import compare, unique_names
        from digits_edge.train.report.comparison_page import HEAD, comparison_page, row_of
        from digits_edge.train.report.page import write_page

    threads = threads or available_threads()
    # TensorFlow reads this when it is imported, which happens when the first Keras model is opened
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
    with ExitStack() as stack:
        loaded_models = [
            open_model(model, provider=provider, threads=threads, pixel_range=pixel_range, labels=None)
            for model in models
        ]
        for loaded in loaded_models:
            if isinstance(loaded.predictor, Classifier):
                stack.enter_context(loaded.predictor)
        dataset, split = choose_data(loaded_models, data, split, pictures)
        candidates = [_candidate(loaded) for loaded in loaded_models]
        for loaded in loaded_models:
            if loaded.data:
                note_other_classes(loaded.name, loaded.labels, dataset)
        names = unique_names([candidate.name for candidate in candidates])
        candidates = [replace(candidate, name=name) for candidate, name in zip(candidates, names, strict=True)]
        bars: dict[str, Callable[[int, int | None], None]] = {}

        def on_step(step: str, done: int, steps: int) -> None:
            bars.setdefault(step, progress(step))(done, steps)

        compared = compare(candidates, dataset, batch_size=batch_size, on_step=on_step)
    if as_json:
        for row in compared:
            print_json({"data": dataset.name, "split": split, "threads": threads, **row.to_json()})
    else:
        print_table(HEAD, [row_of(row) for row in compared], left=2)
        note(f"{dataset.name} {split}, {len(dataset):,} images; {threads} thread(s)")
    if page is not None:
        write_page(page, comparison_page(compared, data=f"{dataset.name} {split}", threads=threads))
        note(f"wrote {page}")


def _candidate(model: LoadedModel) -> "Candidate":
    """Convert a model for `compare`; bundled models are listed by name, others by path."""
    from digits_edge.train.evaluation.comparison import Candidate, training_cost

    if isinstance(predictor := model.predictor, Classifier):
        return Candidate(
            name=predictor.metadata.name if predictor.path.parent == MODELS else model.name,
            engine="onnx",
            provider=predictor.provider,
            precision=predictor.metadata.precision,
            predict=predictor.predict_batch,
            parameters=predictor.metadata.parameters,
            size_bytes=predictor.path.stat().st_size,
            architecture=predictor.metadata.architecture,
        )
    import keras

    weights = {weight.dtype for weight in predictor.model.trainable_weights}
    is_run = model.path.is_dir()
    return Candidate(
        name=str(model.path),
        engine="keras",
        provider=keras.backend.backend(),
        precision="/".join(sorted(_SHORT_TYPES.get(dtype, dtype) for dtype in weights)),
        predict=predictor.outputs,
        parameters=predictor.parameters,
        size_bytes=(model.path / "model.keras" if is_run else model.path).stat().st_size,
        training=training_cost(model.path) if is_run else None,
        architecture=predictor.architecture if is_run else None,
    )
