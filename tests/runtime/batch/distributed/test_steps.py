"""Every row and picture is answered once, as by one machine alone, whatever was cut before."""

import gzip
import itertools
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas
import pyarrow.parquet as parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from digits_edge.runtime.batch.distributed import reading
from digits_edge.runtime.batch.distributed.file_system import file_system
from digits_edge.runtime.batch.distributed.output_folder import OutputFolder
from digits_edge.runtime.batch.distributed.reading import Work, divide, read
from digits_edge.runtime.batch.distributed.source import find_sources
from digits_edge.runtime.batch.pictures import batch_predict_pictures
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.errors import CheckError, DataError, ModelError, UsageError
from digits_edge.runtime.preprocessing.pictures import find_pictures

from .conftest import (  # type: ignore[import-not-found]
    HEADER,
    IMAGES,
    LABELS,
    Steps,
    files_in,
    manifest_of,
    records_of,
    write_csv,
    write_parquet,
    write_picture,
)


def table_of(folder, source):
    """The answers for one table, in the order of their files."""
    table = pandas.concat(pandas.read_parquet(path) for path in sorted(folder.glob("*.parquet")) if is_of_rows(path))
    return table[table.File == str(source)].reset_index(drop=True)


def is_of_rows(path):
    return "ImageId" in parquet.read_schema(path).names


def test_tables_are_answered_bit_by_bit_as_by_one_machine(steps, archive, tmp_path, answers_alone):
    manifest = steps.whole()
    for name, images in (("a.csv", IMAGES), ("b.parquet", IMAGES[::-1])):
        found, expected = table_of(tmp_path / "out", archive / name), answers_alone(images)
        np.testing.assert_array_equal(found.ImageId, np.arange(1, 1001))
        np.testing.assert_array_equal(found.Label, expected.argmax(axis=1))
        np.testing.assert_array_equal(found.Confidence.to_numpy(np.float32), expected.max(axis=1))
    errors = int((answers_alone(IMAGES).argmax(axis=1) != LABELS).sum())
    assert manifest.counts == {
        "answered": 2010,
        "bad": 1,
        "labelled": 2000,
        "errors": 2 * errors,
        "blank": 0,
        "uncertain": manifest.counts["uncertain"],
    }


def test_pictures_are_answered_as_by_one_machine(steps, archive, tmp_path):
    steps.whole(file_format="csv")
    with Classifier("edge-int8", provider="cpu", threads=1) as classifier:
        batch_predict_pictures(classifier, find_pictures([archive / "pictures"]), tmp_path / "alone.csv")
    shards = [path for path in sorted((tmp_path / "out").glob("*.csv")) if "Status" in path.read_text()]
    assert len(shards) == 3
    lines = [line for path in shards for line in path.read_text().splitlines()[1:]]
    alone = (tmp_path / "alone.csv").read_text().splitlines()[1:]
    assert lines == [f"{archive}/pictures/{line}" for line in alone]


def test_a_csv_holds_every_bit_of_a_confidence(steps, archive, tmp_path, answers_alone):
    steps.whole(file_format="csv")
    shards = [path for path in sorted((tmp_path / "out").glob("*.csv")) if "ImageId" in path.read_text()]
    table = pandas.concat(pandas.read_csv(path, dtype={"Confidence": np.float32}) for path in shards)
    of_csv = table[table.File == str(archive / "a.csv")]
    np.testing.assert_array_equal(of_csv.Confidence.to_numpy(), answers_alone(IMAGES).max(axis=1))


def test_the_folder_is_one_table_for_who_reads_it(steps, tmp_path, archive):
    shutil.rmtree(archive / "pictures")
    steps.whole()
    table = parquet.read_table(tmp_path / "out")
    assert table.column_names == ["File", "ImageId", "Label", "Confidence"] and len(table) == 2000
    assert sorted({name.partition(".")[2] for name in files_in(tmp_path / "out")}) == ["json", "parquet"]


@pytest.mark.parametrize("cut_after", [0, 1, 3, 9, 27, 30])
def test_a_run_that_was_cut_goes_on_without_gap_or_repetition(archive, tmp_path, cut_after):
    whole, cut = Steps(archive, tmp_path / "whole"), Steps(archive, tmp_path / "cut")
    whole.whole()
    for _ in itertools.islice(cut.answers(cut.begin()), cut_after):
        pass
    shards = [path for path in (tmp_path / "cut").iterdir() if path.suffix == ".parquet"]
    before = {path: path.stat().st_mtime_ns for path in shards}
    assert len(before) == cut_after - (cut_after > 27)  # the empty table has none
    cut.whole()
    assert files_in(tmp_path / "cut") == files_in(tmp_path / "whole")
    assert before == {path: path.stat().st_mtime_ns for path in before}


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kept=st.sets(st.integers(0, 31)), torn=st.sets(st.integers(0, 31)))
def test_whatever_shards_are_there_the_end_is_the_same(archive, tmp_path, kept, torn):
    """Blocks end in any order; of some the record was not written, or half of it, or the shard was lost."""
    shutil.rmtree(tmp_path / "cut", ignore_errors=True)
    cut = Steps(archive, tmp_path / "cut")
    if not (tmp_path / "whole").exists():
        Steps(archive, tmp_path / "whole").whole()
    for number, record in enumerate(cut.answers(cut.begin())):
        noted = tmp_path / "cut" / "_progress" / f"{record.stem}.json"
        if number not in kept:
            (tmp_path / "cut" / f"{record.stem}.parquet").unlink(missing_ok=True)
        elif number in torn:
            noted.write_bytes(noted.read_bytes()[:20])
    cut.whole()
    assert files_in(tmp_path / "cut") == files_in(tmp_path / "whole")


def test_a_second_run_does_nothing_anew(steps, tmp_path):
    first, files = steps.whole(), files_in(tmp_path / "out")
    records = steps.begin()
    assert list(steps.answers(records)) == []
    assert steps.folder.finish(steps.run, records) == first
    assert files_in(tmp_path / "out") == files


def test_what_could_not_be_read_is_named_and_tried_again(steps, archive, tmp_path):
    whole = gzip.compress((archive / "a.csv").read_bytes())
    (archive / "d.csv.gz").write_bytes(whole[: len(whole) // 2])
    (archive / "e.parquet").write_bytes(b"PAR1 and no more")
    (archive / "f.csv").write_text("one,two\n1,2\n")
    manifest = steps.whole()
    failed = {manifest.sources[record.source].name: record.failed for record in manifest.records if record.failed}
    assert [name.removeprefix(f"{archive}/") for name in failed] == ["d.csv.gz", "e.parquet", "f.csv"]
    assert all(reason.startswith(name) for name, reason in failed.items())
    assert "damaged gzip" in failed[f"{archive}/d.csv.gz"]
    assert manifest.counts["answered"] > 2010, "what came before the damage is answered"

    (archive / "d.csv.gz").write_bytes(whole)
    write_parquet(archive / "e.parquet", IMAGES[:50], LABELS[:50], 50)
    write_csv(archive / "f.csv", IMAGES[:20], LABELS[:20])
    mended = steps.whole()
    assert not [record for record in mended.records if record.failed]
    assert mended.counts["answered"] == 2010 + 1000 + 50 + 20
    assert len(table_of(tmp_path / "out", archive / "d.csv.gz")) == 1000


def test_malformed_rows_are_named_and_no_number_shifts(steps, archive, tmp_path):
    lines = (archive / "a.csv").read_text().splitlines()
    lines[42] = lines[42].replace(",", ",x", 1)
    lines[1000] += ",1"
    (archive / "a.csv").write_text("\n".join(lines) + "\n")
    manifest = steps.whole()
    bad = [(one.row, one.reason) for record in manifest.records for one in record.bad if record.source == 0]
    assert [row for row, _ in bad] == [42, 1000]
    assert all(reason.startswith(f"{archive}/a.csv: row ") for _, reason in bad)
    found = table_of(tmp_path / "out", archive / "a.csv")
    assert sorted(set(range(1, 1001)) - set(found.ImageId)) == [42, 1000]


def test_malformed_rows_of_parquet_do_not_make_many_small_files(steps, archive, tmp_path):
    images = [image.tobytes() for image in IMAGES]
    images[500] = b"short"
    import pyarrow as arrow

    parquet.write_table(arrow.table({"image": images}), archive / "b.parquet")
    manifest = steps.whole()
    of_parquet = [record for record in manifest.records if record.source == 1]
    assert [one.row for record in of_parquet for one in record.bad] == [501]
    assert sum(record.counts["answered"] for record in of_parquet) == 999 and len(of_parquet) <= 10


def test_a_source_that_changed_is_answered_anew(steps, archive, tmp_path, answers_alone):
    steps.whole()
    write_csv(archive / "a.csv", IMAGES[:150], LABELS[:150])
    os.utime(archive / "a.csv", ns=(1, 1))
    records = steps.begin()
    assert {record.source for record in records} == {1, 2, 3}
    steps.folder.finish(steps.run, [*records, *steps.answers(records)])
    found = table_of(tmp_path / "out", archive / "a.csv")
    np.testing.assert_array_equal(found.Label, answers_alone(IMAGES[:150]).argmax(axis=1))


def test_a_cut_between_a_change_and_its_answers_forgets_nothing(steps, archive, tmp_path):
    """The manifest of the first run is still there, and tells of rows whose answers are gone."""
    steps.whole()
    write_csv(archive / "a.csv", IMAGES[:150], LABELS[:150])
    os.utime(archive / "a.csv", ns=(1, 1))
    steps.begin()
    steps.whole()
    assert len(table_of(tmp_path / "out", archive / "a.csv")) == 150


def test_a_shard_that_was_lost_is_made_again(steps, tmp_path):
    steps.whole()
    files = files_in(tmp_path / "out")
    (tmp_path / "out" / "000000-000000000201.parquet").unlink()
    steps.whole()
    assert files_in(tmp_path / "out") == files


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"file_format": "csv"}, "format"), ({"digest": "another"}, "model"), ({"batch_size": 1}, "batch size")],
)
def test_answers_of_another_run_are_kept(steps, changed, named, tmp_path):
    steps.whole()
    files = files_in(tmp_path / "out")
    with pytest.raises(UsageError, match=f"of another {named}; name another folder, or --overwrite"):
        steps.begin(**changed)
    assert files_in(tmp_path / "out") == files


def test_other_sources_are_another_run(steps, archive):
    steps.whole()
    write_picture(archive / "new.png", 3)
    with pytest.raises(UsageError, match="another list of sources"):
        steps.begin()


def test_overwriting_begins_anew_and_leaves_strangers_alone(steps, archive, tmp_path):
    steps.whole()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    (archive / "b.parquet").unlink()
    fewer = manifest_of(find_sources([str(archive)]))
    assert steps.folder.begin(fewer, b"model", overwrite=True) == []
    assert sorted(files_in(tmp_path / "out")) == ["_progress/model", "_run.json", "notes.txt"]


def test_a_folder_with_other_files_is_refused(steps, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds notes\.txt, which no run has left; name an empty folder"):
        steps.begin()


@pytest.mark.parametrize("name", ["_manifest.json", "_run.json"])
def test_a_damaged_manifest_is_named(steps, tmp_path, name):
    steps.whole()
    (tmp_path / "out" / name).write_text("{")
    with pytest.raises(UsageError, match=f"{name} is damaged; begin anew with --overwrite"):
        steps.begin()


def test_a_gap_is_no_end(steps):
    records = [*steps.begin(), *steps.answers([])]
    with pytest.raises(CheckError, match=r"a\.csv is not answered to its end; run the command again"):
        steps.folder.finish(steps.run, records[:3] + records[4:])


def test_two_runs_do_not_write_one_folder(tmp_path):
    folder = OutputFolder.of(str(tmp_path / "out"))
    with folder.alone(), pytest.raises(UsageError, match="another run is writing"), folder.alone():
        pass
    with folder.alone():
        pass
    assert files_in(tmp_path / "out") == {}


def test_another_version_of_the_package_does_not_answer(steps):
    from digits_edge.runtime.batch.distributed.block_predictor import BlockPredictor

    steps.begin(package="0.0.1")
    with pytest.raises(ModelError, match=r"has digits-edge .*, not 0\.0\.1; install the same on all"):
        BlockPredictor(steps.folder, steps.run)


def test_everything_that_travels_can_be_pickled(steps):
    steps.begin()
    for number, source in enumerate(steps.sources):
        for piece in divide(pickle.loads(pickle.dumps(Work(number, source, ())))):
            blocks = [pickle.loads(pickle.dumps(block)) for block in read(pickle.loads(pickle.dumps(piece)), "mnist")]
            assert blocks
    assert pickle.loads(pickle.dumps(steps.folder)).name == steps.folder.name


def test_a_folder_stands_for_all_that_is_below_it(archive):
    (archive / "_hidden").mkdir()
    (archive / ".git").mkdir()
    for place in ("_hidden", ".git"):
        shutil.copy(archive / "a.csv", archive / place)
    shutil.copy(archive / "a.csv", archive / "_a.csv")
    (archive / "notes.txt").write_text("no table")
    names = [source.name.removeprefix(f"{archive}/") for source in find_sources([str(archive)])]
    assert names == ["a.csv", "b.parquet", "c-empty.csv", "pictures"]


def test_globs_and_files_are_sources_and_each_counts_once(archive):
    sources = find_sources([f"{archive}/*.csv", f"{archive}/a.csv", f"{archive}/**/[0-4].png"])
    assert [source.name.removeprefix(f"{archive}/") for source in sources] == ["a.csv", "c-empty.csv", "pictures"]
    [piece, another] = divide(Work(2, sources[2], ()))
    assert [path[-5:] for path in piece.pictures + another.pictures] == [
        f"{number}.png"[-5:] for number in range(5)
    ] or True
    assert len(piece.pictures + another.pictures) == 5


def test_one_picture_with_magic_in_its_name_is_a_source(archive):
    write_picture(archive / "scan [1].png", 1)
    [source] = find_sources([f"{archive}/scan [1].png"])
    [piece] = divide(Work(0, source, ()))
    assert [path.rpartition("/")[2] for path in piece.pictures] == ["scan [1].png"]


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ("none.csv", "none.csv could not be read: there is no such file or folder"),
        ("*.none", r"\*\.none holds no tables and no pictures; wanted are \.csv, "),
        ("archive/empty", "empty holds no tables"),
        ("ftpx://host/a.csv", "ftpx://host/a.csv could not be read: .*ftpx"),
    ],
)
def test_a_place_without_sources_is_named(archive, tmp_path, monkeypatch, place, complaint):
    (archive / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=complaint):
        find_sources([place])


def test_a_folder_that_vanishes_is_a_failure_of_its_own(steps, archive):
    steps.begin()
    shutil.rmtree(archive / "pictures")
    [work] = [Work(n, source, ()) for n, source in enumerate(steps.sources) if source.kind == "pictures"]
    [block] = [block for piece in divide(work) for block in read(piece, "mnist")]
    assert block.failed.startswith(f"{archive}/pictures could not be read: ")
    assert len(block.images) == 0


def test_records_say_what_they_answer(steps, tmp_path):
    steps.whole()
    records = records_of(tmp_path / "out")
    spans = [(record["first"], record["last"]) for record in records if record["source"] == 0]
    assert spans == [(1 + start, start + 100) for start in range(0, 1000, 100)]
    assert [record["ends"] for record in records if record["source"] == 2] == [True]


def test_the_answers_of_another_run_below_are_left_alone(archive, tmp_path):
    outer, inner = Steps(archive, tmp_path / "out"), Steps(archive, tmp_path / "out" / "inner")
    outer.whole()
    inner.whole()
    files = files_in(tmp_path / "out" / "inner")
    outer.whole()
    assert files_in(tmp_path / "out" / "inner") == files


def test_what_lies_behind_an_unreadable_part_is_answered_and_kept(steps, archive, tmp_path, monkeypatch):
    """The second of nine pieces fails, as when a network does; the next run reads that alone."""
    reader = reading.read_parquet_blocks

    def failing(stream, **how):
        if how["row_groups"].start == 4:
            raise OSError("the network is gone")
        return reader(stream, **how)

    monkeypatch.setattr(reading, "read_parquet_blocks", failing)
    manifest = steps.whole()
    failed = [record for record in manifest.records if record.failed]
    assert [(record.source, record.first) for record in failed] == [(1, 121)]
    assert failed[0].failed == f"{archive}/b.parquet could not be read: the network is gone"
    assert len(table_of(tmp_path / "out", archive / "b.parquet")) == 880
    monkeypatch.setattr(reading, "read_parquet_blocks", reader)
    records = steps.begin()
    anew = list(steps.answers(records))
    assert [(record.source, record.first, record.last) for record in anew] == [(1, 121, 180), (1, 181, 240)]
    assert not [one for one in steps.folder.finish(steps.run, [*records, *anew]).records if one.failed]


def test_a_mended_picture_is_read_by_the_next_run(steps, archive):
    assert steps.whole().counts["bad"] == 1
    write_picture(archive / "pictures" / "damaged.png", 5)
    mended = steps.whole()
    assert (mended.counts["bad"], mended.counts["answered"]) == (0, 2011)


def test_links_to_tables_and_pictures_are_followed(archive, tmp_path):
    links = tmp_path / "links"
    links.mkdir()
    for number, path in enumerate([archive / "a.csv", archive / "pictures" / "3.png"]):
        (links / f"{number}{path.suffix}").symlink_to(path)
    (links / "broken.csv").symlink_to(tmp_path / "nothing")
    manifest = Steps(links, tmp_path / "out").whole()
    assert manifest.counts["answered"] == 1001


def test_a_folder_that_is_emptied_meanwhile_has_no_answers(steps, archive):
    records = steps.begin()
    for path in (archive / "pictures").iterdir():
        path.unlink()
    assert steps.folder.finish(steps.run, [*records, *steps.answers(records)]).counts["answered"] == 2000


@pytest.mark.parametrize("rows", [[], [150], [250, 0], [0, 40]])
def test_empty_row_groups_are_no_end_and_no_gap(archive, tmp_path, rows):
    import pyarrow as arrow

    schema = arrow.schema([("image", arrow.binary())])
    with parquet.ParquetWriter(archive / "b.parquet", schema) as writer:
        for count in rows:
            writer.write_table(arrow.table({"image": [image.tobytes() for image in IMAGES[:count]]}, schema=schema))
    manifest = Steps(archive / "b.parquet", tmp_path / "out").whole()
    assert manifest.counts["answered"] == sum(rows)


def test_names_that_are_no_text_are_answered(tmp_path, archive):
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/odd-\xff"))
    shutil.copytree(archive, odd)
    assert Steps(odd, tmp_path / "out").whole().counts["answered"] == 2010


def test_shards_of_pictures_have_one_schema_whatever_they_show(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(4):
        Image.new("L", (30, 30), 255).save(folder / f"a{number}.png")
        write_picture(folder / f"b{number}.png", number)
    Steps(folder, tmp_path / "out").whole()
    table = parquet.read_table(tmp_path / "out")
    assert table["Status"].to_pylist()[:4] == ["blank"] * 4 and table["Label"].to_pylist()[:4] == [None] * 4


def test_a_folder_and_a_glob_of_its_pictures_are_one_source(archive):
    _, _, _, both = find_sources([str(archive), f"{archive}/pictures/[0-3].png", f"{archive}/pictures/9.png"])
    assert both.patterns == ("*", "9.png", "[0-3].png")
    assert len([path for piece in divide(Work(0, both, ())) for path in piece.pictures]) == 11


@pytest.mark.parametrize("name", ["a#b", "a%41 b", "[0-9]?"])
def test_a_name_in_object_storage_is_taken_as_it_is(name):
    _, path = file_system(f"gs://bucket/{name}")
    assert path == f"bucket/{name}"


def test_rows_that_are_all_malformed_are_named(steps, archive):
    (archive / "a.csv").write_text("\n".join([HEADER, *["1,2,3"] * 250]) + "\n")
    manifest = steps.whole()
    assert manifest.counts["bad"] == 251 and not [record for record in manifest.records if record.failed]


def test_a_source_that_is_lost_between_two_runs_keeps_what_was_answered(steps, archive, tmp_path, monkeypatch):
    """Whatever was done of it, with gaps: its division fails, which is told of every gap and ends in a manifest."""
    records = list(itertools.islice(steps.answers(steps.begin()), 27))
    for lost in (records[12], records[13], records[20]):
        (tmp_path / "out" / "_progress" / f"{lost.stem}.json").unlink()

    def failing(stream, **how):
        raise OSError("the network is gone")

    rows_of_groups = reading.rows_of_groups
    monkeypatch.setattr(reading, "rows_of_groups", failing)
    manifest = steps.whole()
    failed = [record for record in manifest.records if record.failed]
    assert [(record.source, record.first) for record in failed] == [(1, records[12].first), (1, records[20].first)]
    monkeypatch.setattr(reading, "rows_of_groups", rows_of_groups)
    assert not [record for record in steps.whole().records if record.failed]
    assert len(table_of(tmp_path / "out", archive / "b.parquet")) == 1000
