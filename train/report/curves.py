"""The curves of a training: accuracy, loss and learning rate per epoch."""

from pathlib import Path

from matplotlib.figure import Figure

from digits_edge.runtime.files import written_whole

# Okabe and Ito's palette: told apart with every kind of colour blindness
_TRAINING, _VALIDATION, _RATE = "#0072B2", "#D55E00", "#009E73"


def draw_curves(history: list[dict[str, float]], best: dict[str, float], path: Path) -> None:
    """Draw a run's history as a PNG.

    Args:
        history: a row per epoch with `epoch`, `accuracy`, `loss`, their `val_` twins and `learning_rate`.
        best: the row of the epoch whose weights are kept.
        path: where the PNG goes; it appears whole.
    """
    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    errors, loss, rate = figure.subplots(1, 3)
    for axes, values in ((errors, _error_percent), (loss, _loss)):
        axes.plot(epochs, [values(row, "") for row in history], color=_TRAINING, marker=".", label="training")
        axes.plot(epochs, [values(row, "val_") for row in history], color=_VALIDATION, marker=".", label="validation")
        best_label = f"kept: {values(best, 'val_'):.3g} in epoch {best['epoch']:.0f}"
        axes.plot(best["epoch"], values(best, "val_"), "o", markerfacecolor="none", color=_VALIDATION, label=best_label)
        # the first epochs are ten times the last
        axes.set_yscale("log")
        axes.legend()
    errors.set_title("Errors, % (100 % − accuracy)")
    loss.set_title("Loss")
    rate.plot(epochs, [row["learning_rate"] for row in history], color=_RATE, marker=".")
    rate.set_title("Learning rate at the epoch's end")
    for axes in (errors, loss, rate):
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    with written_whole(path) as stream:
        figure.savefig(stream, format="png", dpi=110)


def _error_percent(row: dict[str, float], kind: str) -> float:
    # half an error in 10,000 where there is none: a logarithm has no zero
    return max(100 * (1 - row[f"{kind}accuracy"]), 0.005)


def _loss(row: dict[str, float], kind: str) -> float:
    return row[f"{kind}loss"]
