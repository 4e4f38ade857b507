"""Print the table of docs/reference/keras-models.md: `python -m scripts.keras_models`.

Each Keras model of `tests.export.keras_models` is fitted to drawn pictures and exported in every precision, which takes
ten minutes.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from digits_edge.runtime.model.model_file import PRECISIONS
from tests.export.keras_models import KINDS, Outcome, outcome, source_of

_HEADER = "| Keras model | fp32 | fp16 | int8 | of it int8 | s |\n|---|---|---|---|---|---|"


def row(name: str, results: Sequence[Outcome]) -> str:
    """One line of the table.

    Args:
        name: the model.
        results: what became of it in each precision, int8 last.

    Example:
        >>> row("swish", [Outcome("", 20_480, 2e-7, 0.0, (), 0.3), Outcome("", 10_240, 2e-4, 0.75, ("conv_1",), 0.5)])
        '| swish | 20 kB, 2e-07 | 10 kB, 0.0002 | 75 %; float: conv_1 | 0.8 |'
    """
    cells = [each.message or f"{each.size_bytes / 1024:.0f} kB, {each.difference:.1g}" for each in results]
    last = results[-1]
    layers = f"; float: {', '.join(last.float_layers)}" if last.float_layers else ""
    share = "" if last.message else f"{last.int8_share:.0%}".replace("%", " %") + layers
    return f"| {name} | {' | '.join(cells)} | {share} | {sum(each.seconds for each in results):.1f} |"


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
            files = [Path(folder, f"{list(KINDS).index(name)}-{precision}.onnx") for precision in PRECISIONS]
            results = [
                outcome(source, data, precision, file) for precision, file in zip(PRECISIONS, files, strict=True)
            ]
            print(row(name, results), flush=True)


if __name__ == "__main__":
    main()
