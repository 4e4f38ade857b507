"""Opening a user's file: a picture, or an error of ours in one line."""

import io
import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from digits_edge.runtime.errors import DigitsEdgeError, ImageError, InputError
from digits_edge.runtime.preprocessing.pictures import JPEG_SIDE, MAX_PIXELS, find_pictures, open_picture, printable

MODES = {"L", "LA", "RGB", "RGBA"}
GREY = Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30).astype(np.uint8))


def encoded(picture: Image.Image, image_format: str, **options) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, image_format, **options)
    return stream.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises its size and holds next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    packed = (struct.pack(">I", len(c)) + t + c + struct.pack(">I", zlib.crc32(t + c)) for t, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def can_hold(image_format: str, mode: str) -> bool:
    try:
        encoded(GREY.convert(mode), image_format)
    except (OSError, ValueError, KeyError):
        return False
    return True


FORMATS_AND_MODES = [
    (image_format, mode)
    for image_format in ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
    for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16", "I", "F")
    if can_hold(image_format, mode)
]


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "seven.png"
    path.write_bytes(encoded(GREY, "PNG"))
    return path


class Unwilling(io.RawIOBase):
    """A stream that fails when read."""

    def read(self, size: int = -1) -> bytes:
        raise OSError("the cable is out")


def test_a_path_its_name_its_bytes_and_its_stream_open_alike(png: Path):
    with png.open("rb") as stream:
        opened = [open_picture(source) for source in (png, str(png), png.read_bytes(), stream, Image.open(png))]
    assert all(np.array_equal(picture, GREY) for picture in opened)


@pytest.mark.parametrize(("image_format", "mode"), FORMATS_AND_MODES)
def test_every_format_and_mode_opens_in_a_mode_that_canonical_takes(image_format: str, mode: str):
    picture = open_picture(encoded(GREY.convert(mode), image_format))
    assert picture.mode in MODES
    assert picture.size == GREY.size


def test_sixteen_bits_keep_their_contrast():
    scan = np.linspace(1000, 5000, 600).reshape(20, 30).astype(np.uint16)
    picture = np.asarray(open_picture(encoded(Image.fromarray(scan), "PNG")))
    assert (picture.min(), picture.max()) == (0, 255)


def test_a_transparent_palette_keeps_its_transparency():
    palette = GREY.convert("P")
    assert open_picture(encoded(palette, "PNG", transparency=0)).mode == "RGBA"


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_exif_turns_the_picture(image_format: str):
    exif = Image.Exif()
    exif[0x0112] = 6
    for mode in ("L", "CMYK" if image_format in ("JPEG", "TIFF") else "RGB"):
        assert open_picture(encoded(GREY.convert(mode), image_format, exif=exif)).size == (20, 30)


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("L", (8, 8), level) for level in (10, 200)]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.asarray(open_picture(content).convert("L")).max() == 10


def test_a_large_jpeg_is_decoded_smaller_but_not_small():
    picture = open_picture(encoded(Image.new("RGB", (4000, 3000)), "JPEG"))
    assert JPEG_SIDE <= min(picture.size) < 2 * JPEG_SIDE


def test_a_huge_header_is_refused_before_decoding():
    with pytest.raises(ImageError, match="reduce it first"):
        open_picture(png_header(50_000, 50_000))


@pytest.mark.filterwarnings("error")
def test_pillows_own_warning_on_large_pictures_does_not_leak():
    side = int(MAX_PIXELS**0.5) + 2000
    with pytest.raises(ImageError, match=f"more than {MAX_PIXELS:,}"):
        open_picture(png_header(side, side))


def test_the_given_pillow_image_is_left_as_it_was():
    given_image = Image.fromarray(np.zeros((4, 4), np.uint8))
    open_picture(given_image).putpixel((0, 0), 255)
    assert given_image.getpixel((0, 0)) == 0


def test_a_pillow_image_that_turns_out_damaged_is_an_image_error():
    with pytest.raises(ImageError, match="the Pillow image is damaged"):
        open_picture(Image.open(io.BytesIO(encoded(GREY, "PNG")[:-40])))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"7\n", "no picture of a known format"),
        (encoded(GREY, "PNG")[:-40], "damaged or incomplete"),
        (encoded(GREY, "JPEG")[:-40], "damaged or incomplete"),
        (encoded(GREY, "PCX"), "no picture of a known format"),
    ],
)
def test_a_broken_file_is_named_with_the_mend(tmp_path: Path, content: bytes, reason: str):
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=reason) as caught:
        open_picture(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_a_folder_and_a_pipe_are_named(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (("none.png", "does not exist"), (".", "is a folder"), ("pipe", "not a regular file")):
        with pytest.raises(InputError, match=reason):
            open_picture(tmp_path / name)
    with pytest.raises(InputError, match="could not be read"):
        open_picture("nul\0.png")
    with pytest.raises(InputError, match="could not be read"):
        open_picture("n" * 5000)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_file_is_named(png: Path):
    png.chmod(0)
    with pytest.raises(InputError, match="may not be read"):
        open_picture(png)


def test_control_characters_of_a_name_are_escaped(tmp_path: Path):
    with pytest.raises(InputError) as caught:
        open_picture(tmp_path / "red\x1b[31m\nseven.png")
    assert str(caught.value).isprintable()
    assert printable("sieben-ü.png") == "sieben-ü.png"


def test_a_stream_that_holds_no_picture_stands_where_it_stood():
    stream = io.BytesIO(b"header, then no picture")
    stream.seek(6)
    with pytest.raises(ImageError):
        open_picture(stream)
    assert stream.tell() == 6


def test_a_text_stream_and_a_failing_stream_are_refused():
    with pytest.raises(ImageError, match="mode 'rb'"):
        open_picture(io.StringIO("text"))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="the cable is out"):
        open_picture(Unwilling())  # type: ignore[arg-type]


@pytest.mark.parametrize("source", [None, 7, ["seven.png"], object()])
def test_what_is_no_picture_is_refused_by_its_type(source: object):
    with pytest.raises(ImageError, match=type(source).__name__):
        open_picture(source)  # type: ignore[arg-type]


@pytest.mark.parametrize(("shape", "mode"), [((5, 4), "L"), ((5, 4, 1), "L"), ((5, 4, 2), "LA"), ((5, 4, 3), "RGB")])
def test_an_array_opens_by_its_channels(shape: tuple[int, ...], mode: str):
    assert open_picture(np.zeros(shape, np.uint8)).mode == mode


def test_bool_and_unit_floats_mean_black_to_white():
    for array in (np.array([[True, False]]), np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]], np.float16)):
        assert np.asarray(open_picture(array)).tolist() == [[255, 0]]


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((5, 4), np.int64), "int64"),
        (np.full((5, 4), 200.0), "divide by 255"),
        (np.full((5, 4), np.nan), "divide by 255"),
        (np.zeros((5, 4, 7), np.uint8), "5×4×7"),
        (np.zeros(784, np.uint8), "784"),
        (np.zeros((0, 4), np.uint8), "no pixels"),
        (np.array([["a"]]), "no picture"),
    ],
)
def test_another_array_is_refused_with_the_mend(array: np.ndarray, reason: str):
    with pytest.raises(ImageError, match=reason):
        open_picture(array)


def test_a_folder_stands_for_its_pictures_in_order(tmp_path: Path):
    for name in ("b.png", "a.JPG", "notes.txt", ".hidden.png"):
        (tmp_path / name).touch()
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "c.png").touch()
    assert [path.name for path in find_pictures([tmp_path])] == ["a.JPG", "b.png"]
    assert [path.name for path in find_pictures([str(tmp_path / "**" / "*.png")])] == ["b.png", "c.png"]


def test_a_missing_file_is_kept_for_the_one_who_opens_it(tmp_path: Path):
    assert find_pictures([tmp_path / "none.png"]) == [tmp_path / "none.png"]


def test_a_folder_without_pictures_is_an_error_and_a_glob_without_a_match_a_missing_file(tmp_path: Path):
    with pytest.raises(InputError, match="holds no pictures"):
        find_pictures([tmp_path])
    assert find_pictures([tmp_path / "*.png"]) == [tmp_path / "*.png"]
    with pytest.raises(InputError, match="does not exist"):
        open_picture(tmp_path / "*.png")


def opens_or_says_why(source: object) -> None:
    message = ""
    try:
        assert open_picture(source).mode in MODES  # type: ignore[arg-type]
    except DigitsEdgeError as error:
        message = str(error)
    assert message.isprintable()


@given(st.binary(max_size=300))
def test_random_bytes_open_or_say_why(content: bytes):
    opens_or_says_why(content)


@given(
    st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
    st.floats(0.3, 1),
)
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_mutated_files_open_or_say_why(image_format: str, changes: list[tuple[float, int]], kept: float):
    content = bytearray(encoded(GREY, image_format))
    for position, value in changes:
        content[int(position * len(content))] = value
    opens_or_says_why(bytes(content[: int(kept * len(content)) + 1]))


@given(
    hnp.arrays(
        st.one_of(hnp.scalar_dtypes(), hnp.unicode_string_dtypes()),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6),
    )
)
def test_any_array_opens_or_says_why(array: np.ndarray):
    opens_or_says_why(array)


def test_a_webp_may_have_fewer_pixels_for_its_decoder_takes_more_memory():
    grey = Image.new("L", (6000, 5000), 255)
    assert open_picture(encoded(grey, "PNG")).size == (6000, 5000)
    with pytest.raises(ImageError, match="has 6000×5000 pixels, more than 25,000,000"):
        open_picture(encoded(grey, "WEBP", quality=1, method=0))


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_greys_of_more_than_eight_bits_take_little_more_than_their_own_memory(dtype):
    pixels = np.full((2500, 2000), 300, dtype)
    pixels[900:1000] = 100
    picture = Image.fromarray(pixels)
    tracemalloc.start()
    opened = open_picture(picture)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * pixels.size  # bytes; in float64 at once it were 24
    assert opened.getextrema() == (0, 255)


@pytest.mark.filterwarnings("error")
def test_numbers_that_are_none_are_black_without_a_warning():
    pixels = np.array([[np.nan, np.inf, -np.inf, 3.0]], np.float32)
    pixels.view(np.uint32)[0, 0] = 0x7F800001  # a signalling NaN
    assert np.asarray(open_picture(Image.fromarray(pixels))).tolist() == [[0, 0, 0, 0]]
