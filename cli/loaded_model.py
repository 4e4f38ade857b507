"""A model of either side, opened: a Keras file or run folder, or a model file; both answer with probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from digits_edge.cli.extras import needs_extra
from digits_edge.cli.options import file_path
from digits_edge.cli.output import progress
from digits_edge.runtime.classifier import FEW_IMAGES, MAX_BATCH, Classifier
from digits_edge.runtime.errors import UsageError

if TYPE_CHECKING:
    from digits_edge.export import Source


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A classifier, whichever side computes it.

    Attributes:
        asked: as the user named it.
        labels: the classes' names.
        data: what is known of its training data; may be empty.
        opened: what answers.
        path: the file or run folder.
    """

    asked: str
    labels: tuple[str, ...]
    data: dict[str, Any]
    opened: "Source | Classifier"
    path: Path

    @property
    def provider(self) -> str:
        """What computes: "keras", or the provider's short name."""
        return self.opened.provider if isinstance(self.opened, Classifier) else "keras"

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules that parted the training data, one for each member of an ensemble; empty where none is known."""
        if isinstance(self.opened, Classifier) and self.opened.metadata.members:
            return tuple(member.validation for member in self.opened.metadata.members)
        # runs and files that know their data and name no rule are older than the rules
        return (str(self.data.get("validation", "tenth")),) if self.data else ()

    def probabilities(self, images: NDArray[np.uint8], *, label: str = "answering") -> NDArray[np.float32]:
        """Float32 (N, C) for uint8 (N, 28, 28), N at least 1; with a progress bar."""
        if isinstance(self.opened, Classifier):
            return _in_blocks(self.opened.predict_batch, images, label)
        from digits_edge.export.source import as_logits
        from digits_edge.export.temperature import softmax

        # logits are told from probabilities by all rows together
        return softmax(as_logits(_in_blocks(self.opened.answers, images, label)))


def open_model(
    model: str,
    *,
    provider: str,
    threads: int | None,
    input_scale: Literal[1, 255] | None,
    labels: Sequence[str] | None,
) -> LoadedModel:
    """Open a run folder, a .keras or .h5 file, a model file or a bundled name.

    Raises:
        ModelError: it cannot be read, or the provider not be bound.
        UsageError: scale or labels are needed and not given, or there are not as many labels as classes.
    """
    path = file_path(model)
    if is_keras(path):
        with needs_extra("export"):
            from digits_edge.export import read_source

            source = read_source(path, input_scale=input_scale, labels=labels)
        return LoadedModel(model, source.labels, source.data, source, path)
    classifier = Classifier(model, provider=provider, threads=threads, images=FEW_IMAGES)
    named = tuple(labels or classifier.labels)
    if len(named) != len(classifier.labels):
        raise UsageError(f"{model} tells {len(classifier.labels)} classes apart and --labels names {len(named)}")
    return LoadedModel(model, named, classifier.metadata.data, classifier, classifier.path)


def is_keras(path: Path) -> bool:
    """Whether a path is read by Keras: a run folder, or a file of one of Keras's formats."""
    return path.is_dir() or path.suffix in (".keras", ".h5")


def _in_blocks(answer: Any, images: NDArray[np.uint8], label: str) -> NDArray[np.float32]:
    advance = progress(label)
    blocks = []
    for start in range(0, len(images), MAX_BATCH):
        blocks.append(answer(images[start : start + MAX_BATCH]))
        advance(min(start + MAX_BATCH, len(images)), len(images))
    return np.concatenate(blocks)
