"""Cross-validation trains a run per fold and summarizes their accuracies."""

import json
from pathlib import Path
from typing import Any

import pytest

from digits_edge.runtime.datasets import Dataset
from digits_edge.runtime.errors import UsageError
from digits_edge.train import Recipe, cross_validate, read_recipe

QUICK = Recipe("mlp", epochs=2, batch_size=20, learning_rate=0.01, structure={"units": [16]})


@pytest.fixture(scope="module")
def cross_validated(
    squares: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any], list[tuple[int, int]]]:
    """Folder and summary of a cross-validation with two folds, and the calls of its listener."""
    folder = tmp_path_factory.mktemp("folds") / "cv"
    calls: list[tuple[int, int]] = []
    return folder, cross_validate(QUICK, squares, folder, 2, on_fold=lambda *fold: calls.append(fold)), calls


def test_folds_are_trained_and_summarized(squares: Dataset, cross_validated) -> None:
    folder, summary, calls = cross_validated
    assert calls == [(1, 2), (2, 2)]
    assert summary["images"] == len(squares)
    assert summary["mean"] == pytest.approx(sum(summary["accuracies"]) / 2)
    assert summary["errors"] == round(sum(150 * (1 - accuracy) for accuracy in summary["accuracies"]))
    low, high = summary["interval"]
    assert low < summary["accuracy"] <= high + 1e-9
    for fold in (1, 2):
        about = json.loads((folder / f"fold-{fold}-of-2/recipe.json").read_text())
        assert about["data"]["validation"] == f"fold-{fold}-of-2"
        assert about["result"]["validation_accuracy"] == summary["accuracies"][fold - 1]
    assert json.loads((folder / "folds.json").read_text())["mean"] == summary["mean"]


@pytest.mark.slow
def test_resumed_cross_validation_keeps_its_finished_folds(squares: Dataset, tmp_path: Path) -> None:
    class InterruptionError(Exception):
        pass

    def interrupt(fold: int, folds: int) -> None:
        if fold == 2:
            raise InterruptionError

    with pytest.raises(InterruptionError):
        cross_validate(QUICK, squares, tmp_path, 2, on_fold=interrupt)
    written = (tmp_path / "fold-1-of-2/model.keras").stat().st_mtime_ns
    with pytest.raises(UsageError, match="--resume"):
        cross_validate(QUICK, squares, tmp_path, 2)
    assert cross_validate(QUICK, squares, tmp_path, 2, resume=True)["folds"] == 2
    assert (tmp_path / "fold-1-of-2/model.keras").stat().st_mtime_ns == written


def test_recipe_of_a_fold_includes_its_validation_rule(cross_validated) -> None:
    folder, _, _ = cross_validated
    recipe = read_recipe(folder / "fold-2-of-2/recipe.json")
    assert recipe.validation == "fold-2-of-2"
    assert recipe.structure == {"units": [16]}


@pytest.mark.slow
def test_summary_of_other_folds_is_replaced_only_with_overwrite(squares: Dataset, tmp_path: Path) -> None:
    cross_validate(QUICK, squares, tmp_path, 2)
    before = (tmp_path / "folds.json").read_bytes()
    with pytest.raises(UsageError, match="already holds a cross-validation"):
        cross_validate(QUICK, squares, tmp_path, 3)
    assert (tmp_path / "folds.json").read_bytes() == before
    assert cross_validate(QUICK, squares, tmp_path, 3, overwrite=True)["folds"] == 3
