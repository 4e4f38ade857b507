"""Figures as people read them: few digits, and the unit that keeps them short."""

from typing import Any


def error_percent(errors: float, images: int) -> float:
    """Errors in percent, as a logarithmic axis can show them: half an error where there is none."""
    return 100 * max(errors, 0.5) / images


def percent_text(percent: float) -> str:
    """A percentage, as on an axis."""
    return f"{percent:.3g} %"


def size_text(size_bytes: float) -> str:
    """A size with its unit."""
    for unit, scale in (("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= scale:
            return f"{size_bytes / scale:.3g} {unit}"
    return f"{size_bytes:.0f} B"


def time_text(time_us: float) -> str:
    """The time of one answer with its unit."""
    return f"{time_us / 1e3:.3g} ms" if time_us >= 1e3 else f"{time_us:.3g} µs"


def duration_text(seconds: float) -> str:
    """The time of a training with its unit."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


def count_text(count: int, thing: str) -> str:
    """A number of things, such as "1 epoch" or "2,000 epochs"."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def setting_text(value: Any) -> str:
    """A setting of a recipe, without the zeros that end a float."""
    return f"{value:g}" if isinstance(value, float) else str(value)
