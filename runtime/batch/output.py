"""`batch_output()`: the output of a batch, a file that appears complete or not at all, or standard output."""

import csv
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from digits_edge.runtime.errors import InputError, UsageError
from digits_edge.runtime.files import atomic_write, lock, refuse_existing, sync_folder
from digits_edge.runtime.json_record import as_record, read_json

#: Called with the number of rows or pictures that an earlier run processed, and its partial output.
ResumeCallback = Callable[[int, Path], None]
STANDARD_STREAM = "-"
#: Upper limit of the work lost in a power failure.
_SYNC_INTERVAL_S = 1.0


def csv_lines(rows: Iterable[tuple[object, ...]]) -> bytes:
    r"""Encode rows as CSV lines terminated by LF.

    Example:
        >>> csv_lines([("File", "Label"), ("a, b.png", 3)])
        b'File,Label\n"a, b.png",3\n'
    """
    return b"".join(map(_csv_line, rows))


def _csv_line(row: tuple[object, ...]) -> bytes:
    text = io.StringIO()
    # csv.writer quotes a field that contains a carriage return only if the terminator contains one, too
    csv.writer(text, lineterminator="\r\n").writerow(row)
    return text.getvalue().removesuffix("\r\n").encode("utf-8", "surrogateescape") + b"\n"


def errors_path(target: Path) -> Path:
    """Return the path of the file that lists the skipped rows.

    Example:
        >>> errors_path(Path("out.csv")).name
        'out.csv.errors.csv'
    """
    return target.with_name(f"{target.name}.errors.csv")


def partial_path(target: Path) -> Path:
    """Return the path of the partial output of an interrupted run.

    Example:
        >>> partial_path(Path("out.csv")).name
        'out.csv.partial'
    """
    return target.with_name(f"{target.name}.partial")


class BatchOutput:
    """Writes predictions and errors in the order of the source.

    Attributes:
        done: number of rows or pictures that an earlier run processed.
        counts: counters of that run.
    """

    def __init__(self, predictions: IO[bytes], open_errors: Callable[[], IO[bytes]]) -> None:
        self.done = 0
        self.counts: dict[str, int] = {}
        self._predictions, self._open_errors = predictions, open_errors
        self._errors: IO[bytes] | None = None

    def write(self, predictions: bytes, errors: bytes, done: int, counts: dict[str, int]) -> None:
        """Append predictions and errors.

        Args:
            predictions: complete lines.
            errors: complete lines, one per row without a prediction.
            done: number of rows or pictures processed so far, including these.
            counts: counters so far.
        """
        self._predictions.write(predictions)
        if errors:
            self._errors = self._errors or self._open_errors()
            self._errors.write(errors)


@contextmanager
def batch_output(
    target: str | Path,
    header: bytes,
    error_header: bytes,
    *,
    overwrite: bool,
    resume: dict[str, Any] | None = None,
    on_resume: ResumeCallback | None = None,
    second_path: Callable[[Path], Path] = errors_path,
) -> Iterator[BatchOutput]:
    r"""Open the output of a batch.

    The file appears complete or not at all. The file of errors is created only if there are errors, and before the
    output. With `resume`, both are written to `TARGET.partial` and `TARGET.partial.errors` and renamed at the end;
    `TARGET.partial.json` records how much of them is on the disk, so that an interrupted run can be resumed.

    Args:
        target: file; "-" for standard output, with errors on standard error.
        header: first line of the output.
        error_header: first line of the errors.
        overwrite: replace `target` if it exists.
        resume: everything that determines the predictions, as JSON values; None to start anew and to leave no partial
            output after an interruption.
        on_resume: called with the number of rows or pictures that an earlier run processed, and its partial output.
        second_path: path of the file of errors, from that of the output.

    Yields:
        The output to write to.

    Raises:
        InputError: `target` cannot be written.
        UsageError: `target` exists, cannot be resumed, or the partial output has other `resume` values.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "out.csv")
        ...     with batch_output(path, b"ImageId,Label\n", b"", overwrite=False) as output:
        ...         output.write(b"1,7\n", b"", 1, {"rows": 1})
        ...     path.read_text()
        'ImageId,Label\n1,7\n'
    """
    if target == STANDARD_STREAM:
        if resume is not None:
            raise UsageError("standard output cannot be resumed; name a file")
        sys.stdout.buffer.write(header)
        yield BatchOutput(sys.stdout.buffer, lambda: sys.stderr.buffer)
        sys.stdout.buffer.flush()
        return
    path = Path(target)
    refuse_existing(path, overwrite=overwrite)
    if resume is None:
        with _atomic_output(path, header, error_header, second_path(path)) as output:
            yield output
    else:
        with _resumable_output(path, header, error_header, resume, second_path(path)) as output:
            if output.done and on_resume is not None:
                on_resume(output.done, partial_path(path))
            yield output


@contextmanager
def _atomic_output(path: Path, header: bytes, error_header: bytes, second: Path) -> Iterator[BatchOutput]:
    """Open an output that leaves nothing after an interruption."""
    with ExitStack() as files:

        def open_errors() -> IO[bytes]:
            errors = files.enter_context(atomic_write(second))
            errors.write(error_header)
            return errors

        predictions = files.enter_context(atomic_write(path))
        predictions.write(header)
        output = BatchOutput(predictions, open_errors)
        yield output
        if output._errors is None:
            second.unlink(missing_ok=True)  # errors of the replaced output


class _ResumableOutput(BatchOutput):
    """Two growing files, and a state file that records how much of them is on the disk."""

    def __init__(self, predictions: IO[bytes], errors: IO[bytes], state: "_State", state_path: Path) -> None:
        super().__init__(predictions, lambda: errors)
        self.done, self.counts = state.done, dict(state.counts)
        self._files, self._state, self._state_path = (predictions, errors), state, state_path
        self._synced_s = time.monotonic()

    def write(self, predictions: bytes, errors: bytes, done: int, counts: dict[str, int]) -> None:
        super().write(predictions, errors, done, counts)
        self.done, self.counts = done, dict(counts)
        if time.monotonic() - self._synced_s > _SYNC_INTERVAL_S:
            self.sync()

    def sync(self) -> None:
        """Flush both files to the disk, then record their sizes."""
        for stream in self._files:
            stream.flush()
            os.fsync(stream.fileno())
        sizes = [stream.tell() for stream in self._files]
        self._state = replace(self._state, done=self.done, counts=self.counts, bytes=sizes[0], error_bytes=sizes[1])
        with atomic_write(self._state_path) as stream:
            stream.write(json.dumps(asdict(self._state)).encode())
        self._synced_s = time.monotonic()


@dataclass(frozen=True)
class _State:
    """Progress of an interrupted run.

    Attributes:
        made_of: everything that determines the predictions.
        done: number of rows or pictures processed.
        counts: counters of the run.
        bytes: size of the predictions.
        error_bytes: size of the errors.
    """

    made_of: dict[str, Any]
    done: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    error_bytes: int = 0


@contextmanager
def _resumable_output(
    path: Path, header: bytes, error_header: bytes, made_of: dict[str, Any], second: Path
) -> Iterator[BatchOutput]:
    """Open an output that continues the partial output of an earlier run, if there is one."""
    partial = partial_path(path)
    partial_errors, state_path = (partial.with_name(partial.name + suffix) for suffix in (".errors", ".json"))
    try:
        if partial.exists() and not partial_errors.exists() and second.exists():
            second.replace(partial_errors)  # the earlier run was interrupted between its two renames
        state = _state(state_path, made_of) if partial.exists() else _State(made_of)
        with partial.open("ab") as predictions, partial_errors.open("ab") as errors:
            if not lock(predictions):
                raise UsageError(f"another run is writing {partial}; wait for it, or name another output")
            for stream, size, first in ((predictions, state.bytes, header), (errors, state.error_bytes, error_header)):
                if stream.tell() < size:
                    raise UsageError(
                        f"{stream.name} was truncated or replaced; remove it and {state_path}, and start again"
                    )
                stream.truncate(size)
                stream.seek(size)
                stream.write(first if size == 0 else b"")
            output = _ResumableOutput(predictions, errors, state, state_path)
            try:
                yield output
            finally:
                output.sync()
            has_errors = errors.tell() > len(error_header)
        if has_errors:
            partial_errors.replace(second)
        else:
            for outdated in (partial_errors, second):
                outdated.unlink(missing_ok=True)
        partial.replace(path)
        state_path.unlink()
        sync_folder(path.parent)
    except OSError as error:
        raise InputError(f"{path} could not be written: {error.strerror or error}") from error


def _state(path: Path, made_of: dict[str, Any]) -> _State:
    """Read the state that an earlier run stored; an initial state if there is none.

    Raises:
        UsageError: the file is damaged or has other `made_of` values.
    """
    try:
        state = as_record(_State, read_json(path))
        differing = [name for name, value in made_of.items() if state.made_of.get(name) != value]
    except FileNotFoundError:
        return _State(made_of)
    except ValueError as error:
        raise UsageError(f"{path} is damaged; remove it and start again") from error
    if differing:
        raise UsageError(f"{path} belongs to another {' and '.join(differing)}; remove it, or name another output")
    return state
