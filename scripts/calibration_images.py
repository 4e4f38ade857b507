"""Make the images again on which the export of a run is calibrated: `python -m scripts.calibration_images RUN`.

The runs in `model_sources/` do not have them, because a quarter of them are changed images of MNIST.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from digits_edge.runtime.datasets import load
from digits_edge.runtime.errors import UsageError
from digits_edge.train.data.made_hands import calibration_hands
from digits_edge.train.training.recipe import read_recipe
from digits_edge.train.training.run_folder import CALIBRATION, RECIPE, write_images


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the images to the run folder; `arguments` are those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--data", default="mnist", help="data set of the run")
    options = parser.parse_args(arguments)
    recipe = read_recipe(options.run / RECIPE)
    if recipe.hands is None:
        raise UsageError(f"{options.run}: the run has no made images")
    made = calibration_hands(load(options.data, "train"), recipe.validation, recipe.hands)
    write_images(options.run / CALIBRATION, made.images, made.labels)


if __name__ == "__main__":
    main()
