"""Safe decoding of untrusted pictures, `open_picture`, and search for pictures in folders, `find_pictures`.

The format must be one of a short list, the size is checked before decoding, and every error of a decoder becomes an
`ImageError` that names the picture.
"""

import errno
import glob
import io
import os
import re
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from digits_edge.runtime.errors import ImageError, InputError, one_line

PictureSource = str | os.PathLike[str] | bytes | IO[bytes] | Image.Image | NDArray[Any]

#: Pillow's name of a format → suffixes of its files.
FORMATS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}
SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
#: Suffixes of the pictures in a folder. Those that cannot be decoded are reported as errors instead of omitted.
PICTURE_SUFFIXES = SUFFIXES | {".heic", ".heif", ".hif", ".avif", ".jxl", ".jp2"}
#: First bytes of other files that are named or sent as pictures, and what they are.
_OTHER_FILES = {
    rb"....ftyp(avif|avis)": "an AVIF picture; save it as PNG or JPEG",
    rb"....ftyp(hei|hev|mif1|msf1)": "a HEIC picture; save it as PNG or JPEG",
    rb"\xff\x0a|....JXL ": "a JPEG XL picture; save it as PNG or JPEG",
    rb"....jP  ": "a JPEG 2000 picture; save it as PNG or JPEG",
    rb"%PDF": "a PDF file; save the page as PNG",
    rb"\s*(<\?xml[^>]*>\s*)?<svg": "an SVG drawing; save it as PNG",
    rb"\s*<": "a web page, possibly a login page; download the picture again",
    rb"data:image/": "a data URL; decode the picture after the comma from base64",
    rb"version https://git-lfs": "a pointer of Git LFS; get the picture with `git lfs pull`",
}

#: Maximum number of pixels. An A4 page at 600 dpi has 35 million, a phone's photo up to 50 million. Decoding and
#: preprocessing such a picture takes up to 500 MB of memory; WebP's decoder needs 16 bytes for each pixel.
MAX_PIXELS, MAX_WEBP_PIXELS = 60_000_000, 25_000_000
#: Maximum size of a file in bytes.
MAX_BYTES = 4 * MAX_PIXELS
#: Large JPEGs are decoded at 1/2, 1/4 or 1/8 of their size, with no side below this number of pixels: a 12-megapixel
#: photo is decoded 4× faster, and a digit of 1/20 of its height still has more than 20 pixels.
JPEG_SIDE = 640

#: Key of `info` of an opened JPEG with its size before it was reduced, as stored.
_STORED_SIZE = "digits_edge_stored_size"
_BAND_PIXELS = 1_000_000
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Tag of the kind of a TIFF page, and two of its bits.
_SUBFILE_TYPE, _REDUCED, _MASK = 254, 1, 4
_warnings_lock = threading.Lock()


def open_picture(source: PictureSource, *, most_pixels: int = MAX_PIXELS, jpeg_side: int = JPEG_SIDE) -> Image.Image:
    """Open and decode a picture, rotated according to its EXIF orientation.

    Args:
        source: A path; the bytes of a file; a binary file object, read from its position to its end (the position is
            restored if the picture cannot be opened); a Pillow image; or an array, (H, W) or (H, W, C) with C = 1 grey,
            2 grey and alpha, 3 RGB, 4 RGBA, of dtype uint8, bool (true is white) or float in 0…1.
        most_pixels: Maximum number of pixels, at most `MAX_PIXELS`; memory is proportional to it.
        jpeg_side: Large JPEGs are reduced, but no side below this number of pixels, see `JPEG_SIDE`.

    Returns:
        A new image of mode L, LA, RGB or RGBA. For an animation, the first frame; for a large JPEG, a reduced image,
        whose `full_size` is that of the file.

    Raises:
        ImageError: The format is not one of `FORMATS`, the file is damaged, the picture has more than `most_pixels`
            (WebP: `MAX_WEBP_PIXELS`), a TIFF has several pages, or the array has an unsupported shape, dtype or range.
        InputError: The file does not exist, is a folder, or is not readable.

    Example:
        >>> open_picture(np.zeros((20, 30, 3), np.uint8)).size
        (30, 20)
    """
    if isinstance(source, Image.Image):
        _check_size(source.size, "the Pillow image", most_pixels)
        with _as_image_errors("the Pillow image"):
            return _normalized(source.copy())
    if isinstance(source, np.ndarray):
        return _from_array(source, most_pixels)
    if isinstance(source, bytes | bytearray | memoryview):
        return _decoded(bytes(source), "the picture", most_pixels, jpeg_side)
    if isinstance(source, str | os.PathLike):
        return _decoded(_file_bytes(Path(source)), printable(source), most_pixels, jpeg_side)
    if hasattr(source, "read"):
        return _from_stream(source, most_pixels, jpeg_side)
    raise ImageError(
        f"{type(source).__name__} is not a picture; pass a path, bytes, a binary file, a Pillow image or an array"
    )


def full_size(picture: Image.Image) -> tuple[int, int]:
    """Width and height of an opened picture before it was reduced, upright.

    Args:
        picture: Image as `open_picture` returns it.

    Example:
        >>> full_size(open_picture(np.zeros((20, 30), np.uint8)))
        (30, 20)
        >>> stream = io.BytesIO()
        >>> Image.new("L", (4000, 3000)).save(stream, "JPEG")
        >>> picture = open_picture(stream.getvalue())
        >>> picture.size, full_size(picture)
        ((1000, 750), (4000, 3000))
    """
    width, height = picture.info.get(_STORED_SIZE, picture.size)
    is_turned = (width > height) != (picture.width > picture.height)
    return (height, width) if is_turned else (width, height)


def find_pictures(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Expand folders and glob patterns to the paths of pictures, in the order of the arguments.

    A folder becomes the pictures directly in it, selected by suffix and sorted by name; a glob pattern (`**` matches
    folders) becomes its sorted matches. Other paths are returned unchanged, so that a missing file is reported when it
    is opened and the other pictures are still processed.

    Args:
        paths: Files, folders and glob patterns.

    Returns:
        Paths of pictures.

    Raises:
        InputError: A folder contains no pictures or is not readable.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("b.png", "a.jpg", "notes.txt"):
        ...         Path(folder, name).touch()
        ...     [path.name for path in find_pictures([folder])]
        ['a.jpg', 'b.png']
    """
    return [picture for path in paths for picture in _pictures_of(Path(path))]


def printable(path: str | os.PathLike[str]) -> str:
    r"""Return a path for an error message, quoted and escaped if it contains control characters.

    Example:
        >>> printable("seven.png")
        'seven.png'
        >>> print(printable("seven\n.png"))
        'seven\n.png'
    """
    text = os.fspath(path)
    return text if text.isprintable() else repr(text)


def _pictures_of(path: Path) -> list[Path]:
    try:
        if path.is_dir():
            return _in_folder(path)
        if path.exists() or not glob.has_magic(str(path)):
            return [path]
    except OSError:
        return [path]
    found = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207 - path may be absolute
    # a pattern without a match is reported when it is opened, like a missing file
    return [match for match in found if match.is_file()] or [path]


def _in_folder(folder: Path) -> list[Path]:
    try:
        names = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise InputError(f"{printable(folder)} cannot be listed: {error.strerror}; check its permissions") from error
    pictures = [entry for entry in names if entry.suffix.lower() in PICTURE_SUFFIXES and entry.is_file()]
    if not pictures:
        inside = next((entry for entry in names if entry.is_dir()), None)
        deeper = f"; pass its subfolders, for example {printable(inside)}" if inside else ""
        raise InputError(f"{printable(folder)} contains no pictures ({', '.join(sorted(SUFFIXES))}){deeper}")
    return pictures


def _file_bytes(path: Path) -> bytes:
    name = printable(path)
    try:
        if path.is_dir():
            raise InputError(f"{name} is a folder; pass a picture in it")
        if path.exists() and not path.is_file():
            raise InputError(f"{name} is not a regular file; copy it to one first")
        with path.open("rb") as stream:
            return _limited_read(stream, name)
    except FileNotFoundError as error:
        raise InputError(f"{name} does not exist; check the spelling") from error
    except PermissionError as error:
        raise InputError(f"{name} is not readable; check its permissions") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        reason = os.strerror(error.errno or errno.EIO) if isinstance(error, OSError) else str(error)
        raise InputError(f"{name} could not be read: {reason}") from error


def _from_stream(stream: IO[bytes], most_pixels: int, jpeg_side: int) -> Image.Image:
    name = printable(str(getattr(stream, "name", "the stream")))
    try:
        start = stream.tell() if stream.seekable() else None
        content = _limited_read(stream, name)
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{name} could not be read: {error}; pass a binary file opened for reading") from error
    try:
        return _decoded(content, name, most_pixels, jpeg_side)
    except ImageError:
        if start is not None:
            stream.seek(start)
        raise


def _limited_read(stream: IO[bytes], name: str) -> bytes:
    content = stream.read(MAX_BYTES + 1)
    if not isinstance(content, bytes):
        raise ImageError(f"{name} is opened as text; open it with mode 'rb'")
    if len(content) > MAX_BYTES:
        raise ImageError(f"{name} has more than {MAX_BYTES:,} bytes; reduce the picture first")
    return content


def _decoded(content: bytes, name: str, most_pixels: int, jpeg_side: int) -> Image.Image:
    if not content:
        raise ImageError(f"{name} is empty; save the picture again")
    with _as_image_errors(name, content):
        with _no_warnings():
            image = _opened(content)
        _check_size(image.size, name, min(MAX_WEBP_PIXELS, most_pixels) if image.format == "WEBP" else most_pixels)
        if image.format == "TIFF" and _has_second_page(content):
            raise ImageError(f"{name} has several pages; save each page as a picture")
        stored = image.size
        image.draft(None, (jpeg_side, jpeg_side))  # only affects JPEG; None keeps the mode
        image.load()
        upright = _normalized(image)
        upright.info[_STORED_SIZE] = stored
        return upright


def _opened(content: bytes) -> Image.Image:
    """Open a picture without decoding it."""
    if content.startswith(_PNG_SIGNATURE):
        # `Image.open` imports the decoders of other formats too, which takes longer than decoding a small PNG
        from PIL.PngImagePlugin import PngImageFile

        return PngImageFile(io.BytesIO(content))
    return Image.open(io.BytesIO(content), formats=tuple(FORMATS))


@contextmanager
def _as_image_errors(name: str, content: bytes = b"") -> Iterator[None]:
    """Convert every exception of Pillow to an `ImageError`: damaged files can raise nearly any type, even KeyError."""
    try:
        yield
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        kind = next((kind for magic, kind in _OTHER_FILES.items() if re.match(magic, content[:256], re.DOTALL)), None)
        unknown = f"not a picture in a supported format; save it as {', '.join(FORMATS)}"
        raise ImageError(f"{name} is {kind or unknown}") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name} has more than {MAX_PIXELS:,} pixels; reduce it first") from error
    except Exception as error:
        raise ImageError(f"{name} is damaged or incomplete ({one_line(error)}); save the picture again") from error


def _has_second_page(content: bytes) -> bool:
    """Whether a TIFF has a second page that is neither a mask nor a reduced copy of the first.

    Only the second directory is read: counting the pages of a hostile file could take long.
    """
    with suppress(Exception), _no_warnings(), Image.open(io.BytesIO(content), formats=("TIFF",)) as image:
        width = image.width
        image.seek(1)
        kind = getattr(image, "tag_v2", {}).get(_SUBFILE_TYPE, 0)
        return not kind & (_REDUCED | _MASK) and 2 * image.width >= width
    return False


def _from_array(array: NDArray[Any], most_pixels: int) -> Image.Image:
    shape = "×".join(map(str, array.shape))
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)):
        raise ImageError(f"an array of shape ({shape}) is not a picture; pass (H, W) or (H, W, C) with C from 1 to 4")
    _check_size((array.shape[1], array.shape[0]), f"the array of shape ({shape})", most_pixels)
    pixels = _as_uint8(array)
    return Image.fromarray(pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)


def _as_uint8(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if not np.issubdtype(array.dtype, np.floating):
        raise ImageError(f"an array of {array.dtype} is not a picture; convert 0…255 with .astype(numpy.uint8)")
    if not (np.all(array >= 0) and np.all(array <= 1)):  # this form rejects NaN
        raise ImageError("a float array has values outside 0…1; divide by 255, or convert with .astype(numpy.uint8)")
    return np.asarray(np.rint(array * array.dtype.type(255)), np.uint8)


def _check_size(size: tuple[int, int], name: str, most: int) -> None:
    width, height = size
    if width * height == 0:
        raise ImageError(f"{name} has no pixels ({width}×{height})")
    if width * height > most:
        raise ImageError(f"{name} has {width}×{height} pixels, more than {most:,}; reduce it first")


def _normalized(image: Image.Image) -> Image.Image:
    """The image upright, in one of the four modes that `to_mnist_format` accepts."""
    image = _upright(image)  # first: converting a TIFF loses its orientation
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bit(image)
    if "transparency" in image.info:
        return image.convert("LA" if image.mode in ("1", "L") else "RGBA")
    if image.mode in ("PA", "La", "RGBa"):
        return image.convert("RGBA")
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "LA", "RGB", "RGBA") else image.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Convert 16-bit and float grey levels to mode L, their range scaled to 0…255: scanners leave the top bits empty.

    In bands, because a picture of `MAX_PIXELS` takes 480 MB in float64.
    """
    low, high = np.inf, -np.inf
    for _, band in _bands(image):
        finite = band[np.isfinite(band)]
        if finite.size:
            low, high = min(low, finite.min()), max(high, finite.max())
    scale = 255 / (high - low) if high > low else 0.0
    grey = np.empty((image.height, image.width), np.uint8)
    for rows, band in _bands(image):
        with np.errstate(invalid="ignore"):  # an infinity in a picture with one finite value
            grey[rows] = np.rint(np.nan_to_num((band - low) * scale, nan=0.0, posinf=255.0, neginf=0.0))
    return Image.fromarray(grey)


def _bands(image: Image.Image) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yield bands of rows of a grey picture: the slice of rows, and their levels, float64 (n, W)."""
    height = max(1, _BAND_PIXELS // image.width)
    for top in range(0, image.height, height):
        bottom = min(top + height, image.height)
        with np.errstate(invalid="ignore"):  # a signalling NaN
            yield slice(top, bottom), np.asarray(image.crop((0, top, image.width, bottom)), np.float64)


def _upright(image: Image.Image) -> Image.Image:
    with _no_warnings():
        try:
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        except Exception:  # damaged EXIF data does not affect the pixels
            return image
        return ImageOps.exif_transpose(image) if turned else image


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Suppress Pillow's warnings about damaged headers and large pictures: they become errors or are harmless.

    Python's warning filters are global to the process, hence the lock. Only headers and EXIF are read in this context;
    decoding is outside and runs in parallel.
    """
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
