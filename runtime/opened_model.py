"""`OpenedModel`: what `Classifier` and `Reader` share, a context manager that can be pickled."""

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from digits_edge.runtime.model.bundled import MODELS
from digits_edge.runtime.model.model_file import Metadata


class OpenedModel(ABC):
    """A model file, bound to an execution provider of onnxruntime.

    Attributes:
        path: path of the model file.
        metadata: description of the model, as stored in the file.
        provider: short name of the bound execution provider.
        threads: number of threads.

    Example:
        >>> from digits_edge.runtime import Classifier
        >>> with Classifier("edge-int8", provider="cpu", threads=1) as model:
        ...     isinstance(model, OpenedModel), model
        (True, <Classifier edge-int8 provider=cpu threads=1>)
    """

    path: Path
    metadata: Metadata
    provider: str
    threads: int

    @abstractmethod
    def close(self) -> None:
        """Free the model's memory. The object cannot be used afterwards; closing twice is allowed."""

    @abstractmethod
    def _options(self) -> dict[str, Any]:
        """The arguments, besides the model, that open the model again in another process."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        # by name: another process may have the bundled models in another folder
        model = self.path.stem if self.path.parent == MODELS else self.path.absolute()
        return _reopened, (type(self), model, self._options())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.metadata.name} provider={self.provider} threads={self.threads}>"


def _reopened(kind: type[Any], model: str | Path, options: dict[str, Any]) -> Any:
    return kind(model, **options)
