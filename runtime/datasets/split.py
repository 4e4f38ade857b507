"""Which images validate a training, and which calibrate a quantization: drawn once for all, stratified by label."""

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.errors import DataError

#: Not the training's seed: every run, fold and exporter sees the same images on the same side.
SPLIT_SEED = 20_261_121


def validation_split(labels: NDArray[np.uint8], *, fraction: float = 0.1) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows that train and rows that validate.

    Args:
        labels: uint8 (N,).
        fraction: the share of every class that validates, between 0 and 1.

    Returns:
        Two sorted arrays of row indices, disjoint, together all N.

    Raises:
        DataError: so few images that none would validate.
    """
    if len(labels) * fraction < 1 or not any(round(n * fraction) for n in np.bincount(labels)):
        raise DataError(f"{len(labels)} images are too few to set some apart for validation; give more")
    validates = np.zeros(len(labels), dtype=bool)
    for rows in _shuffled_by_class(labels):
        validates[rows[: round(len(rows) * fraction)]] = True
    return np.flatnonzero(~validates), np.flatnonzero(validates)


def stratified(labels: NDArray[np.uint8], count: int) -> NDArray[np.intp]:
    """Rows of a small sample in which every class has its share.

    Args:
        labels: uint8 (N,).
        count: how many rows are wanted, as nearly as whole shares allow; all N where it is larger.

    Returns:
        Sorted row indices.
    """
    share = min(1.0, count / max(1, len(labels)))
    chosen = [rows[: round(len(rows) * share)] for rows in _shuffled_by_class(labels)]
    return np.sort(np.concatenate([np.empty(0, dtype=np.intp), *chosen]))


def _shuffled_by_class(labels: NDArray[np.uint8]) -> list[NDArray[np.intp]]:
    rng = np.random.default_rng(SPLIT_SEED)
    return [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
