import os
import stat
from pathlib import Path

import pytest

from digits_edge.runtime import files
from digits_edge.runtime.errors import InputError, UsageError
from digits_edge.runtime.files import atomic_write, refuse_existing, user_cache


def test_file_appears_whole_when_the_block_ends(tmp_path):
    path = tmp_path / "out.csv"
    with atomic_write(path) as stream:
        stream.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_power_cut_left_is_written_over(tmp_path):
    path = tmp_path / "out.csv"
    (tmp_path / ".out.csv.unfinished").write_bytes(b"a longer half of what was there")
    with atomic_write(path) as stream:
        stream.write(b"whole")
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


def test_of_two_writers_of_a_file_the_second_is_refused(tmp_path):
    path = tmp_path / "out.csv"
    with atomic_write(path) as stream:
        stream.write(b"the first")
        with pytest.raises(InputError, match=r"out\.csv is being written by another run"), atomic_write(path):
            pass
    assert path.read_bytes() == b"the first"


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
def test_links_lead_nowhere_else(tmp_path):
    """One that stands at the target is replaced; one that waits where the unfinished file will be is refused."""
    victim, path = tmp_path / "victim", tmp_path / "out.csv"
    victim.write_bytes(b"precious")
    path.symlink_to(victim)
    with atomic_write(path) as stream:
        stream.write(b"whole")
    assert (path.is_symlink(), path.read_bytes(), victim.read_bytes()) == (False, b"whole", b"precious")
    (tmp_path / ".out.csv.unfinished").symlink_to(victim)
    with pytest.raises(InputError, match="symbolic links"), atomic_write(path):
        pass
    assert victim.read_bytes() == b"precious"


def test_what_another_writer_has_just_renamed_is_not_written_over(tmp_path, monkeypatch):
    """Opened while it was unfinished, and the target by the time it is locked."""
    path = tmp_path / "out.csv"

    def lock_late(stream):
        if not path.exists():
            stream.write(b"of another")
            stream.flush()
            (tmp_path / ".out.csv.unfinished").replace(path)
        return True

    monkeypatch.setattr(files, "lock", lock_late)
    with atomic_write(path) as stream:
        assert path.read_bytes() == b"of another"
        stream.write(b"ours")
    assert path.read_bytes() == b"ours"


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt])
def test_interrupted_writing_leaves_what_was_there(tmp_path, interruption):
    path = tmp_path / "out.csv"
    path.write_bytes(b"before")
    with pytest.raises(interruption), atomic_write(path) as stream:  # noqa: PT012
        stream.write(b"half")
        raise interruption
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_missing_folder_is_one_line_that_names_the_file(tmp_path):
    with pytest.raises(InputError, match=r"out\.csv could not be written"), atomic_write(tmp_path / "no" / "out.csv"):
        pass


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the full disk is Linux's /dev/full")  # noqa: PTH110
def test_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    with (
        pytest.raises(InputError, match="No space left"),
        atomic_write(tmp_path / "out.csv"),
        open("/dev/full", "wb", buffering=0) as full,  # noqa: PTH123
    ):
        full.write(b"x")
    assert list(tmp_path.iterdir()) == []


def test_written_file_can_be_read_as_other_new_files_can(tmp_path):
    path, plain = tmp_path / "out.csv", tmp_path / "plain"
    plain.touch()
    with atomic_write(path):
        pass
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_existing_file_is_refused_unless_it_may_be_replaced(tmp_path):
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


def test_a_missing_folder_is_told_before_the_work(tmp_path):
    with pytest.raises(InputError, match="there is no folder"):
        refuse_existing(tmp_path / "nowhere" / "page.html", overwrite=False)


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("DIGITS_EDGE_CACHE", str(tmp_path / "cache"))
    assert user_cache() == tmp_path / "cache"
    monkeypatch.delenv("DIGITS_EDGE_CACHE")
    assert user_cache() != tmp_path / "cache"
