"""Conversion of untrusted JSON to dataclasses: a value that does not match its field's type raises ValueError.

pydantic and msgspec do this too, but would be an additional dependency and import of the runtime for a few small
records.
"""

import json
import math
import typing
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

_Record = TypeVar("_Record")
#: The longest file that digits-edge writes, the recipe of a student with its teachers, has about 10,000 bytes.
_MAX_BYTES = 10_000_000


def parse_json(text: str | bytes) -> Any:
    """Parse a JSON text.

    Raises:
        ValueError: the text is not JSON, or is nested deeper than Python's recursion limit.

    Example:
        >>> parse_json('{"digit": 7}')
        {'digit': 7}
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error


def read_json(path: Path) -> Any:
    """Parse a JSON file.

    Raises:
        ValueError: the file is not JSON, or longer than `_MAX_BYTES` (a device, for example).
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        content = stream.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError(f"longer than {_MAX_BYTES:,} bytes")
    return parse_json(content)


def as_record(kind: type[_Record], values: object) -> _Record:
    """Create a dataclass from a parsed JSON object and check the types of its fields.

    Args:
        kind: a dataclass with fields of type str, int, float, bool, None, Any, Literal, dict, list, tuple, another such
            dataclass, or unions of these. Fields with a default may be missing. Keys without a field are ignored, so
            that files of later versions can be read.
        values: the parsed JSON, as `parse_json` returns it.

    Raises:
        ValueError: `values` is not an object, or a field is missing or has the wrong type. The message names the field.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Size:
        ...     width: int
        ...     height: int = 28
        >>> as_record(Size, {"width": 28})
        Size(width=28, height=28)
        >>> as_record(Size, {"width": "28"})
        Traceback (most recent call last):
        ValueError: width: expected int, got '28'
    """
    if not isinstance(values, dict):
        raise ValueError(f"expected a JSON object, got {_shortened(values)}")
    hints = typing.get_type_hints(kind)
    arguments = {}
    for each in fields(kind):  # type: ignore[arg-type]
        if each.name in values:
            try:
                arguments[each.name] = _converted(hints[each.name], values[each.name])
            except ValueError as error:
                raise ValueError(f"{each.name}: {error}") from error
    try:
        return kind(**arguments)
    except TypeError as error:  # fields are missing
        raise ValueError(str(error).partition("() ")[2] or str(error)) from error


def _converted(hint: Any, value: Any) -> Any:
    """A JSON value as an instance of the type `hint`; raises ValueError if it does not match."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        for option in inner:
            with suppress(ValueError):
                return _converted(option, value)
    elif origin in (tuple, list) and isinstance(value, list):
        return origin(_converted(inner[0], each) for each in value)
    elif origin is dict and isinstance(value, dict):
        return {key: _converted(inner[1], each) for key, each in value.items()}
    elif is_dataclass(hint):
        return as_record(hint, value)  # type: ignore[arg-type]
    elif _is_scalar(hint, value):
        return value
    raise ValueError(f"expected {_name(hint)}, got {_shortened(value)}")


def _is_scalar(hint: Any, value: Any) -> bool:
    """Whether a value matches Any, a Literal, float or another plain type; a bool is not an int here."""
    if get_origin(hint) is Literal:
        return any(value == option and type(value) is type(option) for option in get_args(hint))
    if hint is float:
        return type(value) in (int, float) and _is_finite(value)
    return hint is Any or type(value) is hint


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an int larger than the largest float
        return False


def _name(hint: Any) -> str:
    return str(getattr(hint, "__name__", hint)) if get_origin(hint) is None else str(hint)


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
