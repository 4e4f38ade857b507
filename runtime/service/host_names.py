"""Host names under which the service may be reached: `HostNames`, and the default names of this machine."""

import contextlib
import ipaddress
import socket
from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from digits_edge.runtime.service.headers import header_of
from digits_edge.runtime.service.responses import ErrorResponse

ANY = "*"
_LOCAL = ("localhost", "127.0.0.1", "::1")


class HostNames:
    """Middleware that responds with status 400 if the Host header names another machine.

    It prevents DNS rebinding, in which another site points its own name to this machine, so that its scripts can use
    the service through the browser of a user. IP addresses cannot be rebound. Browsers always send the header, so
    clients without it are accepted.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str], *, addresses: bool = False) -> None:
        """Wrap an application.

        Args:
            app: application to protect.
            names: accepted names and addresses; "*.example.com" accepts all subdomains, "*" any name.
            addresses: whether any IP address is accepted.
        """
        self._app, self._addresses = app, addresses
        self._names = {_normal(name) for name in names}
        self._domains = tuple(name.removeprefix(ANY) for name in self._names if name.startswith("*."))
        self._accepted = ""  # the header that was accepted last, which most requests have

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application if the name is accepted."""
        header = header_of(scope, b"host") if scope["type"] == "http" else self._accepted
        if header == self._accepted or self._accepts(header):
            self._accepted = header
            await self._app(scope, receive, send)
            return
        reason = (
            "unknown host name in the request; the operator can add it with `digits-edge serve --allowed-host NAME`"
        )
        await ErrorResponse(400, reason)(scope, receive, send)

    def _accepts(self, header: str) -> bool:
        name = host_of(header)
        return (
            not header
            or ANY in self._names
            or name in self._names
            or name.endswith(self._domains)
            or (self._addresses and is_address(name))
        )


def host_of(header: str) -> str:
    """The host in a Host header, in lower case, without port, brackets and final dot.

    Example:
        >>> host_of("Pi.local.:8000"), host_of("[::1]:8000"), host_of("::1")
        ('pi.local', '::1', '::1')
    """
    header = header.strip()
    if header.startswith("["):
        return _normal(header[1:].partition("]")[0])
    return _normal(header if header.count(":") > 1 else header.partition(":")[0])


def is_address(host: str) -> bool:
    """Whether a host is an IP address.

    Example:
        >>> is_address("192.168.1.7"), is_address("::1"), is_address("192.168.1.7.evil.example")
        (True, True, False)
    """
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False


def names_of_this_machine() -> list[str]:
    """The names under which this machine is usually reached: localhost, its host name, and that name in `.local`."""
    name = socket.gethostname()
    return [*_LOCAL, name, socket.getfqdn(), f"{name.partition('.')[0]}.local"]


def accepted_names(host: str, allowed: Iterable[str] = ()) -> tuple[list[str], bool]:
    """The names that a service on an address accepts, and whether it accepts any IP address.

    Args:
        host: address or name that the service listens on.
        allowed: further names.

    Example:
        >>> accepted_names("127.0.0.1", ["pi.example.com"])
        (['localhost', '127.0.0.1', '::1', '127.0.0.1', 'pi.example.com'], False)
        >>> accepted_names("0.0.0.0")[1]
        True
    """
    is_local = host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)
    names = _LOCAL if is_local else names_of_this_machine()
    return [*names, host, *allowed], not is_local


def _normal(name: str) -> str:
    return name.lower().strip("[]").removesuffix(".")
