"""Recipes by name, and in files."""

import contextlib
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digits_edge.runtime.datasets.options import ReadingOptions
from digits_edge.runtime.errors import InputError, UsageError
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.train import RECIPES, Hands, named_recipe, names, read_recipe, recipe_images
from digits_edge.train.data.augmentation import GARMENT, HAND
from digits_edge.train.training.recipe import for_data, recipe_to_json


@pytest.mark.parametrize("kind", RECIPES)
def test_every_model_has_both_recipes_except_edge(kind: str) -> None:
    without = {"edge"} if kind == "document" else set()
    lines = {"number"} if kind == "best" else set()
    assert set(RECIPES[kind]) == set(names()) - without | lines
    assert all(recipe.model == name for name, recipe in RECIPES[kind].items())


def test_reference_recipe_of_cnn() -> None:
    recipe = named_recipe("document", "cnn")
    assert (recipe.optimizer, recipe.batch_size, recipe.epochs, recipe.patience) == ("adam", 64, 50, 3)
    assert recipe.schedule == "plateau"


def test_best_recipes_differ_for_garments() -> None:
    digits, garments = (named_recipe("best", "cnn-small", data=data) for data in ("mnist", "fashion-mnist"))
    assert (digits.augmentation, garments.augmentation) == (HAND, GARMENT)
    assert garments.epochs > digits.epochs
    student = named_recipe("best", "edge", data="fashion-mnist")
    assert student.distillation is not None
    assert student.augmentation.corruption.share > 0 and student.augmentation.uncorrupted == GARMENT
    assert {teacher.augmentation for teacher in student.distillation.teachers} == {GARMENT}
    assert named_recipe("best", "perceptron", data="fashion-mnist") == named_recipe("best", "perceptron")
    assert named_recipe("document", "cnn-small", data="fashion-mnist") == named_recipe("document", "cnn-small")
    assert named_recipe("best", "cnn-small", data="fashion-mnist", epochs=3).epochs == 3


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, recipes in RECIPES.items() for name in recipes])
def test_recipe_round_trips_through_json(tmp_path: Path, kind: str, name: str) -> None:
    recipe = named_recipe(kind, name, seed=7)
    (tmp_path / "recipe.json").write_text(json.dumps({"recipe": recipe_to_json(recipe)}))
    assert read_recipe(tmp_path / "recipe.json") == recipe


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"recipe": 3}', '{"recipe": {"augmentation": {"spin": 1}}}'])
def test_file_without_a_recipe_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "recipe.json").write_text(content)
    with pytest.raises(InputError, match=r"recipe\.json"):
        read_recipe(tmp_path / "recipe.json")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("schedule", "cosin"),
        ("epochs", "3"),
        ("epochs", 0),
        ("optimizer", "adm"),
        ("dtype_policy", "flot"),
        ("learning_rate", -1.0),
        ("augmentation", {"zoom": 1.5}),
        ("augmentation", {"spin": 1.0}),
        ("colour", "blue"),
    ],
)
def test_invalid_setting_is_named(tmp_path: Path, setting: str, value: object) -> None:
    recipe = recipe_to_json(named_recipe("best", "mlp")) | {setting: value}
    (tmp_path / "recipe.json").write_text(json.dumps({"recipe": recipe}))
    with pytest.raises(InputError, match=rf"recipe\.json: {setting}"):
        read_recipe(tmp_path / "recipe.json")


@given(
    st.dictionaries(
        st.sampled_from(["model", "epochs", "seed", "augmentation", "structure"]), st.none() | st.integers() | st.text()
    )
)
@settings(max_examples=50, deadline=None)
def test_any_values_give_a_recipe_or_an_input_error(values: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "recipe.json")
        path.write_text(json.dumps({"recipe": recipe_to_json(named_recipe("best", "mlp")) | values}))
        with contextlib.suppress(InputError):
            recipe = read_recipe(path)
            assert recipe.epochs >= 1
            assert 0 <= recipe.seed < 2**32


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(UsageError, match="resnet"):
        named_recipe("best", "lenet")
    with pytest.raises(UsageError, match="document"):
        named_recipe("worst", "cnn")


PHOTO_INPUT = ImageInput(56, 42, 3, "as-photographed")


@pytest.mark.parametrize("name", ["cnn-small", "edge"])
def test_recipes_for_photographs_have_no_ink_and_larger_shifts(name: str) -> None:
    recipe = named_recipe("best", name, data="pets", image=PHOTO_INPUT)
    taught = recipe.distillation.teachers if recipe.distillation else ()
    assert [each.model for each in taught] == (["edge"] * 6 if name == "edge" else [])
    for each in (recipe, *taught):
        found = each.augmentation
        assert (found.translation_px, found.shear_degrees, found.mirror) == (5.0, 0.0, False)
        assert found.corruption.stroke == found.corruption.ruled == found.corruption.negative == 0
    assert recipe.distillation is None or recipe.distillation.non_digits == 0
    if name == "edge":
        assert recipe.augmentation.corruption.blur_px == 2.6


def test_recipes_for_ink_of_another_size_keep_their_augmentation() -> None:
    recipe = named_recipe("best", "cnn-small", image=ImageInput(56, 56))
    assert recipe.augmentation == replace(HAND, translation_px=5.0)
    assert named_recipe("best", "edge", image=ImageInput()) == named_recipe("best", "edge")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"input": {"height": 0}}, "images of 0×28 pixels"),
        ({"preprocessing": [{"step": "fold"}]}, "preprocessing"),
    ],
)
def test_an_invalid_record_of_the_images_is_named(tmp_path: Path, data: object, message: str) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"recipe": recipe_to_json(named_recipe("best", "mlp")), "data": data}))
    with pytest.raises(InputError, match=f"the record of the images is invalid .*{message}"):
        recipe_images(path)


def test_recipes_of_earlier_versions_record_no_images(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"recipe": recipe_to_json(named_recipe("best", "mlp"))}))
    assert recipe_images(path) == ReadingOptions()


def test_only_recipes_of_digits_have_made_images() -> None:
    recipe = named_recipe("best", "cnn-small", hands=Hands(10))
    assert for_data(recipe, "kaggle").hands == Hands(10)
    assert for_data(recipe, "fashion-mnist").hands is None
    assert for_data(recipe, "pets", ImageInput(32, 32, 3, "as-photographed")).hands is None


def test_recipe_with_made_images_round_trips(tmp_path: Path) -> None:
    recipe = named_recipe("best", "mlp", hands=Hands(100, seed=3, fonts=0.5))
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"recipe": recipe_to_json(recipe)}))
    assert read_recipe(path) == recipe
