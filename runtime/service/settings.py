"""Settings of the service, from which each of its processes creates its application: `Settings`."""

import gc
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from digits_edge.runtime.service.limits import Batching, Limits

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from digits_edge.runtime.service.metrics import Metrics
    from digits_edge.runtime.service.served_models import ServedModels


@dataclass(frozen=True)
class Settings:
    """What a service serves, and to whom.

    This module imports the application when it is created, so that a process that gets the settings starts quickly.

    Attributes:
        models: names of bundled models or paths of model files, as for `ServedModels`.
        provider: execution provider of the models.
        threads: number of threads of each model; None for all that the process may use.
        batching: settings of the micro-batching.
        limits: limits on requests.
        key: API key; None requires no key.
        hosts: accepted names in the Host header.
        addresses: whether the header may have any IP address.

    Example:
        >>> settings = Settings(("edge-int8",), provider="cpu")
        >>> settings.limits.requests
        256
    """

    models: tuple[str | os.PathLike[str], ...] = ()
    provider: str = "auto"
    threads: int | None = None
    batching: Batching = field(default_factory=Batching)
    limits: Limits = field(default_factory=Limits)
    key: str | None = field(default=None, repr=False)
    hosts: tuple[str, ...] = ("*",)
    addresses: bool = False

    def open(self, metrics: "Metrics") -> "ServedModels":
        """Open the models.

        Raises:
            ModelError, UsageError: as for `ServedModels`.
        """
        from digits_edge.runtime.service.served_models import ServedModels

        return ServedModels(
            self.models, provider=self.provider, threads=self.threads, batching=self.batching, metrics=metrics
        )

    def app(self, served: "ServedModels", metrics: "Metrics") -> "Starlette":
        """Create the application for opened models, in a process that only serves it.

        The garbage collector skips the objects that exist now, as they are needed until the end. Without this, it takes
        a sixth of the time of a request with one image.
        """
        from digits_edge.runtime.service.app import create_app

        app = create_app(served, metrics, limits=self.limits, key=self.key, hosts=self.hosts, addresses=self.addresses)
        gc.collect()
        gc.freeze()
        return app
