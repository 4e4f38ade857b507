"""Data sets of images: `load()` by name or path, `read_blocks()` for large CSV files, and fixed splits.

The names below are imported on first use: readers of tables do not import the catalogue and the readers of pictures.
"""

from typing import TYPE_CHECKING

from digits_edge.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from digits_edge.runtime.datasets.catalogue import CATALOGUE
    from digits_edge.runtime.datasets.dataset import Dataset
    from digits_edge.runtime.datasets.loading import load
    from digits_edge.runtime.datasets.options import ReadingOptions
    from digits_edge.runtime.datasets.split import RULES, Parts, common_parts, parts, stratified
    from digits_edge.runtime.datasets.tables.block import Block
    from digits_edge.runtime.datasets.tables.kaggle_csv import read_blocks

__all__ = [
    "CATALOGUE",
    "RULES",
    "Block",
    "Dataset",
    "Parts",
    "ReadingOptions",
    "common_parts",
    "load",
    "parts",
    "read_blocks",
    "stratified",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "catalogue": ("CATALOGUE",),
        "dataset": ("Dataset",),
        "loading": ("load",),
        "options": ("ReadingOptions",),
        "split": ("RULES", "Parts", "common_parts", "parts", "stratified"),
        "tables.block": ("Block",),
        "tables.kaggle_csv": ("read_blocks",),
    },
)
