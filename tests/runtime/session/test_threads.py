import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.session.threads import ENVIRONMENT, affinity, available_threads, cgroup_quota


def write_files(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_machine_without_cgroups_has_no_quota(tmp_path):
    assert cgroup_quota(tmp_path) is None


def test_version_2_quota_is_read(tmp_path):
    root = write_files(tmp_path, {"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/cpu.max": "150000 100000\n"})
    assert cgroup_quota(root) == 1.5


def test_version_2_without_limit_has_no_quota(tmp_path):
    root = write_files(tmp_path, {"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/cpu.max": "max 100000\n"})
    assert cgroup_quota(root) is None


def test_smallest_quota_of_the_ancestors_applies(tmp_path):
    files = {
        "proc/self/cgroup": "0::/slice/job\n",
        "sys/fs/cgroup/slice/cpu.max": "50000 100000",
        "sys/fs/cgroup/slice/job/cpu.max": "400000 100000",
    }
    assert cgroup_quota(write_files(tmp_path, files)) == 0.5


def test_version_1_quota_is_read(tmp_path):
    files = {
        "proc/self/cgroup": "5:memory:/job\n4:cpu,cpuacct:/job\n",
        "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "200000\n",
        "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
    }
    assert cgroup_quota(write_files(tmp_path, files)) == 2


def test_version_1_without_limit_has_no_quota(tmp_path):
    files = {
        "proc/self/cgroup": "4:cpu:/\n",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    }
    assert cgroup_quota(write_files(tmp_path, files)) is None


def test_host_path_in_a_container_means_the_mount_point(tmp_path):
    files = {"proc/self/cgroup": "0::/docker/0123abcd\n", "sys/fs/cgroup/cpu.max": "300000 100000\n"}
    assert cgroup_quota(write_files(tmp_path, files)) == 3


def test_threads_do_not_exceed_affinity(monkeypatch):
    monkeypatch.delenv("DIGITS_EDGE_THREADS", raising=False)
    assert 1 <= available_threads() <= affinity()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity can only be set on Linux")
def test_affinity_of_one_processor_means_one_thread(monkeypatch):
    monkeypatch.delenv("DIGITS_EDGE_THREADS", raising=False)
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert available_threads() == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_fraction_of_a_processor_means_one_thread(monkeypatch):
    monkeypatch.delenv("DIGITS_EDGE_THREADS", raising=False)
    monkeypatch.setattr("digits_edge.runtime.session.threads.cgroup_quota", lambda: 0.2)
    assert available_threads() == 1


def test_environment_variable_overrides_everything(monkeypatch):
    monkeypatch.setenv("DIGITS_EDGE_THREADS", "7")
    assert available_threads() == 7


@pytest.mark.parametrize("value", ["", "0", "-1", "two", "1.5"])
def test_invalid_environment_variable_is_rejected(monkeypatch, value):
    monkeypatch.setenv("DIGITS_EDGE_THREADS", value)
    with pytest.raises(UsageError, match="DIGITS_EDGE_THREADS"):
        available_threads()


@pytest.fixture
def own_cgroup() -> Iterator[Path]:
    """A temporary cgroup of this machine's CPU controller, version 1."""
    group = Path(f"/sys/fs/cgroup/cpu/digits-edge-test-{os.getpid()}")
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"cannot create a cgroup: {error.strerror}")
    yield group
    group.rmdir()


@pytest.mark.parametrize(("quota_us", "threads"), [(50_000, 1), (100_000, 1), (1_000_000, None)])
def test_real_cgroup_limit_is_respected(own_cgroup: Path, quota_us: int, threads: int | None) -> None:
    (own_cgroup / "cpu.cfs_quota_us").write_text(str(quota_us))
    program = "from digits_edge.runtime import Classifier; print(Classifier(provider='cpu').threads)"
    inside = f"echo $$ > {own_cgroup}/tasks && exec {sys.executable} -c {shlex.quote(program)}"
    environment = {key: value for key, value in os.environ.items() if key != ENVIRONMENT}
    found = subprocess.run(["sh", "-c", inside], env=environment, capture_output=True, text=True, check=True)
    assert int(found.stdout) == (affinity() if threads is None else threads)
