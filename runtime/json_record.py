"""Reading JSON that anyone may have written into dataclasses: what does not fit a field's type is a ValueError.

pydantic and msgspec do this and more, but the runtime would carry and import them for a few small records.
"""

import json
import math
import typing
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

_Record = TypeVar("_Record")
#: The longest that we write ourselves, the recipe of a student with its teachers, has some ten thousand.
_MAX_BYTES = 10_000_000


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is none, or nested so deeply that Python cannot read it.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_json(path: Path) -> Any:
    """The value of a JSON file.

    Raises:
        ValueError: it holds none, or is longer than `_MAX_BYTES`, as a device is.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        content = stream.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError(f"it is longer than {_MAX_BYTES:,} bytes")
    return parse_json(content)


def as_record(kind: type[_Record], values: object) -> _Record:
    """A dataclass of a JSON object's values.

    Args:
        kind: a dataclass whose fields are of str, int, float, bool, None, Any, Literal, dict, list, tuple, such
            dataclasses, or unions of these. A field that has a default may be missing; keys that no field has are left
            out, for a later version may have added them.
        values: what `parse_json` has read.

    Raises:
        ValueError: it is no object, or a value is missing or does not fit; names the field.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{_shortened(values)} is no object")
    hints = typing.get_type_hints(kind)
    fitting = {}
    for each in fields(kind):  # type: ignore[arg-type]
        if each.name in values:
            try:
                fitting[each.name] = _fitting(hints[each.name], values[each.name])
            except ValueError as error:
                raise ValueError(f"{each.name}: {error}") from error
    try:
        return kind(**fitting)
    except TypeError as error:  # of the fields that are missing
        raise ValueError(str(error).partition("() ")[2] or str(error)) from error


def _fitting(hint: Any, value: Any) -> Any:
    """A value as a field of this type takes it."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, UnionType):
        for one in inner:
            try:
                return _fitting(one, value)
            except ValueError:
                continue
    elif origin is Literal:
        if any(value == one and type(value) is type(one) for one in inner):  # True is no 1
            return value
    elif origin in (tuple, list):
        if isinstance(value, list):
            return origin(_fitting(inner[0], each) for each in value)
    elif origin is dict:
        if isinstance(value, dict):
            return {key: _fitting(inner[1], each) for key, each in value.items()}
    elif is_dataclass(hint):
        return as_record(hint, value)  # type: ignore[arg-type]
    elif hint is float:
        if type(value) in (int, float) and _is_finite(value):
            return value
    elif type(value) is hint:  # a bool is no int here
        return value
    raise ValueError(f"{_shortened(value)} is not of {_name(hint)}")


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an int beyond all floats
        return False


def _name(hint: Any) -> str:
    return str(getattr(hint, "__name__", hint)) if get_origin(hint) is None else str(hint)


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
