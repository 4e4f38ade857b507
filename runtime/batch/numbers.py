"""Numbers of many pictures as CSV: `batch_read_pictures`, and the fields of forms: `batch_read_forms`."""

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from digits_edge.runtime.batch.output import (
    STANDARD_STREAM,
    BatchOutput,
    ResumeCallback,
    batch_output,
    csv_lines,
    partial_path,
)
from digits_edge.runtime.batch.pictures import FORMULA, refuse_picture
from digits_edge.runtime.datasets.dataset import ProgressCallback
from digits_edge.runtime.errors import InputError, UsageError
from digits_edge.runtime.files import atomic_write, refuse_existing
from digits_edge.runtime.model.model_file import recorded_digest
from digits_edge.runtime.preprocessing.levels import Box
from digits_edge.runtime.preprocessing.pictures import full_size, open_picture
from digits_edge.runtime.reader.constraints import constraint_of
from digits_edge.runtime.reader.line_reader import Wanted
from digits_edge.runtime.reader.reader import JPEG_SIDE, Reader
from digits_edge.runtime.reader.reading import Line
from digits_edge.runtime.reader.region import RegionError
from digits_edge.runtime.reader.template import Field, Template

COLUMNS = ("File", "Line", "Number", "Confidence", "Status")
#: Columns beside the fields, of the readings and of the review file.
FORM_COLUMNS, REVIEW_COLUMNS = ("File", "Confidence"), ("File", "Confidence", "Status", "Fields", "Crops")
#: Margin of the crops for the review, as a share of their height.
_CROP_MARGIN = 0.25


@dataclass(frozen=True)
class NumbersReport:
    """Result of a run over pictures.

    Attributes:
        pictures: number of pictures that were read.
        numbers: number of numbers in them, or of complete forms.
        doubtful: number of uncertain numbers, or of forms in the review file.
        unread: number of pictures that could not be read.
        failed: reason for each picture that this run could not read, by name.
        elapsed_s: time in seconds.
    """

    pictures: int
    numbers: int
    doubtful: int
    unread: int
    failed: dict[str, str]
    elapsed_s: float


def review_path(target: Path) -> Path:
    """Path of the review file of a run.

    Example:
        >>> review_path(Path("readings.csv")).name
        'readings.csv.review.csv'
    """
    return target.with_name(f"{target.name}.review.csv")


def crops_folder(target: Path) -> Path:
    """Path of the folder with the crops of the review file.

    Example:
        >>> crops_folder(Path("readings.csv")).name
        'readings.csv.review'
    """
    return target.with_name(f"{target.name}.review")


def batch_read_pictures(
    reader: Reader,
    pictures: Sequence[Path],
    target: str | Path,
    *,
    wanted: Wanted | None = None,
    overwrite: bool = False,
    resume: str | None = None,
    on_resume: ResumeCallback | None = None,
    progress: ProgressCallback | None = None,
) -> NumbersReport:
    """Read the numbers of pictures and write them to a CSV, in constant memory.

    Args:
        reader: an open model.
        pictures: paths, for example from `find_pictures`.
        target: output file with the columns `File,Line,Number,Confidence,Status`, a row for each number, from top to
            bottom; it appears complete or not at all. "-" is standard output. A picture without a number has a row
            with the line 0 and the status `blank` or `not-a-number`; one that cannot be read has the status `error`.
        wanted: constraints on the numbers.
        overwrite: replace `target` if it exists.
        resume: description of the constraints, to resume an interrupted run over the same pictures and constraints;
            None to start anew.
        on_resume: called with the number of pictures of the run to resume, and its partial output.
        progress: called with (pictures done so far, total pictures).

    Raises:
        InputError: `target` cannot be written.
        UsageError: `target` exists or is one of the pictures, or the partial output belongs to other pictures.
    """
    start_s = time.perf_counter()
    refuse_picture(target, pictures)
    wanted = wanted or Wanted()
    failed: dict[str, str] = {}

    def read(path: Path, output: BatchOutput, done: int, counts: dict[str, int]) -> None:
        rows: list[tuple[object, ...]]
        name = shown_name(path.name)
        try:
            reading = reader.read_picture(open_picture(path, jpeg_side=JPEG_SIDE), wanted)
        except InputError as error:
            failed[path.name] = str(error)
            counts["unread"] += 1
            rows = [(name, 0, "", "", "error")]
        else:
            rows = [
                (name, number, quoted(line.text), f"{line.confidence:.6f}", line.status)
                for number, line in enumerate(reading.lines, 1)
            ] or [(name, 0, "", "", reading.status)]
            counts["numbers"] += sum(line.status == "ok" for line in reading.lines)
            counts["doubtful"] += sum(line.status == "uncertain" for line in reading.lines)
        output.write(csv_lines(rows), b"", done, counts)

    identity = None if resume is None else {**_identity(reader, pictures), "constraints": resume}
    with batch_output(
        target, csv_lines([COLUMNS]), b"", overwrite=overwrite, resume=identity, on_resume=on_resume
    ) as output:
        counts = _read_all(pictures, output, read, progress)
    return _report(counts, len(pictures), failed, start_s)


def batch_read_forms(
    reader: Reader,
    forms: Sequence[Path],
    template: Template,
    target: str | Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    on_resume: ResumeCallback | None = None,
    progress: ProgressCallback | None = None,
) -> NumbersReport:
    """Read the fields of forms and write one row for each form.

    Args:
        reader: an open model.
        forms: paths of pictures of forms.
        template: the fields.
        target: output file with the column `File`, one for each field, and `Confidence`, the lowest of the row. Forms
            with a field that is uncertain, blank or no number, or in which no number satisfies the check, are only in
            `TARGET.review.csv`, which names these fields, with a crop of each in the folder `TARGET.review`.
        overwrite: replace the outputs if they exist.
        resume: resume an interrupted run over the same forms and template.
        on_resume: called with the number of forms of the run to resume, and its partial output.
        progress: called with (forms done so far, total forms).

    Raises:
        InputError: an output cannot be written.
        UsageError: an output exists, `target` is standard output or one of the forms, two forms have the same name, a
            constraint has a character that the model does not read, or the partial output belongs to other forms.
    """
    start_s = time.perf_counter()
    if target == STANDARD_STREAM:
        raise UsageError("a template writes a review file, too; name an output file")
    refuse_picture(target, forms)
    _refuse_same_names(forms)
    folder = crops_folder(Path(target))
    if not (resume and partial_path(Path(target)).exists()):
        refuse_existing(review_path(Path(target)), overwrite=overwrite)
        if folder.exists() and not overwrite:
            raise UsageError(f"{folder} already exists; replace its crops with --overwrite, or name another output")
        _remove_crops(folder)
    names = tuple(field.name for field in template.fields)
    fields = [(field, _wanted(field, reader.characters)) for field in template.fields]
    failed: dict[str, str] = {}

    def read(path: Path, output: BatchOutput, done: int, counts: dict[str, int]) -> None:
        name = shown_name(path.name)
        try:
            form = _read_form(reader, open_picture(path, jpeg_side=JPEG_SIDE), fields)
        except (InputError, UsageError) as error:
            failed[path.name] = f"{path}: {error}" if isinstance(error, RegionError) else str(error)
            counts["unread"] += 1
            empty = ("",) * len(names)
            output.write(b"", csv_lines([(name, *empty, "", "error", "", "")]), done, counts)
            return
        texts = tuple(quoted(line.text) for line in form.lines)
        confidence = f"{form.confidence:.6f}"
        if not form.doubtful:
            counts["numbers"] += 1
            output.write(csv_lines([(name, *texts, confidence)]), b"", done, counts)
            return
        counts["doubtful"] += 1
        crops = _write_crops(form, path, names, folder)
        doubtful = "; ".join(names[place] for place in form.doubtful)
        review = (name, *texts, confidence, form.status, doubtful, "; ".join(crops))
        output.write(b"", csv_lines([review]), done, counts)

    identity = None
    if resume:
        identity = {**_identity(reader, forms), "template": [str(asdict(field)) for field in template.fields]}
    headers = (FORM_COLUMNS[0], *names, *FORM_COLUMNS[1:]), (REVIEW_COLUMNS[0], *names, *REVIEW_COLUMNS[1:])
    with batch_output(
        target,
        csv_lines(headers[:1]),
        csv_lines(headers[1:]),
        overwrite=overwrite,
        resume=identity,
        on_resume=on_resume,
        second_path=review_path,
    ) as output:
        counts = _read_all(forms, output, read, progress)
    return _report(counts, len(forms), failed, start_s)


def shown_name(name: str) -> str:
    """A file name for a CSV; one that a spreadsheet would treat as a formula gets `./` in front.

    Example:
        >>> shown_name("=1+1.png"), shown_name("a.png")
        ('./=1+1.png', 'a.png')
    """
    return f"./{name}" if name.startswith(FORMULA) else name


def quoted(number: str) -> str:
    """A number for a CSV; one that a spreadsheet would treat as a formula gets an apostrophe in front.

    Example:
        >>> quoted("=5"), quoted("-5.20"), quoted("0042")
        ("'=5", '-5.20', '0042')
    """
    is_negative = re.fullmatch(r"-[0-9][0-9.,]*", number) is not None
    return f"'{number}" if number.startswith(FORMULA) and not is_negative else number


@dataclass(frozen=True)
class _Form:
    """The lines of the fields of a form.

    Attributes:
        picture: the form.
        boxes: the fields in pixels of the upright picture.
        lines: the number of each field.
        doubtful: indices of the fields that need a review.
    """

    picture: Image.Image
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    doubtful: tuple[int, ...]

    @property
    def confidence(self) -> float:
        """The lowest confidence of a field that is not blank; 1 without one."""
        return min((line.confidence for line in self.lines if line.status != "blank"), default=1.0)

    @property
    def status(self) -> str:
        """The status of the first doubtful field."""
        return self.lines[self.doubtful[0]].status


def _read_form(reader: Reader, picture: Image.Image, fields: Sequence[tuple[Field, Wanted]]) -> _Form:
    boxes = tuple(field.region.box(full_size(picture)) for field, _ in fields)
    lines = tuple(
        reader.read_picture(picture, wanted, [box]).lines[0] for (_, wanted), box in zip(fields, boxes, strict=True)
    )
    doubtful = tuple(
        place
        for place, ((field, _), line) in enumerate(zip(fields, lines, strict=True))
        if line.status != "ok" and not (field.optional and line.status == "blank")
    )
    return _Form(picture, boxes, lines, doubtful)


def _write_crops(form: _Form, path: Path, names: Sequence[str], folder: Path) -> list[str]:
    """Write a crop of each doubtful field; return their paths, relative to the folder of the output."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} could not be created: {error.strerror}") from error
    size = full_size(form.picture)
    factors = [new / old for new, old in zip(form.picture.size, size, strict=True)]
    written = []
    for place in form.doubtful:
        left, upper, right, lower = (side * factors[index % 2] for index, side in enumerate(form.boxes[place]))
        margin = _CROP_MARGIN * (lower - upper)
        box = max(0, left - margin), max(0, upper - margin), right + margin, lower + margin
        crop = form.picture.crop(
            (int(box[0]), int(box[1]), int(min(box[2], form.picture.width)), int(min(box[3], form.picture.height)))
        )
        name = f"{path.name}.{place + 1}-{re.sub(r'[^A-Za-z0-9_-]+', '_', names[place])}.png"
        with atomic_write(folder / name) as stream:
            crop.save(stream, format="PNG")
        written.append(f"{folder.name}/{name}")
    return written


def _wanted(field: Field, characters: str) -> Wanted:
    return Wanted(constraint_of(field.length, field.pattern, field.check, characters=characters))


def _read_all(
    pictures: Sequence[Path],
    output: BatchOutput,
    read: Callable[[Path, BatchOutput, int, dict[str, int]], None],
    progress: ProgressCallback | None,
) -> dict[str, int]:
    """Read the pictures that an earlier run did not; return the counters."""
    counts = dict.fromkeys(("numbers", "doubtful", "unread"), 0) | output.counts
    for done, path in _remaining(pictures, output.done):
        read(path, output, done, counts)
        if progress is not None:
            progress(done, len(pictures))
    return counts


def _remaining(pictures: Sequence[Path], done: int) -> Iterator[tuple[int, Path]]:
    """The pictures after those that are done, each with the number of pictures that are then done."""
    return enumerate(pictures[done:], done + 1)


def _report(counts: dict[str, int], pictures: int, failed: dict[str, str], start_s: float) -> NumbersReport:
    elapsed_s = time.perf_counter() - start_s
    read = pictures - counts["unread"]
    return NumbersReport(read, counts["numbers"], counts["doubtful"], counts["unread"], failed, elapsed_s)


def _identity(reader: Reader, pictures: Sequence[Path]) -> dict[str, Any]:
    """Everything that determines the numbers except the constraints."""
    names = hashlib.sha256("\0".join(path.name for path in pictures).encode("utf-8", "surrogateescape"))
    return {"folder": names.hexdigest(), "model": recorded_digest(reader.path)}


def _remove_crops(folder: Path) -> None:
    """Remove the crops of an earlier run; other files remain."""
    try:
        for path in folder.glob("*.png"):
            path.unlink()
        if folder.exists() and not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise InputError(f"{folder} could not be emptied: {error.strerror}") from error


def _refuse_same_names(forms: Sequence[Path]) -> None:
    """Refuse two forms with one name: their rows and crops could not be told apart."""
    first: dict[str, Path] = {}
    for path in forms:
        if (other := first.setdefault(path.name, path)) is not path:
            raise UsageError(f"{other} and {path} have the same name; read them in two runs, or rename one")
