"""Request bodies: `body_of`."""

from starlette.exceptions import HTTPException
from starlette.requests import Request

from digits_edge.runtime.service.headers import header_of


async def body_of(request: Request, kinds: tuple[str, ...], remedy: str) -> bytes:
    """Read the body of a request and check its content type.

    Args:
        request: a request whose size is limited by the application.
        kinds: prefixes of the accepted content types; a request without a content type is accepted.
        remedy: what to send instead, for the error message.

    Raises:
        HTTPException: 415, if the content type is not accepted, or the body is compressed. The size of a decompressed
            body would have no limit.
    """
    kind = header_of(request.scope, b"content-type", kinds[0]).lower()
    if not kind.startswith(kinds):
        raise HTTPException(415, f"unsupported content type {kind}; {remedy}")
    if (encoding := header_of(request.scope, b"content-encoding", "identity")) != "identity":
        raise HTTPException(415, f"unsupported content encoding {encoding}; send the body uncompressed")
    return await request.body()
