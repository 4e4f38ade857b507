"""HTML page of a study."""

import statistics
from collections.abc import Sequence

from digits_edge.train.charts.drawing import as_svg
from digits_edge.train.charts.units import count_text
from digits_edge.train.report.page import Facts, Picture, Section, Table, Text, render_page
from digits_edge.train.report.study_chart import draw_curves_of, draw_effect, name_of
from digits_edge.train.search.studies import Study
from digits_edge.train.search.study_runs import Outcome


def head_of(study: Study) -> list[str]:
    """Return the column titles of the result table."""
    return [study.title.lower(), "validation accuracy", "95 % interval", "seeds", "standard deviation", "seconds"]


def row_of(outcome: Outcome) -> list[str]:
    """Return the cells of a variant for the columns of `head_of`."""
    low, high = outcome.interval
    return [
        outcome.variant.label,
        f"{100 * outcome.mean:.2f} %",
        f"{100 * low:.2f} to {100 * high:.2f} %",
        str(len(outcome.accuracies)),
        "–" if outcome.spread is None else f"{100 * outcome.spread:.2f} %",
        f"{statistics.mean(outcome.seconds):.0f}",
    ]


def study_page(study: Study, outcomes: Sequence[Outcome], *, data: str) -> str:
    """Render the page as HTML.

    Args:
        study: the study.
        outcomes: results of `digits_edge.train.search.study_runs.conduct`, one per variant.
        data: name of the data set.
    """
    best = max(outcomes, key=lambda outcome: outcome.mean)
    worst = min(outcomes, key=lambda outcome: outcome.mean)
    facts = [
        ("highest accuracy", f"{100 * best.mean:.2f} % at {best.variant.label}"),
        ("lowest accuracy", f"{100 * worst.mean:.2f} % at {worst.variant.label}"),
        ("validation images", f"{best.images:,}"),
        ("total training time", f"{_total_seconds(outcomes) / 60:.1f} min"),
    ]
    return render_page(
        f"{study.title} and accuracy",
        f"{data}, validation images; {count_text(max(map(len, outcomes[0].histories)), 'epoch')}",
        [
            Section("Summary", [Facts(facts), Text(study.setting)]),
            Section("Results", [Table(head_of(study), [row_of(outcome) for outcome in outcomes])]),
            Section("Charts", _pictures(study, outcomes)),
            Section("Method", [Text(text) for text in _method(outcomes)]),
        ],
    )


def _pictures(study: Study, outcomes: Sequence[Outcome]) -> list[Picture]:
    described = "; ".join(f"{outcome.variant.label}: {100 * outcome.mean:.2f} % accuracy" for outcome in outcomes)
    hyperparameter = study.title.lower()
    pictures = [
        Picture(
            as_svg(draw_effect(study, outcomes)),
            f"Validation error rate by {hyperparameter}. {described}",
            f"Validation error rate by {hyperparameter}; lower is better. Bars are 95 % intervals."
            + (" Small dots are single seeds." if len(outcomes[0].accuracies) > 1 else ""),
        )
    ]
    # variants of the same run share a curve
    curves = list({outcome.runs: outcome for outcome in outcomes}.values())
    for column in ("val_accuracy", "accuracy", "val_loss"):
        name = name_of(column)
        pictures.append(
            Picture(
                as_svg(draw_curves_of(study, curves, column)),
                f"{name} per epoch, one curve per variant",
                f"{name.capitalize()} per epoch. The axis is logarithmic.",
            )
        )
    return pictures


def _method(outcomes: Sequence[Outcome]) -> list[str]:
    texts = [
        "All metrics are measured on the validation images, which are not used for training. A study selects "
        "hyperparameters, so it does not use the test set.",
        "The interval is the Wilson interval. Variants whose intervals overlap widely do not differ significantly.",
        "Training errors are counted during the epoch and with dropout, so they can be higher than validation errors.",
    ]
    if outcomes[0].variant.recipe.keep == "best":
        texts.append(
            "The result of a training is that of the epoch with the lowest validation loss. The epoch is selected on "
            "the same images, so all accuracies are slightly optimistic."
        )
    elif outcomes[0].variant.after_epoch is None:
        texts.append("The result of a training is that of the last epoch, so there is no selection bias.")
    if len(outcomes[0].accuracies) > 1:
        texts.append("The accuracy is the mean over the seeds, with the standard deviation between seeds.")
    else:
        texts.append("With one seed only, results can differ by a tenth of a percent; use --seeds 3 to measure this.")
    return texts


def _total_seconds(outcomes: Sequence[Outcome]) -> float:
    """Return the time of all runs; a run shared by several variants counts once, with the last variant."""
    return sum(sum(seconds) for seconds in {outcome.runs: outcome.seconds for outcome in outcomes}.values())
