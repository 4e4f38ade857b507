"""The numeric constants of the preprocessing as a JavaScript module: `constants_js`.

The static site of `digits-edge export --target web` preprocesses pictures in JavaScript (`browser/`). The JavaScript
modules import these constants from `constants.js`, which `digits_edge.export.targets.web` writes at export, so that no
constant is defined twice.
"""

import ast
import inspect
from dataclasses import asdict
from types import ModuleType

from digits_edge.runtime.checks import occlusion
from digits_edge.runtime.preprocessing import (
    components,
    crops,
    ink,
    levels,
    mnist_format,
    morphology,
    pictures,
    plain_object,
    polarity,
    rules,
    separate_digits,
    small_digits,
    transparency,
)
from digits_edge.runtime.reader import (
    line_crop,
    line_image,
    line_reader,
    lines,
    page_ink,
    reader,
    ruled_lines,
    search,
    slant,
)

Value = int | float | tuple[int | float, ...]

#: Modules of which every public constant that is a number, or a tuple of numbers, is exported.
_MODULES: tuple[ModuleType, ...] = (
    morphology,
    transparency,
    levels,
    polarity,
    crops,
    rules,
    separate_digits,
    components,
    ink,
    small_digits,
    mnist_format,
    plain_object,
)
#: The same modules of the reader; their constants have the module's name in front, because several have the same name.
_READER_MODULES: tuple[ModuleType, ...] = (
    page_ink,
    ruled_lines,
    lines,
    line_crop,
    line_image,
    slant,
    line_reader,
    reader,
)
#: Constants for files and constraints, which the browser does not have.
_UNUSED = ("JPEG_SIDE", "STATES")
_HEAD = "// Constants of the preprocessing, written by digits-edge from its Python modules. Do not edit."


def exported_constants() -> dict[str, dict[str, Value]]:
    """Collect the constants that the JavaScript modules import.

    Returns:
        For each Python module, the values by their names in JavaScript.

    Example:
        >>> exported_constants()["digits_edge.runtime.preprocessing.mnist_format"]["IMAGE_SIDE"]
        28
    """
    found: dict[str, dict[str, Value]] = {}
    names: set[str] = set()
    for module in _MODULES:
        own = {name: value for name, value in _numbers(module).items() if name not in names}  # without imported ones
        names |= own.keys()
        found[module.__name__] = own
    found[pictures.__name__] = {"MAX_PIXELS": pictures.MAX_PIXELS}
    sizes = ("REFERENCE_SIDE", "SQUARE", "STEP", "MAX_VALUES")
    found[occlusion.__name__] = {f"OCCLUSION_{name}": getattr(occlusion, name) for name in sizes}
    for module in _READER_MODULES:
        prefix = module.__name__.rpartition(".")[2].upper()
        own = {name: value for name, value in _numbers(module).items() if name in _assigned(module)}
        found[module.__name__] = {f"{prefix}_{name}": value for name, value in own.items() if name not in _UNUSED}
    limits = {name.upper(): value for name, value in asdict(search.FREE).items() if name.upper() not in _UNUSED}
    found[search.__name__] = {f"SEARCH_{name}": value for name, value in limits.items()}
    return found


def constants_js() -> str:
    """Build the text of `constants.js`, with one `export const` for each constant.

    Numbers are written with `repr`, which JavaScript reads as the same float64.

    Returns:
        The text of an ECMAScript module.

    Example:
        >>> "export const IMAGE_SIDE = 28;" in constants_js()
        True
    """
    lines = [_HEAD]
    for module, constants in exported_constants().items():
        lines += ["", f"// {module}"]
        lines += [f"export const {name} = {_literal(value)};" for name, value in constants.items()]
    return "\n".join([*lines, ""])


def _numbers(module: ModuleType) -> dict[str, Value]:
    return {
        name: value for name, value in vars(module).items() if name[0] != "_" and name.isupper() and _is_number(value)
    }


def _assigned(module: ModuleType) -> set[str]:
    """Names that a module assigns, without those that it imports."""
    statements = ast.parse(inspect.getsource(module)).body
    targets = [target for each in statements if isinstance(each, ast.Assign) for target in each.targets]
    return {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}


def _is_number(value: object) -> bool:
    if isinstance(value, tuple):
        return all(_is_number(item) for item in value)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _literal(value: Value) -> str:
    return f"[{', '.join(map(repr, value))}]" if isinstance(value, tuple) else repr(value)
