"""`batch_predict_pictures()`: a folder of pictures in, a CSV of what they show out."""

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
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.batch.output import STANDARD_STREAM, batch_output, csv_lines
from digits_edge.runtime.batch.table import in_order
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets.dataset import ProgressCallback
from digits_edge.runtime.errors import InputError, UsageError
from digits_edge.runtime.model.model_file import Preprocessing, recorded_digest
from digits_edge.runtime.prediction import Prediction
from digits_edge.runtime.preprocessing.picture_format import picture_format
from digits_edge.runtime.preprocessing.pictures import open_picture

COLUMNS = ("File", "Label", "Confidence", "Status")
#: What a spreadsheet computes begins with one of these (OWASP, "CSV injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
#: So many are opened before processes have started.
FEW_PICTURES = 300
#: Pictures per worker that are opened before they are asked for.
_READ_AHEAD = 8
#: A picture, and its image or why it has none.
_Prepared = tuple[Path, NDArray[np.uint8] | InputError]


@dataclass(frozen=True)
class PictureReport:
    """What a run over pictures came to.

    Attributes:
        pictures: answered.
        blank: of those, without ink.
        uncertain: of those, below the model's threshold.
        unread: pictures that could not be read.
        failed: those of them that this run came to, with the reason; by name.
        elapsed_s: opening, predicting and writing, in seconds.
    """

    pictures: int
    blank: int
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
    progress: ProgressCallback | None = None,
) -> PictureReport:
    """Read pictures, several at once, in memory that does not grow with them.

    Args:
        classifier: the model, open.
        pictures: such as `find_pictures` finds in a folder.
        target: the file to write `File,Label,Confidence,Status` to; it appears complete or not at all. "-" is standard
            output. A blank picture has no label, one that cannot be read no confidence either, and the status `error`.
        pictures_per_block: answered at once.
        workers: pictures that are opened at once. For more than `FEW_PICTURES` each has a process of its own: with two
            20,000 took 0.57 of the time that one thread takes, and two threads twice as long as one. A script that asks
            for more than one must have its `if __name__ == "__main__":`, as for all processes that Python starts.
        overwrite: replace `target` if it exists.
        resume: go on where an earlier run over the same pictures was cut, and leave what is done where this one is.
        progress: called as (pictures done so far, pictures in all).

    Raises:
        InputError: `target` cannot be written.
        UsageError: `target` exists already, or is one of the pictures; or what was begun is of others.
    """
    start_s = time.perf_counter()
    if target != STANDARD_STREAM and Path(target).exists() and any(path.samefile(target) for path in pictures):
        raise UsageError(f"{target} is one of the pictures; name another output")

    failed: dict[str, str] = {}
    made_of = _made_of(classifier, pictures) if resume else None
    with (
        batch_output(target, csv_lines([COLUMNS]), b"", overwrite=overwrite, resume=made_of) as output,
        _openers(workers if len(pictures) > FEW_PICTURES else 1) as pool,
    ):
        done, counts = output.done, dict.fromkeys(("ok", "blank", "uncertain", "error"), 0) | output.counts
        prepare = partial(_prepared, classifier.metadata.preprocessing)
        prepared = in_order(pool, prepare, pictures[done:], ahead=_READ_AHEAD * workers)
        for block in _blocks(prepared, pictures_per_block):
            images = [None if isinstance(image, InputError) else image for _, image in block]
            lines: list[tuple[str, ...]] = []
            for (path, image), prediction in zip(block, predictions(classifier, images), strict=True):
                if isinstance(image, InputError):
                    failed[path.name] = str(image)
                counts["error" if prediction is None else prediction.status] += 1
                lines.append(cells(path.name, prediction))
            done += len(block)
            output.write(csv_lines(lines), b"", done, counts)
            if progress is not None:
                progress(done, len(pictures))
    elapsed_s = time.perf_counter() - start_s
    answered = sum(counts.values()) - counts["error"]
    return PictureReport(answered, counts["blank"], counts["uncertain"], counts["error"], failed, elapsed_s)


@contextmanager
def _openers(count: int) -> Iterator[Executor]:
    """What opens pictures: processes, for threads would wait for each other most of the time; one alone is a thread.

    Raises:
        InputError: a process was ended from outside.
    """
    if count == 1:
        with ThreadPoolExecutor(1) as threads:
            yield threads
        return
    try:
        # not forked: onnxruntime's threads would not be there, and what they hold would
        with ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _end_with_the_caller) as processes:
            yield processes
    except BrokenProcessPool as error:
        raise InputError(
            "a process that opens pictures was ended from outside, perhaps for want of memory; try --threads 1"
        ) from error


def _end_with_the_caller() -> None:
    """Leave Ctrl-C to the caller, and end when it has ended, however that came."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_after_the_caller, daemon=True).start()


def _end_after_the_caller() -> None:
    caller = multiprocessing.parent_process()
    if caller is not None:
        caller.join()
        os._exit(1)


def _prepared(preprocessing: Preprocessing, path: Path) -> NDArray[np.uint8] | InputError:
    """A picture's image, or why it has none."""
    try:
        return picture_format(preprocessing)(open_picture(path)).image
    except InputError as error:
        return error


def predictions(classifier: Classifier, images: Sequence[NDArray[np.uint8] | None]) -> list[Prediction | None]:
    """What is read in the images of pictures, uint8 (28, 28), all at once; None for None, a picture without image."""
    given = [image for image in images if image is not None]
    answers = iter(classifier.predict_batch(np.stack(given)) if given else ())
    return [None if image is None else classifier.prediction(image, next(answers)) for image in images]


def cells(name: str, prediction: Prediction | None) -> tuple[str, str, str, str]:
    """A picture's row under `COLUMNS`; of one that could not be read only the name and the status `error`.

    The name is written so that no spreadsheet takes it for a formula: as the path that the file has from its folder.
    """
    shown = f"./{name}" if name.startswith(_FORMULA) else name
    if prediction is None:
        return shown, "", "", "error"
    return shown, prediction.label or "", f"{prediction.confidence:.6f}", prediction.status


def _made_of(classifier: Classifier, pictures: Sequence[Path]) -> dict[str, Any]:
    """All that decides the answers; a picture by its name alone."""
    names = hashlib.sha256("\0".join(path.name for path in pictures).encode("utf-8", "surrogateescape"))
    return {"folder": names.hexdigest(), "model": recorded_digest(classifier.path)}


def _blocks(pictures: Iterator[_Prepared], size: int) -> Iterator[list[_Prepared]]:
    while block := list(islice(pictures, size)):
        yield block
