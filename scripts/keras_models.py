"""Print a table of Keras models that are exported or refused, for docs/reference: `python -m scripts.keras_models`.

Each model of `tests.export.keras_models` is fitted to drawn pictures and exported in every precision, which takes a
few minutes.
"""

import argparse
import tempfile
from pathlib import Path

from digits_edge.runtime.model.model_file import PRECISIONS
from tests.export.keras_models import KINDS, Outcome, outcome, source_of

_HEADER = """| Keras model | precision | result | kB | largest difference | int8 | s |
|---|---|---|---|---|---|---|"""


def row(name: str, precision: str, result: Outcome) -> str:
    """One line of the table.

    Example:
        >>> row("swish", "fp16", Outcome("", 20_480, 2e-4, seconds=0.31))
        '| swish | fp16 | exported | 20 | 0.0002 |  | 0.3 |'
    """
    if result.message:
        return f"| {name} | {precision} | {result.message} |  |  |  | {result.seconds:.1f} |"
    layers = f"exported; float: {', '.join(result.float_layers)}" if result.float_layers else "exported"
    share = f"{result.int8_share:.0%}" if precision == "int8" else ""
    size = f"{result.size_bytes / 1024:.0f}"
    return f"| {name} | {precision} | {layers} | {size} | {result.difference:.1g} | {share} | {result.seconds:.1f} |"


def main() -> None:
    """Export all models, or those whose names contain one of the arguments."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("words", nargs="*", help="parts of names; without any, all models")
    words = parser.parse_args().words
    print(_HEADER)
    with tempfile.TemporaryDirectory() as folder:
        for name in KINDS:
            if words and not any(word in name for word in words):
                continue
            source, data = source_of(name)
            for precision in PRECISIONS:
                path = Path(folder, f"{len(list(Path(folder).iterdir()))}.onnx")
                print(row(name, precision, outcome(source, data, precision, path)), flush=True)


if __name__ == "__main__":
    main()
