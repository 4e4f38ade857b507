"""`digits-edge report`."""

from importlib.util import find_spec

import numpy as np
import pytest

from digits_edge.runtime.datasets.synthetic_digits import draw_image

pytestmark = pytest.mark.skipif(find_spec("matplotlib") is None, reason="needs the extra [train]")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """60 drawn digits as an .npz with both splits; one of them is in both."""
    rng = np.random.default_rng(11)
    labels = (np.arange(60) % 10).astype(np.uint8)
    images = np.stack([draw_image(int(label), rng) for label in labels])
    images[45] = images[5]
    path = tmp_path_factory.mktemp("data") / "drawn.npz"
    np.savez(path, x_train=images[:40], y_train=labels[:40], x_test=images[40:], y_test=labels[40:])
    return path


def test_page_is_written_and_summed_up_and_replaced_only_when_asked(run, drawn, tmp_path):
    done = run("report", drawn)
    assert (done.code, done.stderr) == (0, "")
    assert "of 20 test images 1 have a near training image" in done.stdout
    assert done.stdout.endswith("report.html: the whole report\n")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "Data report: drawn" in page
    assert 'src="http' not in page

    (tmp_path / "report.html").write_text("mine")
    refused = run("report", drawn)
    assert (refused.code, refused.complaint) == (2, "report.html exists already; --overwrite replaces it")
    assert (tmp_path / "report.html").read_text() == "mine"
    [replaced] = run("report", drawn, "-o", "report.html", "--overwrite", "--json").objects
    assert replaced["page"] == "report.html"
    assert (tmp_path / "report.html").read_text("utf-8") == page


def test_json_has_the_figures_and_leaves_no_page_that_was_not_named(run, drawn, tmp_path):
    [found] = run("report", drawn, "--json").objects
    assert (found["schema_version"], found["name"], found["page"]) == (1, "drawn", None)
    assert [(split["split"], split["images"]) for split in found["splits"]] == [("train", 40), ("test", 20)]
    assert (found["leakage"]["identical"], found["leakage"]["identical_other_label"]) == (1, 0)
    assert list(tmp_path.iterdir()) == []


def test_broken_csv_is_reported_instead_of_refused(run, images, write_csv):
    rows = images.reshape(10, -1).astype(object)
    rows[2, 7], rows[4, 0] = "", 300
    [found] = run("report", write_csv(rows), "--json").objects
    account = found["splits"][0]["account"]
    assert (account["rows"], account["broken_rows"], account["missing"], account["out_of_range"]) == (10, 2, 1, 1)
    assert account["first"][0] == {"row": 3, "column": "pixel7", "value": "", "kind": "missing"}


def test_data_that_is_not_there_is_named(run):
    done = run("report", "nowhere")
    assert done.code == 4
    assert done.complaint.startswith("nowhere: no such file or folder")
