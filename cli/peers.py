"""The half of `digits-edge benchmark` that measures other engines too: `--peers`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from digits_edge.cli.extras import needs_extra
from digits_edge.cli.options import file_path
from digits_edge.cli.output import note, print_json, print_table, progress, show
from digits_edge.runtime.datasets import load
from digits_edge.runtime.errors import DataError, UsageError
from digits_edge.runtime.files import refuse_existing
from digits_edge.runtime.model.bundled import bundled_models
from digits_edge.runtime.session.threads import available_threads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from digits_edge.measure.keras_peer import KerasPeer
    from digits_edge.measure.peers import Subject
    from digits_edge.measure.results import PeerRow


@dataclass(frozen=True)
class KerasChoice:
    """What the user said of the Keras model that the model files were made of.

    Attributes:
        path: run folder or Keras file.
        input_scale: what white is in its input; None where the model says it.
        data: its training data, as `--data` takes it; None for the data of the run.
    """

    path: Path
    input_scale: Literal[1, 255] | None
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
    """Measure model files with every engine that is installed here, print the table and keep it as CSV.

    Args:
        models: names or files; empty for all bundled ones.
        keras: what LiteRT and the engines of Keras run; None leaves them out.
        threads: numbers of them; empty for one, and for all that are allowed.
        batch_sizes: images per call.
        rounds: how often each engine has its turn.
        seconds: for each row, at least.
        output: a CSV file, or a folder that gets one with the environment in its name; None for none.
        overwrite: replace a file that exists.
        as_json: print an object for each row instead of a table.

    Raises:
        CheckError: ours could not be measured.
        UsageError: the Keras model is not that of a model file, or an output that exists.
    """
    from digits_edge.measure.peers import measure_peers
    from digits_edge.measure.results import write_results

    target = None if output is None else _target(file_path(output), overwrite=overwrite)
    if keras is not None and not models:
        raise UsageError("--keras needs the model files that were made of it; name them with --model")
    subjects = _subjects(models or [model.name for model in bundled_models()])
    peers: dict[str, KerasPeer] = {}
    calibration = None
    if keras is not None:
        peers, calibration = _keras_side(keras, subjects)
    else:
        note("litert, keras and tf.function are left out: they run a Keras model, which --keras names")

    rows: list[PeerRow] = []
    left_out = _Skipped()
    for subject in subjects:
        found = measure_peers(
            subject,
            keras=peers.get(subject.name),
            calibration=calibration,
            threads=tuple(dict.fromkeys(threads or (1, available_threads()))),
            batch_sizes=tuple(dict.fromkeys(batch_sizes)),
            rounds=rounds,
            seconds=seconds,
            listener=show,
            on_skip=left_out,
        )
        for row in found if as_json else ():
            print_json(asdict(row))
        rows += found
    if not as_json:
        _print(rows)
    if target is not None:
        write_results(rows, target)
        note(f"{target} has the table")


class _Skipped:
    """Says which engine is left out, once for each reason."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()

    def __call__(self, engine: str, reason: str) -> None:
        if (engine, reason) not in self._said:
            self._said.add((engine, reason))
            note(f"{engine} is left out: {reason}")


def _target(path: Path, *, overwrite: bool) -> Path:
    """Where the table goes, once it is known that it may."""
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
            raise UsageError(f"{model} is called {subject.name} like another; measure one of the two at a time")
        subjects[subject.name] = subject
    return list(subjects.values())


def _keras_side(
    choice: KerasChoice, subjects: "Sequence[Subject]"
) -> "tuple[dict[str, KerasPeer], NDArray[np.uint8] | None]":
    """By model file's name, the Keras model with that file's ends; and training images for int8, where needed."""
    with needs_extra("export"):
        from digits_edge.export import read_source
        from digits_edge.export.exporting import calibration_images
        from digits_edge.measure.keras_peer import KerasPeer

        source = read_source(choice.path, input_scale=choice.input_scale, labels=subjects[0].metadata.labels)
    peers = {
        subject.name: KerasPeer.of_model_file(source, choice.path, subject.metadata, subject.golden)
        for subject in subjects
    }
    if all(subject.metadata.precision != "int8" for subject in subjects):
        return peers, None
    try:
        training = load(source.data.get("name", "mnist"), "train", data=choice.data, progress=progress("downloading"))
    except DataError:
        if choice.data is not None:
            raise
        return peers, None  # LiteRT's converter says what is missing
    return peers, calibration_images(source, training)


def _print(rows: "Sequence[PeerRow]") -> None:
    head = ["model", "engine", "threads", "batch", "p50 µs", "rounds' p50 µs", "images/s", "ratio", "agrees", "differs"]
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
    note(f"ratio: to the fastest of digits-edge; Keras and tf.function compute in float; {', '.join(versions)}")
