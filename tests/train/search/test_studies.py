"""Studies train variants that differ in one setting and compare them on validation images."""

from dataclasses import asdict, replace
from pathlib import Path

import keras
import pytest

from digits_edge.runtime.datasets import Dataset, parts
from digits_edge.runtime.errors import InputError, UsageError
from digits_edge.train import build, train
from digits_edge.train.report.study_page import row_of, study_page
from digits_edge.train.search.studies import OPTIMIZER_RATES, Study, Variant, study, study_names
from digits_edge.train.search.study_runs import Outcome, conduct
from digits_edge.train.training.run_folder import read_history

VARIED = {
    "dropout": {"structure"},
    "units": {"structure"},
    "depth": {"structure"},
    "optimizer": {"optimizer", "learning_rate"},
    "batch-size": {"batch_size"},
    "epochs": set(),
    "edge": {"structure"},
}


def quick(name: str, *, values: int = 2, epochs: int = 2) -> Study:
    """The first variants of a study, with a batch size for few images."""
    full = study(name, epochs=epochs)
    variants = (replace(v, recipe=replace(v.recipe, batch_size=40)) for v in full.variants[:values])
    return replace(full, variants=tuple(variants))


def differences(study: Study) -> set[str]:
    recipes = [asdict(variant.recipe) for variant in study.variants]
    return {field for field in recipes[0] if any(recipe[field] != recipes[0][field] for recipe in recipes)}


@pytest.mark.parametrize("name", study_names())
def test_study_varies_one_setting_and_its_models_can_be_built(name: str) -> None:
    found = study(name)
    assert differences(found) == VARIED[name]
    labels = [variant.label for variant in found.variants]
    assert len(set(labels)) == len(labels) >= 4
    for recipe in (variant.recipe for variant in found.variants):
        assert build(recipe.model, **recipe.structure).count_params() > 0


@pytest.mark.parametrize("name", study_names())
def test_run_folders_differ_by_epochs_and_seed(name: str) -> None:
    folders = [
        {variant.run for variant in found.variants}
        for found in (study(name), study(name, epochs=7), study(name).seeded(1))
    ]
    assert not folders[0] & folders[1] and not folders[0] & folders[2]
    assert len(folders[0]) == (1 if name == "epochs" else len(study(name).variants))


def test_depth_is_the_number_of_hidden_layers() -> None:
    for variant in study("depth").variants:
        layers = build(variant.recipe.model, **variant.recipe.structure).layers
        assert sum(isinstance(layer, keras.layers.Dense) for layer in layers) - 1 == variant.value


def test_optimizers_except_lion_have_the_default_rates_of_keras() -> None:
    for optimizer, rate in OPTIMIZER_RATES.items():
        default = keras.optimizers.get(optimizer).get_config()["learning_rate"]
        assert rate == pytest.approx(default / 5 if optimizer == "lion" else default, rel=1e-5)


def test_unknown_study_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="dropout, units, depth, optimizer, batch-size, epochs, edge"):
        study("colour")


@pytest.mark.slow
def test_study_trains_every_variant_and_seed_once(squares: Dataset, tmp_path: Path) -> None:
    small = quick("dropout")
    outcomes = conduct(small, squares, tmp_path, seeds=(3, 4))
    assert [outcome.variant.label for outcome in outcomes] == ["0", "0.1"]
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{label}-2-epochs-seed-{seed}" for label in ("0", "0.1") for seed in (3, 4)
    }
    assert squares.labels is not None
    for outcome in outcomes:
        assert outcome.images == len(parts(squares.labels, "fifth").validation)
        assert outcome.spread is not None
        for run, accuracy, history in zip(outcome.runs, outcome.accuracies, outcome.histories, strict=True):
            kept = min(history, key=lambda row: row["val_loss"])
            assert accuracy == kept["val_accuracy"]
            assert history == read_history(run / "history.csv")

    trained = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/model.keras")}
    assert conduct(small, squares, tmp_path, seeds=(3, 4)) == outcomes
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/model.keras")} == trained


@pytest.mark.slow
def test_interrupted_study_is_resumed(squares: Dataset, tmp_path: Path) -> None:
    small = quick("dropout")

    def interrupt(folder: Path, run: int, runs: int) -> None:
        if run == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        conduct(small, squares, tmp_path, on_run=interrupt)
    assert len(list(tmp_path.iterdir())) == 1
    steps: list[tuple[int, int]] = []
    outcomes = conduct(small, squares, tmp_path, on_step=lambda epoch, step, *_: steps.append((epoch, step)))
    assert len(outcomes) == 2
    assert steps.count((0, 1)) == 1  # only the second run was trained


@pytest.fixture(scope="module")
def conducted(squares: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path, list[Outcome]]:
    """The study of three epochs, its folder and its results; it trains one model."""
    small, folder = quick("epochs", values=3, epochs=3), tmp_path_factory.mktemp("study")
    return small, folder, conduct(small, squares, folder)


@pytest.mark.slow
def test_accuracy_after_an_epoch_is_that_of_a_shorter_training(squares: Dataset, tmp_path: Path, conducted) -> None:
    small, _, outcomes = conducted
    assert [outcome.variant.value for outcome in outcomes] == [1, 2, 3]
    assert len({outcome.runs for outcome in outcomes}) == 1
    shorter = replace(small.variants[0].recipe, epochs=2)
    train(shorter, squares, tmp_path / "shorter")
    assert outcomes[1].accuracies[0] == read_history(tmp_path / "shorter/history.csv")[-1]["val_accuracy"]
    assert outcomes[0].seconds[0] == pytest.approx(outcomes[2].seconds[0] / 3)


def test_runs_of_other_data_are_refused(squares: Dataset, conducted) -> None:
    small, folder, outcomes = conducted
    with pytest.raises(UsageError, match="another folder"):
        conduct(small, replace(squares, sha256="1" * 64), folder)
    assert conduct(small, squares, folder) == outcomes


def test_unlabelled_data_is_refused(squares: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="labels"):
        conduct(quick("dropout"), replace(squares, labels=None), tmp_path)


def test_damaged_history_is_named(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    with pytest.raises(InputError, match=r"history\.csv"):
        read_history(path)
    path.write_text("epoch,loss\n1,high\n")
    with pytest.raises(InputError, match=r"history\.csv"):
        read_history(path)


def outcome(variant: Variant, accuracies: tuple[float, ...]) -> Outcome:
    history = [{"accuracy": a, "val_accuracy": a, "val_loss": 1 - a} for a in (0.5, 0.9, 1.0)]
    runs = tuple(Path(f"{variant.run}-{index}") for index in range(len(accuracies)))
    return Outcome(variant, runs, accuracies, 1000, (history,) * len(runs), (60.0,) * len(runs))


#: Studies whose page is tested with two seeds: one for each kind of axis.
WITH_SEEDS = ("dropout", "batch-size", "optimizer")


@pytest.mark.parametrize(
    "name",
    [name if name in (*WITH_SEEDS, "epochs") else pytest.param(name, marks=pytest.mark.slow) for name in study_names()],
)
def test_page_of_every_study_has_its_variants_and_charts(name: str) -> None:
    accuracies = (0.96, 0.98) if name in WITH_SEEDS else (0.97,)
    found = study(name)
    page = study_page(found, [outcome(variant, accuracies) for variant in found.variants], data="squares")
    assert all(f'<td class="left">{variant.label}</td>' in page for variant in found.variants)
    assert page.count("data:image/svg+xml") == 4
    assert "97.00 %" in page and "validation" in page


def test_page_states_which_epoch_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    # the charts are the same, and tested above
    monkeypatch.setattr("digits_edge.train.report.study_page._pictures", lambda study, outcomes: [])
    found = study("depth")
    kept = {
        keep: [replace(v, recipe=replace(v.recipe, keep=keep)) for v in found.variants] for keep in ("best", "last")
    }
    pages = {keep: study_page(found, [outcome(v, (0.97,)) for v in kept[keep]], data="squares") for keep in kept}
    assert found.variants[0].recipe.keep == "last"
    assert "that of the last epoch" in pages["last"] and "lowest validation loss" not in pages["last"]
    assert "lowest validation loss" in pages["best"] and "that of the last epoch" not in pages["best"]


def test_standard_deviation_and_interval_over_seeds() -> None:
    variant = study("depth").variants[0]
    assert row_of(outcome(variant, (0.96, 0.98)))[1:5] == ["97.00 %", "95.75 to 97.89 %", "2", "1.41 %"]
    assert row_of(outcome(variant, (0.97,)))[3:5] == ["1", "–"]
