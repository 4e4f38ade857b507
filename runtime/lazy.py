"""Lazy imports of a package's public names (PEP 562)."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazy_exports(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Create `__getattr__` and `__dir__` for a package that imports its public names on first use.

    Args:
        package: full name of the package, `__name__`.
        homes: module relative to the package → names it exports.

    Returns:
        `__getattr__`, which raises AttributeError for other names, and `__dir__`.

    Example:
        >>> get, names = lazy_exports("digits_edge.runtime", {"errors": ("ModelError",)})
        >>> get("ModelError").__name__
        'ModelError'
        >>> "ModelError" in names()
        True
    """
    modules = {name: f"{package}.{module}" for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(modules[name]), name)

    return get, lambda: sorted({*vars(sys.modules[package]), *modules})
