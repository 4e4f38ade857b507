"""The page of a comparison: who is best, smallest and fastest, the table, the pictures, and how it was measured."""

from collections.abc import Sequence

from digits_edge.train.charts.drawing import as_svg
from digits_edge.train.charts.units import duration_text, size_text, time_text
from digits_edge.train.evaluation.comparison import ComparedModel
from digits_edge.train.evaluation.significance import SIGNIFICANCE
from digits_edge.train.report.comparison_chart import draw_latencies, draw_models
from digits_edge.train.report.page import Facts, Picture, Section, Table, Text, render_page

HEAD = (
    "model",
    "kind",
    "errors",
    "interval",
    "unlike best",
    "parameters",
    "size",
    "one image",
    "images/s",
    "training",
)
UNKNOWN = "–"


def comparison_page(models: Sequence[ComparedModel], *, data: str, threads: int) -> str:
    """The page as HTML.

    Args:
        models: one or more, as `digits_edge.train.evaluation.comparison.compare` gives them.
        data: the data set and its split, in words.
        threads: of one answer.
    """
    images = models[0].accuracy.images
    return render_page(
        f"Comparison of {len(models)} models" if len(models) > 1 else f"Figures of {models[0].title}",
        f"{data}, {images:,} images",
        [
            Section("In short", [Facts(_facts(models))]),
            Section(
                "Side by side",
                [
                    Table(
                        HEAD,
                        [row_of(model) for model in models],
                        caption=f"Errors of {images:,} images with their 95 % interval",
                        left=2,
                    )
                ],
            ),
            Section("Size, errors and latency", _pictures(models)),
            Section("How this was measured", [Text(text) for text in _method(models, threads)]),
        ],
    )


def row_of(model: ComparedModel) -> list[str]:
    """A model's cells under `HEAD`."""
    low, high = model.accuracy.interval()
    return [
        model.title,
        model.kind,
        f"{model.accuracy.errors} ({100 * (1 - model.accuracy.value):.2f} %)",
        f"{100 * (1 - high):.2f}–{100 * (1 - low):.2f} %",
        verdict(model),
        f"{model.parameters:,}",
        size_text(model.size_bytes),
        time_text(model.single.median_us),
        f"{model.batch.images_per_second:,.0f}",
        UNKNOWN if model.training is None else f"{model.training.epochs} ep., {duration_text(model.training.seconds)}",
    ]


def verdict(model: ComparedModel) -> str:
    """Whether the model differs from the best by more than chance, in words."""
    if model.difference is None:
        return "best"
    p = model.difference.p_value
    p_value = "p < 0.001" if p < 0.001 else f"p {p:.1g}" if p < 0.01 else f"p {p:.2g}"
    return f"{'yes' if model.difference.is_more_than_chance else 'no'}, {p_value}"


def _facts(models: Sequence[ComparedModel]) -> list[tuple[str, str]]:
    best = next(model for model in models if model.difference is None)
    smallest = min(models, key=lambda model: model.size_bytes)
    fastest = min(models, key=lambda model: model.single.median_us)
    equal = [m.title for m in models if m.difference is not None and not m.difference.is_more_than_chance]
    facts = [
        ("fewest errors", f"{best.title}: {best.accuracy.errors}"),
        ("smallest", f"{smallest.title}: {size_text(smallest.size_bytes)}"),
        ("fastest", f"{fastest.title}: {time_text(fastest.single.median_us)}"),
    ]
    if len(models) > 1:
        facts.append(("not told apart from the best", f"{len(equal)} of {len(models) - 1}"))
    return facts


def _pictures(models: Sequence[ComparedModel]) -> list[Picture]:
    described = "; ".join(
        f"{m.title}: {size_text(m.size_bytes)}, {m.accuracy.errors} errors, {time_text(m.single.median_us)}"
        for m in models
    )
    return [
        Picture(
            as_svg(draw_models(models)),
            f"Errors against file size. {described}",
            "Lower is better, further left is smaller, darker is faster. Vertical bars: 95 % interval of the errors. "
            "Both axes are logarithmic.",
        ),
        Picture(
            as_svg(draw_latencies(models)),
            f"Latency of one image. {described}",
            "Further left is faster. Lines: the lowest and highest median of the turns; long ones tell of other work "
            "on the machine. The axis is logarithmic.",
        ),
    ]


def _method(models: Sequence[ComparedModel], threads: int) -> list[str]:
    bound = " and ".join(sorted({f"{model.engine} on {model.provider}" for model in models}))
    return [
        "Errors: every model answered the same images. The interval is Wilson's. “Unlike best” says whether the model "
        "differs from the one with the fewest errors by more than chance: McNemar's exact test on the images that only "
        "one of the two got wrong, corrected by Holm for all pairs, since the same images chose the best; “yes” is "
        f"p < {SIGNIFICANCE}.",
        "Latency: the time from pixels to an array of answers, scaling included, after calls that warm up. The models "
        "took turns, and each figure is the median of its turns' medians, so that other work on the machine hurts all "
        f"alike. Images/s: at {models[0].batch.batch_size} images per call. Bound: {bound}; {threads} thread(s). Keras "
        "models were called as model(x, training=False).",
        "Size: the file's bytes. Training: epochs and wall time as the run folder records them, on the machine where "
        f"the model was trained; {UNKNOWN} where the file does not say.",
    ]
