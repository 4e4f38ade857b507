"""`LineModel`: an opened sequence model, which computes the columns of a line image."""

import os

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.errors import ModelError, one_line
from digits_edge.runtime.model.model_file import (
    COLUMNS_NAME,
    GOLDEN_KEY,
    INPUT_NAME,
    METADATA_KEY,
    Metadata,
    read_model_file,
)
from digits_edge.runtime.session.bound_session import BoundSession
from digits_edge.runtime.session.precision import Way, open_first, ways_to_run
from digits_edge.runtime.session.providers import AUTO, available_providers, full_name, open_session, short_name

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

        providers = available_providers() if provider.lower() == AUTO else [short_name(full_name(provider))]
        # the CPU provider first: networks of this size are computed before a transfer to an accelerator is done
        self.path, bound = open_first(bind, ways_to_run(DEFAULT_MODEL if model is None else model, providers))
        self.provider, self.threads = bound.provider, bound.threads
        self._session = bound.session
        self.metadata, self.packed_golden = self._contents()

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
        try:
            found: NDArray[np.float32] = self._session.run([COLUMNS_NAME], {INPUT_NAME: images})[0]
        except Exception as error:
            raise ModelError(f"{self.path} could not be run by provider {self.provider}: {one_line(error)}") from error
        return found

    def _contents(self) -> tuple[Metadata, str]:
        """Metadata and packed golden values; raises ModelError if the file is not one of a sequence model."""
        properties: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        try:
            metadata, golden = Metadata.from_json(properties[METADATA_KEY]), properties[GOLDEN_KEY]
        except (KeyError, UnicodeDecodeError) as error:
            raise ModelError(f"{self.path} has no metadata of a model; create it with `digits-edge export`") from error
        except ModelError as error:
            raise ModelError(f"{self.path}: {error}") from error
        if not metadata.is_sequence:
            raise ModelError(f"{self.path} classifies single images; use `Classifier` or `digits-edge predict`")
        if any(len(label) != 1 for label in metadata.labels):
            raise ModelError(f"{self.path}: the labels {metadata.labels} are not single characters; export it again")
        found = [(each.name, each.type) for each in (*self._session.get_inputs(), *self._session.get_outputs())]
        if found != [(INPUT_NAME, "tensor(uint8)"), (COLUMNS_NAME, "tensor(float)")]:
            raise ModelError(f"{self.path} has inputs and outputs {found}; create it with `digits-edge export`")
        return metadata, golden
