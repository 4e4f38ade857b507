"""`digits-edge models`: what ships in the package."""

from dataclasses import asdict
from typing import Any

import click

from digits_edge.cli.options import json_option
from digits_edge.cli.output import percent, print_json, print_table


@click.command()
@json_option
def command(as_json: bool) -> None:
    """List the models in this package, with what was measured of them."""
    from digits_edge.runtime.accuracy import Accuracy
    from digits_edge.runtime.bundled import bundled_models

    models = bundled_models()
    if as_json:
        for model in models:
            values: dict[str, Any] = asdict(model)
            print_json(values | values.pop("figures"))
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
