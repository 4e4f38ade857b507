"""The page to draw digits on, in files that a browser takes as they are: `PAGE` is their folder."""

from pathlib import Path

PAGE = Path(__file__).parent
#: The files, without what Python keeps in the folder.
PAGE_FILES = tuple(sorted(path for path in PAGE.iterdir() if path.suffix in (".css", ".html", ".js", ".svg")))
