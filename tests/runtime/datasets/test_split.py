"""The fixed splits of a data set."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_edge.runtime.datasets import common_parts, parts, stratified
from digits_edge.runtime.errors import DataError, UsageError

LABELS = np.random.default_rng(0).integers(0, 10, 5000).astype(np.uint8)


@pytest.mark.parametrize(
    "rule", ["tenth", "fifth", "last-tenth", "last-fifth", "kaggle", "kaggle-38000", "fold-1-of-5", "fold-7-of-7"]
)
def test_the_parts_are_sorted_disjoint_and_cover_all_rows(rule):
    found = parts(LABELS, rule)
    all_parts = [found.train, found.validation, found.held_back]
    np.testing.assert_array_equal(np.sort(np.concatenate(all_parts)), np.arange(5000))
    assert all((np.diff(rows) > 0).all() for rows in all_parts)


@pytest.mark.parametrize(("rule", "share"), [("tenth", 0.1), ("fifth", 0.2), ("fold-2-of-4", 0.25)])
def test_the_validation_part_has_the_share_of_every_class(rule, share):
    validation = parts(LABELS, rule).validation
    np.testing.assert_allclose(np.bincount(LABELS[validation]), np.bincount(LABELS) * share, atol=1)


def test_the_kaggle_rules_have_the_documented_row_ranges():
    found = parts(np.zeros(42_000, np.uint8), "kaggle")
    assert (found.train[0], found.train[-1]) == (0, 26_999)
    assert (found.validation[0], found.validation[-1]) == (27_000, 39_999)
    assert (found.held_back[0], found.held_back[-1]) == (40_000, 41_999)
    larger = parts(np.zeros(42_000, np.uint8), "kaggle-38000")
    assert (larger.train[-1], larger.validation[0], larger.validation[-1]) == (37_999, 38_000, 39_999)
    np.testing.assert_array_equal(larger.held_back, found.held_back)


def test_last_fifth_is_the_validation_split_of_keras():
    found = parts(np.zeros(60_000, np.uint8), "last-fifth")
    assert (found.train[-1], found.validation[0], found.validation[-1]) == (47_999, 48_000, 59_999)


@given(st.integers(2, 9))
def test_every_image_is_in_the_validation_part_of_one_fold(folds):
    validated = [parts(LABELS, f"fold-{fold}-of-{folds}").validation for fold in range(1, folds + 1)]
    np.testing.assert_array_equal(np.sort(np.concatenate(validated)), np.arange(5000))


@pytest.mark.parametrize("rule", ["", "half", "fold-0-of-5", "fold-6-of-5", "fold-1-of-1", "fold-1-of-5 "])
def test_the_error_for_an_unknown_rule_lists_the_rules(rule):
    with pytest.raises(UsageError, match="tenth, fifth, last-tenth, last-fifth, kaggle"):
        parts(LABELS, rule)


@pytest.mark.parametrize("rule", ["tenth", "last-fifth", "kaggle", "fold-1-of-5"])
@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images_are_an_error(rule, count):
    with pytest.raises(DataError, match="too few"):
        parts(LABELS[:count], rule)


def test_a_stratified_sample_is_sorted_and_keeps_the_class_distribution():
    chosen = stratified(LABELS, 500)
    assert (np.diff(chosen) > 0).all()
    assert abs(len(chosen) - 500) <= 5
    np.testing.assert_allclose(np.bincount(LABELS[chosen]), np.bincount(LABELS) / 10, atol=1)


def test_splits_and_samples_are_deterministic():
    np.testing.assert_array_equal(parts(LABELS).validation, parts(LABELS).validation)
    np.testing.assert_array_equal(stratified(LABELS, 100), stratified(LABELS, 100))


def test_training_rows_of_any_model_are_not_in_the_common_validation_part():
    found = common_parts(LABELS, ["kaggle", "tenth"])
    np.testing.assert_array_equal(np.sort(np.concatenate([found.train, found.validation])), np.arange(5000))
    assert not len(found.held_back)
    tenth, kaggle = parts(LABELS, "tenth"), parts(LABELS, "kaggle")
    assert not np.intersect1d(found.validation, np.union1d(tenth.train, kaggle.train)).size
    assert not len(common_parts(LABELS, ["fold-1-of-2", "fold-2-of-2"]).validation)
    same = common_parts(LABELS, ["kaggle", "kaggle"])
    np.testing.assert_array_equal(same.held_back, kaggle.held_back)
    np.testing.assert_array_equal(same.validation, kaggle.validation)
