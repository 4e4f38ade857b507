"""`digits-edge models`: what ships in the package."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from digits_edge.cli.options import json_option
from digits_edge.cli.output import percent, print_json, print_table, say

if TYPE_CHECKING:
    from digits_edge.runtime.model.bundled import BundledModel


@click.command()
@json_option
def command(as_json: bool) -> None:
    """List the models in this package, with what was measured of them.

    Of a model in several precisions, the one that its name alone stands for on this machine is named, too.
    """
    from digits_edge.runtime.checks.accuracy import Accuracy
    from digits_edge.runtime.model.bundled import bundled_models

    models = bundled_models()
    taken = _taken(models)
    if as_json:
        for model in models:
            values: dict[str, Any] = asdict(model)
            few, many = taken.get(model.family, (model.name, model.name))
            here = {
                "for_few_images": model.name == few,
                "for_many_images": None if many is None else model.name == many,
            }
            print_json(values | values.pop("figures") | here)
        return
    rows = []
    for model in models:
        test = model.figures["test"]
        rows.append(
            [
                model.name + (" (default)" if model.default else ""),
                model.precision,
                f"{model.figures['parameters']:,}",
                f"{model.bytes / 1000:,.0f} kB",
                percent(Accuracy(test["errors"], test["images"]).value) if test else "",
                f"{test['errors']} of {test['images']:,} {test['name']}" if test else "",
            ]
        )
    print_table(["model", "precision", "parameters", "size", "test accuracy", "errors"], rows)
    for family, (few, many) in taken.items():
        measured = "" if many is None else f", {many} for more, as measured"
        say(f"{family} is {few} here for a few images{measured}")


def _taken(models: "list[BundledModel]") -> dict[str, tuple[str, str | None]]:
    """For models in several precisions, which is taken here for few images and, once a trial was made, for many."""
    from digits_edge.runtime.errors import ModelError
    from digits_edge.runtime.session.precision import ways_to_run
    from digits_edge.runtime.session.providers import available_providers
    from digits_edge.runtime.session.threads import available_threads
    from digits_edge.runtime.session.trial import known_trial

    families = [model.family for model in models]
    taken: dict[str, tuple[str, str | None]] = {}
    try:
        for family in dict.fromkeys(name for name in families if families.count(name) > 1):
            ways = ways_to_run(family, available_providers())
            trial = known_trial(ways, available_threads())
            taken[family] = ways[0].file.stem, None if trial is None else trial.fastest().model
    except ModelError:  # onnxruntime is not installed: the doctor says what to do
        return {}
    return taken
