"""Make the images again on which the export of a run is calibrated: `python -m scripts.calibration_images RUN`.

The runs in `model_sources/` do not have them, because a quarter of them are changed images of MNIST.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from digits_edge.runtime.datasets import load
from digits_edge.runtime.errors import DigitsEdgeError, UsageError
from digits_edge.train.data.made_hands import calibration_hands
from digits_edge.train.training.recipe import read_recipe
from digits_edge.train.training.run_folder import CALIBRATION, RECIPE, write_images


def write_calibration_images(run: Path, data: str) -> None:
    """Write the images to a run folder.

    Args:
        run: the run folder.
        data: data set of the run, as for `load`.

    Raises:
        DataError: the fonts cannot be fetched, or the data is damaged.
        InputError: there is no recipe, or no data.
        UsageError: the run has no made images.
    """
    recipe = read_recipe(run / RECIPE)
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
