import os
import stat
from pathlib import Path

import pytest

from digits_edge.runtime import files
from digits_edge.runtime.errors import InputError, UsageError
from digits_edge.runtime.files import atomic_write, refuse_existing, user_cache


def test_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "out.csv"
    with atomic_write(path) as stream:
        stream.write(b"complete")
        assert not path.exists()
    assert path.read_bytes() == b"complete"
    assert list(tmp_path.iterdir()) == [path]


def test_unfinished_file_of_a_power_failure_is_overwritten(tmp_path):
    path = tmp_path / "out.csv"
    (tmp_path / ".out.csv.unfinished").write_bytes(b"the longer start of a former file")
    with atomic_write(path) as stream:
        stream.write(b"complete")
    assert path.read_bytes() == b"complete"
    assert list(tmp_path.iterdir()) == [path]


def test_second_writer_of_a_file_is_rejected(tmp_path):
    path = tmp_path / "out.csv"
    with atomic_write(path) as stream:
        stream.write(b"the first")
        with pytest.raises(InputError, match=r"out\.csv is being written by another run"), atomic_write(path):
            pass
    assert path.read_bytes() == b"the first"


@pytest.mark.skipif(os.name != "posix", reason="creating links needs privileges on Windows")
def test_symbolic_links_are_not_followed(tmp_path):
    """A link at the target is replaced; a link with the name of the unfinished file is rejected."""
    victim, path = tmp_path / "victim", tmp_path / "out.csv"
    victim.write_bytes(b"precious")
    path.symlink_to(victim)
    with atomic_write(path) as stream:
        stream.write(b"complete")
    assert (path.is_symlink(), path.read_bytes(), victim.read_bytes()) == (False, b"complete", b"precious")
    (tmp_path / ".out.csv.unfinished").symlink_to(victim)
    with pytest.raises(InputError, match="symbolic links"), atomic_write(path):
        pass
    assert victim.read_bytes() == b"precious"


def test_file_renamed_by_another_writer_is_not_written_to(tmp_path, monkeypatch):
    """The file is opened while unfinished, and renamed to the target before it is locked."""
    path = tmp_path / "out.csv"

    def lock_late(stream):
        if not path.exists():
            stream.write(b"of another writer")
            stream.flush()
            (tmp_path / ".out.csv.unfinished").replace(path)
        return True

    monkeypatch.setattr(files, "lock", lock_late)
    with atomic_write(path) as stream:
        assert path.read_bytes() == b"of another writer"
        stream.write(b"ours")
    assert path.read_bytes() == b"ours"


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt])
def test_interrupted_write_leaves_the_file_unchanged(tmp_path, interruption):
    path = tmp_path / "out.csv"
    path.write_bytes(b"before")
    with pytest.raises(interruption), atomic_write(path) as stream:  # noqa: PT012
        stream.write(b"incomplete")
        raise interruption
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_error_for_a_missing_folder_names_the_file(tmp_path):
    with pytest.raises(InputError, match=r"out\.csv could not be written"), atomic_write(tmp_path / "no" / "out.csv"):
        pass


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_full_disk_raises_an_error_and_leaves_no_file(tmp_path):
    with (
        pytest.raises(InputError, match="No space left"),
        atomic_write(tmp_path / "out.csv"),
        open("/dev/full", "wb", buffering=0) as full,  # noqa: PTH123
    ):
        full.write(b"x")
    assert list(tmp_path.iterdir()) == []


def test_written_file_has_the_permissions_of_a_new_file(tmp_path):
    path, plain = tmp_path / "out.csv", tmp_path / "plain"
    plain.touch()
    with atomic_write(path):
        pass
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_existing_file_needs_overwrite(tmp_path):
    path = tmp_path / "out.csv"
    refuse_existing(path, overwrite=False)
    path.touch()
    refuse_existing(path, overwrite=True)
    with pytest.raises(UsageError, match="--overwrite"):
        refuse_existing(path, overwrite=False)
    with pytest.raises(UsageError, match="folder"):
        refuse_existing(tmp_path, overwrite=True)


def test_device_is_never_replaced():
    with pytest.raises(UsageError, match="device"):
        refuse_existing(Path(os.devnull), overwrite=True)


def test_missing_folder_is_detected_before_the_work(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        refuse_existing(tmp_path / "nowhere" / "page.html", overwrite=False)


def test_cache_folder_can_be_set_in_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("DIGITS_EDGE_CACHE", str(tmp_path / "cache"))
    assert user_cache() == tmp_path / "cache"
    monkeypatch.delenv("DIGITS_EDGE_CACHE")
    assert user_cache() != tmp_path / "cache"
