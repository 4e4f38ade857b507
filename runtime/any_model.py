"""Open a model file of either kind: `open_any`."""

import os

from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.errors import SequenceModelError
from digits_edge.runtime.reader.line_model import LineModel


def open_any(
    model: str | os.PathLike[str], *, provider: str, threads: int | None, images: int | None = None
) -> Classifier | LineModel:
    """Open a classifier or a sequence model; its metadata say which it is.

    Args:
        model: name of a bundled model, or path of a model file.
        provider: as for `Classifier`.
        threads: as for `Classifier`.
        images: as for `Classifier`; without effect on sequence models.

    Raises:
        ModelError: the model does not exist, its file is damaged, or the provider cannot be bound.
        UsageError: the provider is unknown, or `threads` is out of range.

    Example:
        >>> open_any("edge-int8", provider="cpu", threads=1)
        <Classifier edge-int8 provider=cpu threads=1>
    """
    try:
        return Classifier(model, provider=provider, threads=threads, images=images)
    except SequenceModelError:  # only an opened session has the metadata
        return LineModel(model, provider, threads)
