"""Short texts of numbers with units."""

from typing import Any


def error_percent(errors: float, images: int) -> float:
    """Return the error rate in percent for a logarithmic axis; 0 errors count as half an error.

    Example:
        >>> error_percent(0, 100)
        0.5
    """
    return 100 * max(errors, 0.5) / images


def percent_text(percent: float) -> str:
    """Format a percentage with three significant digits.

    Example:
        >>> percent_text(0.61999)
        '0.62 %'
    """
    return f"{percent:.3g} %"


def size_text(size_bytes: float) -> str:
    """Format a size in bytes, kB or MB.

    Example:
        >>> size_text(219_842)
        '220 kB'
    """
    for unit, scale in (("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= scale:
            return f"{size_bytes / scale:.3g} {unit}"
    return f"{size_bytes:.0f} B"


def time_text(time_us: float) -> str:
    """Format a latency in µs or ms.

    Example:
        >>> time_text(43.21), time_text(4103)
        ('43.2 µs', '4.1 ms')
    """
    return f"{time_us / 1e3:.3g} ms" if time_us >= 1e3 else f"{time_us:.3g} µs"


def duration_text(seconds: float) -> str:
    """Format a duration in seconds, minutes or hours.

    Example:
        >>> duration_text(795)
        '13 min'
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


def count_text(count: int, thing: str) -> str:
    """Format a count with its noun.

    Example:
        >>> count_text(1, "epoch"), count_text(2000, "epoch")
        ('1 epoch', '2,000 epochs')
    """
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def setting_text(value: Any) -> str:
    """Format a setting of a recipe, without trailing zeros.

    Example:
        >>> setting_text(0.10), setting_text("adam")
        ('0.1', 'adam')
    """
    return f"{value:g}" if isinstance(value, float) else str(value)
