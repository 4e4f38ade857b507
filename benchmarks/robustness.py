"""How a model bears what is not MNIST: corrupted digits, pictures people took, things that are no digits; and what it
refuses to answer.

    python -m benchmarks.robustness edge-int8 cnn-small-int8

DIGITS_EDGE_DATA names a folder with `mnist`, `fashion-mnist`, `mnist-c` (an .npz for each corruption, with `images`:
MNIST's test images in their order; Mu and Gilmer 2019) and `photos` (pictures, and labels.csv with the columns file,
label, kind). One JSON object for each model, on the CPU provider.
"""

import argparse
import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from digits_edge.export.exporting import REFUSED
from digits_edge.runtime.checks.accuracy import Accuracy
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets import load
from digits_edge.runtime.preprocessing.mnist_format import to_mnist_format
from digits_edge.runtime.preprocessing.pictures import open_picture
from digits_edge.train.evaluation.evaluation import evaluate


def on_test_images(classifier: Classifier) -> dict[str, Any]:
    """Errors and calibration on MNIST's test images, what is refused, and how Fashion-MNIST's are told from them."""
    test = load("mnist", "test")
    assert test.labels is not None
    answers = classifier.predict_batch(test.images)
    sure, wrong = answers.max(axis=1), answers.argmax(axis=1) != test.labels
    strange = classifier.predict_batch(load("fashion-mnist", "test").images).max(axis=1)
    errors = Accuracy(int(wrong.sum()), len(wrong))
    threshold = classifier.metadata.uncertain_below
    answered = np.argsort(-sure, kind="stable")[: round(len(sure) * (1 - REFUSED))]
    is_digit = np.r_[np.ones(len(sure)), np.zeros(len(strange))]
    return {
        "errors": errors.errors,
        "interval": errors.interval(),
        "calibration_error": evaluate(answers, test.labels, test.class_names).calibration_error,
        "error_with_1_percent_refused": float(wrong[answered].mean()),
        "uncertain_below": threshold,
        "uncertain": float((sure < threshold).mean()),
        "error_of_the_certain": float(wrong[sure >= threshold].mean()),
        "fashion_auroc": float(roc_auc_score(is_digit, np.r_[sure, strange])),
        "fashion_uncertain": float((strange < threshold).mean()),
    }


def on_corrupted(classifier: Classifier, folder: Path) -> dict[str, Any]:
    """Accuracy on every corruption, arrays as they are, and the mean of all."""
    labels, accuracies = load("mnist", "test").labels, {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as corrupted:
            said = classifier.predict_batch(corrupted["images"]).argmax(axis=1)
        accuracies[path.stem] = float((said == labels).mean())
    return {"corrupted": accuracies, "corrupted_mean": float(np.mean(list(accuracies.values())))}


def on_pictures(classifier: Classifier, folder: Path) -> dict[str, Any]:
    """How many pictures are read right, and how many of all are called uncertain, by kind."""
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    images = np.stack([to_mnist_format(open_picture(folder / row["file"])).image for row in rows])
    answers: NDArray[np.float32] = classifier.predict_batch(images)
    right = answers.argmax(axis=1) == [int(row["label"]) for row in rows]
    uncertain = answers.max(axis=1) < classifier.metadata.uncertain_below
    kinds = np.array([row["kind"] for row in rows])
    return {
        "pictures": len(rows),
        "pictures_right": int(right.sum()),
        "pictures_wrong": [row["file"] for row, good in zip(rows, right, strict=True) if not good],
        "pictures_uncertain": int(uncertain.sum()),
        "by_kind": {str(kind): f"{right[kinds == kind].sum()} of {(kinds == kind).sum()}" for kind in np.unique(kinds)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", help="bundled names or model files")
    data = Path(os.environ["DIGITS_EDGE_DATA"])
    for model in parser.parse_args().models:
        with Classifier(model, provider="cpu", threads=1) as classifier:
            found = on_test_images(classifier) | on_corrupted(classifier, data / "mnist-c")
            found |= on_pictures(classifier, data / "photos")
            print(json.dumps({"model": model, "bytes": classifier.path.stat().st_size, **found}), flush=True)


if __name__ == "__main__":
    main()
