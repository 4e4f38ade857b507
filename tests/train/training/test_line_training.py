"""Trainings of sequence models write the same run folders as those of classifiers, and are resumed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from digits_edge.runtime.datasets.line_set import read_line_set
from digits_edge.runtime.errors import UsageError
from digits_edge.train import cross_validate, named_recipe, read_recipe, train
from digits_edge.train.training.run_folder import read_history
from tests.line_runs import TINY, digits


def test_the_run_folder_records_recipe_and_lines(line_run: Path) -> None:
    assert read_recipe(line_run / "recipe.json") == TINY
    about = json.loads((line_run / "recipe.json").read_text())
    assert about["data"]["name"] == "blocks"
    assert "".join(about["data"]["classes"]) == "0123456789.,-/=$€"
    assert about["data"]["input"]["width"] is None
    assert [step["step"] for step in about["data"]["preprocessing"]] == ["line"]
    assert about["result"]["epochs"] == 2
    assert len(read_line_set(line_run / "lines" / "validation")) == 24
    model = keras.saving.load_model(line_run / "model.keras")
    assert model.output_shape == (None, None, 18)
    assert model(np.zeros((1, 32, 100, 1), np.float32)).shape == (1, 50, 18)


@pytest.mark.slow
def test_a_resumed_training_gives_the_same_weights(line_runs: Path, tmp_path: Path) -> None:
    run = shutil.copytree(line_runs / "interrupted", tmp_path / "run")
    assert len(read_history(run / "history.csv")) == 1
    train(TINY, digits(), run, resume=True)
    one, other = (keras.saving.load_model(each / "model.keras") for each in (line_runs / "finished", run))
    for weight, same in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(weight, same, rtol=1e-5, atol=1e-6)


def test_data_that_are_not_digits_are_refused(tmp_path: Path) -> None:
    garments = replace(digits(), class_names=tuple("abcdefghij"))
    with pytest.raises(UsageError, match="made images are digits"):
        train(TINY, garments, tmp_path / "run")
    with pytest.raises(UsageError, match="no cross-validation"):
        cross_validate(TINY, digits(), tmp_path / "folds", 2)


def test_the_best_recipe_trains_a_sequence_model() -> None:
    recipe = named_recipe("best", "number")
    assert recipe.lines is not None
    assert recipe.lines.count >= 10_000
    assert recipe.hands is None
