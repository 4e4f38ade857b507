"""The `--peers` mode of `digits-edge benchmark`, which measures other inference engines."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from digits_edge.cli.extras import needs_extra
from digits_edge.cli.options import file_path
from digits_edge.cli.output import note, print_json, print_table, show
from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.files import atomic_write, refuse_existing
from digits_edge.runtime.model.bundled import bundled_classifiers
from digits_edge.runtime.model.pixel_range import PixelRange
from digits_edge.runtime.session.machine import processor
from digits_edge.runtime.session.threads import available_threads

if TYPE_CHECKING:
    from digits_edge.measure.keras_peer import KerasPeer
    from digits_edge.measure.peers import Subject
    from digits_edge.measure.results import PeerRow, SkippedEngine

#: Writes rows and skipped engines to a file and returns its path.
Writer = Callable[["Sequence[PeerRow]", "Sequence[SkippedEngine]"], Path]


@dataclass(frozen=True)
class KerasChoice:
    """Command-line options about the Keras source of the model files.

    Attributes:
        path: run folder or Keras file.
        pixel_range: input of the Keras model; the default is the one recorded in the model file.
    """

    path: Path
    pixel_range: PixelRange


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
    """Measure model files with every engine, print a table and write it as CSV or draw it.

    Args:
        models: names or paths; empty for all bundled models.
        keras: Keras source, run by Keras and tf.function; None to skip these engines.
        threads: thread counts; empty for 1 and all available threads.
        batch_sizes: images per batch.
        rounds: number of rounds over all engines.
        seconds: minimum time per table row.
        output: CSV file, chart (.svg or .png), or a folder for a CSV file with the environment in its name; None for no
            file.
        overwrite: whether to replace an existing file.
        as_json: print one JSON object per row and skipped engine instead of a table.

    Raises:
        CheckError: digits-edge itself could not be measured.
        UsageError: the Keras model is not the source of a model file, the output exists, or matplotlib is missing.
    """
    from digits_edge.measure.peers import measure_peers

    write = None if output is None else _writer(file_path(output), overwrite=overwrite)
    if keras is not None and not models:
        raise UsageError("--keras needs the model files exported from it; pass them with --model")
    subjects = _subjects(models or [model.name for model in bundled_classifiers()])
    peers = _keras_side(keras, subjects) if keras is not None else {}

    rows: list[PeerRow] = []
    skipped: list[SkippedEngine] = []
    for subject in subjects:
        printed = len(rows), len(skipped)
        rows += measure_peers(
            subject,
            keras=peers.get(subject.name),
            threads=tuple(dict.fromkeys(threads or (1, available_threads()))),
            batch_sizes=tuple(dict.fromkeys(batch_sizes)),
            rounds=rounds,
            seconds=seconds,
            listener=show,
            on_skip=skipped.append,
        )
        if as_json:
            results: list[PeerRow | SkippedEngine] = [*rows[printed[0] :], *skipped[printed[1] :]]
            for result in results:
                print_json(asdict(result))
    if not as_json:
        _print(rows)
    for line in _skip_notes(skipped, models=len(subjects)):
        note(line)
    if write is not None:
        note(f"wrote {write(rows, skipped)}")


def _skip_notes(skipped: "Sequence[SkippedEngine]", *, models: int) -> list[str]:
    """Describe skipped engines, one line for each reason."""
    reasons: dict[str, list[SkippedEngine]] = {}
    for each in skipped:
        reasons.setdefault(each.skipped, []).append(each)
    lines = []
    for reason, engines in reasons.items():
        names = dict.fromkeys(each.engine for each in engines)
        affected = dict.fromkeys(each.model for each in engines)
        sizes = dict.fromkeys(str(each.batch_size) for each in engines if each.batch_size is not None)
        where = f" for {', '.join(affected)}" if len(affected) < models else ""
        where += f", batch size {', '.join(sizes)}" if sizes else ""
        lines.append(f"skipped {', '.join(names)}{where}: {reason}")
    return lines


def _writer(path: Path, *, overwrite: bool) -> Writer:
    """Return the function that writes the results to a file and returns its path; raise an error if it exists."""
    from digits_edge.measure.results import SUFFIX, results_name, write_results

    if path.is_dir():
        path /= results_name(SUFFIX, f"{available_threads()}threads")
    refuse_existing(path, overwrite=overwrite)
    if path.suffix.lower() not in (".svg", ".png"):

        def write(rows: "Sequence[PeerRow]", skipped: "Sequence[SkippedEngine]") -> Path:
            write_results(rows, path)
            return path

        return write

    with needs_extra("bench"):
        from digits_edge.train.charts.drawing import as_png, as_svg
        from digits_edge.train.charts.peers import draw_peers

    def draw(rows: "Sequence[PeerRow]", skipped: "Sequence[SkippedEngine]") -> Path:
        figure = draw_peers(rows, skipped, processor=processor())
        with atomic_write(path) as file:
            file.write(as_png(figure) if path.suffix.lower() == ".png" else as_svg(figure))
        return path

    return draw


def _subjects(models: Sequence[str]) -> "list[Subject]":
    from digits_edge.measure.peers import Subject

    subjects: dict[str, Subject] = {}
    for model in models:
        subject = Subject.of(model)
        if subject.name in subjects:
            raise UsageError(f"{model}: another model is also named {subject.name}; measure them separately")
        subjects[subject.name] = subject
    return list(subjects.values())


def _keras_side(choice: KerasChoice, subjects: "Sequence[Subject]") -> "dict[str, KerasPeer]":
    """Return the Keras engine of each model file by name."""
    with needs_extra("export"):
        from digits_edge.export import read_source
        from digits_edge.measure.keras_peer import KerasPeer

        metadata = subjects[0].metadata
        pixel_range = choice.pixel_range.or_recorded(metadata.pixel_range)
        source = read_source(choice.path, pixel_range=pixel_range, labels=metadata.labels)
    return {
        subject.name: KerasPeer.of_model_file(source, choice.path, subject.metadata, subject.golden)
        for subject in subjects
    }


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
