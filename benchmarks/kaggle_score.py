"""Score a Kaggle submission without Kaggle: the rows of test.csv are images of MNIST, whose labels are known.

    digits-edge batch-predict test.csv -o submission.csv --model kaggle-cnn-int8.onnx
    python benchmarks/kaggle_score.py submission.csv test.csv

Train on train.csv alone for such a figure: MNIST's own training images hold most rows of test.csv.
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
    """The label of every image of MNIST, by its pixels."""
    labels: dict[bytes, int] = {}
    for split in ("train", "test"):
        part = load("mnist", split)
        assert part.labels is not None
        labels |= {image.tobytes(): int(label) for image, label in zip(part.images, part.labels, strict=True)}
    return labels


def true_labels(test_csv: Path) -> np.ndarray:
    """The labels of the rows of test.csv."""
    known = known_labels()
    found = [known.get(image.tobytes(), -1) for block in read_blocks(test_csv) for image in block.images]
    if -1 in found:
        raise DataError(f"{test_csv}: row {found.index(-1) + 1} is no image of MNIST; it cannot be scored")
    return np.array(found)


def submitted(path: Path) -> np.ndarray:
    """The answers of a submission, in the order of ImageId."""
    with path.open(newline="") as stream:
        rows = [(int(row["ImageId"]), int(row["Label"])) for row in csv.DictReader(stream)]
    if [image for image, _ in rows] != list(range(1, len(rows) + 1)):
        raise DataError(f"{path}: ImageId does not run from 1 on; `digits-edge batch-predict` writes it so")
    return np.array([label for _, label in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("submission", type=Path)
    parser.add_argument("test_csv", type=Path)
    arguments = parser.parse_args()
    truth, answers = true_labels(arguments.test_csv), submitted(arguments.submission)
    if len(truth) != len(answers):
        raise DataError(f"{len(answers)} answers for {len(truth)} rows")
    score = Accuracy(int((truth != answers).sum()), len(truth))
    print(
        json.dumps(
            {"errors": score.errors, "rows": score.images, "accuracy": score.value, "interval": score.interval()}
        )
    )


if __name__ == "__main__":
    main()
