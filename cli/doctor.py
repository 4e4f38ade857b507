"""The `digits-edge doctor` command."""

from typing import TYPE_CHECKING

import click

from digits_edge.cli.options import examples, json_option
from digits_edge.cli.output import print_json, say
from digits_edge.runtime.errors import ModelError

if TYPE_CHECKING:
    from digits_edge.runtime.checks.doctor import Examination
    from digits_edge.runtime.session.trial import SpeedTrial


@click.command(epilog=examples("digits-edge doctor", "digits-edge doctor --json"))
@json_option
def command(as_json: bool) -> None:
    """Check the installation and show what is missing.

    Prints versions, extras, execution providers, threads, models and data sets, and the commands that install missing
    extras.
    The exit code is 3 if models cannot run on this machine.
    """
    from digits_edge.runtime.checks.doctor import examine

    found = examine()
    if as_json:
        print_json(found.to_json())
    else:
        say(f"python     {found.python} on {found.platform}")
        say(f"packages   {', '.join(f'{name} {version}' for name, version in _base_packages(found).items())}")
        say(f"extras     {', '.join(extra for extra, is_installed in found.extras.items() if is_installed) or 'none'}")
        about = found.processor
        say(f"processor  {about.name}: {'' if about.int8_is_fast else 'no '}int8 instructions")
        if about.int8_saturates:
            say("int8       kernels saturate; model files that could overflow run on slower, exact kernels")
        for provider, state in found.providers.items():
            say(f"provider   {provider}: {state}")
        if found.trial is not None:
            for line in _trial_lines(found.trial):
                say(f"auto       {line}")
        if found.threads is not None:
            limits = [f"{found.threads.affinity} by affinity"]
            limits += [f"{found.threads.cgroup_quota:g} by cgroup"] if found.threads.cgroup_quota is not None else []
            limits += [f"DIGITS_EDGE_THREADS={found.threads.environment}"] if found.threads.environment else []
            say(f"threads    {found.threads.allowed} ({', '.join(limits)})")
        for model, is_intact in found.models.items():
            say(f"model      {model}: {'intact' if is_intact else 'DAMAGED'}")
        for name, folder in found.data.items():
            say(f"data       {name} in {folder}")
        for line in found.missing:
            say(f"missing    {line}")
        for line in found.problems:
            say(f"problem    {line}")
    if found.problems:
        raise ModelError(f"models cannot run on this machine: {len(found.problems)} problem(s), listed above")


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
