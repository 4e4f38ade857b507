"""Every example in a docstring runs, and every public name has one."""

import doctest
import os
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("runtime", "export", "measure", "train", "cli")
#: Packages whose `__all__` is the public interface.
PUBLIC = ("runtime", "runtime.datasets", "export", "measure", "train")


def modules_with_examples() -> list[str]:
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if ">>> " in path.read_text(encoding="utf-8"):
                parts = path.relative_to(ROOT).with_suffix("").parts
                found.append(".".join(part for part in parts if part != "__init__"))
    return found


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        module = import_module(f"digits_edge.{name}")
    except ModuleNotFoundError as error:
        if str(error.name).startswith("digits_edge"):
            raise
        pytest.skip(f"needs {error.name}")
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


@pytest.mark.parametrize("package", PUBLIC)
def test_every_public_name_has_an_example(package):
    for needed in ("keras", "keras_tuner", "tf2onnx"):
        if package in ("export", "measure", "train"):
            pytest.importorskip(needed, reason="needs the extras [train] and [export]")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    module = import_module(f"digits_edge.{package}")
    public = {name: getattr(module, name) for name in module.__all__}
    without = [name for name, value in public.items() if (callable(value) and ">>> " not in (value.__doc__ or ""))]
    assert without == []
