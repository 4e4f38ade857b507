"""The shape of the callbacks that hear how far something is."""

from collections.abc import Callable

Progress = Callable[[int, int | None], None]
"""Called with what is done so far and what there is in all, or None where that is not known."""
