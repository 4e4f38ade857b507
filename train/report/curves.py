"""The curves of a training: accuracy, loss and learning rate per epoch."""

from pathlib import Path

from matplotlib.figure import Figure

from digits_edge.runtime.files import written_whole

# Okabe and Ito's palette: told apart with every kind of colour blindness
_TRAINING, _VALIDATION, _RATE = "#0072B2", "#D55E00", "#009E73"


def draw_curves(history: list[dict[str, float]], path: Path) -> None:
    """Draw a run's history as a PNG.

    Args:
        history: a row per epoch with `epoch`, `accuracy`, `loss`, their `val_` twins and `learning_rate`.
        path: where the PNG goes; it appears whole.
    """
    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    accuracy, loss, rate = figure.subplots(1, 3)
    for axes, name, title in ((accuracy, "accuracy", "Accuracy"), (loss, "loss", "Loss")):
        axes.plot(epochs, [row[name] for row in history], color=_TRAINING, marker=".", label="training (augmented)")
        axes.plot(epochs, [row[f"val_{name}"] for row in history], color=_VALIDATION, marker=".", label="validation")
        axes.set_title(title)
        axes.legend()
    best = min(history, key=lambda row: row["val_loss"])
    loss.axvline(best["epoch"], color="0.6", linestyle=":", zorder=0)
    loss.annotate(
        f"best, {best['val_loss']:.4f}", (best["epoch"], best["val_loss"]), (4, 12), textcoords="offset points"
    )
    rate.plot(epochs, [row["learning_rate"] for row in history], color=_RATE, marker=".")
    rate.set_title("Learning rate at the epoch's end")
    for axes in (accuracy, loss, rate):
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    with written_whole(path) as stream:
        figure.savefig(stream, format="png", dpi=110)
