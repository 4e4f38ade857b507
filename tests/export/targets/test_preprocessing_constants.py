"""The constants of the preprocessing are defined in Python only; JavaScript imports them."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from digits_edge.export.targets.preprocessing_constants import constants_js, exported_constants

BROWSER = Path(__file__).parents[3] / "export" / "targets" / "browser"
MODULES = sorted(BROWSER.glob("*.js"))
CONSTANTS = {name: value for constants in exported_constants().values() for name, value in constants.items()}
#: The position of a pixel's centre, which is not a parameter.
PIXEL_CENTRE = 0.5


def code_of(module: Path) -> str:
    """A module without comments and strings."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", module.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r'"[^"\n]*"|`[^`]*`', '""', text)


def imported_by(module: Path) -> set[str]:
    found = re.search(r'import \{([^}]*)\} from "\./constants\.js"', module.read_text(encoding="utf-8"))
    return set(re.findall(r"\w+", found[1])) if found else set()


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_module_defines_no_exported_constant(module: Path):
    declared = set(re.findall(r"\b(?:const|let|var)\s+([A-Z][A-Z0-9_]*)\s*=", code_of(module)))
    assert not declared & CONSTANTS.keys()


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_module_repeats_no_exported_value(module: Path):
    code = code_of(module)
    literals = {
        float(number.replace("_", "")) for number in re.findall(r"(?<![\w.])\d[\d_]*(?:\.\d+)?(?:e-?\d+)?", code)
    }
    values = {value for value in CONSTANTS.values() if isinstance(value, int | float)}
    # small integers occur as indices, channels and radii
    distinctive = {value for value in values if value != int(value) or value > 100} - {PIXEL_CENTRE}
    assert not literals & distinctive
    if module.name != "engine.js":  # constants of its own
        assigned = {float(number) for number in re.findall(r"\bconst \w+ = (\d+(?:\.\d+)?);", code)}
        assert not assigned & values


def test_every_constant_is_imported_and_every_import_exists():
    assert set().union(*map(imported_by, MODULES)) == CONSTANTS.keys()


@pytest.mark.skipif(shutil.which("node") is None, reason="no `node` on PATH")
def test_javascript_reads_the_same_numbers(tmp_path: Path):
    (tmp_path / "constants.mjs").write_text(constants_js(), encoding="utf-8")
    script = 'import * as constants from "./constants.mjs"; console.log(JSON.stringify(constants))'
    command = ["node", "--input-type=module", "--eval", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found == {name: list(value) if isinstance(value, tuple) else value for name, value in CONSTANTS.items()}
