"""What a batch is written to: a file that appears whole or not at all, and may be gone on with; or standard output."""

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

STANDARD_STREAM = "-"
#: What is lost at most when the power fails.
_SYNCED_EVERY_S = 1.0


def csv_lines(rows: Iterable[tuple[object, ...]]) -> bytes:
    """Rows as lines of a CSV."""
    return b"".join(map(_csv_line, rows))


def _csv_line(row: tuple[object, ...]) -> bytes:
    text = io.StringIO()
    # a field with a carriage return is quoted only where that is a part of the line's end
    csv.writer(text, lineterminator="\r\n").writerow(row)
    return text.getvalue().removesuffix("\r\n").encode("utf-8", "surrogateescape") + b"\n"


def errors_path(target: Path) -> Path:
    """Where the rows that could not be answered are listed."""
    return target.with_name(f"{target.name}.errors.csv")


class BatchOutput:
    """Takes answers and errors in the order of what they answer.

    Attributes:
        done: how many rows or pictures of the source an earlier run has dealt with.
        counts: what that run had counted.
    """

    def __init__(self, answers: IO[bytes], open_errors: Callable[[], IO[bytes]]) -> None:
        self.done = 0
        self.counts: dict[str, int] = {}
        self._answers, self._open_errors = answers, open_errors
        self._errors: IO[bytes] | None = None

    def write(self, answers: bytes, errors: bytes, done: int, counts: dict[str, int]) -> None:
        """Take the next answers.

        Args:
            answers: whole lines.
            errors: whole lines, of what could not be answered.
            done: how many rows or pictures are dealt with by now, these among them.
            counts: what is counted by now.
        """
        self._answers.write(answers)
        if errors:
            self._errors = self._errors or self._open_errors()
            self._errors.write(errors)


@contextmanager
def batch_output(
    target: str | Path, header: bytes, error_header: bytes, *, overwrite: bool, resume: dict[str, Any] | None = None
) -> Iterator[BatchOutput]:
    """Open what a batch is written to.

    A file appears under its name complete or not at all, and so does that of its errors, before it and only if there
    are any. With `resume` both grow beside it as `TARGET.partial` and `TARGET.partial.errors`, and what a cut run has
    left there is gone on with; `TARGET.partial.json` says how far that is good.

    Args:
        target: the file; "-" for standard output, where errors go to standard error.
        header: the first line.
        error_header: that of the errors.
        overwrite: replace `target` if it exists.
        resume: all that decides the answers, as JSON values; None to begin anew, and to leave nothing where it is cut.

    Raises:
        InputError: `target` cannot be written.
        UsageError: `target` exists already, or cannot be resumed; or what was begun there is of something else.
    """
    if target == STANDARD_STREAM:
        if resume is not None:
            raise UsageError("what goes to standard output cannot be resumed; name a file")
        sys.stdout.buffer.write(header)
        yield BatchOutput(sys.stdout.buffer, lambda: sys.stderr.buffer)
        sys.stdout.buffer.flush()
        return
    path = Path(target)
    refuse_existing(path, overwrite=overwrite)
    if resume is None:
        with _written_at_once(path, header, error_header) as output:
            yield output
    else:
        with _resumed(path, header, error_header, resume) as output:
            yield output


@contextmanager
def _written_at_once(path: Path, header: bytes, error_header: bytes) -> Iterator[BatchOutput]:
    with ExitStack() as files:

        def open_errors() -> IO[bytes]:
            errors = files.enter_context(atomic_write(errors_path(path)))
            errors.write(error_header)
            return errors

        answers = files.enter_context(atomic_write(path))
        answers.write(header)
        output = BatchOutput(answers, open_errors)
        yield output
        if output._errors is None:
            errors_path(path).unlink(missing_ok=True)  # those of the file that is replaced


class _GrowingOutput(BatchOutput):
    """Two files, and a third that says how much of them is on the disk for certain."""

    def __init__(self, answers: IO[bytes], errors: IO[bytes], state: "_State", state_path: Path) -> None:
        super().__init__(answers, lambda: errors)
        self.done, self.counts = state.done, dict(state.counts)
        self._files, self._state, self._state_path = (answers, errors), state, state_path
        self._synced_s = time.monotonic()

    def write(self, answers: bytes, errors: bytes, done: int, counts: dict[str, int]) -> None:
        super().write(answers, errors, done, counts)
        self.done, self.counts = done, dict(counts)
        if time.monotonic() - self._synced_s > _SYNCED_EVERY_S:
            self.sync()

    def sync(self) -> None:
        """Bring everything to the disk, and then note that it is there."""
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
    """How far a run came.

    Attributes:
        made_of: all that decides the answers.
        done: rows or pictures dealt with.
        counts: what was counted of them.
        bytes: of the answers.
        error_bytes: of the errors.
    """

    made_of: dict[str, Any]
    done: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    error_bytes: int = 0


@contextmanager
def _resumed(path: Path, header: bytes, error_header: bytes, made_of: dict[str, Any]) -> Iterator[BatchOutput]:
    partial = path.with_name(f"{path.name}.partial")
    partial_errors, state_path = (partial.with_name(partial.name + suffix) for suffix in (".errors", ".json"))
    try:
        if partial.exists() and not partial_errors.exists() and errors_path(path).exists():
            errors_path(path).replace(partial_errors)  # cut between the two renames
        state = _state(state_path, made_of) if partial.exists() else _State(made_of)
        with partial.open("ab") as answers, partial_errors.open("ab") as errors:
            if not lock(answers):
                raise UsageError(f"another run is writing {partial}; wait for it, or name another output")
            for stream, size, first in ((answers, state.bytes, header), (errors, state.error_bytes, error_header)):
                if stream.tell() < size:
                    raise UsageError(f"{stream.name} was cut or replaced; remove it and {state_path}, and begin again")
                stream.truncate(size)
                stream.seek(size)
                stream.write(first if size == 0 else b"")
            output = _GrowingOutput(answers, errors, state, state_path)
            try:
                yield output
            finally:
                output.sync()
            has_errors = errors.tell() > len(error_header)
        if has_errors:
            partial_errors.replace(errors_path(path))
        else:
            for none in (partial_errors, errors_path(path)):
                none.unlink(missing_ok=True)
        partial.replace(path)
        state_path.unlink()
        sync_folder(path.parent)
    except OSError as error:
        raise InputError(f"{path} could not be written: {error.strerror or error}") from error


def _state(path: Path, made_of: dict[str, Any]) -> _State:
    """What an earlier run has noted; a beginning where there was none.

    Raises:
        UsageError: it is of other things, or damaged.
    """
    try:
        kept = as_record(_State, read_json(path))
        differing = [name for name, value in made_of.items() if kept.made_of.get(name) != value]
    except FileNotFoundError:
        return _State(made_of)
    except ValueError as error:
        raise UsageError(f"{path} is damaged; remove it and begin again") from error
    if differing:
        raise UsageError(f"{path} is of another {' and '.join(differing)}; remove it, or name another output")
    return kept
