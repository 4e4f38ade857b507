"""Opening a picture gives an image or an error of digits-edge in one line."""

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
    """A PNG with a header of this size and no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    packed = (struct.pack(">I", len(c)) + t + c + struct.pack(">I", zlib.crc32(t + c)) for t, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def is_supported(image_format: str, mode: str) -> bool:
    try:
        encoded(GREY.convert(mode), image_format)
    except (OSError, ValueError, KeyError):
        return False
    return True


FORMATS_AND_MODES = [
    (image_format, mode)
    for image_format in ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
    for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16", "I", "F")
    if is_supported(image_format, mode)
]


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "seven.png"
    path.write_bytes(encoded(GREY, "PNG"))
    return path


class FailingStream(io.RawIOBase):
    """A stream that fails when read."""

    def read(self, size: int = -1) -> bytes:
        raise OSError("device disconnected")


def test_path_string_bytes_and_stream_give_the_same_picture(png: Path):
    with png.open("rb") as stream:
        opened = [open_picture(source) for source in (png, str(png), png.read_bytes(), stream, Image.open(png))]
    assert all(np.array_equal(picture, GREY) for picture in opened)


@pytest.mark.parametrize(("image_format", "mode"), FORMATS_AND_MODES)
def test_every_format_and_mode_opens_in_a_supported_mode(image_format: str, mode: str):
    picture = open_picture(encoded(GREY.convert(mode), image_format))
    assert picture.mode in MODES
    assert picture.size == GREY.size


def test_16_bit_picture_keeps_its_contrast():
    scan = np.linspace(1000, 5000, 600).reshape(20, 30).astype(np.uint16)
    picture = np.asarray(open_picture(encoded(Image.fromarray(scan), "PNG")))
    assert (picture.min(), picture.max()) == (0, 255)


def test_transparent_palette_keeps_its_transparency():
    palette = GREY.convert("P")
    assert open_picture(encoded(palette, "PNG", transparency=0)).mode == "RGBA"


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(image_format: str):
    exif = Image.Exif()
    exif[0x0112] = 6
    for mode in ("L", "CMYK" if image_format in ("JPEG", "TIFF") else "RGB"):
        assert open_picture(encoded(GREY.convert(mode), image_format, exif=exif)).size == (20, 30)


def test_animation_gives_its_first_frame():
    frames = [Image.new("L", (8, 8), level) for level in (10, 200)]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.asarray(open_picture(content).convert("L")).max() == 10


def test_large_jpeg_is_decoded_at_a_reduced_size():
    picture = open_picture(encoded(Image.new("RGB", (4000, 3000)), "JPEG"))
    assert JPEG_SIDE <= min(picture.size) < 2 * JPEG_SIDE


def test_huge_picture_is_rejected_before_decoding():
    with pytest.raises(ImageError, match="reduce it first"):
        open_picture(png_header(50_000, 50_000))


@pytest.mark.filterwarnings("error")
def test_pillow_s_warning_about_large_pictures_is_suppressed():
    side = int(MAX_PIXELS**0.5) + 2000
    with pytest.raises(ImageError, match=f"more than {MAX_PIXELS:,}"):
        open_picture(png_header(side, side))


def test_pillow_image_is_not_modified():
    given_image = Image.fromarray(np.zeros((4, 4), np.uint8))
    open_picture(given_image).putpixel((0, 0), 255)
    assert given_image.getpixel((0, 0)) == 0


def test_damaged_pillow_image_is_an_image_error():
    with pytest.raises(ImageError, match="the Pillow image is damaged"):
        open_picture(Image.open(io.BytesIO(encoded(GREY, "PNG")[:-40])))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"7\n", "not a picture in a supported format"),
        (encoded(GREY, "PNG")[:-40], "damaged or incomplete"),
        (encoded(GREY, "JPEG")[:-40], "damaged or incomplete"),
        (encoded(GREY, "PCX"), "not a picture in a supported format"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "is a HEIC picture; save it as PNG or JPEG"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0", "is a HEIC picture"),
        (b"\0\0\0\x20ftypavif\0\0\0\0", "is an AVIF picture"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "is a JPEG XL picture"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "is a JPEG 2000 picture"),
        (b"%PDF-1.7\n", "is a PDF file; save the page as PNG"),
        (b'<?xml version="1.0"?>\n<svg width="28">', "is an SVG drawing"),
        (b"\n<!doctype html>", "is a web page, possibly a login page"),
        (b"data:image/png;base64,iVBORw0KGgo=", "is a data URL; decode the picture"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "get the picture with `git lfs pull`"),
    ],
)
def test_error_names_the_broken_file(tmp_path: Path, content: bytes, reason: str):
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=reason) as caught:
        open_picture(path)
    assert str(path) in str(caught.value)


def test_missing_file_folder_and_pipe_are_errors(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (("none.png", "does not exist"), (".", "is a folder"), ("pipe", "not a regular file")):
        with pytest.raises(InputError, match=reason):
            open_picture(tmp_path / name)
    with pytest.raises(InputError, match="could not be read"):
        open_picture("nul\0.png")
    with pytest.raises(InputError, match="could not be read"):
        open_picture("n" * 5000)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root can read every file")
def test_unreadable_file_is_an_error(png: Path):
    png.chmod(0)
    with pytest.raises(InputError, match="is not readable"):
        open_picture(png)


def test_control_characters_in_a_name_are_escaped(tmp_path: Path):
    with pytest.raises(InputError) as caught:
        open_picture(tmp_path / "red\x1b[31m\nseven.png")
    assert str(caught.value).isprintable()
    assert printable("sieben-ü.png") == "sieben-ü.png"


def test_position_of_a_stream_without_a_picture_is_restored():
    stream = io.BytesIO(b"header without a picture")
    stream.seek(6)
    with pytest.raises(ImageError):
        open_picture(stream)
    assert stream.tell() == 6


def test_text_stream_and_failing_stream_are_errors():
    with pytest.raises(ImageError, match="mode 'rb'"):
        open_picture(io.StringIO("text"))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="device disconnected"):
        open_picture(FailingStream())  # type: ignore[arg-type]


@pytest.mark.parametrize("source", [None, 7, ["seven.png"], object()])
def test_error_names_an_unsupported_type(source: object):
    with pytest.raises(ImageError, match=type(source).__name__):
        open_picture(source)  # type: ignore[arg-type]


@pytest.mark.parametrize(("shape", "mode"), [((5, 4), "L"), ((5, 4, 1), "L"), ((5, 4, 2), "LA"), ((5, 4, 3), "RGB")])
def test_number_of_channels_determines_the_mode(shape: tuple[int, ...], mode: str):
    assert open_picture(np.zeros(shape, np.uint8)).mode == mode


def test_bool_and_float_arrays_range_from_black_to_white():
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
        (np.array([["a"]]), "not a picture"),
    ],
)
def test_unsupported_array_is_an_error(array: np.ndarray, reason: str):
    with pytest.raises(ImageError, match=reason):
        open_picture(array)


def test_folder_expands_to_its_pictures_in_order(tmp_path: Path):
    for name in ("b.png", "a.JPG", "notes.txt", ".hidden.png"):
        (tmp_path / name).touch()
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "c.png").touch()
    assert [path.name for path in find_pictures([tmp_path])] == ["a.JPG", "b.png"]
    assert [path.name for path in find_pictures([str(tmp_path / "**" / "*.png")])] == ["b.png", "c.png"]


@pytest.mark.parametrize(
    ("suffix", "image_format"),
    [(".jfif", "JPEG"), (".JPE", "JPEG"), (".pnm", "PPM"), (".apng", "PNG"), (".jpg", "WEBP")],
)
def test_other_suffixes_of_a_format_are_pictures_of_a_folder(tmp_path: Path, suffix: str, image_format: str):
    (tmp_path / f"seven{suffix}").write_bytes(encoded(GREY, image_format))
    [path] = find_pictures([tmp_path])
    assert open_picture(path).size == GREY.size


@pytest.mark.parametrize("suffix", [".heic", ".HEIF", ".hif", ".avif", ".jxl", ".jp2"])
def test_pictures_of_a_folder_that_cannot_be_decoded_are_not_omitted(tmp_path: Path, suffix: str):
    (tmp_path / "photo").with_suffix(suffix).write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "Thumbs.db").touch()
    [path] = find_pictures([tmp_path])
    with pytest.raises(ImageError, match=f"photo{suffix} is a HEIC picture"):
        open_picture(path)


def test_tiff_with_several_pages_is_an_error():
    pages = [Image.new("L", (60, 80), level) for level in (10, 200)]
    with pytest.raises(ImageError, match="has several pages; save each page as a picture"):
        open_picture(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]))


@pytest.mark.parametrize(("size", "kind"), [((12, 16), 0), ((60, 80), 1), ((60, 80), 4)], ids=["small", "copy", "mask"])
def test_thumbnail_and_mask_of_a_tiff_are_not_pages(size: tuple[int, int], kind: int):
    second = Image.new("L", size, 200)
    second.encoderinfo = {"tiffinfo": {254: kind}}
    content = encoded(Image.new("L", (60, 80), 10), "TIFF", save_all=True, append_images=[second])
    assert np.asarray(open_picture(content)).max() == 10


def test_missing_file_is_not_removed(tmp_path: Path):
    assert find_pictures([tmp_path / "none.png"]) == [tmp_path / "none.png"]


def test_folder_without_pictures_is_an_error_and_pattern_without_a_match_a_missing_file(tmp_path: Path):
    with pytest.raises(InputError, match="contains no pictures"):
        find_pictures([tmp_path])
    assert find_pictures([tmp_path / "*.png"]) == [tmp_path / "*.png"]
    with pytest.raises(InputError, match="does not exist"):
        open_picture(tmp_path / "*.png")


def assert_opens_or_raises(source: object) -> None:
    message = ""
    try:
        assert open_picture(source).mode in MODES  # type: ignore[arg-type]
    except DigitsEdgeError as error:
        message = str(error)
    assert message.isprintable()


@given(st.binary(max_size=300))
def test_random_bytes_open_or_raise(content: bytes):
    assert_opens_or_raises(content)


@given(
    st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
    st.floats(0.3, 1),
)
@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_mutated_files_open_or_raise(image_format: str, changes: list[tuple[float, int]], share: float):
    content = bytearray(encoded(GREY, image_format))
    for position, value in changes:
        content[int(position * len(content))] = value
    assert_opens_or_raises(bytes(content[: int(share * len(content)) + 1]))


@given(
    hnp.arrays(
        st.one_of(hnp.scalar_dtypes(), hnp.unicode_string_dtypes()),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6),
    )
)
def test_any_array_opens_or_raises(array: np.ndarray):
    assert_opens_or_raises(array)


def test_limit_of_webp_is_lower():
    grey = Image.new("L", (6000, 5000), 255)
    assert open_picture(encoded(grey, "PNG")).size == (6000, 5000)
    with pytest.raises(ImageError, match="has 6000×5000 pixels, more than 25,000,000"):
        open_picture(encoded(grey, "WEBP", quality=1, method=0))


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_conversion_to_8_bits_needs_little_memory(dtype):
    pixels = np.full((2500, 2000), 300, dtype)
    pixels[900:1000] = 100
    picture = Image.fromarray(pixels)
    tracemalloc.start()
    opened = open_picture(picture)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * pixels.size  # bytes; 24 if converted to float64 at once
    assert opened.getextrema() == (0, 255)


@pytest.mark.filterwarnings("error")
def test_non_finite_values_are_black_without_a_warning():
    pixels = np.array([[np.nan, np.inf, -np.inf, 3.0]], np.float32)
    pixels.view(np.uint32)[0, 0] = 0x7F800001  # a signalling NaN
    assert np.asarray(open_picture(Image.fromarray(pixels))).tolist() == [[0, 0, 0, 0]]
