"""Score a submission for Kaggle's Digit Recognizer offline: the rows of test.csv are images of MNIST.

    digits-edge batch-predict test.csv -o submission.csv --model kaggle-cnn-int8.onnx
    python benchmarks/kaggle_score.py submission.csv test.csv

Score only models that were trained on train.csv alone: MNIST's training images contain most rows of test.csv.
"""

import argparse
import csv
import json
from pathlib import Path

import numpy as np

from digits_edge.runtime.checks.accuracy import Accuracy
from digits_edge.runtime.datasets import load, read_blocks
from digits_edge.runtime.errors import DataError


def known_labels() -> dict[bytes, int]:
    """Return the labels of all MNIST images by their pixels."""
    labels: dict[bytes, int] = {}
    for split in ("train", "test"):
        part = load("mnist", split)
        assert part.labels is not None
        labels |= {image.tobytes(): int(label) for image, label in zip(part.images, part.labels, strict=True)}
    return labels


def true_labels(test_csv: Path) -> np.ndarray:
    """Return the labels of the rows of test.csv.

    Raises:
        DataError: a row is not an image of MNIST.
    """
    known = known_labels()
    found = [known.get(image.tobytes(), -1) for block in read_blocks(test_csv) for image in block.images]
    if -1 in found:
        raise DataError(f"{test_csv}: row {found.index(-1) + 1} is not an image of MNIST and cannot be scored")
    return np.array(found)


def submitted(path: Path) -> np.ndarray:
    """Return the labels of a submission.

    Raises:
        DataError: ImageId does not count from 1.
    """
    with path.open(newline="") as stream:
        rows = [(int(row["ImageId"]), int(row["Label"])) for row in csv.DictReader(stream)]
    if [image for image, _ in rows] != list(range(1, len(rows) + 1)):
        raise DataError(f"{path}: ImageId must be 1, 2, 3, …; write the file with `digits-edge batch-predict`")
    return np.array([label for _, label in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("submission", type=Path, help="CSV with ImageId and Label")
    parser.add_argument("test_csv", type=Path, help="Kaggle's test.csv")
    arguments = parser.parse_args()
    truth, predicted = true_labels(arguments.test_csv), submitted(arguments.submission)
    if len(truth) != len(predicted):
        raise DataError(f"{arguments.submission}: {len(predicted)} rows, expected {len(truth)}")
    score = Accuracy(int((truth != predicted).sum()), len(truth))
    print(
        json.dumps(
            {"errors": score.errors, "rows": score.images, "accuracy": score.value, "interval": score.interval()}
        )
    )


if __name__ == "__main__":
    main()
