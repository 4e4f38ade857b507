"""The ASGI application of the service: `create_app`."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from offapi import __file__ as offapi_file
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from digits_edge.runtime.errors import DigitsEdgeError
from digits_edge.runtime.service.admission import Admission, ApiKey
from digits_edge.runtime.service.host_names import ANY, HostNames
from digits_edge.runtime.service.inference_protocol import InferenceProtocol
from digits_edge.runtime.service.limits import Limits
from digits_edge.runtime.service.metrics import Measured, Metrics
from digits_edge.runtime.service.openapi import openapi
from digits_edge.runtime.service.page import PAGE, PAGE_FILES
from digits_edge.runtime.service.picture_endpoint import PictureEndpoint
from digits_edge.runtime.service.reading_endpoint import ReadingEndpoint
from digits_edge.runtime.service.responses import STATUS, ErrorResponse, status_of
from digits_edge.runtime.service.served_models import ServedModels
from digits_edge.runtime.session.threads import available_threads

_log = logging.getLogger(__name__)
#: Files of Swagger UI in the package offapi, for the API page.
_SWAGGER = {name: Path(offapi_file).with_name(name) for name in ("swagger_bundle.js", "swagger_style.css")}
_SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def create_app(
    models: ServedModels,
    metrics: Metrics,
    *,
    limits: Limits | None = None,
    key: str | None = None,
    hosts: Sequence[str] = (ANY,),
    addresses: bool = False,
) -> Starlette:
    """Create the ASGI application.

    Args:
        models: models to serve; they start and stop with the application.
        metrics: metrics that the application updates and shows.
        limits: limits on requests; the default limits if None.
        key: API key that all requests must send, except those for the pages and the health endpoints; None requires no
            key.
        hosts: accepted names in the Host header, see `HostNames`.
        addresses: whether the header may have any IP address.

    Example:
        >>> metrics = Metrics()  # doctest: +SKIP
        >>> app = create_app(ServedModels(["edge-int8"], metrics=metrics), metrics)  # doctest: +SKIP
    """
    limits = limits or Limits()
    decoders = ThreadPoolExecutor(available_threads(), thread_name_prefix="decoder")
    pictures = PictureEndpoint(models, decoders, max_pixels=limits.picture_pixels)
    numbers = ReadingEndpoint(models, decoders, max_pixels=limits.picture_pixels)
    protocol = InferenceProtocol(models, json_bytes=limits.json_bytes, images=limits.images)
    inputs = [model.classifier.metadata.input for model in models]
    inputs += [served.reader.metadata.input for served in models.readers.values()]
    description = openapi(inputs, with_key=key is not None)

    async def show_description(request: Request) -> Response:
        return JSONResponse(description)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        models.start()
        yield
        await models.stop()
        decoders.shutdown()

    model_paths = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
    routes = [
        # the router tries them in turn
        *(Route(f"{base}/infer", _Direct(protocol.infer), methods=["POST"]) for base in model_paths),
        Route("/predict", pictures.predict, methods=["POST"]),
        Route("/read", numbers.read, methods=["POST"]),
        Route("/", _file(PAGE / "index.html")),
        Route("/docs", _file(PAGE / "docs.html")),
        *(Route(f"/docs/{name}", _file(path)) for name, path in _SWAGGER.items()),
        *(Route(f"/page/{path.name}", _file(path)) for path in PAGE_FILES),
        Route("/openapi.json", show_description),
        Route("/models", pictures.models),
        Route("/metrics", metrics.show),
        Route("/v2", protocol.server),
        Route("/v2/health/live", protocol.live),
        Route("/v2/health/ready", protocol.ready),
    ]
    for base in model_paths:
        routes += [Route(base, protocol.model), Route(f"{base}/ready", protocol.model_ready)]
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(_ResponseHeads),
            Middleware(Measured, metrics=metrics),
            Middleware(HostNames, names=hosts, addresses=addresses),
            *([] if key is None else [Middleware(ApiKey, key=key)]),
            Middleware(Admission, limits=limits, shed=metrics.shed.inc),
            Middleware(_InternalErrors),
        ],
        exception_handlers={DigitsEdgeError: _respond_to_error, HTTPException: _respond_to_http_error},
        lifespan=lifespan,
    )


def _file(path: Path) -> Callable[[Request], Awaitable[Response]]:
    """Create an endpoint for a file; browsers revalidate it on each visit, because an update may change it."""

    async def show_file(request: Request) -> Response:
        return FileResponse(path, headers={"cache-control": "no-cache"})

    return show_file


def _respond_to_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, DigitsEdgeError)
    if (status := status_of(error)) >= 500:
        _log.error("%s", error)
    return ErrorResponse(status, str(error))


def _respond_to_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return ErrorResponse(error.status_code, error.detail, error.headers)


class _Direct:
    """An endpoint whose exceptions pass to the middleware at once; Starlette would handle them twice."""

    def __init__(self, endpoint: Callable[[Request], Awaitable[Response]]) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request."""
        response = await self._endpoint(Request(scope, receive, send))
        await response(scope, receive, send)


class _InternalErrors:
    """Middleware that responds to unexpected exceptions with status 500.

    It is the innermost middleware, so that the others count these responses and add their headers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application; respond if it raises."""
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            return
        except Exception as error:
            if scope["type"] != "http" or STATUS in scope:
                raise
            _log.exception("unexpected error in a request")
            reason = f"internal error ({type(error).__name__}); please report it with the log of the service"
            await ErrorResponse(500, reason)(scope, receive, send)


class _ResponseHeads:
    """Middleware that adds security headers to every response, and `cache-control: no-store` if it has no other.

    It records the status for the middleware inside it, so that only one has to wrap `send`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._headers = [(name.encode(), value.encode()) for name, value in _SECURITY_HEADERS.items()]
        self._uncached = [*self._headers, (b"cache-control", b"no-store")]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, add the headers and record the status."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                scope[STATUS] = message["status"]
                headers = message["headers"]
                is_cached = any(name == b"cache-control" for name, _ in headers)
                message = {**message, "headers": [*headers, *(self._headers if is_cached else self._uncached)]}
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)
