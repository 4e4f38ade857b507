"""The service as an ASGI application: `create_app`."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from offapi import __file__ as offapi_file
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from digits_edge.runtime.errors import DigitsEdgeError
from digits_edge.runtime.service.admission import Admission, ApiKey
from digits_edge.runtime.service.inference_protocol import InferenceProtocol
from digits_edge.runtime.service.limits import Limits
from digits_edge.runtime.service.metrics import Measured, Metrics
from digits_edge.runtime.service.openapi import openapi
from digits_edge.runtime.service.page import PAGE, PAGE_FILES
from digits_edge.runtime.service.picture_endpoint import PictureEndpoint
from digits_edge.runtime.service.responses import ErrorResponse, status_of
from digits_edge.runtime.service.served_models import ServedModels
from digits_edge.runtime.session.threads import available_threads

_log = logging.getLogger(__name__)
#: Swagger UI, as its package has it, for the page that shows the API.
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
    hosts: Sequence[str] = ("*",),
) -> Starlette:
    """Build the application.

    Args:
        models: that answer; they are started and stopped with the application.
        metrics: what is counted.
        limits: of what is taken.
        key: that has to be sent with every request but those for the page and the health; None asks for none.
        hosts: names by which the service may be called; "*" is any. A page of another site that lets its own name point
            to this machine is refused by it.
    """
    limits = limits or Limits()
    decoders = ThreadPoolExecutor(available_threads(), thread_name_prefix="decoder")
    pictures = PictureEndpoint(models, decoders, most_pixels=limits.picture_pixels)
    protocol = InferenceProtocol(models, json_bytes=limits.json_bytes, images=limits.images)
    description = openapi(with_key=key is not None)

    async def described(request: Request) -> Response:
        return JSONResponse(description)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        models.start()
        yield
        await models.stop()
        decoders.shutdown()

    routes = [
        Route("/", _file(PAGE / "index.html")),
        Route("/docs", _file(PAGE / "docs.html")),
        *(Route(f"/docs/{name}", _file(path)) for name, path in _SWAGGER.items()),
        *(Route(f"/page/{path.name}", _file(path)) for path in PAGE_FILES),
        Route("/openapi.json", described),
        Route("/models", pictures.models),
        Route("/predict", pictures.predict, methods=["POST"]),
        Route("/metrics", metrics.show),
        Route("/v2", protocol.server),
        Route("/v2/health/live", protocol.live),
        Route("/v2/health/ready", protocol.ready),
    ]
    for base in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        routes += [
            Route(base, protocol.model),
            Route(f"{base}/ready", protocol.model_ready),
            Route(f"{base}/infer", protocol.infer, methods=["POST"]),
        ]
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(_SecurityHeaders),
            Middleware(Measured, metrics=metrics),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
            *([] if key is None else [Middleware(ApiKey, key=key)]),
            Middleware(Admission, limits=limits, shed=metrics.shed.inc),
            Middleware(_Unexpected),
        ],
        exception_handlers={DigitsEdgeError: _ours, HTTPException: _of_starlette},
        lifespan=lifespan,
        max_body_size=limits.body_bytes,
    )


def _file(path: Path) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that shows a file; a browser asks for it each time, for it may be another after an update."""

    async def shown(request: Request) -> Response:
        return FileResponse(path, headers={"cache-control": "no-cache"})

    return shown


def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, DigitsEdgeError)
    if (status := status_of(error)) >= 500:
        _log.error("%s", error)
    return ErrorResponse(status, str(error))


def _of_starlette(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return ErrorResponse(error.status_code, error.detail, error.headers)


class _Unexpected:
    """Answers 500 to what nobody foresaw, within what counts and guards every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application do so."""
        is_answered = False

        async def sent(message: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except ClientDisconnect:
            return
        except Exception as error:
            if scope["type"] != "http" or is_answered:
                raise
            _log.exception("a request that nobody foresaw")
            reason = f"{type(error).__name__}; this is a bug, please report it with what the service printed"
            await ErrorResponse(500, reason)(scope, receive, send)


class _SecurityHeaders:
    """Adds to every answer what keeps browsers from doing more with it than the page needs."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._headers = [(name.encode(), value.encode()) for name, value in _SECURITY_HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application do so."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in message["headers"]}
                added = (
                    self._headers if b"cache-control" in names else [*self._headers, (b"cache-control", b"no-store")]
                )
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self._app(scope, receive, sent if scope["type"] == "http" else send)
