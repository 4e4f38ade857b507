"""A search tries distinct settings, keeps what it found, and goes on after a cut as if there had been none."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from digits_edge.runtime.datasets import Dataset, parts
from digits_edge.runtime.errors import CheckError, DataError, InputError, UsageError
from digits_edge.train import Budget, Listeners, Recipe, Trial, build, named_recipe, names, read_recipe, tune
from digits_edge.train.search.search_folder import best_of
from digits_edge.train.search.search_space import recipe_with, search_space, settings_of

RECIPE = Recipe("mlp", epochs=9, batch_size=40, learning_rate=0.01, structure={"units": [16]}, validation="fifth")

pytestmark = pytest.mark.slow  # `tests/cli/test_tune.py` has a search in the quick part


class CutError(BaseException):
    """What no handler in between takes for an error of the trial."""


def written(path: Path) -> int:
    return path.stat().st_mtime_ns


def search(folder: Path, dataset: Dataset, trials: int, recipe: Recipe = RECIPE, *, epochs: int = 1, **how):
    return tune(recipe, dataset, folder, budget=Budget(trials), epochs=epochs, **how)


@pytest.fixture(scope="module")
def searched(squares, tmp_path_factory):
    """A search of six trials, of which the last is the Bayesian model's."""
    folder = tmp_path_factory.mktemp("searched")
    return folder, search(folder, squares, 6, epochs=2)


def test_the_first_trial_is_the_recipe_and_no_two_are_alike(searched):
    _, tuning = searched
    settings = [trial.settings for trial in tuning.trials]
    assert settings[0] == settings_of(RECIPE)
    assert settings[0] == {"units_1": 16, "dropout": 0.0, "optimizer": "adam", "learning_rate": 0.01}
    assert all(one != other for place, one in enumerate(settings) for other in settings[:place])


def test_the_best_recipe_is_the_most_accurate_trials_with_its_full_epochs(searched):
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


def test_only_the_best_trial_keeps_its_model_and_none_its_checkpoint(searched):
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
    page = (folder / "tuning.html").read_text()
    assert "Tuning of mlp" in page
    assert page.count("<figure") == 1 + len(tuning.trials[0].settings)
    assert f'<td class="left">{tuning.best["search"]["trial"]} *</td>' in page


def test_keras_tuner_says_and_leaves_nothing(squares, tmp_path, capfd):
    search(tmp_path, squares, 1)
    assert capfd.readouterr() == ("", "")
    assert {p.name for p in tmp_path.iterdir()} == {"search.json", "trials", "trials.csv", "best.json", "tuning.html"}


@pytest.mark.parametrize(("cut_trial", "cut_epoch"), [(1, 0), (2, 1)])
def test_a_cut_search_ends_as_if_it_had_not_been_cut(searched, squares, tmp_path, cut_trial, cut_epoch):
    begun: list[int] = []

    def cut(epoch: int, step: int, steps: int, loss: float) -> None:
        if (begun[-1], epoch, step) == (cut_trial, cut_epoch, 2):
            raise CutError

    told = Listeners(begin=lambda number, best: begun.append(number), step=cut)
    with pytest.raises(CutError):
        search(tmp_path, squares, cut_trial + 1, epochs=2, listeners=told)
    finished = {number: written(tmp_path / f"trials/{number:03}/history.csv") for number in range(1, cut_trial)}

    begun.clear()
    told = Listeners(begin=lambda number, best: begun.append(number))
    resumed = search(tmp_path, squares, cut_trial + 1, epochs=2, resume=True, listeners=told)
    assert begun == [cut_trial, cut_trial + 1]
    assert all(written(tmp_path / f"trials/{n:03}/history.csv") == when for n, when in finished.items())
    for trial, unbroken in zip(resumed.trials, searched[1].trials, strict=False):
        assert (trial.settings, trial.accuracy) == (unbroken.settings, unbroken.accuracy)
        assert trial.loss == pytest.approx(unbroken.loss, rel=1e-5)
    assert len(resumed.trials) == cut_trial + 1


def test_a_trial_cut_before_it_was_noted_is_not_trained_again(squares, tmp_path, monkeypatch):
    from digits_edge.train.search import trials

    def cut(folder, number, values, trial):
        if trial is not None:
            raise CutError
        note(folder, number, values, trial)

    note = trials.note_trial
    monkeypatch.setattr(trials, "note_trial", cut)
    with pytest.raises(CutError):
        search(tmp_path, squares, 1)
    trained = written(tmp_path / "trials/001/history.csv")
    monkeypatch.setattr(trials, "note_trial", note)
    assert len(search(tmp_path, squares, 1, resume=True).trials) == 1
    assert written(tmp_path / "trials/001/history.csv") == trained


def test_a_trial_that_was_begun_keeps_what_was_drawn_for_it(squares, tmp_path):
    """The Bayesian model may draw otherwise after a restart, or with another version of a library."""
    values = {"units_1": 8, "dropout": 0.35, "optimizer": "rmsprop", "learning_rate_factor": 0.5}
    search(tmp_path, squares, 1)
    (tmp_path / "trials/002").mkdir()
    (tmp_path / "trials/002/trial.json").write_text(json.dumps({"schema_version": 1, "values": values, "trial": None}))
    drawn = search(tmp_path, squares, 2, resume=True).trials[1].settings
    assert drawn == {"units_1": 8, "dropout": 0.35, "optimizer": "rmsprop", "learning_rate": 0.0025}


def test_a_finished_search_takes_more_trials_and_counts_no_fewer(squares, tmp_path):
    first = search(tmp_path, squares, 1)
    more = search(tmp_path, squares, 2, resume=True)
    assert (len(more.trials), more.trials[0]) == (2, first.trials[0])
    assert search(tmp_path, squares, 1, resume=True).trials == more.trials


def test_another_search_is_not_gone_on_with(squares, tmp_path):
    search(tmp_path, squares, 2)
    with pytest.raises(UsageError, match="--resume goes on with it"):
        search(tmp_path, squares, 2)
    with pytest.raises(UsageError, match=r"other settings \(recipe\)"):
        search(tmp_path, squares, 1, replace(RECIPE, seed=1), resume=True)
    with pytest.raises(UsageError, match=r"other settings \(data\)"):
        search(tmp_path, squares, 1, images=200, resume=True)
    assert len(search(tmp_path, squares, 1, replace(RECIPE, seed=1), overwrite=True).trials) == 1
    assert [path.name for path in (tmp_path / "trials").iterdir()] == ["001"]


def test_minutes_begin_no_trial_more_and_count_what_was_trained_before(squares, tmp_path):
    tuning = tune(RECIPE, squares, tmp_path, budget=Budget(minutes=1e-6), epochs=1)
    assert len(tuning.trials) == 1
    before = [replace(tuning.trials[0], seconds=40.0), replace(tuning.trials[0], seconds=25.0)]
    assert Budget(minutes=1).is_spent(before)
    assert not Budget(minutes=2).is_spent(before)
    assert Budget(trials=2, minutes=2).is_spent(before)
    assert not Budget(trials=3).is_spent(before)
    assert not Budget().is_spent(before)


def test_trainings_that_diverge_are_trials_without_figures(squares, tmp_path):
    with pytest.raises(CheckError, match=r"all 2 trainings diverged; .*trials.csv"):
        search(tmp_path, squares, 2, replace(RECIPE, learning_rate=1e30))
    assert "validation loss of epoch 1 is not finite" in (tmp_path / "trials.csv").read_text()
    assert not (tmp_path / "best.json").exists()
    noted = written(tmp_path / "trials/001/trial.json")
    with pytest.raises(CheckError):
        search(tmp_path, squares, 2, replace(RECIPE, learning_rate=1e30), resume=True)
    assert written(tmp_path / "trials/001/trial.json") == noted


def test_an_error_that_is_not_the_trials_ends_the_search(squares, tmp_path):
    search(tmp_path, squares, 1)
    (tmp_path / "trials/002/history.csv").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"history\.csv"):
        search(tmp_path, squares, 2, resume=True)


def test_a_sample_is_drawn_from_the_images_that_train(squares, tmp_path):
    recipe = replace(RECIPE, validation="kaggle")
    images = squares.images.copy()
    rows = parts(squares.labels, "kaggle")
    images[np.concatenate([rows.validation, rows.held_back])] = 0
    for folder, dataset in (("whole", squares), ("rest blank", replace(squares, images=images))):
        search(tmp_path / folder, dataset, 1, recipe, images=100)
    whole, blank = (json.loads((tmp_path / name / "search.json").read_text()) for name in ("whole", "rest blank"))
    assert whole["data"] == blank["data"]
    assert whole["data"]["images"] == 100
    assert whole["data"]["name"] == "squares"


def test_too_few_images_are_refused_before_anything_is_written(squares, tmp_path):
    with pytest.raises(DataError, match="too few"):
        search(tmp_path / "run", squares, 1, images=9)
    with pytest.raises(InputError, match="no labels"):
        search(tmp_path / "run", replace(squares, labels=None), 1)
    assert not (tmp_path / "run").exists()


def test_of_equal_accuracies_the_smaller_loss_is_better():
    figures = [(0.98, 0.3), (0.99, 0.2), (0.99, 0.1), (None, None), (0.99, 0.1)]
    trials = [Trial(number, {}, *pair, 1.0) for number, pair in enumerate(figures, start=1)]
    assert best_of(trials) == trials[2]
    assert best_of(trials[3:4]) is None


@pytest.mark.parametrize("name", names())
def test_every_model_can_be_searched_around_its_best_recipe(name):
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


def test_the_cnns_space_is_the_documents():
    space = search_space(named_recipe("best", "cnn"))
    wanted = ["filters_1", "filters_2", "dense_units", "dropout", "dense_dropout", "optimizer", "learning_rate_factor"]
    assert [parameter.name for parameter in space.space] == wanted
    assert [parameter.name for parameter in search_space(named_recipe("best", "perceptron")).space] == wanted[-2:]


def test_a_folder_of_something_else_loses_nothing(squares, tmp_path):
    for name in ("trials/mine.txt", "own/best.json"):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text("mine")
        folder = tmp_path / "own" if name.startswith("own") else tmp_path
        for how in ({}, {"overwrite": True}, {"resume": True}):
            with pytest.raises(UsageError, match="is not the folder of a search"):
                search(folder, squares, 1, **how)
        assert path.read_text() == "mine"


def test_a_damaged_search_is_replaced_with_overwrite_as_its_error_says(squares, tmp_path):
    (tmp_path / "search.json").write_text("{")
    with pytest.raises(InputError, match="--overwrite"):
        search(tmp_path, squares, 1, resume=True)
    assert len(search(tmp_path, squares, 1, overwrite=True).trials) == 1
