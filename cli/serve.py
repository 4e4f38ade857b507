"""`digits-edge serve`: the page and the service."""

import contextlib
import ipaddress
import os
import sys

import click

from digits_edge.cli.extras import needs_extra
from digits_edge.cli.options import file_path, json_option, session_options
from digits_edge.cli.output import note, print_json
from digits_edge.runtime.errors import InputError

#: An environment variable and no option, for every user of a machine sees what a process was called with.
KEY_VARIABLE = "DIGITS_EDGE_API_KEY"


@click.command()
@click.option("--model", "models", multiple=True, metavar="NAME|FILE", help="Repeatable.  [default: all bundled]")
@session_options
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 is all of them.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option(
    "--batch-size",
    type=click.IntRange(1, 1024),
    default=256,
    show_default=True,
    help="Images of several requests answered together, at most.",
)
@click.option(
    "--batch-delay",
    type=click.FloatRange(0, 1000),
    default=0.0,
    show_default=True,
    metavar="MS",
    help="How long an image may wait for others.",
)
@click.option(
    "--max-requests",
    type=click.IntRange(1, 100_000),
    default=256,
    show_default=True,
    help="In flight; more are told to come again.",
)
@click.option(
    "--key-file",
    metavar="FILE",
    help=f"Ask for the key that stands in it.  [default: what {KEY_VARIABLE} says, or none]",
)
@json_option
def command(
    models: tuple[str, ...],
    provider: str,
    threads: int | None,
    host: str,
    port: int,
    batch_size: int,
    batch_delay: float,
    max_requests: int,
    key_file: str | None,
    as_json: bool,
) -> None:
    """Serve a page to draw digits on, and an API: the Open Inference Protocol, and plain pictures.

    /docs shows the API, /metrics is for Prometheus. Nothing that is sent is kept. Without a key everybody who reaches
    the address may ask; by default that is this machine alone.
    """
    key = _key(key_file)
    with needs_extra("cpu,serve"):
        from digits_edge.runtime.service.app import create_app
        from digits_edge.runtime.service.limits import Limits
        from digits_edge.runtime.service.metrics import Metrics
        from digits_edge.runtime.service.served_models import Batching, ServedModels
        from digits_edge.runtime.service.server import listen, server
    limits, metrics = Limits(requests=max_requests), Metrics()
    listening = listen(host, port)
    served = ServedModels(
        models,
        provider=provider,
        threads=threads,
        batching=Batching(batch_size, batch_delay / 1000),
        metrics=metrics,
    )
    app = create_app(served, metrics, limits=limits, key=key, hosts=_names(host))
    shown = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{listening.getsockname()[1]}/"
    if as_json:
        print_json({"url": url, "models": [model.name for model in served]})
        sys.stdout.flush()  # who reads it waits for it, and the service only begins now
    else:
        note(f"{url} is the page, {url}docs the API; Ctrl-C ends the service")
    with contextlib.suppress(KeyboardInterrupt):  # that is how it ends
        server(app, limits).run(sockets=[listening])


def _key(key_file: str | None) -> str | None:
    if key_file is None:
        key = os.environ.get(KEY_VARIABLE)
        return None if key is None else _checked(key, KEY_VARIABLE)
    path = file_path(key_file)
    try:
        return _checked(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}") from error


def _checked(text: str, place: str) -> str:
    """A key that a header can carry."""
    key = text.strip()
    if not key.isascii() or not key.isprintable() or len(key.split()) != 1:
        raise InputError(f"{place} holds no key; it must be one word of ASCII")
    return key


def _names(host: str) -> list[str]:
    """By which names the service may be called: where only this machine reaches it, by this machine's alone."""
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return ["localhost", "127.0.0.1", "[::1]", host]
    return ["localhost", "127.0.0.1", "[::1]"] if host == "localhost" else ["*"]
