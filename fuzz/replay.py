"""Give kept inputs, or those in folders, to their targets, without atheris: `python -m fuzz.replay [FOLDER]`.

In a folder the inputs of a target lie in one of its name, as `python -m fuzz --into FOLDER` leaves them. With
`coverage run` in front it tells what they reach.
"""

import sys
from pathlib import Path

from fuzz.corpus import inputs
from fuzz.targets import TARGETS


def replay(folder: Path | None) -> int:
    """Run every input once; how many there were. Whatever a target raises ends it."""
    count = 0
    for name, target in TARGETS.items():
        given = inputs(name) if folder is None else (path.read_bytes() for path in sorted((folder / name).glob("*")))
        for content in given:
            target.run(content)
            count += 1
    return count


if __name__ == "__main__":
    print(f"{replay(Path(sys.argv[1]) if len(sys.argv) > 1 else None):,} inputs held")
