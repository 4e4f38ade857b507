"""`benchmarks.hands`: the pictures that it makes of development data, and its figures."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from benchmarks.hand_data import FIELD_BOXES, VARIANTS, cheque_digits, photographs, tight_crops
from benchmarks.hands import ALL, Outcome, development_pictures, outcomes, row_of, write_rows
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets.synthetic_digits import draw_digit
from digits_edge.runtime.prediction import Prediction

LABELS = tuple("0123456789")


def digit(label, side, *, seed=0):
    """White ink on black, uint8 (side, side)."""
    return np.asarray(draw_digit(label, np.random.default_rng(seed), size=side), np.uint8)


@pytest.fixture
def data(tmp_path):
    """A folder with the structure of the development data: 8 crops, a field with two digits, a photograph."""
    labels = np.arange(8, dtype=np.uint8)
    (tmp_path / "hands" / "cheques-dev" / "fields").mkdir(parents=True)
    (tmp_path / "photos").mkdir()
    images = np.stack([digit(int(label), 16) for label in labels])
    np.savez(tmp_path / "hands" / "usps-train.npz", images=images, labels=labels)
    field = np.concatenate([255 - digit(3, 40), 255 - digit(8, 40)], axis=1)
    Image.fromarray(field).save(tmp_path / "hands" / "cheques-dev" / "fields" / "a.png")
    boxes = json.dumps([["3", 5, 5, 30, 30], ["8", 45, 5, 30, 30]])
    with (tmp_path / "hands" / "cheques-dev" / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["file", "text", FIELD_BOXES], ["fields/a.png", "38", boxes]])
    Image.fromarray(255 - digit(2, 90)).save(tmp_path / "photos" / "two.png")
    (tmp_path / "photos" / "labels.csv").write_text("file,label,kind,ink\ntwo.png,2,photo,dark\n")
    return tmp_path


def test_tight_crops_have_all_variants_of_the_same_digits(data):
    pictures = list(tight_crops(data / "hands" / "usps-train.npz"))
    assert [each.kind for each in pictures].count("as stored") == 8
    for kind, (stride, _) in VARIANTS.items():
        assert [each.label for each in pictures if each.kind == kind] == list(range(0, 8, stride))
    by_kind = {each.kind: np.asarray(each.picture) for each in pictures if each.name == "4"}
    assert np.array_equal(by_kind["dark on white"], 255 - by_kind["as stored"])
    assert set(np.unique(by_kind["two-level"])) == {0, 255}
    assert by_kind["two-level"].shape == (16, 16)
    assert by_kind["8×8"].shape == (8, 8)
    assert by_kind["enlarged"].shape == (64, 64)


def test_two_level_crops_are_stretched_up_to_twice():
    stored = np.zeros((16, 16), np.uint8)
    stored[4:12, 7:9] = 200
    rows, columns = np.nonzero(VARIANTS["two-level"][1](stored))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 15, 6, 9)


def test_cheque_digits_are_cropped_to_their_boxes(data):
    tight, margin = [], []
    for each in cheque_digits(data / "hands" / "cheques-dev"):
        (tight if each.kind == "tight" else margin).append((each.label, each.picture.size))
    assert tight == [(3, (30, 30)), (8, (30, 30))]
    assert margin == [(3, (36, 36)), (8, (36, 36))]


def test_photographs_have_the_label_and_kind_of_the_table(data):
    [found] = photographs(data / "photos")
    assert (found.data, found.kind, found.label, found.picture.size) == ("photos", "photo", 2, (90, 90))


def prediction(label, confidence, status="ok"):
    rest = (1 - confidence) / 9
    probabilities = tuple(confidence if str(label) == name else rest for name in LABELS)
    return Prediction(
        digit=label,
        label=None if label is None else str(label),
        confidence=confidence,
        probabilities=probabilities,
        status=status,
        labels=LABELS,
        provider="cpu",
        boxes=(),
    )


def test_figures_count_every_picture_without_the_right_label():
    found = [
        Outcome(1, prediction(1, 1.0), 100.0),
        Outcome(2, prediction(7, 1.0), 300.0),
        Outcome(3, prediction(8, 0.5, "uncertain"), 200.0),
        Outcome(4, prediction(None, 0.0, "blank"), 200.0),
        Outcome(5, prediction(None, 0.0, "several"), 200.0),
    ]
    row = row_of("m", "d", "k", found)
    assert (row.images, row.errors, row.wrong_ok) == (5, 4, 1)
    assert (row.uncertain, row.blank, row.several, row.p50_us) == (0.2, 1, 1, 200.0)
    assert row.low < row.accuracy == 0.2 < row.high
    assert row.calibration_error == pytest.approx((2 / 3) * 0.5 + (1 / 3) * 0.5, abs=1e-4)


def test_all_data_is_measured_by_kind_and_written(data, tmp_path):
    with Classifier("edge-int8", provider="cpu", threads=1) as classifier:
        found = outcomes(classifier, development_pictures(data))
    rows = [row_of("edge-int8", *key, each, "a command") for key, each in found.items()]
    write_rows(rows, tmp_path / "results" / "hands.csv")
    with (tmp_path / "results" / "hands.csv").open(newline="") as stream:
        table = {(row["data"], row["kind"]): row for row in csv.DictReader(stream)}
    assert ("cheques-dev", ALL) not in table
    assert table["cheques-dev", "tight"]["images"] == "2"
    assert table["photos", "photo"]["errors"] == "0"
    assert "onnxruntime" in table["photos", ALL]["versions"]
    assert table["photos", ALL]["command"] == "a command"
