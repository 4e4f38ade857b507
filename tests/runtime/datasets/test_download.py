"""Download of a data set of the catalogue from a local server."""

import gzip
import hashlib
import struct
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from digits_edge.runtime.datasets import catalogue, load
from digits_edge.runtime.datasets.catalogue import KnownFile, KnownSet
from digits_edge.runtime.datasets.download import download
from digits_edge.runtime.errors import DataError

PLAIN = {
    "train-images-idx3-ubyte.gz": struct.pack(">IIII", 0x803, 40, 28, 28) + bytes(range(196)) * 160,
    "train-labels-idx1-ubyte.gz": struct.pack(">II", 0x801, 40) + bytes(40),
}
PACKED = {name: gzip.compress(content, mtime=0) for name, content in PLAIN.items()}
IMAGES, LABELS = PLAIN


class Mirror(HTTPServer):
    """Serves `files`, truncates the first `truncations` responses, and records the requests."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), RequestHandler)
        self.files, self.truncations, self.supports_range, self.requests = dict(PACKED), 0, True, []
        self.url = f"http://127.0.0.1:{self.server_port}/"


class RequestHandler(BaseHTTPRequestHandler):
    def do_GET(self):
        name, requested_range = self.path.strip("/"), self.headers.get("Range")
        self.server.requests.append((name, requested_range))
        if name not in self.server.files:
            return self.send_error(404)
        content, start = self.server.files[name], 0
        if requested_range and self.server.supports_range:
            start = int(requested_range.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        rest = content[start:]
        if self.server.truncations:
            self.server.truncations -= 1
            rest = rest[: len(rest) // 2]
        self.wfile.write(rest)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def mirror():
    with Mirror() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def known(*mirrors):
    files = tuple(KnownFile(name, hashlib.sha256(content).hexdigest()) for name, content in PLAIN.items())
    return KnownSet("mnist", files={"train": files}, mirrors=mirrors)


def is_complete(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()} == PACKED


def test_files_are_downloaded_and_progress_reports_bytes(tmp_path, mirror):
    calls = []
    download(known(mirror.url), "train", tmp_path / "new", progress=lambda done, total: calls.append((done, total)))
    assert is_complete(tmp_path / "new")
    assert (len(PACKED[IMAGES]), len(PACKED[IMAGES])) in calls


def test_existing_files_are_not_requested(tmp_path, mirror):
    (tmp_path / IMAGES).write_bytes(PACKED[IMAGES])
    download(known(mirror.url), "train", tmp_path)
    assert [name for name, _ in mirror.requests] == [LABELS]


def test_an_interrupted_transfer_is_resumed(tmp_path, mirror):
    (tmp_path / LABELS).write_bytes(PACKED[LABELS])
    mirror.truncations = 1
    download(known(mirror.url), "train", tmp_path)
    assert is_complete(tmp_path)
    assert mirror.requests[1] == (IMAGES, f"bytes={len(PACKED[IMAGES]) // 2}-")


def test_a_part_from_an_earlier_call_is_resumed(tmp_path, mirror):
    (tmp_path / f".{IMAGES}.part").write_bytes(PACKED[IMAGES][:100])
    download(known(mirror.url), "train", tmp_path)
    assert is_complete(tmp_path)
    assert (IMAGES, "bytes=100-") in mirror.requests


@pytest.mark.parametrize("extra", [b"", b"too much"])
def test_a_part_of_full_length_is_verified(tmp_path, mirror, extra):
    (tmp_path / f".{IMAGES}.part").write_bytes(PACKED[IMAGES] + extra)
    download(known(mirror.url), "train", tmp_path)
    assert is_complete(tmp_path)


def test_a_part_with_other_content_is_discarded(tmp_path, mirror):
    (tmp_path / f".{IMAGES}.part").write_bytes(b"<html>" * 10)
    download(known(mirror.url), "train", tmp_path)
    assert is_complete(tmp_path)


def test_a_server_without_range_support_sends_the_file_from_the_start(tmp_path, mirror):
    mirror.supports_range = False
    (tmp_path / f".{IMAGES}.part").write_bytes(PACKED[IMAGES][:100])
    download(known(mirror.url), "train", tmp_path)
    assert is_complete(tmp_path)


def test_a_transfer_without_progress_fails_and_leaves_the_part(tmp_path, mirror):
    (tmp_path / LABELS).write_bytes(PACKED[LABELS])
    mirror.truncations, mirror.supports_range = 1000, False
    with pytest.raises(DataError, match="connection closed after"):
        download(known(mirror.url), "train", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {LABELS, f".{IMAGES}.part"}


@pytest.mark.parametrize(
    "content",
    [gzip.compress(b"something else", mtime=0), b"<html>log in first</html>", b""],
    ids=["gzip", "page", "empty"],
)
def test_a_file_with_a_wrong_checksum_is_not_stored(tmp_path, mirror, content):
    mirror.files[IMAGES] = content
    with pytest.raises(DataError, match="wrong checksum"):
        download(known(mirror.url), "train", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [LABELS]


def test_the_next_mirror_is_tried(tmp_path, mirror):
    download(known(mirror.url + "gone/", mirror.url), "train", tmp_path)
    assert is_complete(tmp_path)


def test_the_error_of_all_mirrors_lists_the_files_to_download_by_hand(tmp_path, mirror):
    with pytest.raises(DataError) as caught:
        download(known(mirror.url + "gone/", "http://127.0.0.1:1/"), "train", tmp_path)
    message = str(caught.value)
    assert "127.0.0.1: HTTP Error 404: Not Found; 127.0.0.1: <urlopen error" in message
    assert f"put {IMAGES} and {LABELS} into {tmp_path}, or set DIGITS_EDGE_DATA" in message
    assert "\n" not in message


def test_load_downloads_a_missing_data_set_into_the_cache(tmp_path, mirror, monkeypatch):
    monkeypatch.setitem(catalogue.CATALOGUE, "mnist", known(mirror.url))
    monkeypatch.setenv("DIGITS_EDGE_CACHE", str(tmp_path))
    monkeypatch.delenv("DIGITS_EDGE_DATA", raising=False)
    assert len(load("mnist")) == 40
    requests = len(mirror.requests)
    assert len(load("mnist")) == 40
    assert len(mirror.requests) == requests


def test_load_completes_a_download_that_failed_after_the_first_file(tmp_path, mirror, monkeypatch):
    monkeypatch.setitem(catalogue.CATALOGUE, "mnist", known(mirror.url))
    monkeypatch.setenv("DIGITS_EDGE_CACHE", str(tmp_path))
    monkeypatch.delenv("DIGITS_EDGE_DATA", raising=False)
    images = mirror.files.pop(IMAGES)
    with pytest.raises(DataError, match="could not be downloaded"):
        load("mnist")
    mirror.files[IMAGES] = images
    assert len(load("mnist")) == 40


def test_the_error_for_a_missing_kaggle_csv_says_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setenv("DIGITS_EDGE_CACHE", str(tmp_path))
    monkeypatch.delenv("DIGITS_EDGE_DATA", raising=False)
    with pytest.raises(DataError, match=r"downloaded by hand: put train\.csv into .*kaggle"):
        load("kaggle")
