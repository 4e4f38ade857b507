"""Prometheus metrics of the service: `Metrics`."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from digits_edge.runtime.service.responses import STATUS

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
#: Route label of all paths without a route. Clients choose paths, so a label for each path would have no bound.
_UNROUTED = "(none)"


class Metrics:
    """Metrics of one service, in a separate registry, so that two services in a process do not share counters.

    Args:
        folder: folder of the metrics of several processes, which are added up; None for those of this process.

    Example:
        >>> metrics = Metrics()
        >>> metrics.shed.inc()
        >>> metrics.registry.get_sample_value("digits_edge_requests_shed_total")
        1.0
    """

    def __init__(self, folder: str | None = None) -> None:
        self._folder = folder
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Counter(
            "digits_edge_requests", "Number of requests.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "digits_edge_request_seconds",
            "Time from the request head to the end of the response.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batch_images = Histogram(
            "digits_edge_batch_images",
            "Images per batch.",
            ["model"],
            buckets=_IMAGES,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "digits_edge_requests_in_flight",
            "Requests in flight.",
            multiprocess_mode="livesum",
            registry=self.registry,
        )
        self.shed = Counter("digits_edge_requests_shed", "Requests rejected with status 429.", registry=self.registry)

    async def show(self, request: Request) -> Response:
        """Return all metrics in the Prometheus text format."""
        registry = self.registry
        if self._folder is not None:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, path=self._folder)  # type: ignore[no-untyped-call]
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})


class Measured:
    """Middleware that counts and times the requests of an application, whose status is in the scope (`STATUS`)."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics
        self._known: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}  # labels → the metrics with them

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application and record the request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, send)
        finally:
            self._metrics.in_flight.dec()
            # no status if the connection closes before the response starts
            labels = scope["method"], _route_of(scope), str(scope.get(STATUS, "none"))
            known = self._known.get(labels)
            if known is None:
                known = self._metrics.requests.labels(*labels), self._metrics.seconds.labels(labels[1])
                self._known[labels] = known
            known[0].inc()
            known[1].observe(time.perf_counter() - started)


def _route_of(scope: Scope) -> str:
    """The path of the route of a request, also if a middleware responded before the router."""
    route = scope.get("route")  # set by the router
    if route is None and "app" in scope:
        route = next((each for each in scope["app"].routes if each.matches(scope)[0] is not Match.NONE), None)
    return getattr(route, "path", _UNROUTED)
