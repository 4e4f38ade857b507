"""The page of a study: what was varied, what came of it, and the curves of every variant."""

import statistics
from collections.abc import Sequence

from digits_edge.train.charts.drawing import as_svg
from digits_edge.train.charts.units import count_text
from digits_edge.train.report.page import Facts, Picture, Section, Table, Text, render_page
from digits_edge.train.report.study_chart import draw_curves_of, draw_effect, name_of
from digits_edge.train.search.studies import Study
from digits_edge.train.search.study_runs import Outcome


def head_of(study: Study) -> list[str]:
    """The columns' names."""
    return [study.title.lower(), "validation accuracy", "95 % interval", "seeds", "spread", "seconds"]


def row_of(outcome: Outcome) -> list[str]:
    """A variant's cells under `head_of`."""
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
    """The page as HTML.

    Args:
        study: what was varied.
        outcomes: of all its variants, as `digits_edge.train.search.study_runs.conduct` gives them.
        data: the data set's name.
    """
    best = max(outcomes, key=lambda outcome: outcome.mean)
    worst = min(outcomes, key=lambda outcome: outcome.mean)
    facts = [
        ("highest accuracy", f"{100 * best.mean:.2f} % at {best.variant.label}"),
        ("lowest accuracy", f"{100 * worst.mean:.2f} % at {worst.variant.label}"),
        ("validation images", f"{best.images:,}"),
        ("time of all trainings", f"{_seconds_in_all(outcomes) / 60:.1f} min"),
    ]
    return render_page(
        f"{study.title} and accuracy",
        f"{data}, validation images; {count_text(max(map(len, outcomes[0].histories)), 'epoch')}",
        [
            Section("In short", [Facts(facts), Text(study.setting)]),
            Section("Figures", [Table(head_of(study), [row_of(outcome) for outcome in outcomes])]),
            Section("Pictures", _pictures(study, outcomes)),
            Section("How to read this", [Text(text) for text in _reading(outcomes)]),
        ],
    )


def _pictures(study: Study, outcomes: Sequence[Outcome]) -> list[Picture]:
    described = "; ".join(f"{outcome.variant.label}: {100 * outcome.mean:.2f} % right" for outcome in outcomes)
    varied = study.title.lower()
    pictures = [
        Picture(
            as_svg(draw_effect(study, outcomes)),
            f"Validation errors against {varied}. {described}",
            f"Errors by {varied}; lower is better. Bars: 95 % interval."
            + (" Small dots: the single seeds." if len(outcomes[0].accuracies) > 1 else ""),
        )
    ]
    # variants that are read off one run have one curve
    curves = list({outcome.runs: outcome for outcome in outcomes}.values())
    for column in ("val_accuracy", "accuracy", "val_loss"):
        name = name_of(column)
        pictures.append(
            Picture(
                as_svg(draw_curves_of(study, curves, column)),
                f"{name} per epoch, a curve for each variant",
                f"{name.capitalize()} per epoch, on a logarithmic axis.",
            )
        )
    return pictures


def _reading(outcomes: Sequence[Outcome]) -> list[str]:
    texts = [
        "All figures are of the validation images, which no training learnt from. A study chooses, and the test set is "
        "kept for the model that is chosen in the end; so no test image was looked at here.",
        "The interval is Wilson's: what another draw of as many images could have given. Variants whose intervals "
        "overlap widely are not told apart.",
        "While a network trains, its training errors are counted with dropout and all through the epoch, so they can "
        "be higher than those of validation.",
    ]
    if outcomes[0].variant.recipe.keep == "best":
        texts.append(
            "Of each training the epoch with the smallest validation loss counts. It was chosen on the same images, so "
            "all figures lean a little to the good side."
        )
    elif outcomes[0].variant.after_epoch is None:
        texts.append("Of each training the last epoch counts, so no figure was chosen on the images it is counted on.")
    if len(outcomes[0].accuracies) > 1:
        texts.append("The spread is the standard deviation from seed to seed; the accuracy is the seeds' mean.")
    else:
        texts.append("One seed only: another can differ by a tenth of a percent. --seeds 3 shows the spread.")
    return texts


def _seconds_in_all(outcomes: Sequence[Outcome]) -> float:
    """What all runs took; variants that are read off one run are counted once, by the last."""
    return sum(sum(seconds) for seconds in {outcome.runs: outcome.seconds for outcome in outcomes}.values())
