"""Robustness of a model: corrupted digits, real pictures, images that are not digits, and refused predictions.

    python -m benchmarks.robustness edge-int8 cnn-small-int8

DIGITS_EDGE_DATA names a folder with `mnist`, `fashion-mnist`, `mnist-c` (Mu and Gilmer 2019; an .npz for each
corruption, whose `images` are MNIST's test images in the original order) and `photos` (pictures, and labels.csv with
the columns file, label, kind). Prints a JSON object for each model, measured on the CPU provider.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from digits_edge.export.description import REFUSED
from digits_edge.runtime.checks.accuracy import Accuracy
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets import load
from digits_edge.runtime.preprocessing.mnist_format import to_mnist_format
from digits_edge.train.evaluation.evaluation import evaluate

from .hand_data import photographs


def on_test_images(classifier: Classifier) -> dict[str, Any]:
    """Return errors, calibration and refusals on MNIST's test images, and the separation from Fashion-MNIST."""
    test = load("mnist", "test")
    assert test.labels is not None
    probabilities = classifier.predict_batch(test.images)
    confidence, wrong = probabilities.max(axis=1), probabilities.argmax(axis=1) != test.labels
    confidence_on_garments = classifier.predict_batch(load("fashion-mnist", "test").images).max(axis=1)
    errors = Accuracy(int(wrong.sum()), len(wrong))
    threshold = classifier.metadata.uncertain_below
    accepted = np.argsort(-confidence, kind="stable")[: round(len(confidence) * (1 - REFUSED))]
    is_digit = np.r_[np.ones(len(confidence)), np.zeros(len(confidence_on_garments))]
    return {
        "errors": errors.errors,
        "interval": errors.interval(),
        "calibration_error": evaluate(probabilities, test.labels, test.class_names).calibration_error,
        "error_with_1_percent_refused": float(wrong[accepted].mean()),
        "uncertain_below": threshold,
        "uncertain": float((confidence < threshold).mean()),
        "error_of_the_certain": float(wrong[confidence >= threshold].mean()),
        "fashion_auroc": float(roc_auc_score(is_digit, np.r_[confidence, confidence_on_garments])),
        "fashion_uncertain": float((confidence_on_garments < threshold).mean()),
    }


def on_corrupted(classifier: Classifier, folder: Path) -> dict[str, Any]:
    """Return the accuracy on every corruption of MNIST-C, without preparation, and their mean."""
    labels, accuracies = load("mnist", "test").labels, {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as corrupted:
            predicted = classifier.predict_batch(corrupted["images"]).argmax(axis=1)
        accuracies[path.stem] = float((predicted == labels).mean())
    return {"corrupted": accuracies, "corrupted_mean": float(np.mean(list(accuracies.values())))}


def on_pictures(classifier: Classifier, folder: Path) -> dict[str, Any]:
    """Return the numbers of correctly classified and of uncertain pictures, also by kind."""
    pictures = list(photographs(folder))
    images = np.stack([to_mnist_format(each.picture).image for each in pictures])
    probabilities: NDArray[np.float32] = classifier.predict_batch(images)
    correct = probabilities.argmax(axis=1) == [each.label for each in pictures]
    uncertain = probabilities.max(axis=1) < classifier.metadata.uncertain_below
    kinds = np.array([each.kind for each in pictures])
    return {
        "pictures": len(pictures),
        "pictures_right": int(correct.sum()),
        "pictures_wrong": [each.name for each, is_correct in zip(pictures, correct, strict=True) if not is_correct],
        "pictures_uncertain": int(uncertain.sum()),
        "by_kind": {
            str(kind): f"{correct[kinds == kind].sum()} of {(kinds == kind).sum()}" for kind in np.unique(kinds)
        },
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
