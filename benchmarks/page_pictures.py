"""Extract the pictures of a page that `report`, `evaluate` or `compare` wrote.

python -m benchmarks.page_pictures page.html FOLDER
"""

import argparse
import base64
import re
from html import unescape
from pathlib import Path

_PICTURE = re.compile(r'<img src="data:image/(png|svg\+xml);base64,([^"]+)" alt="([^"]*)">')


def pictures(page: str) -> list[tuple[str, bytes]]:
    """Return the file name (number and start of the alternative text) and the content of every picture."""
    found = []
    for number, (kind, content, alt) in enumerate(_PICTURE.findall(page), start=1):
        words = re.findall(r"[a-z0-9]+", unescape(alt).lower())[:6]
        found.append((f"{number:02}-{'-'.join(words)}.{kind.split('+')[0]}", base64.b64decode(content)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path, help="HTML page")
    parser.add_argument("folder", type=Path, help="folder for the pictures")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name, content in pictures(arguments.page.read_text("utf-8")):
        (arguments.folder / name).write_bytes(content)
        print(arguments.folder / name)


if __name__ == "__main__":
    main()
