"""Detection of latency regressions: two files of results, each row divided by a baseline (floor) in the same file.

Differences between machines and in load cancel out, because they slow the baseline as well. With plain onnxruntime as
the baseline, the ratio is the overhead of this package and its providers. A model file that has become slower also
slows onnxruntime; use a baseline that does not run the file, such as `tf.function`, to detect it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from digits_edge.measure.engine_spec import BASELINE_ENGINE, OWN_ENGINE
from digits_edge.measure.results import PeerRow
from digits_edge.runtime.errors import DataError

_Key = tuple[str, str, int, int]


@dataclass(frozen=True)
class Change:
    """A row that is in both files.

    Attributes:
        model: name of the model.
        engine: name of the engine.
        threads: number of threads that compute a batch.
        batch_size: images per call.
        before: ratio of its time to the baseline's in the old file.
        after: the same ratio in the new file.

    Example:
        >>> Change("cnn-small-int8", "digits-edge cpu", threads=1, batch_size=1, before=1.0, after=1.5).factor
        1.5
    """

    model: str
    engine: str
    threads: int
    batch_size: int
    before: float
    after: float

    @property
    def factor(self) -> float:
        """The factor by which the time relative to the baseline has changed; above 1 is slower."""
        return self.after / self.before


def changes(old: Sequence[PeerRow], new: Sequence[PeerRow], *, floor: str = BASELINE_ENGINE) -> list[Change]:
    """Compare the rows of digits-edge, and of onnxruntime unless it is the baseline, that are in both files.

    Args:
        old: rows of the old file.
        new: rows of the new file.
        floor: name of the baseline engine.

    Raises:
        DataError: the files have no row in common, or no row of the baseline.

    Example:
        >>> changes(read_results(Path("old.csv")), read_results(Path("new.csv")))  # doctest: +SKIP
        [Change(model='edge-int8', engine='digits-edge cpu', threads=1, batch_size=1, before=1.02, after=1.03)]
    """
    before, after = _ratios(old, floor, "old"), _ratios(new, floor, "new")
    common = [Change(*key, before[key], after[key]) for key in before if key in after]
    if not common:
        raise DataError(
            "the files have no row in common (model, engine, threads, batch size); measure the same models again"
        )
    return common


def _ratios(rows: Sequence[PeerRow], floor: str, which: str) -> dict[_Key, float]:
    floors = {(row.model, row.threads, row.batch_size): row.p50_us for row in rows if row.engine == floor}
    if not floors:
        engines = ", ".join(sorted({row.engine for row in rows})) or "none"
        raise DataError(f"the {which} file has no row of {floor}, the baseline; its engines are {engines}")
    return {
        (row.model, row.engine, row.threads, row.batch_size): row.p50_us / floor_us
        for row in rows
        if row.engine != floor and (row.engine == BASELINE_ENGINE or row.engine.partition(" ")[0] == OWN_ENGINE)
        if (floor_us := floors.get((row.model, row.threads, row.batch_size)))
    }
