"""Handwriting fonts, fetched once from npm into the user's cache: `FONTS`, `fetch_fonts`.

`handwriting_fonts.json` lists the fonts. Each has the Open Font License, a fixed version and the SHA-512 of its npm
package, as in the lock files of npm. `python -m digits_edge.train.data.fonts` prints the list.
"""

import io
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from digits_edge.runtime.datasets.dataset import ProgressCallback
from digits_edge.runtime.errors import DataError, InputError
from digits_edge.runtime.files import atomic_write, user_cache
from digits_edge.runtime.json_record import read_json
from digits_edge.runtime.npm import integrity_of, npm_pack

_SCOPE = "fontsource"
#: Packages per call of npm.
_PER_CALL = 11
_LIST = Path(__file__).with_name("handwriting_fonts.json")


@dataclass(frozen=True)
class Font:
    """A font of the list.

    Attributes:
        name: name of the npm package without its scope.
        version: version of the package.
        licence: SPDX identifier.
        integrity: checksum of the package, "sha512-" and base64.

    Example:
        >>> font = Font("caveat", "5.3.0", "OFL-1.1", "sha512-…")
        >>> font.package, font.file_name
        ('@fontsource/caveat@5.3.0', 'caveat-5.3.0.woff2')
    """

    name: str
    version: str
    licence: str
    integrity: str

    @property
    def package(self) -> str:
        """Package and version, as npm writes them."""
        return f"@{_SCOPE}/{self.name}@{self.version}"

    @property
    def file_name(self) -> str:
        """Name of the font file in the cache; the licence has the same name with the suffix `.txt`."""
        return f"{self.name}-{self.version}.woff2"

    @property
    def archive(self) -> str:
        """Name of the package's file, as `npm pack` writes it."""
        return f"{_SCOPE}-{self.name}-{self.version}.tgz"


def _listed() -> tuple[Font, ...]:
    return tuple(Font(**row) for row in read_json(_LIST))


#: The fonts of `handwriting_fonts.json`, in alphabetical order.
FONTS = _listed()


def fonts_folder() -> Path:
    """Folder of the fonts: `fonts` in the user's cache."""
    return user_cache() / "fonts"


def fetch_fonts(
    fonts: Sequence[Font] = FONTS, folder: Path | None = None, *, progress: ProgressCallback | None = None
) -> list[Path]:
    """Fetch the fonts that the folder lacks, and return the files of all.

    A font file appears complete and verified, with its licence text beside it.

    Args:
        fonts: fonts to fetch.
        folder: target folder; created if missing. None for `fonts_folder()`.
        progress: called with (fonts fetched so far, number of fonts to fetch).

    Returns:
        Paths of the `.woff2` files, in the order of `fonts`.

    Raises:
        UsageError: npm is not installed, or could not download a font.
        DataError: a font has another checksum.
        InputError: the folder cannot be written.

    Example:
        >>> len(fetch_fonts())  # doctest: +SKIP
        88
    """
    folder = fonts_folder() if folder is None else folder
    missing = [font for font in fonts if not (folder / font.file_name).exists()]
    for start in range(0, len(missing), _PER_CALL):
        _fetch(missing[start : start + _PER_CALL], folder)
        if progress is not None:
            progress(min(start + _PER_CALL, len(missing)), len(missing))
    return [folder / font.file_name for font in fonts]


def unpack_font(package: bytes, font: Font) -> tuple[bytes, bytes]:
    """Check a package and take out the font file (Latin, regular weight) and the licence text.

    Args:
        package: content of the `.tgz` file.
        font: entry of the list.

    Raises:
        DataError: the checksum is wrong, or the package lacks one of the files.
    """
    if f"sha512-{integrity_of(package)}" != font.integrity:
        raise DataError(f"{font.package}: the SHA-512 of the package differs from the list's; download it again")
    wanted = (f"package/files/{font.name}-latin-400-normal.woff2", "package/LICENSE")
    with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as archive:
        try:
            members = [archive.extractfile(name) for name in wanted]
        except KeyError as error:
            raise DataError(f"{font.package}: no member {error} in the package; remove it from {_LIST.name}") from error
        texts = [b"" if member is None else member.read() for member in members]
    return texts[0], texts[1]


def _fetch(fonts: Sequence[Font], folder: Path) -> None:
    """Download packages with npm, and store the font and the licence of each in the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} could not be created: {error.strerror}; set DIGITS_EDGE_CACHE") from error
    with tempfile.TemporaryDirectory() as packages:
        remedy = f"copy the files of another machine into {folder}, or train with --hands 0"
        npm_pack([font.package for font in fonts], Path(packages), remedy=remedy)
        for font in fonts:
            content, licence = unpack_font(Path(packages, font.archive).read_bytes(), font)
            path = folder / font.file_name
            # the font last: it is the sign that both files are complete
            for target, data in ((path.with_suffix(".txt"), licence), (path, content)):
                with atomic_write(target) as stream:
                    stream.write(data)


def main() -> None:
    """Print package, version and licence of each font."""
    for font in FONTS:
        print(f"{font.package}\t{font.licence}")


if __name__ == "__main__":
    main()
