"""`Template`: the fields of a form, read from a YAML or JSON file by `read_template`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from digits_edge.runtime.errors import InputError, UsageError
from digits_edge.runtime.json_record import parse_json
from digits_edge.runtime.reader.constraints import constraint_of
from digits_edge.runtime.reader.region import Region, parse_region

#: Maximum size of a template in bytes, and maximum number of fields.
MAX_BYTES, MAX_FIELDS = 100_000, 500
SUFFIXES = (".yaml", ".yml", ".json")
#: Columns of the output besides the fields.
RESERVED_NAMES = ("file", "confidence", "status", "fields", "crops")
_KEYS = ("name", "region", "length", "pattern", "check", "optional")


@dataclass(frozen=True)
class Field:
    """A field of a form: one number at a place.

    Attributes:
        name: name of the column.
        region: where it is.
        length: number of digits; None for any.
        pattern: pattern of the characters; None for any.
        check: named check; None for none.
        optional: whether it may be blank.
    """

    name: str
    region: Region
    length: int | None = None
    pattern: str | None = None
    check: str | None = None
    optional: bool = False


@dataclass(frozen=True)
class Template:
    """The fields of a form.

    Attributes:
        fields: in the order of the columns.

    Example:
        >>> template = template_of({"fields": [{"name": "meter", "region": "50%,10%,90%,20%", "length": 5}]})
        >>> template.fields[0].name, template.fields[0].length
        ('meter', 5)
    """

    fields: tuple[Field, ...]


def read_template(path: Path) -> Template:
    r"""Read a template from a file.

    Raises:
        InputError: the file cannot be read, or is not a template; the message names the field.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "meter.yaml")
        ...     _ = path.write_text("fields:\n  - {name: meter, region: [10, 20, 300, 80], pattern: NNNNN}\n")
        ...     read_template(path).fields[0].pattern
        'NNNNN'
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path} could not be read: {error.strerror}; name the file of the template") from error
    if len(content) > MAX_BYTES:
        raise InputError(f"{path} has more than {MAX_BYTES:,} bytes; a template has a few lines for each field")
    try:
        return template_of(_parsed(content, path))
    except (UsageError, ValueError) as error:
        raise InputError(f"{path}: {error}") from error


def template_of(values: object) -> Template:
    """The template of parsed YAML or JSON: `{"fields": [{"name": …, "region": …, "pattern": …, "check": …}, …]}`.

    Raises:
        UsageError: a value is missing or invalid.
    """
    if not isinstance(values, dict) or not isinstance(values.get("fields"), list) or not values["fields"]:
        raise UsageError(f"a template has the key `fields` with a list of fields: {', '.join(_KEYS)}")
    if unknown := [str(key) for key in values if key != "fields"]:
        raise UsageError(f"unknown key {unknown[0]!r} beside `fields`; remove it, or move it into a field")
    if len(values["fields"]) > MAX_FIELDS:
        raise UsageError(f"{len(values['fields'])} fields; use at most {MAX_FIELDS}")
    fields = tuple(_field(each, number) for number, each in enumerate(values["fields"], 1))
    names = [field.name for field in fields]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"field {repeated!r} is there twice; give each field another name")
    return Template(fields)


def _parsed(content: bytes, path: Path) -> Any:
    if path.suffix.lower() == ".json":
        try:
            return parse_json(content)
        except ValueError as error:
            raise UsageError(f"not JSON: {error}") from error
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"a template is a file that ends in {', '.join(SUFFIXES)}")
    import yaml  # deferred: most commands need no template

    try:
        return yaml.safe_load(content)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = "" if mark is None else f"line {mark.line + 1}: "
        raise UsageError(f"{place}not YAML: {getattr(error, 'problem', None) or 'invalid characters'}") from error
    except RecursionError as error:
        raise UsageError("not YAML: nested too deeply") from error


def _field(values: object, number: int) -> Field:
    if not isinstance(values, dict):
        raise UsageError(f"field {number}: expected the keys {', '.join(_KEYS)}")
    if missing := [key for key in ("name", "region") if values.get(key) is None]:
        raise UsageError(f"field {number}: the key {missing[0]} is missing")
    name = values["name"]
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or name.lower() in RESERVED_NAMES:
        raise UsageError(
            f"field {number}: the name {name!r} is not a column name; use another text, in quotes if needed"
        )
    place = f"field {name!r}"
    if unknown := [str(key) for key in values if key not in _KEYS]:
        raise UsageError(f"{place}: unknown key {unknown[0]!r}; use {', '.join(_KEYS)}")
    length, pattern, check, optional = (values.get(key) for key in _KEYS[2:])
    for key, value in (("pattern", pattern), ("check", check)):
        if value is not None and not isinstance(value, str):
            raise UsageError(f"{place}: {key} {value!r} is not a text; put it in quotes")
    if optional is not None and not isinstance(optional, bool):
        raise UsageError(f"{place}: optional {optional!r}; use true or false")
    region = values["region"]
    is_list = isinstance(region, list) and all(isinstance(side, int | float | str) for side in region)
    if not (isinstance(region, str) or is_list):
        raise UsageError(f"{place}: region {region!r}: use left, upper, right, lower in pixels or percent")
    try:
        constraint_of(length, pattern, check)
        return Field(
            name, parse_region(cast("str | list[float | str]", region)), length, pattern, check, bool(optional)
        )
    except UsageError as error:
        raise UsageError(f"{place}: {error}") from error
