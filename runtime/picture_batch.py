"""`batch_predict_pictures()`: a folder of pictures in, a CSV of what they show out."""

import csv
import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.batch import STANDARD_STREAM, in_order, written_to
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets.progress import Progress
from digits_edge.runtime.errors import InputError, UsageError

COLUMNS = ("File", "Label", "Confidence", "Status")
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
        failed: the pictures that could not be read, with the reason; by name.
        elapsed_s: opening, predicting and writing, in seconds.
    """

    pictures: int
    blank: int
    uncertain: int
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
    progress: Progress | None = None,
) -> PictureReport:
    """Read pictures, several at once, in memory that does not grow with them.

    Args:
        classifier: the model, open.
        pictures: such as `find_pictures` finds in a folder.
        target: the file to write `File,Label,Confidence,Status` to; it appears complete or not at all. "-" is standard
            output. A blank picture has no label, one that cannot be read no confidence either, and the status `error`.
        pictures_per_block: answered at once.
        workers: pictures that are opened at once, each in a thread of its own.
        overwrite: replace `target` if it exists.
        progress: called as (pictures done so far, pictures in all).

    Raises:
        InputError: `target` cannot be written.
        UsageError: `target` exists already, or is one of the pictures.
    """
    start_s = time.perf_counter()
    if target != STANDARD_STREAM and Path(target).exists() and any(path.samefile(target) for path in pictures):
        raise UsageError(f"{target} is one of the pictures; name another output")

    def prepare(path: Path) -> NDArray[np.uint8] | InputError:
        try:
            return classifier.prepare(path).image
        except InputError as error:
            return error

    counts = dict.fromkeys(("ok", "blank", "uncertain"), 0)
    failed: dict[str, str] = {}
    done = 0
    with written_to(target, overwrite=overwrite) as stream:
        stream.write(_line(COLUMNS))
        for block in _blocks(in_order(prepare, pictures, workers=workers, ahead=_READ_AHEAD), pictures_per_block):
            images = [image for _, image in block if not isinstance(image, InputError)]
            answers = iter(classifier.predict_batch(np.stack(images)) if images else ())
            for path, image in block:
                if isinstance(image, InputError):
                    failed[path.name] = str(image)
                    stream.write(_line((path.name, "", "", "error")))
                    continue
                prediction = classifier.prediction(image, next(answers))
                counts[prediction.status] += 1
                confidence = f"{prediction.confidence:.6f}"
                stream.write(_line((path.name, prediction.label or "", confidence, prediction.status)))
            done += len(block)
            if progress is not None:
                progress(done, len(pictures))
    elapsed_s = time.perf_counter() - start_s
    return PictureReport(sum(counts.values()), counts["blank"], counts["uncertain"], failed, elapsed_s)


def _blocks(pictures: Iterator[_Prepared], size: int) -> Iterator[list[_Prepared]]:
    while block := list(islice(pictures, size)):
        yield block


def _line(fields: tuple[str, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(fields)
    return text.getvalue().encode("utf-8", "surrogateescape")
