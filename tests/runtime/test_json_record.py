"""Untrusted JSON becomes a record with fields of the declared types, or raises ValueError."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_edge.runtime.json_record import as_record, parse_json, read_json


@dataclass(frozen=True)
class Inner:
    number: int
    yes: bool = False


@dataclass(frozen=True)
class Outer:
    name: str
    share: float
    kind: Literal["a", "b"] = "a"
    white: Literal[1, 255] = 1
    inner: tuple[Inner, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    anything: Any = None
    perhaps: str | None = None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def valid(**changed):
    return {"name": "x", "share": 0.5, "inner": [{"number": 3, "yes": True}], "counts": {"n": 1}} | changed


def test_valid_values_become_a_record():
    outer = as_record(Outer, valid(later="is ignored", perhaps="text", share=1))
    assert outer == Outer("x", 1, inner=(Inner(3, True),), counts={"n": 1}, perhaps="text")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": 3}, "name: expected str, got 3"),
        ({"share": True}, "share: expected float, got True"),
        ({"share": float("nan")}, "share: expected float, got nan"),
        ({"share": 10**400}, "share: expected float, got 1000"),
        ({"kind": "c"}, "kind: expected typing.Literal['a', 'b'], got 'c'"),
        ({"kind": []}, "kind: "),
        ({"white": True}, "white: expected typing.Literal[1, 255], got True"),
        ({"white": 1.0}, "white: expected typing.Literal[1, 255], got 1.0"),
        ({"inner": {}}, "inner: "),
        ({"inner": [{"number": True}]}, "inner: number: expected int, got True"),
        ({"inner": [{}]}, "inner: missing 1 required positional argument: 'number'"),
        ({"inner": [3]}, "inner: expected a JSON object, got 3"),
        ({"counts": {"n": 0.5}}, "counts: expected int, got 0.5"),
        ({"counts": []}, "counts: "),
        ({"perhaps": 3}, "perhaps: expected str | None, got 3"),
        ({"name": "y" * 99, "share": "z" * 99}, "share: expected float, got 'zzzzzzzzzz"),
    ],
)
def test_error_names_the_field(changed, message):
    with pytest.raises(ValueError, match=r"\w") as caught:
        as_record(Outer, valid(**changed))
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 100


@given(values=VALUES)
def test_any_value_becomes_a_record_or_a_value_error(values):
    for changed in (values, valid(inner=values), valid(counts=values), valid(share=values), valid(anything=values)):
        try:
            read = as_record(Outer, changed)
        except ValueError:
            continue
        assert as_record(Outer, json.loads(json.dumps(asdict(read)))) == read


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a":' * 100_000, "9" * 5000, b"\xff"])
def test_text_that_is_not_json_raises_value_error(text):
    with pytest.raises(ValueError, match=r"\w"):
        parse_json(text)


@pytest.mark.skipif(not Path("/dev/zero").is_char_device(), reason="needs /dev/zero")
def test_device_raises_value_error():
    with pytest.raises(ValueError, match="longer than"):
        read_json(Path("/dev/zero"))


def test_file_is_read_as_utf8(tmp_path):
    (tmp_path / "a.json").write_text('{"digit": "é"}', encoding="utf-8")
    assert read_json(tmp_path / "a.json") == {"digit": "é"}
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json")
