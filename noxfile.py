"""Sessions for development: `nox -l` lists them, `nox -s tests` runs one.

Each installs the project with the extra that it needs, in an environment of its own.
"""

import nox

nox.options.sessions = ["tests", "lint", "docs"]
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True

PACKAGES = ("runtime", "export", "measure", "train", "cli")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the quick tests; arguments go to pytest: `nox -s tests -- tests/cli`."""
    session.install(".[dev]")
    session.run("pytest", *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """Run the slow tests."""
    session.install(".[dev]")
    session.run("pytest", "-m", "slow", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types, imports, dead code and the types of the JavaScript."""
    session.install(".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    config = "pyproject.toml"
    packages = [argument for name in PACKAGES for argument in ("-p", f"digits_edge.{name}")]
    session.run("mypy", "--config-file", config, *packages)
    session.run("lint-imports", "--config", config, "--no-cache")
    session.run("vulture")
    python = f"{session.virtualenv.bin}/python"
    session.run("bash", "scripts/check_javascript.sh", env={"PYTHON": python}, external=True)
    session.run("python", "-m", "scripts.draw_preprocessing_cases", "--check")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build; warnings are errors."""
    session.install(".[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build")


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks; arguments go to pytest."""
    session.install(".[dev,bench]")
    session.run("pytest", "benchmarks", "-n", "0", *session.posargs)


@nox.session
def processors(session: nox.Session) -> None:
    """Check the bundled models on emulated processors; needs Debian's qemu-user-static and mmdebstrap."""
    session.install(".[dev]")
    session.run("python", "-m", "endurance.processors", *session.posargs)
