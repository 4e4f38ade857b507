"""Processor name, and platforms without an onnxruntime wheel."""

import platform
import re
from pathlib import Path


def processor() -> str:
    """The processor's name as reported by the system, or "unknown"; from /proc/cpuinfo on Linux."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:  # not Linux
        found = None
    return found[1] if found else platform.processor() or "unknown"


def platform_without_onnxruntime() -> str | None:
    """Description of this platform if onnxruntime has no wheel for it; None if it has one.

    Wheels exist for Linux on x86-64 and aarch64 with glibc 2.28 or later, Windows on x64 and arm64, and macOS 14 on
    arm64.
    """
    system, machine = platform.system(), platform.machine().lower()
    if machine not in ("x86_64", "amd64", "aarch64", "arm64"):
        return f"{system} on {machine}"
    if system == "Linux" and platform.libc_ver()[0] != "glibc":
        return "Linux without glibc (musl)"
    return "macOS on Intel processors" if (system, machine) == ("Darwin", "x86_64") else None
