"""`digits-edge batch-predict`."""

import csv
import gzip
import io
import json
import resource
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from digits_edge.runtime.batch import pictures

PIXELS = [f"pixel{index}" for index in range(784)]
SUBMISSION = ["ImageId,Label", *(f"{row},{digit}" for row, digit in enumerate(range(10), start=1))]


def row_with(value, column=5):
    return [value if index == column else 0 for index in range(784)]


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_csv_gives_a_submission(run, digits_csv, tmp_path):
    result = run("batch-predict", "test.csv", "-o", "out.csv")
    assert (result.code, result.stdout) == (0, "")
    assert result.stderr.startswith("10 rows in ")
    assert (tmp_path / "out.csv").read_text().splitlines() == SUBMISSION


def test_json_counts_rows_and_errors(run, images, write_csv):
    rows = [[digit, *image.ravel()] for digit, image in enumerate(images)]
    write_csv(rows, columns=["label", *PIXELS])
    result = run("batch-predict", "test.csv", "-o", "out.csv", "--json", "--batch-size", "3")
    [report] = result.objects
    assert (result.code, result.stderr) == (0, "")
    assert list(report) == ["schema_version", "output", "rows", "errors", "bad_rows", "seconds", "model", "provider"]
    assert (report["schema_version"], report["rows"], report["errors"], report["output"]) == (1, 10, 0, "out.csv")


def test_gzip_is_read(run, digits_csv, tmp_path):
    (tmp_path / "test.csv.gz").write_bytes(gzip.compress(digits_csv.read_bytes()))
    assert run("batch-predict", "test.csv.gz", "-o", "out.csv").code == 0
    assert (tmp_path / "out.csv").read_text().splitlines() == SUBMISSION


def test_standard_input_is_predicted_to_standard_output(digits_csv):
    command = [sys.executable, "-m", "digits_edge.cli", "batch-predict", "-", "-o", "-"]
    done = subprocess.run(command, input=digits_csv.read_bytes(), capture_output=True)
    assert done.stdout.decode().splitlines() == SUBMISSION


@pytest.mark.parametrize(
    ("columns", "row", "message"),
    [
        (PIXELS[:-1], [0] * 783, "line 1: the header lacks the column pixel783"),
        (PIXELS, row_with("x"), "row 2 (line 3), column pixel5: 'x'"),
        (PIXELS, row_with(-1), "row 2 (line 3), column pixel5: '-1'"),
        (PIXELS, row_with(256), "row 2 (line 3), column pixel5: '256'"),
        (PIXELS, [0] * 700, "row 2 (line 3), column pixel700: missing"),
        (PIXELS, [0] * 785, "row 2 (line 3), after column pixel783"),
    ],
    ids=["missing column", "letter", "minus one", "256", "short row", "long row"],
)
def test_error_of_malformed_csv_has_row_and_column_and_no_file_is_left(run, write_csv, tmp_path, columns, row, message):
    write_csv([[0] * len(columns), row], columns=columns)
    result = run("batch-predict", "test.csv", "-o", "out.csv")
    assert (result.code, result.stdout) == (4, "")
    assert result.error.startswith(("test.csv: ", "test.csv, line 1: "))
    assert message in result.error
    assert names_in(tmp_path) == ["test.csv"]


@pytest.mark.parametrize(("content", "message"), [(b"", "test.csv is empty"), (b"\x1f\x8bzz", "damaged gzip")])
def test_error_names_a_file_that_is_not_a_csv(run, tmp_path, content, message):
    (tmp_path / "test.csv").write_bytes(content)
    result = run("batch-predict", "test.csv", "-o", "out.csv")
    assert result.code == 4
    assert message in result.error
    assert names_in(tmp_path) == ["test.csv"]


def test_error_names_a_missing_csv(run, tmp_path):
    result = run("batch-predict", "none.csv", "-o", "out.csv")
    assert result.code == 4
    assert result.error.startswith("none.csv could not be read: No such file")
    assert names_in(tmp_path) == []


def test_existing_output_is_replaced_only_with_overwrite(run, digits_csv, tmp_path):
    (tmp_path / "out.csv").write_text("mine")
    result = run("batch-predict", "test.csv", "-o", "out.csv")
    assert result.code == 2
    assert result.error == "out.csv already exists; replace it with --overwrite"
    assert (tmp_path / "out.csv").read_text() == "mine"
    assert run("batch-predict", "test.csv", "-o", "out.csv", "--overwrite").code == 0
    assert (tmp_path / "out.csv").read_text().splitlines() == SUBMISSION


@pytest.mark.parametrize(
    ("output", "code", "message"),
    [
        ("test.csv", 2, "is the input file"),
        (".", 2, "is a folder"),
        ("/dev/null", 2, "is a device"),
        ("none/out.csv", 4, "could not be written: folder none does not exist"),
    ],
)
def test_invalid_output_is_refused(run, digits_csv, tmp_path, output, code, message):
    before = digits_csv.read_bytes()
    result = run("batch-predict", "test.csv", "-o", output, "--overwrite")
    assert result.code == code
    assert message in result.error
    assert names_in(tmp_path) == ["test.csv"]
    assert digits_csv.read_bytes() == before


def test_full_disk_prints_one_line_and_leaves_no_file(write_csv, tmp_path):
    """In a mount namespace with a file system of 4 KiB, which is removed when the command ends."""
    write_csv([[0] * 784] * 1500)
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = 'mount -t tmpfs -o size=4k tmpfs disk || exit; "$@"; code=$?; ls -A disk; exit $code'
    command = [sys.executable, "-m", "digits_edge.cli", "batch-predict", "test.csv", "-o", "disk/out.csv"]
    if not shutil.which("unshare"):
        pytest.skip("needs unshare to mount a small disk")
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh", *command], capture_output=True, text=True
    )
    if done.stderr.startswith(("unshare:", "mount:")):
        pytest.skip(f"a small disk cannot be mounted: {done.stderr.strip()}")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == "error: disk/out.csv could not be written: No space left on device\n"


def test_file_size_limit_prints_one_line_and_leaves_no_file(write_csv, tmp_path):
    write_csv([[0] * 784] * 1500)
    done = subprocess.run(
        [sys.executable, "-m", "digits_edge.cli", "batch-predict", "test.csv", "-o", "out.csv"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 4
    assert done.stderr == "error: out.csv could not be written: File too large\n"
    assert names_in(tmp_path) == ["test.csv"]


def test_error_names_a_malformed_row_of_standard_input(run, write_csv, monkeypatch):
    content = write_csv([row_with("x")]).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    result = run("batch-predict", "-", "-o", "out.csv")
    assert result.code == 4
    assert result.error.startswith("standard input: row 1 (line 2), column pixel5")


def test_folder_of_pictures_gives_predictions_by_file_name(run, images, tmp_path):
    (tmp_path / "scans").mkdir()
    for digit, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"scans/{digit}.png")
    result = run("batch-predict", "scans", "-o", "out.csv", "--json")
    [report] = result.objects
    assert (result.code, report["pictures"], report["blank"]) == (0, 10, 0)
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "File,Label,Confidence,Status"
    assert [line.split(",")[:2] for line in lines[1:]] == [[f"{digit}.png", str(digit)] for digit in range(10)]
    assert run("batch-predict", "scans", "-o", "again.csv").stderr.startswith("10 pictures in ")


def test_unreadable_picture_is_reported_with_exit_code_4(run, images, tmp_path):
    (tmp_path / "scans").mkdir()
    Image.fromarray(images[3]).save(tmp_path / "scans/3.png")
    (tmp_path / "scans/broken.png").write_bytes(b"no picture")
    result = run("batch-predict", "scans", "-o", "out.csv")
    assert result.code == 4
    assert "broken.png" in result.stderr
    assert (tmp_path / "out.csv").read_text().splitlines()[2] == "broken.png,,,error"


def test_malformed_rows_can_be_skipped(run, write_csv, tmp_path):
    write_csv([[0] * 784, row_with("x"), [0] * 784], columns=PIXELS)
    result = run("batch-predict", "test.csv", "-o", "out.csv", "--on-error", "skip")
    assert result.code == 0 and "1 malformed rows skipped, listed in out.csv.errors.csv" in result.stderr
    assert [line.split(",")[0] for line in (tmp_path / "out.csv").read_text().splitlines()] == ["ImageId", "1", "3"]
    assert "row 2 (line 3), column pixel5: 'x'" in (tmp_path / "out.csv.errors.csv").read_text()


def test_killed_run_is_resumed(run, images, write_csv, tmp_path):
    rows = [image.ravel() for image in images] * 500
    write_csv(rows, columns=PIXELS)
    arguments = ["batch-predict", "test.csv", "-o", "out.csv", "--resume", "--batch-size", "16"]
    # the state is written every 10 ms instead of every second
    program = (
        "import sys\n"
        "from digits_edge.cli.main import run\n"
        "from digits_edge.runtime.batch import output\n"
        "output._SYNC_INTERVAL_S = 0.01\n"
        "sys.exit(run(sys.argv[1:]))"
    )
    state, done = tmp_path / "out.csv.partial.json", 0
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", program, *arguments], stderr=subprocess.DEVNULL)
        while process.poll() is None and not (state.exists() and json.loads(state.read_bytes())["done"] > done):
            time.sleep(0.002)
        process.kill()
        process.wait()
        before, done = done, json.loads(state.read_bytes())["done"]
        assert before < done < len(rows)
    assert run(*arguments).code == 0
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines == ["ImageId,Label", *(f"{row},{(row - 1) % 10}" for row in range(1, len(rows) + 1))]
    assert names_in(tmp_path) == ["out.csv", "test.csv"]


@pytest.mark.parametrize(
    ("output", "reason"),
    [("out/", "out/ is a folder; pass a CSV file"), ("out.parquet", "out.parquet: the output is CSV")],
)
def test_output_that_is_not_csv_is_refused(run, digits_csv, output, reason):
    result = run("batch-predict", digits_csv, "-o", output)
    assert result.code == 2
    assert result.error.startswith(reason)
    assert not (Path.cwd() / output).exists()


@pytest.mark.parametrize("scale", [lambda value: (value > 127 and 1) or 0, lambda value: value / 255])
def test_table_scaled_to_0_to_1_is_read_with_pixel_range_1(run, images, write_csv, tmp_path, scale):
    write_csv([[scale(value) for value in image.ravel().tolist()] for image in images], columns=PIXELS)
    result = run("batch-predict", "test.csv", "-o", "out.csv")
    assert (result.code, names_in(tmp_path)) == (4, ["test.csv"])
    assert result.error.startswith("test.csv: ")
    assert run("batch-predict", "test.csv", "-o", "out.csv", "--pixel-range", "1").code == 0
    assert (tmp_path / "out.csv").read_text().splitlines() == SUBMISSION


def test_nearly_blank_table_is_read_with_pixel_range_255(run, write_csv, tmp_path):
    write_csv([row_with(1)] * 3, columns=PIXELS)
    assert "no pixel is above 1" in run("batch-predict", "test.csv", "-o", "out.csv").error
    assert run("batch-predict", "test.csv", "-o", "out.csv", "--pixel-range", "255").code == 0


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_zipped_table_with_an_index_is_predicted(run, digits_csv, tmp_path, delimiter):
    header, *rows = digits_csv.read_text().splitlines()
    lines = [f",{header}", *(f"{number},{row}" for number, row in enumerate(rows))]
    with zipfile.ZipFile("test.csv.zip", "w") as archive:
        archive.writestr("test.csv", "\n".join(lines).replace(",", delimiter).encode("utf-16"))
    assert run("batch-predict", "test.csv.zip", "-o", "out.csv").code == 0
    assert (tmp_path / "out.csv").read_text().splitlines() == SUBMISSION


def test_run_stopped_by_a_malformed_row_is_resumed_there(run, images, write_csv, tmp_path):
    rows = [image.ravel().tolist() for image in images]
    write_csv([*rows * 100, row_with("x"), *rows], columns=PIXELS)
    stopped = run("batch-predict", "test.csv", "-o", "out.csv", "--resume")
    assert (stopped.code, stopped.stderr.count("resumed")) == (4, 0)
    assert stopped.error.startswith("test.csv: row 1001 (line 1002), column pixel5: 'x'")
    resumed = run("batch-predict", "test.csv", "-o", "out.csv", "--resume", "--on-error", "skip")
    assert resumed.code == 0
    assert resumed.stderr.splitlines()[0] == "resumed after row 1,000 of out.csv.partial"
    assert "1 malformed rows skipped" in resumed.stderr
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[1:] == [f"{row},{(row - 1 - (row > 1001)) % 10}" for row in range(1, 1012) if row != 1001]
    assert names_in(tmp_path) == ["out.csv", "out.csv.errors.csv", "test.csv"]


def test_interrupted_run_over_pictures_says_where_it_resumed(run, images, tmp_path, monkeypatch):
    (tmp_path / "scans").mkdir()
    for digit, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"scans/{digit}.png")
    command = ["batch-predict", "scans", "-o", "out.csv", "--resume", "--batch-size", "2"]
    complete, calls = pictures.predictions, iter(range(3))

    def interrupted(*arguments):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return complete(*arguments)

    monkeypatch.setattr(pictures, "predictions", interrupted)
    assert run(*command).code != 0
    monkeypatch.setattr(pictures, "predictions", complete)
    resumed = run(*command)
    assert (resumed.code, resumed.stderr.splitlines()[0]) == (0, "resumed after picture 4 of out.csv.partial")


@pytest.fixture
def colours(tmp_path):
    """A folder with a red, a green and a blue picture of different sizes."""
    folder = tmp_path / "colours"
    folder.mkdir()
    for size, (name, colour) in enumerate({"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200)}.items()):
        Image.new("RGB", (40 + size, 60), colour).save(folder / f"{name}.png")
    return folder


def test_folder_of_photographs_is_classified_by_a_model_of_photographs(run, colours, tmp_path, photograph_model):
    result = run("batch-predict", "colours", "--model", photograph_model, "-o", "out.csv")
    assert result.code == 0
    assert "blank" not in result.stderr and "0 uncertain" in result.stderr
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [(row["File"], row["Label"]) for row in rows] == [
        ("blue.png", "sky"),
        ("green.png", "leaf"),
        ("red.png", "tomato"),
    ]


@pytest.mark.parametrize("more", [(), ("--engine", "ray")], ids=["local", "ray"])
def test_table_is_refused_with_a_model_of_other_images(run, digits_csv, tmp_path, photograph_model, more):
    if more:
        pytest.importorskip("ray", reason="needs ray")
    result = run("batch-predict", "test.csv", "--model", photograph_model, "-o", "out", *more)
    assert (result.code, result.stdout) == (2, "")
    assert result.error.removeprefix(f"{tmp_path}/") == (
        "test.csv: tables have 28×28 grey images, but photographs-fp32 takes 32×32×3; pass a folder of pictures"
    )
    assert names_in(tmp_path) == ["test.csv"]
