"""Code of the user is run only if it is passed; otherwise the error names the layer, its class and the option."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from digits_edge.export.loading import load_keras
from digits_edge.runtime.errors import DigitsEdgeError, ModelError, UsageError

MODULE = """
import keras

class Scale(keras.layers.Layer):
    def __init__(self, factor=2.0, **options):
        super().__init__(**options)
        self.factor = factor

    def call(self, inputs):
        return inputs * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}

@keras.saving.register_keras_serializable("mine")
class Registered(Scale):
    pass

def bent(x):
    return keras.ops.sigmoid(x) * x

class Whole(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.flatten, self.dense = keras.layers.Flatten(), keras.layers.Dense(3)

    def call(self, inputs):
        return self.dense(self.flatten(inputs))

class OfTwo(Whole):
    def call(self, inputs):
        return self.dense(self.flatten(inputs["a"] + inputs["b"]))

ALL = {"Scale": Scale, "bent": bent}
"""
IMAGES = np.random.default_rng(2).uniform(0, 1, (2, 4, 4)).astype(np.float32)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module of the user in the working folder, named differently in each test."""
    monkeypatch.chdir(tmp_path)
    path = Path(f"users_{re.sub(r'[^a-z0-9]', '_', tmp_path.name.lower())}.py")
    path.write_text(MODULE)
    before = dict(keras.saving.get_custom_objects())
    yield path
    keras.saving.get_custom_objects().clear()
    keras.saving.get_custom_objects().update(before)
    sys.modules.pop(path.stem, None)


def users(module: Path) -> dict:
    """The objects of the module, without registering them or importing the module."""
    names: dict = {"__name__": module.stem}
    exec(MODULE, names)
    keras.saving.get_custom_objects().pop("mine>Registered")
    return names


def save(path: Path, *stack: layers.Layer) -> keras.Model:
    model = keras.Sequential([keras.Input((4, 4)), *stack, layers.Flatten(), layers.Dense(3)])
    model.save(path)
    return model


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("kind", ["Scale", "Registered", "bent", "nested"])
def test_object_is_named_and_can_be_passed(module: Path, kind: str, suffix: str) -> None:
    objects, path = users(module), Path(f"m{suffix}")
    name = "Scale" if kind == "nested" else kind
    layer = (
        layers.Dense(2, activation=objects["bent"], name="its") if kind == "bent" else objects[name](3.0, name="its")
    )
    model = save(path, keras.Sequential([keras.Input((4, 4)), layer]) if kind == "nested" else layer)
    with pytest.raises(ModelError) as caught:
        load_keras(path)
    described = rf"m{suffix}: the layer its needs the (class|function) {name}, which is not part of Keras; "
    assert re.match(re.escape(described).replace(r"\(class\|function\)", "(class|function)"), str(caught.value))
    assert f"pass --custom-objects {_source(kind, suffix, module)}:{name} if you trust" in str(caught.value)
    for option in (f"{module}:{name}", f"{module.stem}:{name}"):
        loaded = load_keras(path, custom_objects=option)
        np.testing.assert_allclose(loaded(IMAGES), model(IMAGES), rtol=1e-5)


def _source(kind: str, suffix: str, module: Path) -> str:
    """What the message proposes: the module if the file records it."""
    if kind == "bent":
        return "FILE.py"
    return "MODULE" if suffix == ".h5" else module.stem


def test_dict_of_objects_is_passed(module: Path) -> None:
    objects = users(module)
    model = save(Path("m.keras"), objects["Scale"](3.0), layers.Dense(2, activation=objects["bent"]))
    loaded = load_keras(Path("m.keras"), custom_objects=f"{module.stem}:ALL")
    np.testing.assert_allclose(loaded(IMAGES), model(IMAGES), rtol=1e-5)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_code_of_lambda_layers_is_run_only_if_allowed(module: Path, suffix: str) -> None:
    path = Path(f"m{suffix}")
    model = save(path, layers.Lambda(lambda x: x * 2, name="double"))
    with pytest.raises(ModelError, match=r"the code of the Lambda layer double is not run; .*--custom-objects Lambda"):
        load_keras(path)
    for option in ("Lambda", f"{module.stem}:Scale"):
        np.testing.assert_allclose(load_keras(path, custom_objects=option)(IMAGES), model(IMAGES), rtol=1e-5)


def test_nothing_is_run_without_the_option(module: Path) -> None:
    module.write_text(f"{MODULE}\nraise SystemExit('the module was imported')")
    save(Path("m.keras"), users(module)["Scale"](3.0))
    with pytest.raises(ModelError, match="needs the class Scale"):
        load_keras(Path("m.keras"))


def test_lambda_as_activation_is_named(tmp_path: Path) -> None:
    save(tmp_path / "m.keras", layers.Dense(2, activation=lambda x: x * 2, name="bent"))
    with pytest.raises(ModelError, match=r"activation of the layer bent is a lambda.*; use a named function"):
        load_keras(tmp_path / "m.keras", custom_objects="Lambda")


def test_operation_in_an_h5_file_is_named(tmp_path: Path) -> None:
    image = keras.Input((4, 4))
    keras.Model(image, layers.Flatten()(keras.ops.relu(image))).save(tmp_path / "m.h5")
    with pytest.raises(
        ModelError, match=r"is the operation Relu, which \.h5 files do not describe; save .* as \.keras"
    ):
        load_keras(tmp_path / "m.h5")


def test_subclassed_model_is_called_on_its_input_shape(module: Path) -> None:
    model = users(module)["Whole"]()
    model(IMAGES)
    model.save("m.keras")
    with pytest.raises(ModelError, match="the model needs the class Whole"):
        load_keras(Path("m.keras"))
    loaded = load_keras(Path("m.keras"), custom_objects=f"{module}:Whole")
    assert loaded.input_shape == (None, 4, 4) and loaded.output_shape == (None, 3)
    np.testing.assert_allclose(loaded(IMAGES), model(IMAGES), rtol=1e-5)


def test_model_without_a_known_input_is_refused(module: Path) -> None:
    objects = users(module)
    objects["Whole"]().save("unbuilt.keras")
    keras.Sequential([layers.Flatten(), layers.Dense(3)]).save("sequential.keras")
    two = objects["OfTwo"]()
    two({"a": IMAGES, "b": IMAGES})
    two.save("two.keras")
    option = f"{module}:Whole,OfTwo"
    for name in ("unbuilt", "sequential"):
        with pytest.raises(
            ModelError, match=f"{name}.keras: the model .* has no input shape; call it on images before"
        ):
            load_keras(Path(f"{name}.keras"), custom_objects=option)
    with pytest.raises(ModelError, match=r"two\.keras: the model .* has several inputs; export takes"):
        load_keras(Path("two.keras"), custom_objects=option)


@pytest.mark.parametrize(
    ("option", "cause"),
    [
        ("scale", "pass MODULE:NAME"),
        (":Scale", "pass MODULE:NAME"),
        ("{stem}:", "pass MODULE:NAME"),
        ("{stem}:Other", "has no class, function or dict Other"),
        ("missing_module:Scale", "missing_module cannot be imported: ModuleNotFoundError"),
        ("missing.py:Scale", "missing.py cannot be imported: FileNotFoundError"),
        ("broken.py:Scale", "broken.py cannot be imported: SyntaxError"),
    ],
)
def test_wrong_option_is_a_usage_error(module: Path, option: str, cause: str) -> None:
    Path("broken.py").write_text("class Scale(")
    save(Path("m.keras"))
    with pytest.raises(UsageError, match="--custom-objects") as caught:
        load_keras(Path("m.keras"), custom_objects=option.format(stem=module.stem))
    assert cause in str(caught.value) and "\n" not in str(caught.value)


def test_error_in_the_users_layer_is_one_line(module: Path) -> None:
    module.write_text(MODULE.replace("return self.dense(self.flatten(inputs))", "raise ValueError('no\\ncolours')"))
    model = users(module)["Whole"]()
    model(IMAGES)
    model.save("m.keras")
    with pytest.raises(DigitsEdgeError, match="cannot be called on an image: no") as caught:
        load_keras(Path("m.keras"), custom_objects=f"{module}:Whole")
    assert "\n" not in str(caught.value)
