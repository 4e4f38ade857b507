"""Reading folders whose sub-folders are classes."""

import io
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from digits_edge.runtime.datasets import load
from digits_edge.runtime.datasets.options import ReadingOptions
from digits_edge.runtime.errors import DataError
from digits_edge.runtime.model.image_input import ImageInput
from digits_edge.runtime.model.steps import DigitStep, ResizeStep

SUFFIXES = {"PNG": "png", "JPEG": "JPG", "BMP": "bmp", "GIF": "Gif", "WEBP": "webp", "TIFF": "tiff", "PPM": "ppm"}


def picture(seed, size=(8, 6), mode="RGB"):
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8), mode)


def encoded(seed, kind="PNG", **options):
    stream = io.BytesIO()
    picture(seed, **options).save(stream, kind)
    return stream.getvalue()


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def pets(folder, count=10):
    """A folder of two classes with `count` pictures each."""
    return write(
        folder, {f"{name}/{n}.png": encoded(100 * k + n) for k, name in enumerate(["cat", "dog"]) for n in range(count)}
    )


def test_the_folders_are_the_classes(tmp_path):
    folder = pets(tmp_path / "pets")
    train, test = load(folder, "train"), load(folder, "test")
    assert (train.name, train.class_names, train.licence) == ("pets", ("cat", "dog"), "unknown")
    assert train.image == ImageInput(6, 8, 3, "as-photographed")
    assert [step.step for step in train.preprocessing] == ["resize", "center_crop"]
    assert np.bincount(train.labels).tolist() == [8, 8]
    assert np.bincount(test.labels).tolist() == [2, 2]
    by_content = {np.asarray(picture(100 * k + n)).tobytes(): k for k in (0, 1) for n in range(10)}
    for split in (train, test):
        assert [by_content.pop(image.tobytes()) for image in split.images] == split.labels.tolist()
    assert not by_content


@pytest.mark.parametrize("test_folder", ["test", "val", "valid", "validation"])
def test_train_and_test_folders_are_read(tmp_path, test_folder):
    pets(tmp_path / "train", 3)
    write(tmp_path / test_folder / "dog", {"1.png": encoded(999)})
    train, test = load(tmp_path, "train"), load(tmp_path, "test")
    assert (len(train), test.labels.tolist(), test.class_names) == (6, [1], ("cat", "dog"))
    np.testing.assert_array_equal(test.images[0], picture(999))


def test_a_train_folder_alone_is_split(tmp_path):
    pets(tmp_path / "data" / "train")
    assert len(load(tmp_path / "data", "train")) == 16
    assert load(tmp_path / "data", "test").sha256 == load(pets(tmp_path / "pets"), "test").sha256


def test_train_may_be_a_class(tmp_path):
    write(tmp_path, {f"{name}/{n}.png": encoded(n) for name in ("bus", "train") for n in range(2)})
    assert load(tmp_path).class_names == ("bus", "train")


@given(names=st.permutations(range(12)), seed=st.integers(0, 3))
@settings(max_examples=25)
def test_the_split_does_not_depend_on_the_names_of_the_files(tmp_path_factory, names, seed):
    folder = tmp_path_factory.mktemp("any") / "data"
    files = {f"{'ab'[n % 2]}/{name}.png": encoded(1000 * seed + n) for n, name in enumerate(names)}
    write(folder, files)
    expected = sorted(np.asarray(picture(1000 * seed + n)).tobytes() for n in range(12))
    found = {split: load(folder, split) for split in ("train", "test")}
    assert (len(found["train"]), len(found["test"])) == (10, 2)
    assert sorted(image.tobytes() for split in found.values() for image in split.images) == expected
    other_names = {f"{'ab'[n % 2]}/{n}.png": encoded(1000 * seed + n) for n in range(12)}
    renamed = write(folder.parent / "other" / "data", other_names)
    for split, dataset in found.items():
        assert load(renamed, split).sha256 == dataset.sha256


def test_the_split_is_pinned(tmp_path):
    """The bytes of BMP files do not depend on the version of Pillow, so the hash is the same on every machine."""
    write(tmp_path, {f"{name}/{n}.bmp": encoded(10 * k + n, "BMP") for k, name in enumerate("ab") for n in range(5)})
    assert load(tmp_path, "test").sha256 == "fdda23d2ff19a2decc4b2700ced20c8b2711dee55350353c08abdfd8d29d88b8"


def test_equal_pictures_are_in_the_same_split(tmp_path):
    write(tmp_path, {f"{name}/{n}.png": encoded(n // 4) for name in "ab" for n in range(40)})
    train, test = ({image.tobytes() for image in load(tmp_path, split).images} for split in ("train", "test"))
    assert len(train | test) == 10 and not train & test


def test_a_class_of_one_picture_is_for_training(tmp_path):
    write(pets(tmp_path), {"emu/1.png": encoded(7)})
    assert np.bincount(load(tmp_path, "train").labels).tolist() == [8, 8, 1]


def test_every_picture_format_is_read_and_other_files_are_not(tmp_path):
    files = {f"{name}/{kind}.{suffix}": encoded(1, kind) for name in "ab" for kind, suffix in SUFFIXES.items()}
    ignored = ["a/notes.txt", "a/.hidden.png", ".git/1.png", "__MACOSX/1.png", "a/deep/1.png", "readme.md"]
    write(tmp_path, files | dict.fromkeys(ignored, b"x"))
    train, test = load(tmp_path, "train"), load(tmp_path, "test")
    assert len(train) + len(test) == 2 * len(SUFFIXES)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_class_names_are_in_the_composed_form(tmp_path, form):
    write(tmp_path, {f"{unicodedata.normalize(form, name)}/1.png": encoded(1) for name in ("éléphant", "雪", "a b")})
    assert load(tmp_path).class_names == ("a b", "éléphant", "雪")


def test_numbers_are_in_numeric_order(tmp_path):
    write(tmp_path, {f"{number}/1.png": encoded(number) for number in (10, 9, 0, 2)})
    assert load(tmp_path).class_names == ("0", "2", "9", "10")


@pytest.mark.parametrize(
    ("files", "description"),
    [
        ({"a/1.png": encoded(1, size=(40, 30)), "b/1.png": encoded(2, size=(40, 30))}, "30×40×3"),
        ({"a/1.png": encoded(1, size=(40, 30)), "b/1.png": encoded(2, size=(30, 40))}, "32×32×3"),
        ({"a/1.png": encoded(1, size=(225, 9)), "b/1.png": encoded(2, size=(225, 9))}, "32×32×3"),
        ({"a/1.png": encoded(1, mode="L"), "b/1.png": encoded(2, mode="L")}, "6×8"),
        ({"a/1.png": encoded(1, mode="L"), "b/1.png": encoded(2)}, "6×8×3"),
    ],
)
def test_the_default_input_is_the_common_size_of_the_pictures(tmp_path, files, description):
    found = load(write(tmp_path, files))
    assert found.image.description == description
    assert found.images.shape == (2, *found.image.shape)


def test_a_turned_picture_counts_as_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    picture(1, size=(20, 10)).save(stream, "JPEG", exif=exif)
    write(tmp_path, {"a/1.jpg": stream.getvalue(), "b/1.png": encoded(2, size=(10, 20))})
    assert load(tmp_path).image.description == "20×10×3"


def test_pictures_are_converted_to_the_input(tmp_path):
    folder = pets(tmp_path)
    found = load(folder, image=ImageInput(4, 5, 1, "as-photographed"))
    assert (found.images.shape[1:], found.image.channels) == ((4, 5), 1)
    stretched = load(folder, options=ReadingOptions(ImageInput(9, 9, 3), (ResizeStep(9, 9),)))
    assert (stretched.images.shape[1:], stretched.preprocessing) == ((9, 9, 3), (ResizeStep(9, 9),))


def test_pictures_of_digits_are_found_on_their_paper_if_the_images_are_white_on_black(tmp_path):
    for name in "17":
        (tmp_path / name).mkdir()
        paper = Image.new("L", (60, 60), 240)
        paper.paste(20, (25, 10, 33 + int(name), 50))
        paper.save(tmp_path / name / "1.png")
    found = load(tmp_path, image=ImageInput())
    assert found.preprocessing == (DigitStep(),)
    assert found.images[:, 0, 0].tolist() == [0, 0]
    assert found.images.max() == 255
    photographed = load(tmp_path)
    assert (photographed.image.polarity, photographed.images[0, 0, 0]) == ("as-photographed", 240)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a/1.png": encoded(1)}, r"the number of folders of pictures is 1; name a folder with one for each of 2"),
        ({"a/1.png": encoded(1), "b/x.txt": b"", "c/x.txt": b""}, r"the class b and 1 more has no pictures \(\.apng, "),
        ({"a/x.txt": b""}, r"has no train split: .* and it has no sub-folders of pictures"),
        (
            {"train/a/1.png": b"", "train/b/1.png": b"", "test/c/1.png": b""},
            r"test has the class c, which .* lacks",
        ),
        ({"train/a/1.png": b"", "train/b/1.png": b"", "test/1.png": b""}, r"test contains no pictures in folders of"),
    ],
)
def test_the_error_for_wrong_folders_names_the_folder(tmp_path, files, message):
    with pytest.raises(DataError, match=message) as caught:
        load(write(tmp_path, files))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def damaged(folder):
    pets(folder)
    for name in ("cat/x1.png", "cat/x2.png", "dog/x\n3.png", "dog/x4.jpg"):
        (folder / name).write_bytes(encoded(5)[:60] + name.encode())
    return folder


def test_the_error_for_damaged_pictures_names_three_and_counts_all(tmp_path):
    messages = []
    for split in ("train", "test"):
        with pytest.raises(
            DataError, match=r"of \d+ pictures cannot be read: .*; remove or replace them, or skip"
        ) as caught:
            load(damaged(tmp_path), split)
        messages.append(str(caught.value))
    assert not any("\n" in message for message in messages)
    assert sum(int(message.split()[0]) for message in messages) == 4


def test_pictures_in_other_formats_are_reported(tmp_path):
    write(tmp_path, {"cat/1.heic": b"\0\0\0\x18ftypheic" + bytes(20), "cat/2.png": encoded(1), "dog/1.png": encoded(2)})
    write(tmp_path / "cat", {f"{n}.png": encoded(n) for n in range(3, 9)})
    skipped = []
    options = ReadingOptions(on_damaged=lambda path, reason: skipped.append(reason))
    assert sum(len(load(tmp_path, split, options=options)) for split in ("train", "test")) == 8
    assert [reason.split("heic ")[1] for reason in skipped] == ["is a HEIC picture; save it as PNG or JPEG"]


def test_damaged_pictures_can_be_skipped(tmp_path):
    skipped = []
    options = ReadingOptions(on_damaged=lambda path, reason: skipped.append((path.name, reason)))
    parts = [load(damaged(tmp_path), split, options=options) for split in ("train", "test")]
    assert {name for name, _ in skipped} == {"x1.png", "x2.png", "x\n3.png", "x4.jpg"}
    assert all("\n" not in reason for _, reason in skipped)
    assert sum(map(len, parts)) == 20
    assert all(len(part.labels) == len(part.images) for part in parts)


def test_images_can_be_stored_on_disk(tmp_path):
    (tmp_path / "disk").mkdir()
    stored, read = load(pets(tmp_path / "pets"), disk=tmp_path / "disk"), load(tmp_path / "pets")
    assert isinstance(stored.images, np.memmap)
    assert stored.sha256 == read.sha256


def test_progress_counts_the_files(tmp_path):
    calls = []
    load(pets(tmp_path), progress=lambda done, total: calls.append((done, total)))
    sizes_and_hashes = [(n, 20) for n in range(1, 21)]
    assert calls == [*sizes_and_hashes, *sizes_and_hashes, *((n, 16) for n in range(1, 17))]


def test_a_folder_without_permission_is_an_error(tmp_path, monkeypatch):
    pets(tmp_path)

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match="cannot be listed: Permission denied; check its permissions"):
        load(tmp_path)


def test_a_file_that_disappears_is_an_error(tmp_path):
    from digits_edge.runtime.datasets.class_folders import find_class_folders, ordered_split

    found = find_class_folders(pets(tmp_path))
    shutil.rmtree(tmp_path / "cat")
    with pytest.raises(DataError, match=r"cat.* could not be read: No such file"):
        ordered_split(found, "train")


def test_images_of_other_formats_are_not_converted(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, images=np.full((2, 28, 28), 9, np.uint8), labels=[0, 1])
    found = load(path, options=ReadingOptions(ImageInput(32, 32, 3, "as-photographed"), (ResizeStep(32, 32),)))
    assert (found.image, found.preprocessing) == (ImageInput(), (DigitStep(),))
    assert load(path, options=ReadingOptions(polarity="as-photographed")).image.polarity == "as-photographed"


def test_a_picture_without_ink_counts_as_damaged(tmp_path):
    for name in "17":
        (tmp_path / name).mkdir()
        Image.new("L", (60, 60), 240).save(tmp_path / name / "1.png")
    with pytest.raises(DataError, match=r"2 of 2 pictures cannot be read: .*1.png is blank: neither ink nor an object"):
        load(tmp_path, image=ImageInput())
    assert len(load(tmp_path)) == 2


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", " "])
def test_a_class_name_that_cannot_be_printed_is_refused(tmp_path, name):
    write(tmp_path, {f"{name}/1.png": encoded(1), "b/1.png": encoded(2)})
    with pytest.raises(DataError, match="cannot be that of a class; rename it") as caught:
        load(tmp_path)
    assert str(caught.value).isprintable()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full disk, /dev/full")
def test_a_full_disk_is_an_error(tmp_path):
    pets(tmp_path / "pets")
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/train.u8").symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"train.u8 could not be written: No space left on device; free disk space"):
        load(tmp_path / "pets", disk=tmp_path / "disk")


def test_more_pictures_than_memory_are_an_error(tmp_path, monkeypatch):
    folder, create = pets(tmp_path), np.empty

    def refuse(shape, *arguments):
        if isinstance(shape, tuple) and shape[:1] == (16,):
            raise MemoryError
        return create(shape, *arguments)

    monkeypatch.setattr(np, "empty", refuse)
    with pytest.raises(DataError, match=r"16 pictures need 0\.0 GB of memory; use --stream or a smaller --input"):
        load(folder)
