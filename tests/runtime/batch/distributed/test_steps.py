"""Steps of the Ray engine: every row and picture has one prediction, also after interruptions."""

import bz2
import gzip
import io
import itertools
import os
import pickle
import shutil
import zipfile
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
from digits_edge.runtime.batch.distributed.shard import shard_of_rows
from digits_edge.runtime.batch.distributed.source import find_sources
from digits_edge.runtime.batch.pictures import batch_predict_pictures
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.errors import CheckError, DataError, ModelError, UsageError
from digits_edge.runtime.pixel_scale import MIN_IMAGES_OF_PART
from digits_edge.runtime.preprocessing.pictures import find_pictures

from .conftest import (  # type: ignore[import-not-found]
    DIGIT_FORM,
    HEADER,
    IMAGES,
    LABELS,
    ROWS,
    ROWS_PER_BLOCK,
    Steps,
    files_in,
    manifest_of,
    records_of,
    write_csv,
    write_parquet,
    write_picture,
)


def table_of(folder, source):
    """The predictions for one table, in the order of the shards."""
    table = pandas.concat(pandas.read_parquet(path) for path in sorted(folder.glob("*.parquet")) if has_rows(path))
    return table[table.File == str(source)].reset_index(drop=True)


def has_rows(path):
    return "ImageId" in parquet.read_schema(path).names


def test_predictions_for_tables_are_bit_identical_to_a_local_run(steps, archive, tmp_path, local_probabilities):
    manifest = steps.run_all()
    for name, images in (("a.csv", IMAGES), ("b.parquet", IMAGES[::-1])):
        found, expected = table_of(tmp_path / "out", archive / name), local_probabilities(images)
        np.testing.assert_array_equal(found.ImageId, np.arange(1, ROWS + 1))
        np.testing.assert_array_equal(found.Label, expected.argmax(axis=1))
        np.testing.assert_array_equal(found.Confidence.to_numpy(np.float32), expected.max(axis=1))
    errors = int((local_probabilities(IMAGES).argmax(axis=1) != LABELS).sum())
    assert manifest.counts == {
        "answered": 2 * ROWS + 10,
        "bad": 1,
        "labelled": 2 * ROWS,
        "errors": 2 * errors,
        "blank": 0,
        "several": 0,
        "uncertain": manifest.counts["uncertain"],
    }


def test_tables_of_any_dialect_have_the_same_predictions(archive, tmp_path):
    content = (archive / "a.csv").read_text()
    shutil.rmtree(archive)
    archive.mkdir()
    (archive / "semicolons.csv").write_text(content.replace(",", ";"))
    (archive / "tabs.tsv").write_text(content.replace(",", "\t"), encoding="utf-16")
    (archive / "packed.csv.bz2").write_bytes(bz2.compress(content.encode()))
    with zipfile.ZipFile(archive / "packed.csv.zip", "w") as packed:
        packed.writestr("a.csv", content)
    with zipfile.ZipFile(archive / "several.csv.zip", "w") as several:
        several.writestr("a.csv", content)
        several.writestr("b.csv", content)
    manifest = Steps(archive, tmp_path / "out").run_all()
    [failed] = [record.failed for record in manifest.records if record.failed]
    assert failed.endswith("several.csv.zip is an archive of 2 files (a.csv, b.csv); unpack it and name one")
    tables = [table_of(tmp_path / "out", path) for path in sorted(archive.iterdir()) if path.name != "several.csv.zip"]
    assert len(tables) == 4
    for table in tables:
        assert table.Label.tolist() == tables[0].Label.tolist() and len(table) == len(IMAGES)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_scaled_to_0_to_1_are_refused_or_converted(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(reading, "ROWS_PER_BLOCK", 100)  # enough rows in each part to judge by
    path, binary = tmp_path / f"ones.{kind}", np.tile((IMAGES > 127).astype(np.uint8), (3, 1, 1))
    labels = np.tile(LABELS, 3)
    if kind == "csv":
        write_csv(path, binary, labels)
    else:
        write_parquet(path, binary, labels, rows_per_group=150)
    [source] = find_sources([str(path)])
    pieces = list(divide(Work(0, source, ())))
    refused = [block for piece in pieces for block in read(piece, DIGIT_FORM)]
    failed = [block.failed for block in refused if block.failed is not None]
    assert all("no pixel is above 1" in reason and "--pixel-range 1" in reason for reason in failed)
    assert len(failed) == len(pieces)
    assert sum(len(block.images) for block in refused) < len(pieces) * MIN_IMAGES_OF_PART
    converted = [block for piece in pieces for block in read(piece, DIGIT_FORM, 1)]
    np.testing.assert_array_equal(np.concatenate([block.images for block in converted]), binary * 255)


def test_a_run_with_another_pixel_range_is_refused(steps):
    steps.run_all()
    with pytest.raises(UsageError, match="another pixel range"):
        steps.begin(pixel_range=1)


def test_predictions_for_pictures_are_those_of_a_local_run(steps, archive, tmp_path):
    steps.run_all(file_format="csv")
    with Classifier("edge-int8", provider="cpu", threads=1) as classifier:
        batch_predict_pictures(classifier, find_pictures([archive / "pictures"]), tmp_path / "local.csv")
    shards = [path for path in sorted((tmp_path / "out").glob("*.csv")) if "Status" in path.read_text()]
    assert len(shards) == 3
    lines = [line for path in shards for line in path.read_text().splitlines()[1:]]
    expected = (tmp_path / "local.csv").read_text().splitlines()[1:]
    assert lines == [f"{archive}/pictures/{line}" for line in expected]


def test_a_csv_stores_the_confidence_without_loss(steps, archive, tmp_path, local_probabilities):
    steps.run_all(file_format="csv")
    shards = [path for path in sorted((tmp_path / "out").glob("*.csv")) if "ImageId" in path.read_text()]
    table = pandas.concat(pandas.read_csv(path, dtype={"Confidence": np.float32}) for path in shards)
    of_csv = table[table.File == str(archive / "a.csv")]
    np.testing.assert_array_equal(of_csv.Confidence.to_numpy(), local_probabilities(IMAGES).max(axis=1))


def test_arrow_reads_the_output_folder_as_one_table(steps, tmp_path, archive):
    shutil.rmtree(archive / "pictures")
    steps.run_all()
    table = parquet.read_table(tmp_path / "out")
    assert table.column_names == ["File", "ImageId", "Label", "Confidence"] and len(table) == 2 * ROWS
    assert sorted({name.partition(".")[2] for name in files_in(tmp_path / "out")}) == ["json", "parquet"]


@pytest.fixture(scope="module")
def complete(shared_archive, tmp_path_factory):
    """The output files of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("complete") / "out"
    Steps(shared_archive, folder).run_all()
    return files_in(folder)


@pytest.mark.parametrize("blocks", [0, 1, 3, 9, 27, 30])
def test_an_interrupted_run_is_resumed_without_gap_or_repetition(shared_archive, complete, tmp_path, blocks):
    interrupted = Steps(shared_archive, tmp_path / "interrupted")
    for _ in itertools.islice(interrupted.predict(interrupted.begin()), blocks):
        pass
    shards = [path for path in (tmp_path / "interrupted").iterdir() if path.suffix == ".parquet"]
    before = {path: path.stat().st_mtime_ns for path in shards}
    assert len(before) == blocks - (blocks > 27)  # the empty table has no shard
    interrupted.run_all()
    assert files_in(tmp_path / "interrupted") == complete
    assert before == {path: path.stat().st_mtime_ns for path in before}


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(with_shard=st.sets(st.integers(0, 31)), truncated=st.sets(st.integers(0, 31)))
def test_a_run_with_missing_shards_and_truncated_records_is_completed(
    shared_archive, complete, tmp_path, with_shard, truncated
):
    """Blocks finish in any order; some shards are missing, and some records are truncated."""
    shutil.rmtree(tmp_path / "interrupted", ignore_errors=True)
    interrupted = Steps(shared_archive, tmp_path / "interrupted")
    for number, record in enumerate(interrupted.predict(interrupted.begin())):
        record_file = tmp_path / "interrupted" / "_progress" / f"{record.stem}.json"
        if number not in with_shard:
            (tmp_path / "interrupted" / f"{record.stem}.parquet").unlink(missing_ok=True)
        elif number in truncated:
            record_file.write_bytes(record_file.read_bytes()[:20])
    interrupted.run_all()
    assert files_in(tmp_path / "interrupted") == complete


def test_a_second_run_does_not_repeat_any_work(steps, tmp_path):
    first, files = steps.run_all(), files_in(tmp_path / "out")
    records = steps.begin()
    assert list(steps.predict(records)) == []
    assert steps.folder.finish(steps.run, records) == first
    assert files_in(tmp_path / "out") == files


def test_unreadable_sources_are_listed_and_retried(steps, archive, tmp_path):
    intact = gzip.compress((archive / "a.csv").read_bytes())
    (archive / "d.csv.gz").write_bytes(intact[: len(intact) // 2])
    (archive / "e.parquet").write_bytes(b"PAR1, truncated")
    (archive / "f.csv").write_text("one,two\n1,2\n")
    manifest = steps.run_all()
    failed = {manifest.sources[record.source].name: record.failed for record in manifest.records if record.failed}
    assert [name.removeprefix(f"{archive}/") for name in failed] == ["d.csv.gz", "e.parquet", "f.csv"]
    assert all(reason.startswith(name) for name, reason in failed.items())
    assert "damaged gzip" in failed[f"{archive}/d.csv.gz"]
    assert manifest.counts["answered"] > 2 * ROWS + 10, "rows before the damage have predictions"

    (archive / "d.csv.gz").write_bytes(intact)
    write_parquet(archive / "e.parquet", IMAGES[:50], LABELS[:50], 50)
    write_csv(archive / "f.csv", IMAGES[:20], LABELS[:20])
    retried = steps.run_all()
    assert not [record for record in retried.records if record.failed]
    assert retried.counts["answered"] == 3 * ROWS + 10 + 50 + 20
    assert len(table_of(tmp_path / "out", archive / "d.csv.gz")) == ROWS


def test_malformed_rows_are_listed_and_the_other_rows_keep_their_numbers(steps, archive, tmp_path):
    lines = (archive / "a.csv").read_text().splitlines()
    lines[42] = lines[42].replace(",", ",x", 1)
    lines[ROWS] += ",1"
    (archive / "a.csv").write_text("\n".join(lines) + "\n")
    manifest = steps.run_all()
    bad = [(bad.row, bad.reason) for record in manifest.records for bad in record.bad if record.source == 0]
    assert [row for row, _ in bad] == [42, ROWS]
    assert all(reason.startswith(f"{archive}/a.csv: row ") for _, reason in bad)
    found = table_of(tmp_path / "out", archive / "a.csv")
    assert sorted(set(range(1, ROWS + 1)) - set(found.ImageId)) == [42, ROWS]


def test_malformed_parquet_rows_do_not_cause_many_small_shards(steps, archive, tmp_path):
    images = [image.tobytes() for image in IMAGES]
    images[100] = b"short"
    import pyarrow as arrow

    parquet.write_table(arrow.table({"image": images}), archive / "b.parquet")
    manifest = steps.run_all()
    records = [record for record in manifest.records if record.source == 1]
    assert [bad.row for record in records for bad in record.bad] == [101]
    assert sum(record.counts["answered"] for record in records) == ROWS - 1 and len(records) <= 10


def test_a_changed_source_is_processed_again(steps, archive, tmp_path, local_probabilities):
    steps.run_all()
    write_csv(archive / "a.csv", IMAGES[:30], LABELS[:30])
    os.utime(archive / "a.csv", ns=(1, 1))
    records = steps.begin()
    assert {record.source for record in records} == {1, 2, 3}
    steps.folder.finish(steps.run, [*records, *steps.predict(records)])
    found = table_of(tmp_path / "out", archive / "a.csv")
    np.testing.assert_array_equal(found.Label, local_probabilities(IMAGES[:30]).argmax(axis=1))


def test_a_run_over_a_changed_source_can_be_interrupted_and_resumed(steps, archive, tmp_path):
    """The manifest of the first run still exists and lists rows whose predictions were removed."""
    steps.run_all()
    write_csv(archive / "a.csv", IMAGES[:30], LABELS[:30])
    os.utime(archive / "a.csv", ns=(1, 1))
    steps.begin()
    steps.run_all()
    assert len(table_of(tmp_path / "out", archive / "a.csv")) == 30


def test_a_missing_shard_is_written_again(steps, tmp_path):
    steps.run_all()
    files = files_in(tmp_path / "out")
    (tmp_path / "out" / "000000-000000000041.parquet").unlink()
    steps.run_all()
    assert files_in(tmp_path / "out") == files


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"file_format": "csv"}, "format"), ({"digest": "another"}, "model"), ({"batch_size": 1}, "batch size")],
)
def test_the_output_of_another_run_is_an_error_and_unchanged(steps, changed, named, tmp_path):
    steps.run_all()
    files = files_in(tmp_path / "out")
    with pytest.raises(UsageError, match=f"predictions of another {named}; name another folder, or use --overwrite"):
        steps.begin(**changed)
    assert files_in(tmp_path / "out") == files


def test_another_list_of_sources_is_another_run(steps, archive):
    steps.run_all()
    write_picture(archive / "new.png", 3)
    with pytest.raises(UsageError, match="another list of sources"):
        steps.begin()


def test_overwriting_removes_only_files_of_runs(steps, archive, tmp_path):
    steps.run_all()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    (archive / "b.parquet").unlink()
    fewer = manifest_of(find_sources([str(archive)]))
    assert steps.folder.begin(fewer, b"model", overwrite=True) == []
    assert sorted(files_in(tmp_path / "out")) == ["_progress/model", "_run.json", "notes.txt"]


def test_a_folder_with_other_files_is_an_error(steps, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"contains notes\.txt, which is not the output of a run; name an empty"):
        steps.begin()


@pytest.mark.parametrize("name", ["_manifest.json", "_run.json"])
def test_a_damaged_manifest_is_an_error(steps, tmp_path, name):
    steps.run_all()
    (tmp_path / "out" / name).write_text("{")
    with pytest.raises(UsageError, match=f"{name} is damaged; start again with --overwrite"):
        steps.begin()


def test_a_run_with_a_gap_cannot_be_finished(steps):
    records = [*steps.begin(), *steps.predict([])]
    with pytest.raises(CheckError, match=r"a\.csv is not completely processed; run the command again"):
        steps.folder.finish(steps.run, records[:3] + records[4:])


def test_two_runs_cannot_write_the_same_folder(tmp_path):
    folder = OutputFolder.of(str(tmp_path / "out"))
    with folder.alone(), pytest.raises(UsageError, match="another run is writing"), folder.alone():
        pass
    with folder.alone():
        pass
    assert files_in(tmp_path / "out") == {}


def test_a_worker_with_another_version_of_the_package_is_an_error(steps):
    from digits_edge.runtime.batch.distributed.block_predictor import BlockPredictor

    steps.begin(package="0.0.1")
    with pytest.raises(ModelError, match=r"has digits-edge .*, expected 0\.0\.1; install the same version on all"):
        BlockPredictor(steps.folder, steps.run)


def test_everything_that_is_sent_to_workers_can_be_pickled(steps):
    steps.begin()
    for number, source in enumerate(steps.sources):
        for piece in divide(pickle.loads(pickle.dumps(Work(number, source, ())))):
            blocks = [
                pickle.loads(pickle.dumps(block)) for block in read(pickle.loads(pickle.dumps(piece)), DIGIT_FORM)
            ]
            assert blocks
    assert pickle.loads(pickle.dumps(steps.folder)).name == steps.folder.name


def test_a_folder_is_searched_recursively_without_hidden_names(archive):
    (archive / "_hidden").mkdir()
    (archive / ".git").mkdir()
    for place in ("_hidden", ".git"):
        shutil.copy(archive / "a.csv", archive / place)
    shutil.copy(archive / "a.csv", archive / "_a.csv")
    (archive / "notes.txt").write_text("not a table")
    names = [source.name.removeprefix(f"{archive}/") for source in find_sources([str(archive)])]
    assert names == ["a.csv", "b.parquet", "c-empty.csv", "pictures"]


def test_a_source_named_by_several_globs_is_returned_once(archive):
    sources = find_sources([f"{archive}/*.csv", f"{archive}/a.csv", f"{archive}/**/[0-4].png"])
    assert [source.name.removeprefix(f"{archive}/") for source in sources] == ["a.csv", "c-empty.csv", "pictures"]
    [piece, another] = divide(Work(2, sources[2], ()))
    names = [path.rpartition("/")[2] for path in piece.pictures + another.pictures]
    assert names == [f"{number}.png" for number in range(5)]


def test_a_picture_with_glob_characters_in_its_name_is_a_source(archive):
    write_picture(archive / "scan [1].png", 1)
    [source] = find_sources([f"{archive}/scan [1].png"])
    [piece] = divide(Work(0, source, ()))
    assert [path.rpartition("/")[2] for path in piece.pictures] == ["scan [1].png"]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("none.csv", "none.csv could not be read: no such file or folder"),
        ("*.none", r"\*\.none contains no tables or pictures; name files ending in \.csv, "),
        ("archive/empty", "empty contains no tables"),
        ("ftpx://host/a.csv", "ftpx://host/a.csv could not be read: .*ftpx"),
    ],
)
def test_a_place_without_sources_is_an_error(archive, tmp_path, monkeypatch, place, message):
    (archive / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=message):
        find_sources([place])


def test_a_folder_removed_during_a_run_is_a_failed_source(steps, archive):
    steps.begin()
    shutil.rmtree(archive / "pictures")
    [work] = [Work(n, source, ()) for n, source in enumerate(steps.sources) if source.kind == "pictures"]
    [block] = [block for piece in divide(work) for block in read(piece, DIGIT_FORM)]
    assert block.failed.startswith(f"{archive}/pictures could not be read: ")
    assert len(block.images) == 0


def test_records_cover_consecutive_rows(steps, tmp_path):
    steps.run_all()
    records = records_of(tmp_path / "out")
    spans = [(record["first"], record["last"]) for record in records if record["source"] == 0]
    assert spans == [(1 + start, start + ROWS_PER_BLOCK) for start in range(0, ROWS, ROWS_PER_BLOCK)]
    assert [record["ends"] for record in records if record["source"] == 2] == [True]


def test_the_output_of_another_run_in_a_subfolder_is_unchanged(archive, tmp_path):
    outer, inner = Steps(archive, tmp_path / "out"), Steps(archive, tmp_path / "out" / "inner")
    outer.run_all()
    inner.run_all()
    files = files_in(tmp_path / "out" / "inner")
    outer.run_all()
    assert files_in(tmp_path / "out" / "inner") == files


def test_only_the_failed_piece_of_a_source_is_retried(steps, archive, tmp_path, monkeypatch):
    """The second of nine pieces fails, for example because of a network error; the next run reads only that piece."""
    reader = reading.read_parquet_blocks

    def failing(stream, **options):
        if options["row_groups"].start == 4:
            raise OSError("network error")
        return reader(stream, **options)

    monkeypatch.setattr(reading, "read_parquet_blocks", failing)
    manifest = steps.run_all()
    failed = [record for record in manifest.records if record.failed]
    assert [(record.source, record.first) for record in failed] == [(1, 25)]
    assert failed[0].failed == f"{archive}/b.parquet could not be read: network error"
    assert len(table_of(tmp_path / "out", archive / "b.parquet")) == ROWS - 24
    monkeypatch.setattr(reading, "read_parquet_blocks", reader)
    records = steps.begin()
    retried = list(steps.predict(records))
    assert [(record.source, record.first, record.last) for record in retried] == [(1, 25, 36), (1, 37, 48)]
    assert not [record for record in steps.folder.finish(steps.run, [*records, *retried]).records if record.failed]


def test_a_replaced_picture_is_read_by_the_next_run(steps, archive):
    assert steps.run_all().counts["bad"] == 1
    write_picture(archive / "pictures" / "damaged.png", 5)
    manifest = steps.run_all()
    assert (manifest.counts["bad"], manifest.counts["answered"]) == (0, 2 * ROWS + 11)


def test_links_to_tables_and_pictures_are_followed(archive, tmp_path):
    links = tmp_path / "links"
    links.mkdir()
    for number, path in enumerate([archive / "a.csv", archive / "pictures" / "3.png"]):
        (links / f"{number}{path.suffix}").symlink_to(path)
    (links / "broken.csv").symlink_to(tmp_path / "nothing")
    manifest = Steps(links, tmp_path / "out").run_all()
    assert manifest.counts["answered"] == ROWS + 1


def test_a_folder_emptied_during_a_run_has_no_predictions(steps, archive):
    records = steps.begin()
    for path in (archive / "pictures").iterdir():
        path.unlink()
    assert steps.folder.finish(steps.run, [*records, *steps.predict(records)]).counts["answered"] == 2 * ROWS


@pytest.mark.parametrize("rows", [[], [30], [50, 0], [0, 8]])
def test_empty_row_groups_do_not_end_the_table(archive, tmp_path, rows):
    import pyarrow as arrow

    schema = arrow.schema([("image", arrow.binary())])
    with parquet.ParquetWriter(archive / "b.parquet", schema) as writer:
        for count in rows:
            writer.write_table(arrow.table({"image": [image.tobytes() for image in IMAGES[:count]]}, schema=schema))
    manifest = Steps(archive / "b.parquet", tmp_path / "out").run_all()
    assert manifest.counts["answered"] == sum(rows)


def test_names_that_are_not_utf8_are_supported(tmp_path, archive):
    not_utf8 = Path(os.fsdecode(os.fsencode(tmp_path) + b"/odd-\xff"))
    shutil.copytree(archive, not_utf8)
    assert Steps(not_utf8, tmp_path / "out").run_all().counts["answered"] == 2 * ROWS + 10


def test_shards_of_blank_pictures_have_the_schema_of_other_shards(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(4):
        Image.new("L", (30, 30), 255).save(folder / f"a{number}.png")
        write_picture(folder / f"b{number}.png", number)
    Steps(folder, tmp_path / "out").run_all()
    table = parquet.read_table(tmp_path / "out")
    assert table["Status"].to_pylist()[:4] == ["blank"] * 4 and table["Label"].to_pylist()[:4] == [None] * 4


def test_a_folder_and_a_glob_of_its_pictures_are_one_source(archive):
    _, _, _, merged = find_sources([str(archive), f"{archive}/pictures/[0-3].png", f"{archive}/pictures/9.png"])
    assert merged.patterns == ("*", "9.png", "[0-3].png")
    assert len([path for piece in divide(Work(0, merged, ())) for path in piece.pictures]) == 11


@pytest.mark.parametrize("name", ["a#b", "a%41 b", "[0-9]?"])
def test_a_name_in_object_storage_is_not_decoded(name):
    _, path = file_system(f"gs://bucket/{name}")
    assert path == f"bucket/{name}"


def test_a_table_of_malformed_rows_is_not_a_failed_source(steps, archive):
    (archive / "a.csv").write_text("\n".join([HEADER, *["1,2,3"] * 50]) + "\n")
    manifest = steps.run_all()
    assert manifest.counts["bad"] == 51 and not [record for record in manifest.records if record.failed]


def test_an_unreachable_source_keeps_its_earlier_predictions(steps, archive, tmp_path, monkeypatch):
    """Dividing the source fails; the manifest has the earlier records and a failure for each gap between them."""
    records = list(itertools.islice(steps.predict(steps.begin()), 27))
    for lost in (records[12], records[13], records[20]):
        (tmp_path / "out" / "_progress" / f"{lost.stem}.json").unlink()

    def failing(stream, **options):
        raise OSError("network error")

    rows_of_groups = reading.rows_of_groups
    monkeypatch.setattr(reading, "rows_of_groups", failing)
    manifest = steps.run_all()
    failed = [record for record in manifest.records if record.failed]
    assert [(record.source, record.first) for record in failed] == [(1, records[12].first), (1, records[20].first)]
    monkeypatch.setattr(reading, "rows_of_groups", rows_of_groups)
    assert not [record for record in steps.run_all().records if record.failed]
    assert len(table_of(tmp_path / "out", archive / "b.parquet")) == ROWS


@pytest.mark.parametrize("classes", [10, 128, 129, 1000])
def test_class_numbers_of_many_classes_are_stored(classes):
    last = np.eye(classes, dtype=np.float32)[[0, classes - 1]]
    shard = parquet.read_table(io.BytesIO(shard_of_rows("test.csv", np.array([1, 2]), last, "parquet")))
    assert shard["Label"].to_pylist() == [0, classes - 1]
