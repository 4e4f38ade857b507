"""Fuzz one target with atheris: `python -m fuzz.worker TARGET FOLDER OPTION…`; libFuzzer ends the process."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import atheris

from fuzz.targets import TARGETS

#: Limits of time and memory for one input.
HANG_S, MAX_MB = 2, 500
#: atheris leaks about 10 kB with every input, so `MAX_MB` cannot be the limit of the process.
_PROCESS_MB = 16_000
_PAGE = os.sysconf("SC_PAGE_SIZE")


def main(name: str, folder: str, *options: str) -> None:
    """Fuzz a target; inputs that reach new branches are written to `folder`."""
    target = TARGETS[name]
    with atheris.instrument_imports(include=["digits_edge"]):
        from fuzz.corpus import inputs

        for content in inputs(name):  # imports everything that the target needs
            target.run(content)
    limits = (f"-timeout={HANG_S}", f"-rss_limit_mb={_PROCESS_MB}", f"-max_len={target.largest}")
    atheris.Setup([name, *limits, folder, *options], _limited(target.run))
    atheris.Fuzz()


def _limited(run: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Wrap `run` so that it fails if an input takes more than `MAX_MB`; prints every new maximum."""
    max_mb = 0

    def limited(content: bytes) -> None:
        nonlocal max_mb
        Path("/proc/self/clear_refs").write_text("5")  # reset VmHWM
        before = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
        run(content)
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        megabytes = (int(peak[1]) * 1024 - before) // 1_000_000 if peak else 0
        if megabytes > max_mb:
            max_mb = megabytes
            print(f"MEMORY {max_mb}", flush=True)
        assert megabytes <= MAX_MB, f"{megabytes} MB"

    return limited


if __name__ == "__main__":
    main(*sys.argv[1:])
