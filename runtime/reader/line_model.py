"""`LineModel`: an opened sequence model, which computes the columns of a line image."""

import os

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.errors import ModelError, one_line
from digits_edge.runtime.model.contents import contents, refuse_classifier
from digits_edge.runtime.model.model_file import read_model_file
from digits_edge.runtime.session.bound_session import BoundSession
from digits_edge.runtime.session.precision import Way, open_first, ways_to_run
from digits_edge.runtime.session.provider_names import AUTO, available_providers, parse_provider
from digits_edge.runtime.session.providers import open_session

#: Name of the bundled sequence model, without its precision.
DEFAULT_MODEL = "number"


class LineModel:
    """A sequence model, bound to an execution provider.

    Attributes:
        path: path of the model file.
        metadata: description of the model, as stored in the file.
        provider: short name of the bound execution provider.
        threads: number of threads.
        packed_golden: the reference images and their columns, packed.
    """

    def __init__(self, model: str | os.PathLike[str] | None, provider: str, threads: int | None) -> None:
        """Open a model; the arguments are those of `Reader`."""

        def bind(way: Way) -> BoundSession:
            return open_session(read_model_file(way.file), way.provider, threads, origin=str(way.file))

        providers = available_providers() if provider.lower() == AUTO else [parse_provider(provider).name]
        # the CPU provider first: networks of this size are computed before a transfer to an accelerator is done
        self.path, bound = open_first(bind, ways_to_run(DEFAULT_MODEL if model is None else model, providers))
        self.provider, self.threads = bound.provider, bound.threads
        self._run = bound.run
        self.metadata, self.packed_golden = contents(bound.session, self.path)
        refuse_classifier(self.metadata, self.path)

    def columns(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the probabilities of the classes in each column.

        Args:
            image: uint8 (32, W), as `line_image` returns it.

        Returns:
            float32 (T, K+1); the blank is last.

        Raises:
            ModelError: the provider failed.
        """
        found: NDArray[np.float32] = self.batch(image[np.newaxis])[0]
        return found

    def batch(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the columns of several lines of the same width, uint8 (N, 32, W), as float32 (N, T, K+1)."""
        if not len(images):  # some kernels refuse an empty batch
            return self.batch(np.zeros((1, *images.shape[1:]), np.uint8))[:0]
        try:
            return self._run(images)
        except Exception as error:
            raise ModelError(f"{self.path} could not be run by provider {self.provider}: {one_line(error)}") from error
