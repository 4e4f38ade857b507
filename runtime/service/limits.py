"""What the service takes at most: `Limits`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of what strangers may ask for.

    Attributes:
        body_bytes: of one request; a telephone's picture of 50 megapixels has 15 million.
        picture_pixels: of one picture; bringing it to the form of an image takes about 8 bytes for each.
        requests: in flight, beyond which the answer is 429.
        bytes: of all bodies in flight, beyond which the answer is 429.
        body_s: in which a request's body has to arrive.
        answer_s: in which it has to be answered, once it is there.
        head_bytes: of a request's line and headers.
        connections: open at once, beyond which the answer is 503.
        shutdown_s: how long the requests in flight have when the service is to end.
    """

    body_bytes: int = 16 * 1024 * 1024
    picture_pixels: int = 50_000_000
    requests: int = 256
    bytes: int = 256 * 1024 * 1024
    body_s: float = 20.0
    answer_s: float = 30.0
    head_bytes: int = 64 * 1024
    connections: int = 1024
    shutdown_s: int = 10
