"""What the service counts, for Prometheus: `Metrics`."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
#: Paths are names that strangers choose; those without a route are counted as one.
_UNROUTED = "(none)"


class Metrics:
    """Counters of one service, in a registry of their own: two services of a process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Counter(
            "digits_edge_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "digits_edge_request_seconds",
            "From a request's head to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batch_images = Histogram(
            "digits_edge_batch_images",
            "Images in one call of a model.",
            ["model"],
            buckets=_IMAGES,
            registry=self.registry,
        )
        self.in_flight = Gauge("digits_edge_requests_in_flight", "Requests at work.", registry=self.registry)
        self.shed = Counter("digits_edge_requests_shed", "Requests turned away with 429.", registry=self.registry)

    async def show(self, request: Request) -> Response:
        """All of them, in Prometheus's text format."""
        return Response(generate_latest(self.registry), headers={"content-type": CONTENT_TYPE_LATEST})


class Measured:
    """Counts and times every request of an application."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application do so."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = "none"  # where the connection was cut before there was one

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        started = time.perf_counter()
        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, sent)
        finally:
            self._metrics.in_flight.dec()
            found = scope.get("route")  # the router writes it down
            route = getattr(found, "path", _UNROUTED)
            self._metrics.requests.labels(scope["method"], route, status).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - started)
