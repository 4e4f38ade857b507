"""Accuracy and speed of reading numbers: `python -m benchmarks.numbers [MODEL …] [--peers]`.

DIGITS_EDGE_DATA names a folder with `hands/cheques-dev` (amount fields, one line each), `hands/numbers-dev`
(photographs and drawings with lines to find) and `photos` (single digits). They are development data: for measuring and
choosing, never for training. Lines without a number are made. Strings are compared by their digits, because the labels
have no separators.

With --peers, the same pictures are read by RapidOCR, masked to digits, and by Tesseract, limited to digits, where they
are installed; RapidOCR may be in another environment (--rapidocr-python). Every engine is a process with one thread.
Prints a line for each engine and data set, and writes a CSV to `benchmarks/results/`.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from digits_edge.measure.results import results_name
from digits_edge.runtime.checks.accuracy import Accuracy

from .number_data import LabelledNumber, cheques, pages, single_digits, without_numbers
from .record import RESULTS, write_rows

#: Run with -P: its folder has a module of the name of `numbers` of the standard library.
WORKER = Path(__file__).with_name("number_worker.py")
DEFAULT_MODELS = ("number-int8",)
#: Precision at which the coverage is measured.
PRECISION = 0.99
#: Variables that libraries read when they are loaded.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_THREAD_LIMIT"), "1")


@dataclass(frozen=True)
class NumbersRow:
    """The result of an engine for a data set.

    Attributes:
        engine: Name of the engine or model.
        data: Name of the data set.
        pictures: Number of pictures.
        errors: Number of pictures of which a line has another number, is missing, or is too much.
        accuracy: Share of the others; for pictures without a number, the share that has none.
        low: Lower limit of its 95 % Wilson interval.
        high: Upper limit.
        digit_error_rate: Edit distance of the digits of the lines divided by the number of digits.
        coverage: Largest share of the pictures, the most confident first, with a precision of at least `PRECISION`.
        threshold: Confidence of the last of these: a threshold of `uncertain` with this precision; 1 if there is none.
        half_precision: Precision of the most confident half.
        p50_ms: Median processor time from the file to the text, in ms.
        memory_mb: Peak memory of the engine's process, in MB.
        version: Version of the engine.
        command: Command that measured it.
    """

    engine: str
    data: str
    pictures: int
    errors: int
    accuracy: float
    low: float
    high: float
    digit_error_rate: float
    coverage: float
    threshold: float
    half_precision: float
    p50_ms: float
    memory_mb: float
    version: str
    command: str


@dataclass(frozen=True)
class Outcome:
    """What an engine read: the picture, the digits of its lines, the lowest confidence, time and memory."""

    picture: LabelledNumber
    lines: tuple[str, ...]
    confidence: float
    ms: float
    memory_mb: float

    @property
    def is_right(self) -> bool:
        """Whether the digits of all lines are right, and there are no others."""
        return self.lines == self.picture.texts


class EngineError(Exception):
    """An engine cannot be measured."""


def outcomes(command: Sequence[str], pictures: Iterable[LabelledNumber]) -> tuple[list[Outcome], str]:
    """Read pictures with an engine in a process of its own.

    Args:
        command: The worker's command.
        pictures: The pictures.

    Returns:
        The outcomes, and the engine's version.

    Raises:
        EngineError: the engine does not start or fails.
    """
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | _ONE_THREAD
    ) as worker:
        assert worker.stdin is not None and worker.stdout is not None
        version = str(_reply(worker.stdout.readline(), command)["version"])
        found = []
        for picture in pictures:
            print(json.dumps({"path": str(picture.path), "page": picture.page}), file=worker.stdin, flush=True)
            values = _reply(worker.stdout.readline(), command)
            lines = tuple(filter(None, ("".join(filter(str.isdecimal, line)) for line in values["lines"])))
            found.append(Outcome(picture, lines, values["confidence"], values["ms"], values["memory_mb"]))
        worker.stdin.close()
        return found, version


def row_of(engine: str, data: str, found: Sequence[Outcome], version: str = "", command: str = "") -> NumbersRow:
    """Summarize the outcomes for a data set.

    Args:
        engine: Name of the engine.
        data: Name of the data set.
        found: At least one outcome.
        version: Version of the engine.
        command: Command that measured it.
    """
    accuracy = Accuracy(sum(not each.is_right for each in found), len(found))
    low, high = accuracy.interval()
    distance = sum(_distance("/".join(each.picture.texts), "/".join(each.lines)) for each in found)
    digits = sum(len(text) for each in found for text in each.picture.texts)
    by_confidence = sorted(found, key=lambda each: -each.confidence)
    ranked = [each.is_right for each in by_confidence]
    precisions = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    enough = np.flatnonzero(precisions >= PRECISION)
    half = max(1, len(ranked) // 2)
    return NumbersRow(
        engine=engine,
        data=data,
        pictures=len(found),
        errors=accuracy.errors,
        accuracy=round(accuracy.value, 5),
        low=round(low, 5),
        high=round(high, 5),
        digit_error_rate=round(distance / digits, 5) if digits else 0.0,
        coverage=round((int(enough[-1]) + 1) / len(ranked), 5) if len(enough) else 0.0,
        threshold=round(by_confidence[int(enough[-1])].confidence, 5) if len(enough) else 1.0,
        half_precision=round(float(precisions[half - 1]), 5),
        p50_ms=round(float(np.median([each.ms for each in found])), 2),
        memory_mb=round(max(each.memory_mb for each in found), 1),
        version=version,
        command=command,
    )


def _distance(expected: str, found: str) -> int:
    """Levenshtein's edit distance."""
    before = list(range(len(found) + 1))
    for row, one in enumerate(expected, 1):
        after = [row]
        for column, other in enumerate(found, 1):
            after.append(min(before[column] + 1, after[-1] + 1, before[column - 1] + (one != other)))
        before = after
    return before[-1]


def development_pictures(data: Path, made: Path) -> list[LabelledNumber]:
    """All pictures: those under a folder, and lines without a number, which are made in another."""
    hands = data / "hands"
    return list(
        chain(
            cheques(hands / "cheques-dev"),
            pages(hands / "numbers-dev"),
            single_digits(data / "photos"),
            without_numbers(made),
        )
    )


def engine_commands(models: Sequence[str], *, peers: bool, rapidocr_python: str) -> dict[str, list[str]]:
    """Name → command of the worker of each engine; peers that are not installed are omitted with a note."""
    commands = {Path(model).stem: [sys.executable, "-P", str(WORKER), "digits-edge", model] for model in models}
    if not peers:
        return commands
    probe = [rapidocr_python, "-c", "import rapidocr"]
    if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
        commands["RapidOCR, digits only"] = [rapidocr_python, "-P", str(WORKER), "rapidocr"]
    else:
        print(f"RapidOCR is not installed for {rapidocr_python}; pip install rapidocr onnxruntime", file=sys.stderr)
    if shutil.which("tesseract"):
        commands["Tesseract, digits only"] = [sys.executable, "-P", str(WORKER), "tesseract"]
    else:
        print("Tesseract is not installed; apt-get install tesseract-ocr", file=sys.stderr)
    return commands


def _reply(line: str, command: Sequence[str]) -> dict:
    if not line:
        raise EngineError(f"{shlex.join(command)} ended; its last lines above have the reason")
    return json.loads(line)


def main() -> None:
    """Measure the engines, print the results, and write the file."""
    parser = argparse.ArgumentParser("python -m benchmarks.numbers", description=__doc__.splitlines()[0])
    parser.add_argument(
        "models", nargs="*", default=DEFAULT_MODELS, help="names or model files  [default: %(default)s]"
    )
    parser.add_argument("--peers", action="store_true", help="measure RapidOCR and Tesseract, too")
    parser.add_argument("--rapidocr-python", default=sys.executable, help="Python with rapidocr  [default: this one]")
    parser.add_argument("--data", choices=["cheques-dev", "numbers-dev", "photos", "no number"], nargs="*")
    parser.add_argument("-o", "--output", type=Path, help="CSV file  [default: in benchmarks/results/]")
    options = parser.parse_args()
    command = shlex.join(["python", "-m", "benchmarks.numbers", *sys.argv[1:]])
    rows: list[NumbersRow] = []
    with tempfile.TemporaryDirectory() as made:
        pictures = development_pictures(Path(os.environ["DIGITS_EDGE_DATA"]), Path(made))
        pictures = [each for each in pictures if not options.data or each.data in options.data]
        commands = engine_commands(options.models, peers=options.peers, rapidocr_python=options.rapidocr_python)
        for engine, worker in commands.items():
            found, version = outcomes(worker, pictures)
            for data in dict.fromkeys(each.picture.data for each in found):
                own = [each for each in found if each.picture.data == data]
                rows.append(row := row_of(engine, data, own, version, command))
                print(
                    f"{row.engine} {row.data}: {row.pictures - row.errors} of {row.pictures}, {row.accuracy:.1%} "
                    f"({row.low:.1%} to {row.high:.1%}); digit errors {row.digit_error_rate:.1%}; "
                    f"coverage at {PRECISION:.0%} {row.coverage:.1%}; surest half {row.half_precision:.1%}; "
                    f"{row.p50_ms:.1f} ms, {row.memory_mb:.0f} MB",
                    flush=True,
                )
    path = options.output or RESULTS / results_name("-numbers.csv", "cpu", "1thread")
    write_rows(rows, path)
    print(path)


if __name__ == "__main__":
    main()
