"""`batch_predict_pictures()`: a folder of pictures in, a CSV of what they show out."""

import csv
import io
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.batch import written_to
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets.progress import Progress
from digits_edge.runtime.pictures import find_pictures

COLUMNS = ("File", "Label", "Confidence", "Status")
#: Pictures per worker that are opened before they are asked for.
_READ_AHEAD = 8


@dataclass(frozen=True)
class PictureReport:
    """What a run over pictures came to.

    Attributes:
        pictures: answered, that is all.
        blank: of those, without ink.
        uncertain: of those, below the model's threshold.
        elapsed_s: opening, predicting and writing, in seconds.
    """

    pictures: int
    blank: int
    uncertain: int
    elapsed_s: float


def batch_predict_pictures(
    classifier: Classifier,
    source: str | Path,
    target: str | Path,
    *,
    pictures_per_block: int = 128,
    workers: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PictureReport:
    """Read every picture of a folder, several at once, in memory that does not grow with them.

    Args:
        classifier: the model, open.
        source: a folder, whose pictures (not those of folders in it) are read by name.
        target: the file to write `File,Label,Confidence,Status` to; it appears complete or not at all. "-" is standard
            output. A blank picture has no label.
        pictures_per_block: answered at once.
        workers: pictures that are opened at once, each in a thread of its own.
        overwrite: replace `target` if it exists.
        progress: called as (pictures answered so far, pictures in all).

    Raises:
        ImageError: a picture cannot be read; nothing is written.
        InputError: the folder cannot be read or holds no pictures, or `target` cannot be written.
        UsageError: `target` exists already.
    """
    start_s = time.perf_counter()
    paths = find_pictures([source])
    counts = dict.fromkeys(("ok", "blank", "uncertain"), 0)
    done = 0
    with written_to(target, source, overwrite=overwrite) as stream:
        stream.write(_line(COLUMNS))
        for block in _blocks(_prepared(classifier, paths, workers), pictures_per_block):
            probabilities = classifier.predict_batch(np.stack([image for _, image in block]))
            for (path, image), answer in zip(block, probabilities, strict=True):
                prediction = classifier.prediction(image, answer)
                counts[prediction.status] += 1
                confidence = f"{prediction.confidence:.6f}"
                stream.write(_line((path.name, prediction.label or "", confidence, prediction.status)))
            done += len(block)
            if progress is not None:
                progress(done, len(paths))
    return PictureReport(done, counts["blank"], counts["uncertain"], time.perf_counter() - start_s)


def _prepared(classifier: Classifier, paths: list[Path], workers: int) -> Iterator[tuple[Path, NDArray[np.uint8]]]:
    """The pictures in their order, in the form the model takes; some are opened ahead."""
    with ThreadPoolExecutor(workers) as pool:
        under_way: deque[tuple[Path, Future[NDArray[np.uint8]]]] = deque()
        for path in paths:
            under_way.append((path, pool.submit(lambda path: classifier.prepare(path).image, path)))
            if len(under_way) > _READ_AHEAD * workers:
                opened, image = under_way.popleft()
                yield opened, image.result()
        for opened, image in under_way:
            yield opened, image.result()


def _blocks(
    images: Iterator[tuple[Path, NDArray[np.uint8]]], size: int
) -> Iterator[list[tuple[Path, NDArray[np.uint8]]]]:
    block = []
    for image in images:
        block.append(image)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block


def _line(fields: tuple[str, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(fields)
    return text.getvalue().encode("utf-8", "surrogateescape")
