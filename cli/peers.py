"""The `--peers` mode of `digits-edge benchmark`, which measures other inference engines."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from digits_edge.cli.data_options import PictureOptions, reading_of
from digits_edge.cli.extras import needs_extra
from digits_edge.cli.options import file_path
from digits_edge.cli.output import note, print_json, print_table, show
from digits_edge.runtime.errors import DataError, UsageError
from digits_edge.runtime.files import refuse_existing
from digits_edge.runtime.model.bundled import bundled_models
from digits_edge.runtime.model.pixel_range import PixelRange
from digits_edge.runtime.session.threads import available_threads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from digits_edge.measure.keras_peer import KerasPeer
    from digits_edge.measure.peers import Subject
    from digits_edge.measure.results import PeerRow


@dataclass(frozen=True)
class KerasChoice:
    """Command-line options about the Keras source of the model files.

    Attributes:
        path: run folder or Keras file.
        pixel_range: input of the Keras model; the default is the one recorded in the model file.
        data: value of `--data`, the training data; None for the data recorded in the run folder.
    """

    path: Path
    pixel_range: PixelRange
    data: str | None


def run_peers(
    models: Sequence[str],
    keras: KerasChoice | None,
    threads: Sequence[int],
    batch_sizes: Sequence[int],
    rounds: int,
    seconds: float,
    output: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Measure model files with every installed engine, print a table and write it as CSV.

    Args:
        models: names or paths; empty for all bundled models.
        keras: Keras source, run by LiteRT, Keras and tf.function; None to omit these engines.
        threads: thread counts; empty for 1 and all available threads.
        batch_sizes: images per batch.
        rounds: number of rounds over all engines.
        seconds: minimum time per table row.
        output: CSV file, or a folder for a file with the environment in its name; None for no file.
        overwrite: whether to replace an existing file.
        as_json: print one JSON object per row instead of a table.

    Raises:
        CheckError: digits-edge itself could not be measured.
        UsageError: the Keras model is not the source of a model file, or the output exists.
    """
    from digits_edge.measure.peers import measure_peers
    from digits_edge.measure.results import write_results

    target = None if output is None else _results_path(file_path(output), overwrite=overwrite)
    if keras is not None and not models:
        raise UsageError("--keras needs the model files exported from it; pass them with --model")
    subjects = _subjects(models or [model.name for model in bundled_models()])
    peers: dict[str, KerasPeer] = {}
    calibration = None
    if keras is not None:
        peers, calibration = _keras_side(keras, subjects)
    else:
        note("skipped litert, keras and tf.function: they need the Keras source; pass it with --keras")

    rows: list[PeerRow] = []
    skipped = _SkippedEngines()
    for subject in subjects:
        measured = measure_peers(
            subject,
            keras=peers.get(subject.name),
            calibration=calibration,
            threads=tuple(dict.fromkeys(threads or (1, available_threads()))),
            batch_sizes=tuple(dict.fromkeys(batch_sizes)),
            rounds=rounds,
            seconds=seconds,
            listener=show,
            on_skip=skipped,
        )
        for row in measured if as_json else ():
            print_json(asdict(row))
        rows += measured
    if not as_json:
        _print(rows)
    if target is not None:
        write_results(rows, target)
        note(f"wrote {target}")


class _SkippedEngines:
    """Callback that prints each skipped engine and reason once."""

    def __init__(self) -> None:
        self._printed: set[tuple[str, str]] = set()

    def __call__(self, engine: str, reason: str) -> None:
        if (engine, reason) not in self._printed:
            self._printed.add((engine, reason))
            note(f"skipped {engine}: {reason}")


def _results_path(path: Path, *, overwrite: bool) -> Path:
    """Return the CSV file to write; raise an error if it exists."""
    from digits_edge.measure.results import SUFFIX, results_name

    if path.is_dir():
        path /= results_name(SUFFIX, f"{available_threads()}threads")
    refuse_existing(path, overwrite=overwrite)
    return path


def _subjects(models: Sequence[str]) -> "list[Subject]":
    from digits_edge.measure.peers import Subject

    subjects: dict[str, Subject] = {}
    for model in models:
        subject = Subject.of(model)
        if subject.name in subjects:
            raise UsageError(f"{model}: another model is also named {subject.name}; measure them separately")
        subjects[subject.name] = subject
    return list(subjects.values())


def _keras_side(
    choice: KerasChoice, subjects: "Sequence[Subject]"
) -> "tuple[dict[str, KerasPeer], NDArray[np.uint8] | None]":
    """Return the Keras engine of each model file by name, and training images if int8 has to be calibrated."""
    with needs_extra("export"):
        from digits_edge.export import read_source
        from digits_edge.export.member import calibration_images
        from digits_edge.measure.keras_peer import KerasPeer

        metadata = subjects[0].metadata
        pixel_range = choice.pixel_range.or_recorded(metadata.pixel_range)
        source = read_source(choice.path, pixel_range=pixel_range, labels=metadata.labels)
    peers = {
        subject.name: KerasPeer.of_model_file(source, choice.path, subject.metadata, subject.golden)
        for subject in subjects
    }
    if all(subject.metadata.precision != "int8" for subject in subjects):
        return peers, None
    try:
        options = reading_of(source.image, source.preprocessing)
        training = PictureOptions().load(source.data.get("name", "mnist"), "train", choice.data, recorded=options)
    except DataError:
        if choice.data is not None:
            raise
        return peers, None  # the LiteRT converter reports what is missing
    return peers, calibration_images(source, training)


def _print(rows: "Sequence[PeerRow]") -> None:
    head = [
        "model",
        "engine",
        "threads",
        "batch",
        "p50 µs",
        "p50 range µs",
        "images/s",
        "ratio",
        "agreement",
        "difference",
    ]
    cells = [
        [
            row.model,
            row.engine,
            str(row.threads),
            str(row.batch_size),
            f"{row.p50_us:,.0f}",
            f"{row.lowest_us:,.0f}–{row.highest_us:,.0f}",
            f"{row.images_per_second:,.0f}",
            f"{row.ratio:.2f}",
            f"{row.agreement:.0%}",
            f"{row.largest_difference:.1g}",
        ]
        for row in rows
    ]
    print_table(head, cells, left=2)
    versions = dict.fromkeys(library for row in rows for library in row.engine_version.split(" + "))
    note(
        f"ratio: time relative to the fastest digits-edge row; Keras and tf.function run in float; "
        f"{', '.join(versions)}"
    )
