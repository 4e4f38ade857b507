"""A search tries distinct settings, stores its trials, and gives the same result after an interruption."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from digits_edge.runtime.datasets import Dataset, parts
from digits_edge.runtime.errors import CheckError, DataError, InputError, UsageError
from digits_edge.train import Budget, Listeners, Recipe, Trial, build, named_recipe, names, read_recipe, tune
from digits_edge.train.report.tuning_page import tuning_page
from digits_edge.train.search.search_folder import best_of
from digits_edge.train.search.search_space import recipe_with, search_space, settings_of

RECIPE = Recipe("mlp", epochs=9, batch_size=40, learning_rate=0.01, structure={"units": [16]}, validation="fifth")

pytestmark = pytest.mark.slow  # `tests/cli/test_tune.py` has a fast search


class InterruptionError(BaseException):
    """Not an Exception, so that no handler treats it as an error of the trial."""


def modified_ns(path: Path) -> int:
    return path.stat().st_mtime_ns


def search(folder: Path, dataset: Dataset, trials: int, recipe: Recipe = RECIPE, *, epochs: int = 1, **how):
    return tune(recipe, dataset, folder, budget=Budget(trials), epochs=epochs, **how)


@pytest.fixture(scope="module")
def searched(squares, tmp_path_factory):
    """A search of six trials; the Bayesian model chose the last."""
    folder = tmp_path_factory.mktemp("searched")
    return folder, search(folder, squares, 6, epochs=2)


def test_first_trial_is_the_recipe_and_all_trials_differ(searched):
    _, tuning = searched
    settings = [trial.settings for trial in tuning.trials]
    assert settings[0] == settings_of(RECIPE)
    assert settings[0] == {"units_1": 16, "dropout": 0.0, "optimizer": "adam", "learning_rate": 0.01}
    assert all(one != other for place, one in enumerate(settings) for other in settings[:place])


def test_best_recipe_is_that_of_the_most_accurate_trial_with_all_epochs(searched):
    folder, tuning = searched
    assert max(trial.accuracy for trial in tuning.trials) == tuning.best["search"]["validation_accuracy"]
    best = tuning.trials[tuning.best["search"]["trial"] - 1]
    found = read_recipe(folder / "best.json")
    assert settings_of(found) == best.settings
    assert replace(found, structure=RECIPE.structure, optimizer="adam", learning_rate=0.01) == RECIPE
    history = (folder / f"trials/{best.number:03}/history.csv").read_text().splitlines()
    accuracies = [float(row.split(",")[3]) for row in history[1:]]
    assert len(accuracies) == 2
    assert best.accuracy in accuracies


def test_only_the_best_model_and_no_checkpoint_is_stored(searched):
    folder, tuning = searched
    best = f"{tuning.best['search']['trial']:03}"
    assert [path.parent.name for path in (folder / "trials").glob("*/model.keras")] == [best]
    assert list(folder.rglob("checkpoint.npz")) == []
    for name in ("recipe.json", "history.csv"):
        assert len(list((folder / "trials").glob(f"*/{name}"))) == 6


def test_table_and_page_have_every_trial(searched):
    folder, tuning = searched
    head, *rows = (folder / "trials.csv").read_text().splitlines()
    assert head.startswith("trial,units_1,dropout,optimizer,learning_rate,validation_accuracy,validation_loss,seconds")
    assert [int(row.split(",")[0]) for row in rows] == [1, 2, 3, 4, 5, 6]
    page = tuning_page(tuning.best, tuning.trials)
    assert "Tuning of mlp" in page
    assert page.count("<figure") == 1 + len(tuning.trials[0].settings)
    assert f'<td class="left">{tuning.best["search"]["trial"]} *</td>' in page


def test_keras_tuner_prints_nothing_and_leaves_no_files(squares, tmp_path, capfd):
    search(tmp_path, squares, 1)
    assert capfd.readouterr() == ("", "")
    assert {p.name for p in tmp_path.iterdir()} == {"search.json", "trials", "trials.csv", "best.json"}


@pytest.mark.parametrize(("stopped_trial", "stopped_epoch"), [(1, 0), (2, 1)])
def test_resumed_search_agrees_with_an_uninterrupted_one(searched, squares, tmp_path, stopped_trial, stopped_epoch):
    started: list[int] = []

    def interrupt(epoch: int, step: int, steps: int, loss: float) -> None:
        if (started[-1], epoch, step) == (stopped_trial, stopped_epoch, 2):
            raise InterruptionError

    listeners = Listeners(begin=lambda number, best: started.append(number), step=interrupt)
    with pytest.raises(InterruptionError):
        search(tmp_path, squares, stopped_trial + 1, epochs=2, listeners=listeners)
    finished = {number: modified_ns(tmp_path / f"trials/{number:03}/history.csv") for number in range(1, stopped_trial)}

    started.clear()
    listeners = Listeners(begin=lambda number, best: started.append(number))
    resumed = search(tmp_path, squares, stopped_trial + 1, epochs=2, resume=True, listeners=listeners)
    assert started == [stopped_trial, stopped_trial + 1]
    assert all(modified_ns(tmp_path / f"trials/{n:03}/history.csv") == when for n, when in finished.items())
    for trial, expected in zip(resumed.trials, searched[1].trials, strict=False):
        assert (trial.settings, trial.accuracy) == (expected.settings, expected.accuracy)
        assert trial.loss == pytest.approx(expected.loss, rel=1e-5)
    assert len(resumed.trials) == stopped_trial + 1


def test_trial_interrupted_before_its_result_is_stored_is_not_trained_again(squares, tmp_path, monkeypatch):
    from digits_edge.train.search import trials

    def interrupt(folder, number, values, trial):
        if trial is not None:
            raise InterruptionError
        note_trial(folder, number, values, trial)

    note_trial = trials.note_trial
    monkeypatch.setattr(trials, "note_trial", interrupt)
    with pytest.raises(InterruptionError):
        search(tmp_path, squares, 1)
    trained = modified_ns(tmp_path / "trials/001/history.csv")
    monkeypatch.setattr(trials, "note_trial", note_trial)
    assert len(search(tmp_path, squares, 1, resume=True).trials) == 1
    assert modified_ns(tmp_path / "trials/001/history.csv") == trained


def test_started_trial_keeps_its_hyperparameters(squares, tmp_path):
    """The Bayesian model can draw other values with another version of a library."""
    values = {"units_1": 8, "dropout": 0.35, "optimizer": "rmsprop", "learning_rate_factor": 0.5}
    search(tmp_path, squares, 1)
    (tmp_path / "trials/002").mkdir()
    (tmp_path / "trials/002/trial.json").write_text(json.dumps({"schema_version": 1, "values": values, "trial": None}))
    drawn = search(tmp_path, squares, 2, resume=True).trials[1].settings
    assert drawn == {"units_1": 8, "dropout": 0.35, "optimizer": "rmsprop", "learning_rate": 0.0025}


def test_finished_search_can_be_extended(squares, tmp_path):
    first = search(tmp_path, squares, 1)
    more = search(tmp_path, squares, 2, resume=True)
    assert (len(more.trials), more.trials[0]) == (2, first.trials[0])
    assert search(tmp_path, squares, 1, resume=True).trials == more.trials


def test_search_with_other_settings_is_not_resumed(squares, tmp_path):
    search(tmp_path, squares, 2)
    with pytest.raises(UsageError, match="use --resume to continue it"):
        search(tmp_path, squares, 2)
    with pytest.raises(UsageError, match=r"other settings \(recipe\)"):
        search(tmp_path, squares, 1, replace(RECIPE, seed=1), resume=True)
    with pytest.raises(UsageError, match=r"other settings \(data\)"):
        search(tmp_path, squares, 1, images=200, resume=True)
    assert len(search(tmp_path, squares, 1, replace(RECIPE, seed=1), overwrite=True).trials) == 1
    assert [path.name for path in (tmp_path / "trials").iterdir()] == ["001"]


def test_budget_of_minutes_counts_earlier_trials(squares, tmp_path):
    tuning = tune(RECIPE, squares, tmp_path, budget=Budget(minutes=1e-6), epochs=1)
    assert len(tuning.trials) == 1
    before = [replace(tuning.trials[0], seconds=40.0), replace(tuning.trials[0], seconds=25.0)]
    assert Budget(minutes=1).is_spent(before)
    assert not Budget(minutes=2).is_spent(before)
    assert Budget(trials=2, minutes=2).is_spent(before)
    assert not Budget(trials=3).is_spent(before)
    assert not Budget().is_spent(before)


def test_diverged_trainings_are_trials_without_results(squares, tmp_path):
    with pytest.raises(CheckError, match=r"all 2 trainings diverged; .*trials.csv"):
        search(tmp_path, squares, 2, replace(RECIPE, learning_rate=1e30))
    assert "validation loss of epoch 1 is not finite" in (tmp_path / "trials.csv").read_text()
    assert not (tmp_path / "best.json").exists()
    modified = modified_ns(tmp_path / "trials/001/trial.json")
    with pytest.raises(CheckError):
        search(tmp_path, squares, 2, replace(RECIPE, learning_rate=1e30), resume=True)
    assert modified_ns(tmp_path / "trials/001/trial.json") == modified


def test_other_errors_end_the_search(squares, tmp_path):
    search(tmp_path, squares, 1)
    (tmp_path / "trials/002/history.csv").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"history\.csv"):
        search(tmp_path, squares, 2, resume=True)


def test_sample_is_drawn_from_the_training_images(squares, tmp_path):
    recipe = replace(RECIPE, validation="kaggle")
    images = squares.images.copy()
    rows = parts(squares.labels, "kaggle")
    images[np.concatenate([rows.validation, rows.held_back])] = 0
    for folder, dataset in (("original", squares), ("others blank", replace(squares, images=images))):
        search(tmp_path / folder, dataset, 1, recipe, images=100)
    original, blank = (
        json.loads((tmp_path / name / "search.json").read_text()) for name in ("original", "others blank")
    )
    assert original["data"] == blank["data"]
    assert original["data"]["images"] == 100
    assert original["data"]["name"] == "squares"


def test_too_few_images_are_refused_before_writing(squares, tmp_path):
    with pytest.raises(DataError, match="too few"):
        search(tmp_path / "run", squares, 1, images=9)
    with pytest.raises(InputError, match="no labels"):
        search(tmp_path / "run", replace(squares, labels=None), 1)
    assert not (tmp_path / "run").exists()


def test_smaller_loss_decides_between_equal_accuracies():
    figures = [(0.98, 0.3), (0.99, 0.2), (0.99, 0.1), (None, None), (0.99, 0.1)]
    trials = [Trial(number, {}, *pair, 1.0) for number, pair in enumerate(figures, start=1)]
    assert best_of(trials) == trials[2]
    assert best_of(trials[3:4]) is None


@pytest.mark.parametrize("name", names())
def test_search_space_of_every_model(name):
    recipe = named_recipe("best", name)
    space = search_space(recipe)
    own = recipe_with(recipe, {parameter.name: parameter.default for parameter in space.space})
    assert settings_of(own) == settings_of(recipe)
    assert replace(own, structure=recipe.structure) == recipe
    drawn = [recipe_with(recipe, {p.name: p.random_sample(7 * seed) for p in space.space}) for seed in range(20)]
    assert len({json.dumps(settings_of(one)) for one in drawn}) > 5
    adams = [one.learning_rate for one in drawn if one.optimizer == "adam"]
    assert all(abs(math.log10(rate / recipe.learning_rate)) <= 1.01 for rate in adams)
    if name in ("perceptron", "mlp", "cnn-small"):
        assert all(build(name, **one.structure).count_params() > 0 for one in drawn[:3])


def test_search_space_of_cnn_has_the_reference_hyperparameters():
    space = search_space(named_recipe("best", "cnn"))
    expected = [
        "filters_1",
        "filters_2",
        "dense_units",
        "dropout",
        "dense_dropout",
        "optimizer",
        "learning_rate_factor",
    ]
    assert [parameter.name for parameter in space.space] == expected
    assert [parameter.name for parameter in search_space(named_recipe("best", "perceptron")).space] == expected[-2:]


def test_folder_with_other_files_is_refused_and_unchanged(squares, tmp_path):
    for name in ("trials/mine.txt", "own/best.json"):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text("mine")
        folder = tmp_path / "own" if name.startswith("own") else tmp_path
        for how in ({}, {"overwrite": True}, {"resume": True}):
            with pytest.raises(UsageError, match="is not a search folder"):
                search(folder, squares, 1, **how)
        assert path.read_text() == "mine"


def test_damaged_search_can_be_replaced_with_overwrite(squares, tmp_path):
    (tmp_path / "search.json").write_text("{")
    with pytest.raises(InputError, match="--overwrite"):
        search(tmp_path, squares, 1, resume=True)
    assert len(search(tmp_path, squares, 1, overwrite=True).trials) == 1
