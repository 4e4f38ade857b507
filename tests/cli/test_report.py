"""`digits-edge report`."""

from importlib.util import find_spec

import numpy as np
import pytest

from digits_edge.runtime.datasets.synthetic_digits import draw_image

pytestmark = pytest.mark.skipif(find_spec("matplotlib") is None, reason="needs the extra [train]")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """60 synthetic digits as an .npz file with both splits; one image is in both."""
    rng = np.random.default_rng(11)
    labels = (np.arange(60) % 10).astype(np.uint8)
    images = np.stack([draw_image(int(label), rng) for label in labels])
    images[45] = images[5]
    path = tmp_path_factory.mktemp("data") / "drawn.npz"
    np.savez(path, x_train=images[:40], y_train=labels[:40], x_test=images[40:], y_test=labels[40:])
    return path


def test_page_and_summary_are_written_and_the_page_is_replaced_only_with_overwrite(run, drawn, tmp_path, monkeypatch):
    # tests/train/data/test_report.py draws real pages
    monkeypatch.setattr("digits_edge.train.report.data_page.data_page", lambda report, readings: f"<p>{report.name}")
    (tmp_path / "report.html").write_text("mine")
    refused = run("report", drawn)
    assert (refused.code, refused.error) == (2, "report.html already exists; replace it with --overwrite")
    assert (tmp_path / "report.html").read_text() == "mine"
    done = run("report", drawn, "--overwrite")
    assert (done.code, done.stderr) == (0, "")
    assert "1 of 20 test images have a near-duplicate in the training images" in done.stdout
    assert done.stdout.endswith("wrote report.html\n")
    assert (tmp_path / "report.html").read_text("utf-8") == "<p>drawn"


@pytest.mark.slow
def test_page_is_reproducible(run, drawn, tmp_path):
    pages = []
    for name in ("one.html", "other.html"):
        [found] = run("report", drawn, "-o", name, "--json").objects
        assert found["page"] == name
        pages.append((tmp_path / name).read_text("utf-8"))
    assert pages[0] == pages[1]


def test_json_has_the_statistics_and_writes_no_page_by_default(run, drawn, tmp_path):
    [found] = run("report", drawn, "--json").objects
    assert (found["schema_version"], found["name"], found["page"]) == (1, "drawn", None)
    assert [(split["split"], split["images"]) for split in found["splits"]] == [("train", 40), ("test", 20)]
    assert (found["leakage"]["identical"], found["leakage"]["identical_other_label"]) == (1, 0)
    assert list(tmp_path.iterdir()) == []


def test_invalid_rows_of_a_csv_are_counted(run, images, write_csv):
    rows = images.reshape(10, -1).astype(object)
    rows[2, 7], rows[4, 0] = "", 300
    [found] = run("report", write_csv(rows), "--json").objects
    account = found["splits"][0]["account"]
    assert (account["rows"], account["broken_rows"], account["missing"], account["out_of_range"]) == (10, 2, 1, 1)
    assert account["first"][0] == {"row": 3, "column": "pixel7", "value": "", "kind": "missing"}


def test_error_names_missing_data(run):
    done = run("report", "nowhere")
    assert done.code == 4
    assert done.error.startswith("nowhere: no such file or folder")
