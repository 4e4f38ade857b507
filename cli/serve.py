"""`digits-edge serve`: the HTTP service and its page."""

import contextlib
import os
import sys

import click

from digits_edge.cli.extras import needs_extra
from digits_edge.cli.options import examples, file_path, json_option, models_option, session_options
from digits_edge.cli.output import note, print_json
from digits_edge.runtime.errors import InputError

#: There is no option for the key itself: other users of the machine can see the arguments of a process.
KEY_VARIABLE = "DIGITS_EDGE_API_KEY"


@click.command(
    epilog=examples(
        "digits-edge serve --model edge-int8 --port 8080",
        "digits-edge serve --host 0.0.0.0 --key-file key.txt",
    )
)
@models_option
@session_options
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="Name under which clients or a proxy may address the service, such as digits.example.com; an asterisk "
    "replaces a subdomain or the name. Repeatable.  [default: names of this machine, and its IP addresses]",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port; 0 for a free one.")
@click.option(
    "--batch-size",
    type=click.IntRange(1, 1024),
    default=256,
    show_default=True,
    help="Maximum number of images per batch; a batch has the images of several requests.",
)
@click.option(
    "--batch-delay",
    type=click.FloatRange(0, 1000),
    default=0.0,
    show_default=True,
    metavar="MS",
    help="Time that a request may wait for others to fill the batch.",
)
@click.option(
    "--max-requests",
    type=click.IntRange(1, 100_000),
    default=256,
    show_default=True,
    help="Maximum number of requests in flight; others get status 429.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Number of processes that share the port, each with its own models, limits and --threads; by default, the "
    "threads are divided among them.",
)
@click.option(
    "--key-file",
    metavar="FILE",
    help=f"File with the API key that requests must send.  [default: {KEY_VARIABLE}, or no key]",
)
@json_option
def command(
    models: tuple[str, ...],
    provider: str,
    threads: int | None,
    host: str,
    allowed_hosts: tuple[str, ...],
    port: int,
    batch_size: int,
    batch_delay: float,
    max_requests: int,
    workers: int,
    key_file: str | None,
    as_json: bool,
) -> None:
    """Serve models over HTTP, with a page to try them.

    The API accepts pictures, and images by the Open Inference Protocol; /docs describes it. /metrics has metrics for
    Prometheus. Pictures and images are not stored.

    Requests for other host names than those of this machine are refused, so that no site can reach the service through
    a name of its own. Behind a proxy that keeps the Host header, pass the public name with --allowed-host.

    Without a key, all clients that can reach the address can use the service. By default, only this machine can.
    """
    key = _key(key_file)
    with needs_extra("cpu", "serve"):
        import digits_edge.runtime.service.app  # noqa: F401 - it needs all packages of the extra
        from digits_edge.runtime.service.host_names import accepted_names
        from digits_edge.runtime.service.limits import Batching, Limits
        from digits_edge.runtime.service.metrics import Metrics
        from digits_edge.runtime.service.server import listen, server
        from digits_edge.runtime.service.settings import Settings
        from digits_edge.runtime.service.workers import serve_with_workers
    hosts, addresses = accepted_names(host, allowed_hosts)
    settings = Settings(
        models=models,
        provider=provider,
        threads=threads,
        batching=Batching(batch_size, batch_delay / 1000),
        limits=Limits(requests=max_requests),
        key=key,
        hosts=tuple(hosts),
        addresses=addresses,
    )
    listening, metrics = listen(host, port), Metrics()
    served = settings.open(metrics)  # also for several processes: here, a model that cannot be opened is one clear line
    shown = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{listening.getsockname()[1]}/"
    if as_json:
        print_json({"url": url, "models": [model.name for model in served]})
        sys.stdout.flush()  # callers wait for this line
    else:
        note(f"Serving on {url} (API: {url}docs). Press Ctrl-C to stop.")
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is the regular end
        if workers == 1:
            server(settings.app(served, metrics), settings.limits).run(sockets=[listening])
        else:
            served.close()
            serve_with_workers(settings, workers, listening)


def _key(key_file: str | None) -> str | None:
    """Read the API key from a file or the environment; None if there is none."""
    if key_file is None:
        key = os.environ.get(KEY_VARIABLE)
        return None if key is None else _checked(key, KEY_VARIABLE)
    path = file_path(key_file)
    try:
        return _checked(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from error


def _checked(text: str, place: str) -> str:
    """Return the key without surrounding space if it is valid in a header."""
    key = text.strip()
    if not key.isascii() or not key.isprintable() or len(key.split()) != 1:
        raise InputError(f"{place}: invalid API key; use one word of printable ASCII characters")
    return key
