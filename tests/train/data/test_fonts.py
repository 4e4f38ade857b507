"""Handwriting fonts: the pinned list, the check of packages, and the download with npm."""

import base64
import hashlib
import io
import os
import sys
import tarfile
from pathlib import Path

import pytest

from digits_edge.runtime.errors import DataError, UsageError
from digits_edge.train.data.fonts import FONTS, Font, fetch_fonts, main, unpack_font


def package(name: str, *, licence: bytes | None = b"Open Font License") -> bytes:
    """An npm package of a font, whose file has the font's name as its content."""
    members = {f"package/files/{name}-latin-400-normal.woff2": name.encode(), "package/LICENSE": licence}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for path, content in members.items():
            if content is not None:
                entry = tarfile.TarInfo(path)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def listed(name: str, content: bytes) -> Font:
    digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
    return Font(name, "1.0.0", "OFL-1.1", f"sha512-{digest}")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of packages that an `npm` on the path copies; it logs its calls in `calls`."""
    if os.name != "posix":
        pytest.skip("the replacement of npm is a script for POSIX systems")
    folder = tmp_path / "packages"
    folder.mkdir()
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, shutil, sys\n"
        f"source = pathlib.Path({str(folder)!r})\n"
        "names, target = sys.argv[2:-2], sys.argv[-1]\n"
        "with (source / 'calls').open('a') as calls:\n"
        "    print(*names, file=calls)\n"
        "for name in names:\n"
        "    file = name.removeprefix('@').replace('/', '-').replace('@', '-') + '.tgz'\n"
        "    shutil.copy(source / file, target)\n"
    )
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(npm.parent))
    return folder


def test_every_font_of_the_list_is_pinned_and_free() -> None:
    assert len(FONTS) >= 54
    assert len({font.name for font in FONTS}) == len(FONTS)
    assert {font.licence for font in FONTS} == {"OFL-1.1"}
    for font in FONTS:
        assert len(base64.b64decode(font.integrity.removeprefix("sha512-"), validate=True)) == 64


def test_fonts_are_fetched_once_with_their_licences(packages: Path, tmp_path: Path) -> None:
    fonts = [listed(name, package(name)) for name in ("pen", "chalk")]
    for font in fonts:
        (packages / font.archive).write_bytes(package(font.name))
    steps: list[tuple[int, int | None]] = []
    for _ in range(2):
        files = fetch_fonts(fonts, tmp_path / "cache", progress=lambda *step: steps.append(step))
    assert [file.read_bytes() for file in files] == [b"pen", b"chalk"]
    assert all(file.with_suffix(".txt").read_bytes() == b"Open Font License" for file in files)
    assert (packages / "calls").read_text().splitlines() == ["@fontsource/pen@1.0.0 @fontsource/chalk@1.0.0"]
    assert steps == [(2, 2)]


def test_changed_package_is_refused_and_leaves_no_font(packages: Path, tmp_path: Path) -> None:
    font = listed("pen", package("pen"))
    (packages / font.archive).write_bytes(package("pen", licence=b"another"))
    with pytest.raises(DataError, match=r"@fontsource/pen@1\.0\.0: the SHA-512"):
        fetch_fonts([font], tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_package_without_licence_is_refused() -> None:
    content = package("pen", licence=None)
    with pytest.raises(DataError, match="LICENSE"):
        unpack_font(content, listed("pen", content))


def test_failed_download_names_package_and_folder(packages: Path, tmp_path: Path) -> None:
    fonts = [listed(name, package(name)) for name in ("pen", "chalk")]
    with pytest.raises(UsageError, match=r"@fontsource/pen@1\.0\.0 and 1 others: .*cache"):
        fetch_fonts(fonts, tmp_path / "cache")


def test_list_of_licences_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(FONTS)
    assert all(line.startswith("@fontsource/") and line.endswith("\tOFL-1.1") for line in lines)
