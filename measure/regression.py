"""Has it become slower? Two files of results, each row by its ratio to a floor in the same file.

Machine, load and day cancel: what slows the floor as well is no regression. With onnxruntime alone as the floor it is
what this package adds, and its providers, that is judged; a model file that has itself become slower slows onnxruntime
too, and shows against a floor that does not run it, such as `tf.function`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from digits_edge.measure.engine_spec import FLOOR, OURS
from digits_edge.measure.results import PeerRow
from digits_edge.runtime.errors import DataError

_Key = tuple[str, str, int, int]


@dataclass(frozen=True)
class Change:
    """One row, before and after.

    Attributes:
        model: the model's name.
        engine: what computed.
        threads: how many computed a batch together.
        batch_size: images per call.
        before: its time to the floor's, in the old file.
        after: the same, in the new file.
    """

    model: str
    engine: str
    threads: int
    batch_size: int
    before: float
    after: float

    @property
    def factor(self) -> float:
        """How many times as long it takes, the floor taken as the same."""
        return self.after / self.before


def changes(old: Sequence[PeerRow], new: Sequence[PeerRow], *, floor: str = FLOOR) -> list[Change]:
    """Every row of ours, and of onnxruntime where that is not the floor, that is in both files.

    Raises:
        DataError: there is none, or no row of the floor.
    """
    before, after = _ratios(old, floor, "old"), _ratios(new, floor, "new")
    found = [Change(*key, before[key], after[key]) for key in before if key in after]
    if not found:
        raise DataError(
            "the two files have no model, engine, number of threads and batch size in common; measure the same again"
        )
    return found


def _ratios(rows: Sequence[PeerRow], floor: str, which: str) -> dict[_Key, float]:
    floors = {(row.model, row.threads, row.batch_size): row.p50_us for row in rows if row.engine == floor}
    if not floors:
        engines = ", ".join(sorted({row.engine for row in rows})) or "nothing"
        raise DataError(f"the {which} file has no row of {floor} to compare with; it measured {engines}")
    return {
        (row.model, row.engine, row.threads, row.batch_size): row.p50_us / at
        for row in rows
        if row.engine != floor and (row.engine == FLOOR or row.engine.partition(" ")[0] == OURS)
        if (at := floors.get((row.model, row.threads, row.batch_size)))
    }
