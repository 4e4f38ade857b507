"""HTML page of a model comparison."""

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
    "95 % interval",
    "differs from best",
    "parameters",
    "size",
    "one image",
    "images/s",
    "training",
)
UNKNOWN = "–"


def comparison_page(models: Sequence[ComparedModel], *, data: str, threads: int) -> str:
    """Render the page as HTML.

    Args:
        models: results of `digits_edge.train.evaluation.comparison.compare`, at least one.
        data: name of the data set and split.
        threads: number of threads of a prediction.
    """
    images = models[0].accuracy.images
    return render_page(
        f"Comparison of {len(models)} models" if len(models) > 1 else f"Metrics of {models[0].title}",
        f"{data}, {images:,} images",
        [
            Section("Summary", [Facts(_facts(models))]),
            Section(
                "Results",
                [
                    Table(
                        HEAD,
                        [row_of(model) for model in models],
                        caption=f"Errors of {images:,} images with their 95 % interval",
                        left=2,
                    )
                ],
            ),
            Section("Error rate, size and latency", _pictures(models)),
            Section("Method", [Text(text) for text in _method(models, threads)]),
        ],
    )


def row_of(model: ComparedModel) -> list[str]:
    """Return the cells of a model for the columns `HEAD`."""
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
    """Return whether the difference from the best model is significant, with the p-value."""
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
        facts.append(("no significant difference from best", f"{len(equal)} of {len(models) - 1}"))
    return facts


def _pictures(models: Sequence[ComparedModel]) -> list[Picture]:
    described = "; ".join(
        f"{m.title}: {size_text(m.size_bytes)}, {m.accuracy.errors} errors, {time_text(m.single.median_us)}"
        for m in models
    )
    return [
        Picture(
            as_svg(draw_models(models)),
            f"Error rate by file size. {described}",
            "Lower is more accurate, left is smaller, dark is faster. Vertical bars are 95 % intervals of the error "
            "rate. Both axes are logarithmic.",
        ),
        Picture(
            as_svg(draw_latencies(models)),
            f"Latency of one image. {described}",
            "Left is faster. Lines show the range of the medians over the rounds; long lines indicate other load on "
            "the machine. The axis is logarithmic.",
        ),
    ]


def _method(models: Sequence[ComparedModel], threads: int) -> list[str]:
    bound = " and ".join(sorted({f"{model.engine} on {model.provider}" for model in models}))
    return [
        "Errors: all models predicted the same images. The interval is the Wilson interval. “Differs from best” is "
        "McNemar's exact test against the model with the fewest errors, on the images that only one of the two "
        "misclassifies. The p-value has Holm's correction for all pairs, because the best model is chosen on the same "
        f"images. “yes” means p < {SIGNIFICANCE}.",
        "Latency: time from pixels to an array of predictions, including scaling, after warm-up calls. The models were "
        "measured round-robin. Each figure is the median over the rounds of each round's median, so other load on the "
        f"machine affects all models equally. Images/s is measured with {models[0].batch.batch_size} images per call. "
        f"Engines: {bound}; {threads} thread(s). Keras models were called with model(x, training=False).",
        "Size: file size. Training: epochs and wall time recorded in the run folder, on the machine where the model "
        f"was trained; {UNKNOWN} if unknown.",
    ]
