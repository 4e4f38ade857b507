"""The `digits-edge doctor` command."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from digits_edge.cli.options import examples, json_option
from digits_edge.cli.output import print_json, say
from digits_edge.runtime.errors import ModelError

if TYPE_CHECKING:
    from digits_edge.runtime.checks.doctor import Examination, Threads
    from digits_edge.runtime.session.trial import SpeedTrial


@click.command(epilog=examples("digits-edge doctor", "digits-edge doctor --json"))
@json_option
def command(as_json: bool) -> None:
    """Check the installation and show what is missing.

    Prints versions, extras, execution providers, threads, models and data sets, and the commands that install missing
    extras.
    A provider or model that is installed but cannot be used is a finding. The exit code is 3 if the default model
    cannot run on this machine, or if the installation is damaged.
    """
    from digits_edge.runtime.checks.doctor import examine

    found = examine()
    if as_json:
        print_json(found.to_json())
    else:
        for title, lines in _sections(found).items():
            for line in lines:
                say(f"{title:10} {line}")
    if found.problems:
        raise ModelError(f"models cannot run on this machine: {len(found.problems)} problem(s), listed above")


def _sections(found: "Examination") -> dict[str, Sequence[str]]:
    """Title → lines of the text output."""
    from digits_edge.runtime.checks.doctor import OK

    about = found.processor
    saturation = "kernels saturate; model files that could overflow run on slower, exact kernels"
    return {
        "python": [f"{found.python} on {found.platform}"],
        "packages": [", ".join(f"{name} {version}" for name, version in _base_packages(found).items())],
        "extras": [", ".join(extra for extra, is_installed in found.extras.items() if is_installed) or "none"],
        "processor": [f"{about.name}: {'' if about.int8_is_fast else 'no '}int8 instructions"],
        "int8": [saturation] if about.int8_saturates else [],
        "provider": [
            f"{provider}: {_devices(found, provider) if state == OK else 'cannot be used, see below'}"
            for provider, state in found.providers.items()
        ],
        "auto": _trial_lines(found.trial) if found.trial else [],
        "threads": [_threads_line(found.threads)] if found.threads else [],
        "model": [f"{model}: {'intact' if is_intact else 'DAMAGED'}" for model, is_intact in found.models.items()],
        "data": [f"{name} in {folder}" for name, folder in found.data.items()],
        "missing": found.missing,
        "finding": found.findings,
        "problem": found.problems,
    }


def _devices(found: "Examination", provider: str) -> str:
    """Format the state of a provider that works, with the devices of a plug-in."""
    return ", ".join(["ok", *(f"device {provider}:{name}" for name in found.devices.get(provider, []))])


def _threads_line(threads: "Threads") -> str:
    """Format the number of threads and what limits it."""
    limits = [f"{threads.affinity} by affinity"]
    limits += [f"{threads.cgroup_quota:g} by cgroup"] if threads.cgroup_quota is not None else []
    limits += [f"DIGITS_EDGE_THREADS={threads.environment}"] if threads.environment else []
    return f"{threads.allowed} ({', '.join(limits)})"


def _base_packages(found: "Examination") -> dict[str, str]:
    """Versions of the base installation and of onnxruntime."""
    from digits_edge.runtime.packages import DISTRIBUTION, requirements

    base = {DISTRIBUTION, *(each.package for each in requirements(""))}
    return {name: version for name, version in found.packages.items() if name in base} | found.wheels


def _trial_lines(trial: "SpeedTrial") -> list[str]:
    """Format the timings of the default model by precision and provider, and the selected combinations."""
    from digits_edge.runtime.classifier import FEW_IMAGES
    from digits_edge.runtime.session.trial import BATCH

    lines = [
        f"{timing.model} on {timing.provider}: session {1e3 * timing.open_s:.0f} ms, "
        f"one image {1e6 * timing.one_s:.0f} µs, batch of {BATCH} {1e6 * timing.each_s:.1f} µs per image"
        for timing in trial.timings
    ]
    fastest, expected = trial.fastest(), trial.timings[0]
    return [
        *lines,
        f"selected: {expected.model} on {expected.provider} for fewer than {FEW_IMAGES:,} images, "
        f"{fastest.model} on {fastest.provider} for more",
    ]
