"""`digits-edge read`, and `batch-predict --task numbers`, with a model of templates."""

import csv
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digits_edge.runtime.batch import numbers
from tests.drawn_numbers import Written, number_page, plain

TEMPLATE = """
fields:
  - {name: meter, region: "10%,10%,70%,30%", length: 4}
  - {name: reading, region: [100, 280, 700, 450], pattern: NNNNN}
"""


@pytest.fixture
def read(run, sequence_model):
    """Run `digits-edge read` with the model of templates."""

    def run_here(*arguments):
        return run("read", *arguments, "--model", sequence_model, "--provider", "cpu")

    return run_here


def write_form(path: Path, meter: str = "7901", reading: str = "64520") -> Path:
    lines = [Written(meter, 100, 100, 60, even=True), Written(reading, 140, 330, 60, even=True)]
    number_page(plain(), lines).save(path)
    return path


@pytest.fixture
def form(tmp_path):
    return write_form(tmp_path / "form.png")


def rows(path: str | Path) -> list[dict[str, str]]:
    with Path(path).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_each_number_is_a_line_of_the_output(read, form):
    result = read("form.png")
    assert (result.code, result.stderr) == (0, "")
    first, second = result.stdout.splitlines()
    assert first.startswith("form.png  7901   ") and first.endswith("%")
    assert second.startswith("form.png  64520  ")


def test_json_has_the_documented_keys(read, form):
    [reading] = read("form.png", "--json").objects
    assert list(reading) == ["schema_version", "path", "status", "lines"]
    assert (reading["path"], reading["status"]) == ("form.png", "ok")
    line = reading["lines"][1]
    assert list(line) == ["text", "confidence", "status", "box", "digits", "alternatives"]
    assert (line["text"], line["status"], len(line["digits"]), len(line["box"])) == ("64520", "ok", 5, 4)
    assert list(line["digits"][0]) == ["digit", "confidence", "box"]


def test_constraints_and_regions(read, form):
    assert read("form.png", "--length", "5").stdout.splitlines()[-1].startswith("form.png  64520")
    only = read("form.png", "--region", "10%,40%,90%,80%", "--pattern", "NNN NN", "--json").objects[0]
    assert [line["text"] for line in only["lines"]] == ["64520"]
    checked = read("form.png", "--check", "luhn", "--json").objects[0]
    assert all(line["text"] in ("", "7903", "64520") or line["status"] == "uncertain" for line in checked["lines"])
    several = read("form.png", "--region", "100,280,700,450", "--region", "60,60,700,200", "--json").objects[0]
    assert [line["text"] for line in several["lines"]] == ["64520", "7901"]


def test_overlay_shows_what_was_read(read, form):
    result = read("form.png", "--overlay", "seen.png")
    assert (result.code, result.stderr) == (0, "wrote seen.png\n")
    with Image.open("seen.png") as seen:
        assert seen.size == (800, 600)
        assert np.any(np.asarray(seen) != np.asarray(Image.open("form.png").convert("RGB")))
    assert "already exists; replace it with --overwrite" in read("form.png", "--overlay", "seen.png").error
    assert read("form.png", "--overlay", "seen.png", "--overwrite").code == 0


def test_blank_pages_and_unreadable_pictures(read, form, blank, tmp_path):
    assert read("blank.png").stdout == "blank.png  blank\n"
    (tmp_path / "text.png").write_text("no picture")
    result = read("form.png", "text.png", "blank.png", "--json")
    assert result.code == 4
    assert [each["status"] for each in result.objects] == ["ok", "error", "blank"]
    assert "1 of 3 pictures could not be read" in result.stderr
    assert read("none.png").code == 4


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--length", "0"], 2, "length 0: use 1 to 64 digits"),
        (["--pattern", "AB"], 2, "pattern 'AB'"),
        (["--check", "lunh"], 2, "Did you mean 'luhn'?"),
        (["--region", "1,2,3"], 2, "region '1,2,3': use left,upper,right,lower"),
        (["--region", "0,0,9000,10"], 2, "is not in the picture of 800×600 pixels"),
        (["--overlay", "seen.jpg"], 2, "ends in .png"),
        (["--resume"], 2, "--resume applies only with --template"),
        (["-o", "out.csv"], 2, "--output applies only with --template"),
        (["--template", "meter.yaml"], 2, "--template needs the output file"),
        (["--length", "3", "--pattern", "NNNN"], 2, "length 3 and pattern 'NNNN' with 4 digits exclude each other"),
        (["--overlay", "form.png", "--overwrite"], 2, "form.png is the picture; name another file"),
        (["--template", "none.yaml", "-o", "out.csv"], 4, "none.yaml could not be read"),
        (["--template", "meter.yaml", "-o", "out.csv", "--length", "3"], 2, "applies only without --template"),
    ],
)
def test_errors_are_one_line(read, form, arguments, code, message):
    result = read("form.png", *arguments)
    assert result.code == code
    assert message in result.error


def test_no_input_is_overwritten(read, form):
    Path("meter.yaml").write_text(TEMPLATE)
    before = {path: path.read_bytes() for path in (form, Path("meter.yaml"))}
    Path("link.png").symlink_to(form)
    assert "is the picture" in read("form.png", "--overlay", "link.png", "--overwrite").error
    for name, message in (("meter.yaml", "is the template"), ("form.png", "is one of the pictures")):
        result = read("form.png", "--template", "meter.yaml", "-o", name, "--overwrite")
        assert result.code == 2
        assert message in result.error
    assert {path: path.read_bytes() for path in before} == before


def test_a_region_outside_one_of_several_pictures_does_not_stop_the_others(read, form, tmp_path):
    Image.new("L", (90, 40), "white").save(tmp_path / "small.png")
    result = read("small.png", "form.png", "--region", "100,280,700,450", "--json")
    assert result.code == 4
    assert [each["status"] for each in result.objects] == ["error", "ok"]
    assert "small.png: region 100,280,700,450 is not in the picture of 90×40 pixels" in result.stderr
    Path("meter.yaml").write_text(TEMPLATE)
    result = read("small.png", "form.png", "--template", "meter.yaml", "-o", "out.csv")
    assert result.code == 4
    assert "small.png: region 100,280,700,450 is not in the picture" in result.stderr
    assert [row["File"] for row in rows("out.csv")] == ["form.png"]


def test_a_field_with_two_numbers_is_uncertain(read, form):
    [reading] = read("form.png", "--region", "0,0,800,600", "--json").objects
    assert [(line["text"], line["status"]) for line in reading["lines"]] in (
        [("7901", "uncertain")],
        [("64520", "uncertain")],
    )


def test_models_of_single_digits_are_refused(run, form):
    result = run("read", "form.png", "--model", "edge-int8", "--provider", "cpu")
    assert result.code == 3
    assert "single images" in result.error and "digits-edge predict" in result.error


def test_sequence_models_are_refused_by_predict(run, form, sequence_model):
    result = run("predict", "form.png", "--model", sequence_model, "--provider", "cpu")
    assert result.code == 3
    assert "digits-edge read" in result.error


def test_a_template_in_yaml_names_its_extra_and_json_needs_none(read, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)  # as if PyYAML were not installed
    write_form(Path("a.png"))
    Path("meter.yaml").write_text(TEMPLATE)
    result = read("a.png", "--template", "meter.yaml", "-o", "out.csv")
    assert result.code == 2
    assert "'digits-edge[yaml]'" in result.error
    fields = [{"name": "meter", "region": "10%,10%,70%,30%", "length": 4}]
    Path("meter.json").write_text(json.dumps({"fields": fields}))
    assert read("a.png", "--template", "meter.json", "-o", "out.csv").code == 0


def test_template_gives_a_row_for_each_form(read, tmp_path):
    Path("meter.yaml").write_text(TEMPLATE)
    folder = tmp_path / "forms"
    folder.mkdir()
    write_form(folder / "a.png")
    write_form(folder / "b.png", meter="790")
    write_form(folder / "c.png", meter="6452", reading="79016")
    result = read("forms", "--template", "meter.yaml", "-o", "out.csv", "--json")
    assert result.code == 0, result.stderr
    [report] = result.objects
    assert (report["pictures"], report["forms"], report["review"]) == (3, 2, 1)
    assert [(row["File"], row["meter"], row["reading"]) for row in rows("out.csv")] == [
        ("a.png", "7901", "64520"),
        ("c.png", "6452", "79016"),
    ]
    assert all(float(row["Confidence"]) > 0.5 for row in rows("out.csv"))
    [review] = rows("out.csv.review.csv")
    assert (review["File"], review["Fields"], review["reading"]) == ("b.png", "meter", "64520")
    assert review["Status"] == "uncertain"
    with Image.open(review["Crops"]) as crop:
        assert crop.width > crop.height > 60


def test_a_template_in_json_has_the_same_fields(read, form):
    fields = [{"name": "reading", "region": [100, 280, 700, 450], "pattern": "NNNNN"}]
    Path("meter.json").write_text(json.dumps({"fields": fields}))
    assert read("form.png", "--template", "meter.json", "-o", "out.csv").code == 0
    assert [row["reading"] for row in rows("out.csv")] == ["64520"]


def test_unreadable_forms_are_in_the_review_file(read, form, tmp_path):
    Path("meter.yaml").write_text(TEMPLATE)
    (tmp_path / "text.png").write_text("no picture")
    result = read("form.png", "text.png", "--template", "meter.yaml", "-o", "out.csv")
    assert result.code == 4
    assert "1 picture could not be read; see the status error in out.csv.review.csv" in result.stderr
    assert [row["Status"] for row in rows("out.csv.review.csv")] == ["error"]


def test_each_doubtful_field_has_a_crop_of_its_own(read, tmp_path):
    Path("meter.yaml").write_text(TEMPLATE.replace("meter", "値 1").replace("reading", "値.1"))
    write_form(tmp_path / "form.png", meter="790", reading="6452")
    assert read("form.png", "--template", "meter.yaml", "-o", "out.csv").code == 0
    [review] = rows("out.csv.review.csv")
    first, second = review["Crops"].split("; ")
    assert Path(first).read_bytes() != Path(second).read_bytes()


def test_two_forms_with_one_name_are_refused(read, tmp_path):
    Path("meter.yaml").write_text(TEMPLATE)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_form(tmp_path / folder / "x.png")
    result = read("a/x.png", "b/x.png", "--template", "meter.yaml", "-o", "out.csv")
    assert result.code == 2
    assert "a/x.png and b/x.png have the same name" in result.error


@pytest.mark.parametrize("existing", ["out.csv.review.csv", "out.csv.review/mine.txt"])
@pytest.mark.parametrize("options", [(), ("--resume",)])
def test_existing_reviews_are_kept(read, form, existing, options):
    Path("meter.yaml").write_text(TEMPLATE)
    Path(existing).parent.mkdir(exist_ok=True)
    Path(existing).write_text("precious")
    result = read("form.png", "--template", "meter.yaml", "-o", "out.csv", *options)
    assert result.code == 2
    assert "already exists" in result.error
    assert Path(existing).read_text() == "precious"
    assert not Path("out.csv").exists()


def test_crops_of_the_run_before_are_removed(read, tmp_path):
    Path("meter.yaml").write_text(TEMPLATE)
    write_form(tmp_path / "form.png", meter="790")
    assert read("form.png", "--template", "meter.yaml", "-o", "out.csv").code == 0
    [crop] = Path("out.csv.review").iterdir()
    write_form(tmp_path / "form.png")
    assert read("form.png", "--template", "meter.yaml", "-o", "out.csv", "--overwrite").code == 0
    assert not crop.parent.exists() and not Path("out.csv.review.csv").exists()


def test_optional_fields_may_be_blank(read, tmp_path):
    Path("form.yaml").write_text(TEMPLATE + '  - {name: note, region: "5%,80%,60%,98%", optional: true}\n')
    write_form(tmp_path / "form.png")
    assert read("form.png", "--template", "form.yaml", "-o", "out.csv").code == 0
    assert [(row["note"], row["reading"]) for row in rows("out.csv")] == [("", "64520")]
    Path("form.yaml").write_text(TEMPLATE + '  - {name: note, region: "5%,80%,60%,98%"}\n')
    assert read("form.png", "--template", "form.yaml", "-o", "again.csv").code == 0
    assert rows("again.csv") == []
    assert [(row["Fields"], row["Status"]) for row in rows("again.csv.review.csv")] == [("note", "blank")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fields: [", "line 1: not YAML"),
        ("fields: []", "a template has the key `fields`"),
        ("fields: [{name: a}]", "field 1: the key region is missing"),
        ("fields: [{region: '1,2,3,4'}]", "field 1: the key name is missing"),
        ("fields: [{name: a, region: '1,2,3,4'}]\npattern: NN", "unknown key 'pattern' beside `fields`"),
        ("fields: [{name: a, region: '1,2,3,4', length: 3, pattern: NN}]", "length 3 and pattern 'NN' with 2 digits"),
        ("fields: [{name: file, region: '1,2,3,4'}]", "the name 'file' is not a column name"),
        ("fields: [{name: a, region: '1,2,3,4', patern: NN}]", "unknown key 'patern'"),
        ("fields: [{name: a, region: '1,2,3,4', pattern: 0123}]", "pattern 83 is not a text; put it in quotes"),
        ("fields: [{name: a, region: '1,2,3,4', check: lunh}]", "Did you mean 'luhn'"),
        ("fields: [{name: a, region: '9,2,3,4'}]", "field 'a': region 9,2,3,4"),
        ("fields: [{name: a, region: '1,2,3,4', length: many}]", "length 'many'"),
        ("fields: [{name: a, region: '1,2,3,4'}, {name: a, region: '1,2,3,4'}]", "'a' is there twice"),
        ("!!python/object:os.system {}", "not YAML"),
    ],
)
def test_errors_of_templates_name_the_field(read, form, text, message):
    Path("meter.yaml").write_text(text)
    result = read("form.png", "--template", "meter.yaml", "-o", "out.csv")
    assert result.code == 4
    assert result.error.startswith("meter.yaml: ") and message in result.error


def test_an_interrupted_run_of_a_template_is_resumed(read, tmp_path, monkeypatch):
    Path("meter.yaml").write_text(TEMPLATE)
    folder = tmp_path / "forms"
    folder.mkdir()
    for name in ("a.png", "b.png", "c.png", "d.png"):
        write_form(folder / name, meter="790" if name == "b.png" else "7901")
    arguments = ("forms", "--template", "meter.yaml", "-o", "out.csv", "--resume")
    opened = numbers.open_picture

    def interrupted(path, **options):
        if Path(path).name == "c.png":
            raise KeyboardInterrupt
        return opened(path, **options)

    monkeypatch.setattr(numbers, "open_picture", interrupted)
    assert read(*arguments).code == 130
    assert not Path("out.csv").exists() and Path("out.csv.partial").exists()
    monkeypatch.setattr(numbers, "open_picture", opened)
    result = read(*arguments)
    assert result.code == 0
    assert result.stderr.startswith("resumed after form 2 of out.csv.partial")
    assert [row["File"] for row in rows("out.csv")] == ["a.png", "c.png", "d.png"]
    assert [row["File"] for row in rows("out.csv.review.csv")] == ["b.png"]


def test_batch_predict_writes_a_row_for_each_number(run, form, blank, tmp_path, sequence_model):
    folder = tmp_path / "scans"
    folder.mkdir()
    shutil.copy(form, folder / "a.png")
    shutil.copy(blank, folder / "b.png")
    (folder / "c.png").write_text("no picture")
    arguments = ("batch-predict", "scans", "--task", "numbers", "--model", sequence_model, "--provider", "cpu")
    result = run(*arguments, "-o", "out.csv")
    assert result.code == 4
    assert [(row["File"], row["Line"], row["Number"], row["Status"]) for row in rows("out.csv")] == [
        ("a.png", "1", "7901", "ok"),
        ("a.png", "2", "64520", "ok"),
        ("b.png", "0", "", "blank"),
        ("c.png", "0", "", "error"),
    ]
    assert "2 numbers, 0 uncertain numbers → out.csv" in result.stderr
    assert "applies only with --task classify" in run(*arguments, "-o", "out.csv", "--batch-size", "3").error
    assert "is not a folder" in run("batch-predict", "form.png", "--task", "numbers", "-o", "out2.csv").error
