"""Platforms without an onnxruntime wheel are detected, and the error says what to do instead."""

import platform
import sys

import pytest

from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.session.library import load_onnxruntime
from digits_edge.runtime.session.machine import platform_without_onnxruntime, processor

GLIBC, MUSL = ("glibc", "2.36"), ("", "")


def set_platform(monkeypatch, system: str, machine: str, libc: tuple[str, str]) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "libc_ver", lambda: libc)


@pytest.mark.parametrize(
    ("system", "machine", "libc", "without"),
    [
        ("Linux", "x86_64", GLIBC, None),
        ("Linux", "aarch64", GLIBC, None),
        ("Windows", "AMD64", MUSL, None),
        ("Windows", "ARM64", MUSL, None),
        ("Darwin", "arm64", MUSL, None),
        ("Linux", "armv7l", GLIBC, "Linux on armv7l"),
        ("Linux", "i686", GLIBC, "Linux on i686"),
        ("Linux", "x86_64", MUSL, "Linux without glibc (musl)"),
        ("Darwin", "x86_64", MUSL, "macOS on Intel processors"),
    ],
)
def test_platforms_without_a_wheel_are_detected(monkeypatch, system, machine, libc, without):
    set_platform(monkeypatch, system, machine, libc)
    assert platform_without_onnxruntime() == without


@pytest.mark.parametrize(
    ("machine", "remedy"),
    [
        ("x86_64", r"pip install 'digits-edge\[cpu\]'"),
        ("armv7l", "no wheel for Linux on armv7l.*--format ort.*--target web"),
    ],
)
def test_error_without_onnxruntime_has_a_remedy_for_the_platform(monkeypatch, machine, remedy):
    set_platform(monkeypatch, "Linux", machine, GLIBC)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    load_onnxruntime.cache_clear()
    with pytest.raises(ModelError, match=f"onnxruntime is not installed; .*{remedy}") as caught:
        load_onnxruntime()
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


def test_processor_has_a_name():
    assert processor()
