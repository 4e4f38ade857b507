"""One target under atheris, in this process, which libFuzzer ends: `python -m fuzz.worker TARGET FOLDER OPTION…`."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import atheris

from fuzz.targets import TARGETS

#: What an input may cost at most.
HANG_S, MAX_MB = 2, 500
#: atheris's hooks lose some 10 kB with every input, so that a process cannot be held to `MAX_MB` as a whole.
_PROCESS_MB = 16_000
_PAGE = os.sysconf("SC_PAGE_SIZE")


def main(name: str, folder: str, *options: str) -> None:
    """Fuzz; FOLDER gets what reaches new branches."""
    target = TARGETS[name]
    with atheris.instrument_imports(include=["digits_edge"]):
        from fuzz.corpus import inputs

        for content in inputs(name):  # whatever a target imports is imported now
            target.run(content)
    limits = (f"-timeout={HANG_S}", f"-rss_limit_mb={_PROCESS_MB}", f"-max_len={target.largest}")
    atheris.Setup([name, *limits, folder, *options], _weighed(target.run))
    atheris.Fuzz()


def _weighed(run: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """The same, failing where an input takes more memory than it may; prints every new maximum."""
    most = 0

    def weighed(content: bytes) -> None:
        nonlocal most
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
        run(content)
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        megabytes = (int(peak[1]) * 1024 - before) // 1_000_000 if peak else 0
        if megabytes > most:
            most = megabytes
            print(f"MEMORY {most}", flush=True)
        assert megabytes <= MAX_MB, f"{megabytes} MB"

    return weighed


if __name__ == "__main__":
    main(*sys.argv[1:])
