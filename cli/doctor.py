"""`digits-edge doctor`: what this machine has, and what is missing."""

from typing import TYPE_CHECKING

import click

from digits_edge.cli.options import json_option
from digits_edge.cli.output import print_json, say
from digits_edge.runtime.errors import ModelError

if TYPE_CHECKING:
    from digits_edge.runtime.session.trial import SpeedTrial


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Show versions, providers, threads, models and data of this machine, and the commands that add what is missing.

    The exit code is 3 where digits cannot be read here.
    """
    from digits_edge.runtime.checks.doctor import examine

    found = examine()
    if as_json:
        print_json(found.to_json())
    else:
        say(f"python     {found.python} on {found.platform}")
        installed = [f"{name} {version}" for name, version in (found.packages | found.wheels).items() if version]
        say(f"packages   {', '.join(installed)}")
        about = found.processor
        say(f"processor  {about.name}: int8 {'is fast' if about.int8_is_fast else 'has no instructions of its own'}")
        if about.int8_saturates:
            say("int8       sums saturate; files that are not overflow-free are run by slower, exact kernels")
        for provider, state in found.providers.items():
            say(f"provider   {provider}: {state}")
        if found.trial is not None:
            for line in _explained(found.trial):
                say(f"auto       {line}")
        if found.threads is not None:
            limits = [f"{found.threads.affinity} by affinity"]
            limits += [f"{found.threads.cgroup_quota:g} by cgroup"] if found.threads.cgroup_quota is not None else []
            limits += [f"DIGITS_EDGE_THREADS={found.threads.environment}"] if found.threads.environment else []
            say(f"threads    {found.threads.allowed} ({', '.join(limits)})")
        for model, whole in found.models.items():
            say(f"model      {model}: {'whole' if whole else 'DAMAGED'}")
        for name, folder in found.data.items():
            say(f"data       {name} in {folder}")
        for line in found.missing:
            say(f"missing    {line}")
        for line in found.problems:
            say(f"problem    {line}")
    if found.problems:
        raise ModelError(f"{len(found.problems)} problem(s) keep this machine from reading digits; see above")


def _explained(trial: "SpeedTrial") -> list[str]:
    """How fast each precision of the default model was on each provider, and what is taken for how many pictures."""
    from digits_edge.runtime.classifier import FEW_IMAGES
    from digits_edge.runtime.session.trial import BATCH

    lines = [
        f"{timing.model} on {timing.provider}: opens in {1e3 * timing.open_s:.0f} ms, "
        f"one image {1e6 * timing.one_s:.0f} µs, of {BATCH} each {1e6 * timing.each_s:.1f} µs"
        for timing in trial.timings
    ]
    fastest, expected = trial.fastest(), trial.timings[0]
    return [
        *lines,
        f"taken: {fastest.model} on {fastest.provider} for many pictures, "
        f"{expected.model} on {expected.provider} for fewer than {FEW_IMAGES:,}",
    ]
