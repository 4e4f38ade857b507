"""Run the stored inputs, or those in FOLDER, without atheris: `python -m fuzz.replay [FOLDER]`.

FOLDER has a subfolder for each target, as `python -m fuzz --into FOLDER` creates it. `coverage run -m fuzz.replay`
measures which branches the inputs reach.
"""

import sys
from pathlib import Path

from fuzz.corpus import inputs
from fuzz.targets import TARGETS


def replay(folder: Path | None) -> int:
    """Run every input once.

    Returns:
        Number of inputs.

    Raises:
        Exception: any error that a target raises.
    """
    count = 0
    for name, target in TARGETS.items():
        given = inputs(name) if folder is None else (path.read_bytes() for path in sorted((folder / name).glob("*")))
        for content in given:
            target.run(content)
            count += 1
    return count


if __name__ == "__main__":
    print(f"{replay(Path(sys.argv[1]) if len(sys.argv) > 1 else None):,} inputs passed")
