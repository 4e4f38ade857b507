"""Reading a request's body: `body_of`."""

from starlette.exceptions import HTTPException
from starlette.requests import Request


async def body_of(request: Request, kinds: tuple[str, ...], remedy: str) -> bytes:
    """The whole body, if it calls itself what is wanted.

    Args:
        request: whose length is bounded already.
        kinds: beginnings of content types; a request that names none is taken.
        mend: what to send instead.

    Raises:
        HTTPException: 415, another kind, or a compressed one: what it unpacks to would be bounded by nothing.
    """
    kind = request.headers.get("content-type", kinds[0]).lower()
    if not kind.startswith(kinds):
        raise HTTPException(415, f"{kind} is not taken here; {remedy}")
    if (encoding := request.headers.get("content-encoding", "identity")) != "identity":
        raise HTTPException(415, f"a body in {encoding} is not taken; send it as it is")
    return await request.body()
