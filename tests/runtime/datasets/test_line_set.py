"""Tests of `digits_edge.runtime.datasets.line_set`."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digits_edge.runtime.datasets.line_set import LineSet, read_line_set, write_line_set
from digits_edge.runtime.errors import DataError, InputError


def lines() -> LineSet:
    images = [np.full((32, width), width, np.uint8) for width in (40, 16, 90, 33)]
    return LineSet.of("four", images, ["1", "", "12.-", "€7"])


def test_lines_survive_a_file(tmp_path: Path) -> None:
    with (tmp_path / "lines.npz").open("wb") as stream:
        write_line_set(stream, lines())
    for path in (tmp_path, tmp_path / "lines.npz"):
        found = read_line_set(path)
        assert found.texts == lines().texts
        assert all(np.array_equal(a, b) for a, b in zip(found.images, lines().images, strict=True))


def test_batches_have_every_line_once_with_paper_on_the_right() -> None:
    seen = []
    for rows, batch in lines().batches(size=3):
        assert batch.shape[2] % 4 == 0
        for row, image in zip(rows, batch, strict=True):
            width = int(lines().widths[row])
            assert (image[:, :width] == width).all()
            assert not image[:, width:].any()
            seen.append(row)
    assert sorted(seen) == [0, 1, 2, 3]


def test_a_folder_of_pictures_is_read(tmp_path: Path) -> None:
    picture = Image.new("L", (200, 60), "white")
    picture.paste(0, (40, 10, 48, 50))
    picture.save(tmp_path / "one.png")
    (tmp_path / "labels.csv").write_text("file,text,note\none.png,1,\n")
    found = read_line_set(tmp_path)
    assert found.texts == ("1",)
    assert found.image(0).shape[0] == 32


def test_errors_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither labels\.csv nor"):
        read_line_set(tmp_path)
    (tmp_path / "lines.npz").write_bytes(b"PK damaged")
    with pytest.raises(DataError, match=r"lines\.npz is not a file of lines"):
        read_line_set(tmp_path)
    np.savez(tmp_path / "lines.npz", pixels=np.zeros((32, 9), np.uint8), starts=np.array([0, 7]), texts=np.array(["1"]))
    with pytest.raises(DataError, match="pixels of shape"):
        read_line_set(tmp_path)
    (tmp_path / "labels.csv").write_text("picture,text\none.png,1\n")
    with pytest.raises(DataError, match="no columns file and text"):
        read_line_set(tmp_path)
    (tmp_path / "labels.csv").write_text("file,text\none.png,1\n")
    with pytest.raises(InputError, match="does not exist"):
        read_line_set(tmp_path)
