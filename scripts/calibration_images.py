"""Make the images or lines again that the export of a run needs: `python -m scripts.calibration_images RUN`.

The runs in `model_sources/` do not have them, because a part of them are changed images of MNIST. The lines of `number`
take ten minutes.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from digits_edge.runtime.datasets import load
from digits_edge.runtime.errors import DigitsEdgeError, UsageError
from digits_edge.train.data.made_hands import calibration_hands
from digits_edge.train.numbers.line_data import training_lines, validation_lines
from digits_edge.train.training.recipe import read_recipe
from digits_edge.train.training.run_folder import CALIBRATION, LINES, RECIPE, write_images


def write_calibration_images(run: Path, data: str) -> None:
    """Write the images, or the lines of a sequence model, to a run folder.

    Args:
        run: the run folder.
        data: data set of the run, as for `load`.

    Raises:
        DataError: the fonts cannot be fetched, or the data is damaged.
        InputError: there is no recipe, or no data.
        UsageError: the run has no made images or lines.
    """
    recipe = read_recipe(run / RECIPE)
    if recipe.lines is not None:
        digits = load(data, "train")
        for make in (training_lines, validation_lines):
            make(digits, recipe.validation, recipe.lines, run / LINES, lambda part, _: print(part, flush=True))
        return
    if recipe.hands is None:
        raise UsageError(f"{run}: the run has no made images, so it needs none for the calibration")
    made = calibration_hands(load(data, "train"), recipe.validation, recipe.hands)
    write_images(run / CALIBRATION, made.images, made.labels)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--data", default="mnist", help="data set of the run")
    options = parser.parse_args(arguments)
    try:
        write_calibration_images(options.run, options.data)
    except DigitsEdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
