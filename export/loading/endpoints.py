"""Inputs and outputs of Keras models: `with_one_input()` and `with_one_output()`."""

from typing import Any

import keras

from digits_edge.export.reasons import reason
from digits_edge.runtime.errors import ModelError, UsageError

_ONE_IMAGE = "export takes models with one image as input"


def with_one_input(model: Any, build_config: dict[str, Any] | None = None) -> keras.Model:
    """Return a functional or sequential model that takes one tensor.

    Args:
        model: a Keras model of any kind. A subclassed one is called once on a symbolic image.
        build_config: the shape that a subclassed model was built with, as in its file.

    Raises:
        ModelError: the model has several inputs, or its input shape is unknown.

    Example:
        >>> image = keras.Input((28, 28), name="image")
        >>> model = keras.Model({"image": image}, keras.layers.Flatten()(image))
        >>> with_one_input(model).input.name
        'image'
    """
    inputs = _tensors(model, "inputs")
    if not inputs:
        return _functional(model, build_config or {})
    if len(inputs) != 1:
        names = ", ".join(f"{tensor.name} {tuple(tensor.shape)}" for tensor in inputs)
        raise ModelError(f"{len(inputs)} inputs, {names}; {_ONE_IMAGE}")
    if _is_plain(model, "input"):
        return model
    return keras.Model(inputs[0], model.output, name=model.name)


def with_one_output(model: keras.Model, output: str | None) -> keras.Model:
    """Return a model that gives one tensor.

    Args:
        model: a functional or sequential model with one input.
        output: the name of the output to use; None if it has one only.

    Raises:
        ModelError: the model has several outputs, and `output` is None.
        UsageError: the model has no such output.

    Example:
        >>> image = keras.Input((28, 28))
        >>> model = keras.Model(image, {"rows": keras.ops.max(image, 1), "columns": keras.ops.max(image, 2)})
        >>> with_one_output(model, "rows").output_shape
        (None, 28)
    """
    outputs = named_outputs(model)
    chosen = outputs[choose(list(outputs), output)]
    if _is_plain(model, "output"):
        return model
    return keras.Model(model.inputs[0], chosen, name=model.name)


def choose(names: list[str], output: str | None) -> str:
    """Choose one of a model's outputs.

    Args:
        names: the names of all outputs, at least one.
        output: the name to use; None if there is one only.

    Raises:
        ModelError: there are several, and `output` is None.
        UsageError: there is no such output.

    Example:
        >>> choose(["digit", "odd"], "digit")
        'digit'
    """
    known = ", ".join(names)
    if output is None:
        if len(names) > 1:
            raise ModelError(f"{len(names)} outputs, {known}; choose one with --keras-output NAME")
        return names[0]
    if output not in names:
        raise UsageError(f"no output {output}; pass --keras-output with one of: {known}")
    return output


def named_outputs(model: keras.Model) -> dict[str, Any]:
    """The outputs of a model by name: the keys of a dict, or the names of the layers that give them.

    Example:
        >>> image = keras.Input((28, 28))
        >>> list(named_outputs(keras.Model(image, [keras.layers.Flatten(name="pixels")(image)])))
        ['pixels']
    """
    if not _is_sequential(model) and isinstance(model.output, dict) and all(map(_is_tensor, model.output.values())):
        return dict(model.output)
    names = [model.layers[-1].name] * len(model.outputs) if _is_sequential(model) else list(model.output_names)
    repeated = len(set(names)) < len(names)
    labels = [f"{name}:{number}" if repeated else name for number, name in enumerate(names)]
    return dict(zip(labels, model.outputs, strict=True))


def _is_sequential(model: Any) -> bool:
    # its attributes `input` and `output` do not exist before it is called
    return isinstance(model, keras.Sequential)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, keras.KerasTensor)


def _is_plain(model: Any, attribute: str) -> bool:
    """Whether the input or the output is a tensor, and not a list or dict of tensors."""
    return len(getattr(model, f"{attribute}s")) == 1 and (
        _is_sequential(model) or _is_tensor(getattr(model, attribute))
    )


def _tensors(model: Any, attribute: str) -> list[Any]:
    try:
        return list(getattr(model, attribute) or [])
    except (AttributeError, ValueError):  # not built
        return []


def _functional(model: Any, build_config: dict[str, Any]) -> keras.Model:
    """A functional model that calls a subclassed one."""
    shape = build_config.get("input_shape")
    several = isinstance(shape, dict) or "shapes_dict" in build_config
    if several or (isinstance(shape, list) and any(isinstance(size, list) for size in shape)):
        raise ModelError(f"the model {model.name} has several inputs; {_ONE_IMAGE}")
    if not isinstance(shape, list) or len(shape) < 2:
        raise ModelError(f"the model {model.name} has no input shape; call it on images before saving it as .keras")
    try:
        image = keras.Input(tuple(shape[1:]), name="image")
        return keras.Model(image, model(image, training=False), name=model.name)
    except Exception as error:  # the model is any code
        raise ModelError(f"the model {model.name} cannot be called on an image: {reason(error)}") from error
