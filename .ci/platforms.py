"""Check that pip finds wheels for exactly the platforms that README.md names: `python .ci/platforms.py`.

Runs `pip install --dry-run` with the dependencies of `[cpu]`. The exit code is 1 if a result differs from README.md.
"""

import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

#: Platform → tags of the wheels that pip accepts there.
SUPPORTED = {
    "Linux x86-64, glibc 2.28": ["manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"],
    "Linux aarch64, glibc 2.28": ["manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"],
    "Windows x64": ["win_amd64"],
    "Windows arm64": ["win_arm64"],
    "macOS 14 arm64": ["macosx_14_0_arm64", "macosx_13_0_arm64", "macosx_12_0_arm64", "macosx_11_0_arm64"],
}
UNSUPPORTED = {
    "32-bit ARM": ["linux_armv7l", "manylinux_2_31_armv7l", "manylinux_2_17_armv7l"],
    "Linux without glibc": ["musllinux_1_2_x86_64", "musllinux_1_1_x86_64"],
    "macOS on Intel": ["macosx_14_0_x86_64", "macosx_13_0_x86_64", "macosx_11_0_x86_64"],
}


def main() -> int:
    """Check all platforms in parallel and print the results."""
    project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["cpu"]]
    expected = {**dict.fromkeys(SUPPORTED, True), **dict.fromkeys(UNSUPPORTED, False)}
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda name: resolves(needed, {**SUPPORTED, **UNSUPPORTED}[name]), expected))
    wrong = 0
    for (name, should), (does, reason) in zip(expected.items(), found, strict=True):
        state = "wheels for everything" if does else f"no wheels ({reason})"
        print(f"{name}: {state}{'' if does == should else ', which differs from README.md'}")
        wrong += does != should
    return 1 if wrong else 0


def resolves(requirements: list[str], tags: list[str]) -> tuple[bool, str]:
    """Return whether pip finds wheels with these tags, and if not, its last error message."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed", "--target", "none"]
    command += ["--only-binary", ":all:", "--implementation", "cp", "--python-version", "3.11"]
    command += [part for tag in tags for part in ("--platform", tag)]
    done = subprocess.run([*command, *requirements], capture_output=True, text=True, check=False)
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    return done.returncode == 0, errors[-1].removeprefix("ERROR: ") if errors else ""


if __name__ == "__main__":
    sys.exit(main())
