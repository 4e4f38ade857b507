"""`batch_predict_pictures()`: classify many pictures and write a CSV."""

import hashlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from digits_edge.runtime.batch.output import STANDARD_STREAM, ResumeCallback, batch_output, csv_lines
from digits_edge.runtime.batch.table import in_order
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets.dataset import ProgressCallback
from digits_edge.runtime.errors import InputError, UsageError
from digits_edge.runtime.files import is_same_file
from digits_edge.runtime.model.model_file import recorded_digest
from digits_edge.runtime.prediction import Prediction, Status
from digits_edge.runtime.preprocessing.pictures import open_picture
from digits_edge.runtime.preprocessing.prepared import PreparedPicture
from digits_edge.runtime.preprocessing.steps import PictureForm

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

COLUMNS = ("File", "Label", "Confidence", "Status")
#: Spreadsheets treat a cell that begins with one of these as a formula (OWASP, "CSV injection").
FORMULA = ("=", "+", "-", "@", "\t", "\r")
#: One thread opens this many in the time that processes need to start.
FEW_PICTURES = 300
#: Pictures per worker that are opened ahead of the model.
_READ_AHEAD = 8
#: A picture's path, with its image and boxes or the error.
_Prepared = tuple[Path, PreparedPicture | InputError]


@dataclass(frozen=True)
class PictureReport:
    """Result of a run over pictures.

    Attributes:
        pictures: number of pictures with a prediction.
        blank: number of those without ink.
        several: number of those with several digits.
        uncertain: number of those with a confidence below the model's threshold.
        unread: number of pictures that could not be read.
        failed: reason for each picture that this run could not read, by name.
        elapsed_s: time for opening, predicting and writing, in seconds.
    """

    pictures: int
    blank: int
    several: int
    uncertain: int
    unread: int
    failed: dict[str, str]
    elapsed_s: float


def batch_predict_pictures(
    classifier: Classifier,
    pictures: Sequence[Path],
    target: str | Path,
    *,
    pictures_per_block: int = 128,
    workers: int = 1,
    overwrite: bool = False,
    resume: bool = False,
    on_resume: ResumeCallback | None = None,
    progress: ProgressCallback | None = None,
) -> PictureReport:
    """Classify pictures and write the predictions to a CSV, in constant memory.

    Args:
        classifier: an open model.
        pictures: paths, for example from `find_pictures`.
        target: output file with the columns `File,Label,Confidence,Status`; it appears complete or not at all. "-" is
            standard output. A picture that is blank or has several digits has no
            label. A picture that cannot be read has neither label nor
            confidence, and the status `error`.
        pictures_per_block: batch size of the model.
        workers: number of pictures opened at once. For more than `FEW_PICTURES` pictures, each worker is a process: for
            20,000 pictures, two processes are 1.75× faster than one thread, and two threads 2× slower. A script with
            more than one worker needs the guard `if __name__ == "__main__":`.
        overwrite: replace `target` if it exists.
        resume: resume an interrupted run over the same pictures; keep partial output if this run is interrupted.
        on_resume: called before the first prediction if there is a run to resume, with the number of its pictures and
            the path of its partial output.
        progress: called with (pictures done so far, total pictures).

    Raises:
        InputError: `target` cannot be written.
        UsageError: `target` exists or is one of the pictures, or the partial output belongs to other pictures.

    Example:
        >>> import tempfile
        >>> from digits_edge.runtime.datasets.synthetic_digits import draw_digit
        >>> with tempfile.TemporaryDirectory() as folder, Classifier("edge-int8", provider="cpu") as classifier:
        ...     picture, target = Path(folder, "three.png"), Path(folder, "out.csv")
        ...     draw_digit(3, np.random.default_rng(0)).save(picture)
        ...     report = batch_predict_pictures(classifier, [picture], target)
        ...     header = target.read_text().splitlines()[0]
        >>> report.pictures, header
        (1, 'File,Label,Confidence,Status')
    """
    start_s = time.perf_counter()
    refuse_picture(target, pictures)

    failed: dict[str, str] = {}
    identity = _identity(classifier, pictures) if resume else None
    with (
        batch_output(
            target, csv_lines([COLUMNS]), b"", overwrite=overwrite, resume=identity, on_resume=on_resume
        ) as output,
        _worker_pool(workers if len(pictures) > FEW_PICTURES else 1) as pool,
    ):
        done, counts = output.done, dict.fromkeys((*get_args(Status), "error"), 0) | output.counts
        prepare = partial(_prepare, classifier.form)
        prepared = in_order(pool, prepare, pictures[done:], ahead=_READ_AHEAD * workers)
        for block in _blocks(prepared, pictures_per_block):
            found = [None if isinstance(picture, InputError) else picture for _, picture in block]
            lines: list[tuple[str, ...]] = []
            for (path, picture), prediction in zip(block, predictions(classifier, found), strict=True):
                if isinstance(picture, InputError):
                    failed[path.name] = str(picture)
                counts["error" if prediction is None else prediction.status] += 1
                lines.append(cells(path.name, prediction))
            done += len(block)
            output.write(csv_lines(lines), b"", done, counts)
            if progress is not None:
                progress(done, len(pictures))
    elapsed_s = time.perf_counter() - start_s
    predicted = sum(counts.values()) - counts["error"]
    return PictureReport(
        predicted, counts["blank"], counts["several"], counts["uncertain"], counts["error"], failed, elapsed_s
    )


def refuse_picture(target: str | Path, pictures: Sequence[Path]) -> None:
    """Raise UsageError if an output is one of the pictures."""
    if target != STANDARD_STREAM and any(is_same_file(path, Path(target)) for path in pictures):
        raise UsageError(f"{target} is one of the pictures; name another output")


@contextmanager
def _worker_pool(count: int) -> Iterator[Executor]:
    """Start the workers that open pictures: one thread, or several processes (threads mostly wait for the GIL).

    Raises:
        InputError: a process was killed.
        UsageError: no process could start.
    """
    if count == 1:
        with ThreadPoolExecutor(1) as threads:
            yield threads
        return
    # not "fork": a forked process has the locks of onnxruntime's threads, but not the threads
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    try:
        with ProcessPoolExecutor(count, context, _start_worker, (started,)) as processes:
            yield processes
    except BrokenProcessPool as error:
        if not started.is_set():
            raise UsageError(
                'no process that opens pictures could start: a script needs the guard `if __name__ == "__main__":`, '
                "or workers=1"
            ) from error
        raise InputError(
            "a process that opens pictures was killed, possibly because memory ran out; use --threads 1"
        ) from error


def _start_worker(started: "Event") -> None:
    """Ignore Ctrl-C, which the parent handles, and exit when the parent exits for any reason."""
    started.set()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _prepare(form: PictureForm, path: Path) -> PreparedPicture | InputError:
    """Return a picture's image in the model's input format and its boxes, or the error."""
    try:
        return without_stages(form(open_picture(path)))
    except InputError as error:
        return error


def without_stages(picture: PreparedPicture) -> PreparedPicture:
    """Return the picture without its intermediate results, which would be copied between processes."""
    return replace(picture, stages=())


def predictions(classifier: Classifier, pictures: Sequence[PreparedPicture | None]) -> list[Prediction | None]:
    """Classify prepared pictures in one batch.

    Args:
        classifier: an open model.
        pictures: results of `Classifier.prepare`; None for a picture that could not be read.

    Returns:
        One prediction per picture; None for None.
    """
    present = [picture.image for picture in pictures if picture is not None]
    probabilities = iter(classifier.predict_batch(np.stack(present), pixel_range=255) if present else ())
    return [
        None if picture is None else classifier.prediction(picture.image, next(probabilities), picture.boxes)
        for picture in pictures
    ]


def cells(name: str, prediction: Prediction | None) -> tuple[str, str, str, str]:
    """Return a picture's cells under `COLUMNS`; without a prediction, only the name and the status `error`.

    A name that a spreadsheet would treat as a formula is written with `./` in front, which is still its path.

    Example:
        >>> cells("=1+1.png", None)
        ('./=1+1.png', '', '', 'error')
    """
    shown = f"./{name}" if name.startswith(FORMULA) else name
    if prediction is None:
        return shown, "", "", "error"
    return shown, prediction.label or "", f"{prediction.confidence:.6f}", prediction.status


def _identity(classifier: Classifier, pictures: Sequence[Path]) -> dict[str, Any]:
    """Return everything that determines the predictions: the model, and the pictures by name."""
    names = hashlib.sha256("\0".join(path.name for path in pictures).encode("utf-8", "surrogateescape"))
    return {"folder": names.hexdigest(), "model": recorded_digest(classifier.path)}


def _blocks(pictures: Iterator[_Prepared], size: int) -> Iterator[list[_Prepared]]:
    while block := list(islice(pictures, size)):
        yield block
