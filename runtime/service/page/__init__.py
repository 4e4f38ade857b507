"""Static files of the page to draw on, or to upload pictures."""

from pathlib import Path

#: Folder of the page.
PAGE = Path(__file__).parent
#: The files of the page, without Python files.
PAGE_FILES = tuple(sorted(path for path in PAGE.iterdir() if path.suffix in (".css", ".html", ".js", ".svg")))
