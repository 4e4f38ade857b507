"""Limits on the requests that the service accepts, and the settings of their batches."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits on requests and connections.

    Attributes:
        body_bytes: maximum size of a request body. A 50-megapixel photo of a phone has about 15 MB.
        json_bytes: maximum size of the JSON part of a request. Parsing it blocks the event loop; binary tensors do not
            count. It is enough for 300 digits or one colour image of 256×256.
        images: maximum number of images in a request. Later requests wait for all of them. `body_bytes` is the lower
            limit for images of more than 8,192 values.
        picture_pixels: maximum number of pixels in a picture. Preprocessing takes up to 12 bytes of memory per pixel.
        requests: maximum number of requests in flight; further requests get status 429.
        bytes: maximum total size of the bodies in flight; further requests get status 429.
        body_s: time limit for receiving a request head, and again for receiving its body, in seconds.
        answer_s: time limit for processing a complete request, and again for sending the response, in seconds.
        head_bytes: maximum size of a request line and its headers.
        connections: maximum number of open connections; further ones get status 503. The limit is at least twice
            `requests`.
        shutdown_s: time that requests in flight get to finish at shutdown, in seconds.

    Example:
        >>> limits = Limits(requests=16)
        >>> limits.requests, limits.body_bytes
        (16, 16777216)
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


@dataclass(frozen=True)
class Batching:
    """Settings of the micro-batching.

    Attributes:
        largest: maximum number of images in a batch; 1 runs every request on its own. Batches of large images are
            smaller, see `digits_edge.runtime.service.served_models.MAX_VALUES`.
        delay_s: time that a request may wait for others to fill the batch, in seconds.
    """

    largest: int = 256
    delay_s: float = 0.0
