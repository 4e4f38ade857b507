"""Write the lists of packages and modules in docs/explanation/architecture.md: `python -m scripts.architecture`.

With `--check` nothing is written, and the exit code is 1 if the page is out of date.
"""

import ast
import sys
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "explanation" / "architecture.md"
PACKAGES = ("runtime", "export", "measure", "train", "cli")
BEGIN, END = "<!-- begin: python -m scripts.architecture -->", "<!-- end -->"


def summary(path: Path) -> str:
    """The first sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split())


def modules_below(package: Path) -> list[Path]:
    """The modules of a package and of its sub-packages, without those that only export names."""
    return sorted(path for path in package.rglob("*.py") if path.name not in ("__init__.py", "__main__.py"))


def imports_of_packages() -> dict[str, set[str]]:
    """Each package or sub-package with modules → the others that it imports, by their dotted names."""
    graph = grimp.build_graph(*(f"digits_edge.{package}" for package in PACKAGES))
    found: dict[str, set[str]] = {}
    for module in sorted(graph.modules):
        importer = room(module)
        found.setdefault(importer, set())
        found[importer] |= {room(other) for other in graph.find_modules_directly_imported_by(module)} - {importer}
    return found


def room(module: str) -> str:
    """The sub-package that a module is in, or its package: `runtime.session` of `digits_edge.runtime.session.trial`."""
    parts = module.split(".")[1:]
    while len(parts) > 1 and not Path(ROOT, *parts).is_dir():
        parts.pop()
    return ".".join(parts)


def generated() -> str:
    """The text between the markers."""
    lines = ["## Imports", "", "Each package with those that it imports, without imports inside it.", ""]
    lines += ["| package | imports |", "|---|---|"]
    for package, others in imports_of_packages().items():
        names = ", ".join(f"`{name}`" for name in sorted(others) if not package.startswith(f"{name}."))
        lines.append(f"| `{package}` | {names or '–'} |")
    for package in PACKAGES:
        lines += ["", f"## digits_edge.{package}", "", summary(ROOT / package / "__init__.py"), ""]
        lines += ["| module | content |", "|---|---|"]
        for path in modules_below(ROOT / package):
            lines.append(f"| `{path.relative_to(ROOT / package).as_posix()}` | {summary(path)} |")
    return "\n".join(lines)


def main() -> int:
    """Run the command; returns its exit code."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    new = f"{before}{BEGIN}\n\n{generated()}\n\n{END}{after}"
    if "--check" in sys.argv[1:]:
        if new != text:
            print(f"{PAGE} is out of date; run `python -m scripts.architecture`", file=sys.stderr)
        return int(new != text)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
