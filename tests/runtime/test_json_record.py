"""JSON that anyone may have written becomes a record whose fields have their types, or a ValueError."""

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


def whole(**changed):
    return {"name": "x", "share": 0.5, "inner": [{"number": 3, "yes": True}], "counts": {"n": 1}} | changed


def test_what_fits_is_read_as_its_type():
    outer = as_record(Outer, whole(later="is left out", perhaps="said", share=1))
    assert outer == Outer("x", 1, inner=(Inner(3, True),), counts={"n": 1}, perhaps="said")


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"name": 3}, "name: 3 is not of str"),
        ({"share": True}, "share: True is not of float"),
        ({"share": float("nan")}, "share: nan"),
        ({"share": 10**400}, "share: 1000"),
        ({"kind": "c"}, "kind: 'c'"),
        ({"kind": []}, "kind: "),
        ({"white": True}, "white: True"),
        ({"white": 1.0}, "white: 1.0"),
        ({"inner": {}}, "inner: "),
        ({"inner": [{"number": True}]}, "inner: number: True is not of int"),
        ({"inner": [{}]}, "inner: missing 1 required positional argument: 'number'"),
        ({"inner": [3]}, "inner: 3 is no object"),
        ({"counts": {"n": 0.5}}, "counts: 0.5 is not of int"),
        ({"counts": []}, "counts: "),
        ({"perhaps": 3}, "perhaps: 3"),
        ({"name": "y" * 99, "share": "z" * 99}, "share: 'zzzzzzzzzz"),
    ],
)
def test_what_does_not_fit_names_its_field(changed, named):
    with pytest.raises(ValueError, match=r"\w") as caught:
        as_record(Outer, whole(**changed))
    assert str(caught.value).startswith(named)
    assert len(str(caught.value)) < 100


@given(values=VALUES)
def test_any_value_is_a_record_or_a_value_error(values):
    for changed in (values, whole(inner=values), whole(counts=values), whole(share=values), whole(anything=values)):
        try:
            read = as_record(Outer, changed)
        except ValueError:
            continue
        assert as_record(Outer, json.loads(json.dumps(asdict(read)))) == read


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a":' * 100_000, "9" * 5000, b"\xff"])
def test_text_that_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"\w"):
        parse_json(text)


@pytest.mark.skipif(not Path("/dev/zero").is_char_device(), reason="there is no such device")
def test_a_device_is_no_json():
    with pytest.raises(ValueError, match="longer than"):
        read_json(Path("/dev/zero"))


def test_a_file_is_read_as_its_text(tmp_path):
    (tmp_path / "a.json").write_text('{"digit": "é"}', encoding="utf-8")
    assert read_json(tmp_path / "a.json") == {"digit": "é"}
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json")
