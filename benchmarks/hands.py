"""Accuracy on digits by other hands than MNIST's: `python -m benchmarks.hands [MODEL …]`.

DIGITS_EDGE_DATA names a folder with `hands/usps-train.npz` (tight crops, 16×16), `hands/cheques-dev` (amount fields of
cheques with a box for each digit) and `photos`. They are development data: for measuring and choosing, never for
training. Every picture goes through the complete preprocessing. Prints a line for each model and kind of picture, and
writes a CSV to `benchmarks/results/`, with the day and the environment in its name.
"""

import argparse
import os
import shlex
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits_edge.measure.results import results_name
from digits_edge.runtime.checks.accuracy import Accuracy
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.prediction import Prediction
from digits_edge.train.evaluation.evaluation import evaluate

from .hand_data import LabelledPicture, cheque_digits, photographs, tight_crops
from .record import RESULTS, write_rows

MODELS = ("edge-int8", "edge-ensemble-int8")
ALL = "all"
#: Data sets of which a digit is in several kinds.
VARIED = ("usps-train", "cheques-dev")
VERSIONS = ("digits-edge", "onnxruntime", "numpy", "pillow")


@dataclass(frozen=True)
class HandsRow:
    """The result of a model for a kind of picture.

    Attributes:
        model: Name of the model.
        data: Name of the data set.
        kind: Kind of picture; `all` for all photographs. The kinds of the other data sets have the same digits.
        images: Number of pictures.
        errors: Number of pictures without the right label; blank pictures and `several` count as errors.
        accuracy: Share of the others.
        low: Lower limit of its 95 % Wilson interval.
        high: Upper limit.
        uncertain: Share of pictures with this status.
        blank: Number of pictures with this status.
        several: Number of pictures with this status.
        wrong_ok: Number of misclassified pictures with status `ok`.
        calibration_error: Expected calibration error of the pictures with a label, in 15 bins.
        p50_us: Median processor time of the calling thread from a decoded picture to its prediction, in µs.
        versions: Versions of the libraries.
        command: Command that measured it.
    """

    model: str
    data: str
    kind: str
    images: int
    errors: int
    accuracy: float
    low: float
    high: float
    uncertain: float
    blank: int
    several: int
    wrong_ok: int
    calibration_error: float
    p50_us: float
    versions: str
    command: str


@dataclass(frozen=True)
class Outcome:
    """The prediction for a picture, its label, and the time from the picture to the prediction in microseconds."""

    label: int
    prediction: Prediction
    us: float


def outcomes(classifier: Classifier, pictures: Iterable[LabelledPicture]) -> dict[tuple[str, str], list[Outcome]]:
    """Predict pictures one by one.

    Returns:
        The outcomes by data set and kind; of photographs also by data set and `ALL`.
    """
    found: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for each in pictures:
        start = time.thread_time()
        prediction = classifier.predict(each.picture)
        outcome = Outcome(each.label, prediction, (time.thread_time() - start) * 1e6)
        found[each.data, each.kind].append(outcome)
        if each.data not in VARIED:
            found[each.data, ALL].append(outcome)
    return found


def row_of(model: str, data: str, kind: str, found: Sequence[Outcome], command: str = "") -> HandsRow:
    """Summarize the outcomes for a kind of picture.

    Args:
        model: Name of the model.
        data: Name of the data set.
        kind: Kind of picture.
        found: At least one outcome.
        command: Command that measured it.
    """
    statuses = [outcome.prediction.status for outcome in found]
    wrong = [outcome.prediction.label != str(outcome.label) for outcome in found]
    accuracy = Accuracy(sum(wrong), len(found))
    low, high = accuracy.interval()
    return HandsRow(
        model=model,
        data=data,
        kind=kind,
        images=len(found),
        errors=sum(wrong),
        accuracy=round(accuracy.value, 5),
        low=round(low, 5),
        high=round(high, 5),
        uncertain=round(statuses.count("uncertain") / len(found), 5),
        blank=statuses.count("blank"),
        several=statuses.count("several"),
        wrong_ok=sum(is_wrong and status == "ok" for is_wrong, status in zip(wrong, statuses, strict=True)),
        calibration_error=round(_calibration_error(found), 5),
        p50_us=round(float(np.median([outcome.us for outcome in found])), 1),
        versions=" ".join(f"{name} {version(name)}" for name in VERSIONS),
        command=command,
    )


def _calibration_error(found: Sequence[Outcome]) -> float:
    labelled = [outcome for outcome in found if outcome.prediction.label is not None]
    if not labelled:
        return 0.0
    probabilities: NDArray[np.float64] = np.array([outcome.prediction.probabilities for outcome in labelled])
    labels = np.array([outcome.label for outcome in labelled], np.uint8)
    return evaluate(probabilities, labels, labelled[0].prediction.labels).calibration_error


def development_pictures(data: Path) -> Iterator[LabelledPicture]:
    """Yield the pictures of all development data sets under a folder."""
    return chain(
        tight_crops(data / "hands" / "usps-train.npz"),
        cheque_digits(data / "hands" / "cheques-dev"),
        photographs(data / "photos"),
    )


def main() -> None:
    """Measure the models, print the results, and write the file."""
    parser = argparse.ArgumentParser("python -m benchmarks.hands", description=__doc__.splitlines()[0])
    parser.add_argument(
        "models", nargs="*", default=MODELS, help="bundled names or model files  [default: %(default)s]"
    )
    parser.add_argument("-o", "--output", type=Path, help="CSV file  [default: in benchmarks/results/]")
    options = parser.parse_args()
    data = Path(os.environ["DIGITS_EDGE_DATA"])
    command = shlex.join(["python", "-m", "benchmarks.hands", *sys.argv[1:]])
    rows: list[HandsRow] = []
    for model in options.models:
        with Classifier(model, provider="cpu", threads=1) as classifier:
            by_kind = outcomes(classifier, development_pictures(data))
        for (data_name, kind), found in by_kind.items():
            rows.append(row := row_of(Path(model).stem, data_name, kind, found, command))
            print(
                f"{row.model} {row.data}, {row.kind}: {row.errors} errors of {row.images}, {row.accuracy:.2%} "
                f"({row.low:.2%} to {row.high:.2%}); {row.uncertain:.1%} uncertain, {row.blank} blank, "
                f"{row.several} several, {row.wrong_ok} wrong but ok; ECE {row.calibration_error:.2%}; "
                f"{row.p50_us:.0f} µs",
                flush=True,
            )
    path = options.output or RESULTS / results_name("-hands.csv", "cpu", "1thread")
    write_rows(rows, path)
    print(path)


if __name__ == "__main__":
    main()
