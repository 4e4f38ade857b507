"""`scripts.calibration_images` makes the lines of a run again."""

import shutil
from pathlib import Path

import numpy as np

from digits_edge.runtime.datasets.line_set import read_line_set
from scripts.calibration_images import write_calibration_images
from tests.line_runs import digits


def test_lines_of_a_run_are_those_of_its_training(line_runs: Path, tmp_path: Path) -> None:
    data = digits()
    np.savez(tmp_path / "blocks.npz", images=data.images, labels=data.labels)
    run = tmp_path / "run"
    shutil.copytree(line_runs / "finished", run)
    shutil.rmtree(run / "lines")
    write_calibration_images(run, str(tmp_path / "blocks.npz"))
    for part in ("training", "validation"):
        again, before = (read_line_set(folder / "lines" / part) for folder in (run, line_runs / "finished"))
        assert again.texts == before.texts
        assert np.array_equal(again.pixels, before.pixels)
