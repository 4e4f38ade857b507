"""What this machine says of itself."""

import platform
import re
from pathlib import Path


def processor() -> str:
    """The processor's name as the system gives it; on Linux `platform` knows none."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:  # not Linux
        found = None
    return found[1] if found else platform.processor() or "unknown"
