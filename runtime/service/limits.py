"""What the service takes at most: `Limits`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of what strangers may ask for.

    Attributes:
        body_bytes: of one request; a telephone's picture of 50 megapixels has 15 million.
        json_bytes: of one request's JSON, which is read while nothing else is; binary tensors stand beside it.
        images: of one request; what comes after them waits for them.
        picture_pixels: of one picture; bringing it to the form of an image takes up to 12 bytes for each.
        requests: in flight, beyond which the answer is 429.
        bytes: of all bodies in flight, beyond which the answer is 429.
        body_s: in which a request's head, and then its body, has to arrive.
        answer_s: in which it has to be answered, once it is there, and the answer to be read.
        head_bytes: of a request's line and headers.
        connections: open at once, beyond which the answer is 503; at least twice the requests.
        shutdown_s: how long the requests in flight have when the service is to end.
    """

    body_bytes: int = 16 * 1024 * 1024
    json_bytes: int = 1024 * 1024
    images: int = 2048
    picture_pixels: int = 25_000_000
    requests: int = 256
    bytes: int = 256 * 1024 * 1024
    body_s: float = 20.0
    answer_s: float = 30.0
    head_bytes: int = 64 * 1024
    connections: int = 1024
    shutdown_s: int = 10
