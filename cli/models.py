"""The `digits-edge models` command."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from digits_edge.cli.options import examples, json_option
from digits_edge.cli.output import percent, print_json, print_table, say

if TYPE_CHECKING:
    from digits_edge.runtime.model.bundled import BundledModel


@click.command(epilog=examples("digits-edge models", "digits-edge models mine.onnx --json"))
@click.argument("files", nargs=-1, metavar="[MODEL]...")
@json_option
def command(files: tuple[str, ...], as_json: bool) -> None:
    """List the bundled models, or describe model files.

    Shows size, test accuracy, and the share of multiplications in int8. For models in several precisions, also shows
    which precision the plain name selects on this machine. The last line lists the providers of this installation. With
    names or files as MODEL, shows their input, preprocessing and classes instead.
    """
    if files:
        _describe(files, as_json=as_json)
    else:
        _list_bundled(as_json=as_json)


def _describe(files: tuple[str, ...], *, as_json: bool) -> None:
    from digits_edge.runtime.any_model import open_any

    rows = []
    for file in files:
        opened = open_any(file, provider="cpu", threads=1)  # checked as for a prediction
        metadata, path = opened.metadata, opened.path
        values = asdict(metadata)
        size = path.stat().st_size
        if as_json:
            shown = ("name", "architecture", "precision", "parameters", "labels", "input", "preprocessing", "output")
            facts = {key: values[key] for key in (*shown, "int8_share", "test")}
            print_json({"path": str(path), "bytes": size, **facts})
        image = metadata.input
        rows.append(
            [
                metadata.name,
                f"{image.description} {image.polarity}",
                " → ".join(step.step for step in metadata.preprocessing),
                f"{len(metadata.labels)}, {metadata.output}",
                f"{metadata.parameters:,}",
                f"{size / 1000:,.0f} kB",
            ]
        )
    if not as_json:
        print_table(["model", "input", "preprocessing", "classes", "parameters", "size"], rows, left=4)


def _list_bundled(*, as_json: bool) -> None:
    from digits_edge.runtime.checks.accuracy import Accuracy
    from digits_edge.runtime.model.bundled import bundled_models

    models = bundled_models()
    selected = _selected(models)
    if as_json:
        for model in models:
            values: dict[str, Any] = asdict(model)
            few, many = selected.get(model.family, (model.name, model.name))
            selection = {
                "for_few_images": model.name == few,
                "for_many_images": None if many is None else model.name == many,
            }
            print_json(values | {"int8_share": None} | values.pop("figures") | selection)
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
                percent(share, 0) if (share := model.figures.get("int8_share")) is not None else "",
                percent(Accuracy(test["errors"], test["images"]).value) if test else "",
                f"{test['errors']} of {test['images']:,} {test['name']}" if test else "",
            ]
        )
    print_table(["model", "precision", "parameters", "size", "int8 share", "test accuracy", "errors"], rows)
    for family, (few, many) in selected.items():
        measured = "" if many is None else f", {many} for many images (measured)"
        say(f"{family} selects {few} for few images{measured}")
    if providers := _providers():
        say(f"providers: auto, {', '.join(providers)}")


def _providers() -> list[str]:
    """Return the names of the providers of this installation; empty without ONNX Runtime."""
    from digits_edge.runtime.errors import ModelError
    from digits_edge.runtime.session.provider_names import available_providers

    try:
        return available_providers()
    except ModelError:  # `digits-edge doctor` reports it
        return []


def _selected(models: "list[BundledModel]") -> dict[str, tuple[str, str | None]]:
    """Return the models that the name of a family selects on this machine.

    Returns:
        For each family with several precisions, the model for few images and the model for many images; the latter is
        None before the first speed trial.
    """
    from digits_edge.runtime.errors import ModelError
    from digits_edge.runtime.session.precision import ways_to_run
    from digits_edge.runtime.session.provider_names import available_providers
    from digits_edge.runtime.session.threads import available_threads
    from digits_edge.runtime.session.trial import known_trial

    families = [model.family for model in models]
    selected: dict[str, tuple[str, str | None]] = {}
    try:
        for family in dict.fromkeys(name for name in families if families.count(name) > 1):
            ways = ways_to_run(family, available_providers())
            trial = known_trial(ways, available_threads())
            selected[family] = ways[0].file.stem, None if trial is None else trial.fastest().model
    except ModelError:  # ONNX Runtime is not installed; `digits-edge doctor` reports it
        return {}
    return selected
