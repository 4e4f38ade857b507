"""Downloading a known set, from a server on this machine."""

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
    """Serves `files`; cuts the first `cuts` answers in the middle; knows Range or not; notes what was asked."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.files, self.cuts, self.knows_range, self.asked = dict(PACKED), 0, True, []
        self.url = f"http://127.0.0.1:{self.server_port}/"


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        name, asked_range = self.path.strip("/"), self.headers.get("Range")
        self.server.asked.append((name, asked_range))
        if name not in self.server.files:
            return self.send_error(404)
        content, start = self.server.files[name], 0
        if asked_range and self.server.knows_range:
            start = int(asked_range.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        rest = content[start:]
        if self.server.cuts:
            self.server.cuts -= 1
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


def test_files_arrive_and_progress_tells_bytes(tmp_path, mirror):
    told = []
    download(known(mirror.url), "train", tmp_path / "new", progress=lambda done, total: told.append((done, total)))
    assert is_complete(tmp_path / "new")
    assert (len(PACKED[IMAGES]), len(PACKED[IMAGES])) in told


def test_files_that_are_there_are_not_asked_for(tmp_path, mirror):
    (tmp_path / IMAGES).write_bytes(PACKED[IMAGES])
    download(known(mirror.url), "train", tmp_path)
    assert [name for name, _ in mirror.asked] == [LABELS]


def test_a_cut_transfer_goes_on_where_it_stopped(tmp_path, mirror):
    (tmp_path / LABELS).write_bytes(PACKED[LABELS])
    mirror.cuts = 1
    download(known(mirror.url), "train", tmp_path)
    assert is_complete(tmp_path)
    assert mirror.asked[1] == (IMAGES, f"bytes={len(PACKED[IMAGES]) // 2}-")


def test_a_part_from_an_earlier_call_is_resumed(tmp_path, mirror):
    (tmp_path / f".{IMAGES}.part").write_bytes(PACKED[IMAGES][:100])
    download(known(mirror.url), "train", tmp_path)
    assert is_complete(tmp_path)
    assert (IMAGES, "bytes=100-") in mirror.asked


@pytest.mark.parametrize("extra", [b"", b"too much"])
def test_a_part_that_is_already_as_long_as_the_file_is_checked(tmp_path, mirror, extra):
    (tmp_path / f".{IMAGES}.part").write_bytes(PACKED[IMAGES] + extra)
    download(known(mirror.url), "train", tmp_path)
    assert is_complete(tmp_path)


def test_a_part_of_something_else_is_fetched_anew(tmp_path, mirror):
    (tmp_path / f".{IMAGES}.part").write_bytes(b"<html>" * 10)
    download(known(mirror.url), "train", tmp_path)
    assert is_complete(tmp_path)


def test_a_server_that_ignores_range_starts_again(tmp_path, mirror):
    mirror.knows_range = False
    (tmp_path / f".{IMAGES}.part").write_bytes(PACKED[IMAGES][:100])
    download(known(mirror.url), "train", tmp_path)
    assert is_complete(tmp_path)


def test_a_server_that_always_cuts_is_given_up_and_the_part_kept(tmp_path, mirror):
    (tmp_path / LABELS).write_bytes(PACKED[LABELS])
    mirror.cuts, mirror.knows_range = 1000, False
    with pytest.raises(DataError, match="cut after"):
        download(known(mirror.url), "train", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {LABELS, f".{IMAGES}.part"}


@pytest.mark.parametrize(
    "content",
    [gzip.compress(b"something else", mtime=0), b"<html>log in first</html>", b""],
    ids=["gzip", "page", "nothing"],
)
def test_wrong_content_is_never_put_in_place(tmp_path, mirror, content):
    mirror.files[IMAGES] = content
    with pytest.raises(DataError, match="wrong checksum"):
        download(known(mirror.url), "train", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [LABELS]


def test_the_next_mirror_is_asked(tmp_path, mirror):
    download(known(mirror.url + "gone/", mirror.url), "train", tmp_path)
    assert is_complete(tmp_path)


def test_without_a_mirror_one_line_says_what_to_put_where(tmp_path, mirror):
    with pytest.raises(DataError) as caught:
        download(known(mirror.url + "gone/", "http://127.0.0.1:1/"), "train", tmp_path)
    message = str(caught.value)
    assert "127.0.0.1: HTTP Error 404: Not Found; 127.0.0.1: <urlopen error" in message
    assert f"put {IMAGES} and {LABELS} into {tmp_path}, or set DIGITS_EDGE_DATA" in message
    assert "\n" not in message


def test_load_downloads_a_name_that_is_nowhere_into_the_cache(tmp_path, mirror, monkeypatch):
    monkeypatch.setitem(catalogue.CATALOGUE, "mnist", known(mirror.url))
    monkeypatch.setenv("DIGITS_EDGE_CACHE", str(tmp_path))
    monkeypatch.delenv("DIGITS_EDGE_DATA", raising=False)
    assert len(load("mnist")) == 40
    asked = len(mirror.asked)
    assert len(load("mnist")) == 40
    assert len(mirror.asked) == asked


def test_load_goes_on_after_a_download_that_got_only_one_of_the_files(tmp_path, mirror, monkeypatch):
    monkeypatch.setitem(catalogue.CATALOGUE, "mnist", known(mirror.url))
    monkeypatch.setenv("DIGITS_EDGE_CACHE", str(tmp_path))
    monkeypatch.delenv("DIGITS_EDGE_DATA", raising=False)
    images = mirror.files.pop(IMAGES)
    with pytest.raises(DataError, match="could not be downloaded"):
        load("mnist")
    mirror.files[IMAGES] = images
    assert len(load("mnist")) == 40


def test_kaggle_says_that_it_has_to_be_fetched_by_hand(tmp_path, monkeypatch):
    monkeypatch.setenv("DIGITS_EDGE_CACHE", str(tmp_path))
    monkeypatch.delenv("DIGITS_EDGE_DATA", raising=False)
    with pytest.raises(DataError, match=r"fetched by hand: put train\.csv into .*kaggle"):
        load("kaggle")
