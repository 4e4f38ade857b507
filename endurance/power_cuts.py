"""Kill commands at random moments, start them again, and look at what they left.

Of every command first one run is left alone: how long it takes, and what it makes. Then it is killed by SIGKILL, again
and again, somewhere in that time, and after every kill it is asked whether a file under its real name is whole, and
whether anything is lost that was safe before. At the end it is left to finish, and must have made the same.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np

PROGRAM = (sys.executable, "-m", "digits_edge.cli")


@dataclass(frozen=True)
class Case:
    """A command that is killed.

    Attributes:
        name: what it is called in the table.
        command: it, and its arguments.
        outcome: of a folder in which it has run: what it made, or None if that is not there; raises where that is not
            whole.
        kept: of such a folder: how far it came, which may never shrink; raises where that cannot be read.
        begins_anew: whether what it made is removed before every start.
        share: of all kills.
    """

    name: str
    command: tuple[str, ...]
    outcome: Callable[[Path], str | None]
    share: float
    kept: Callable[[Path], int] = lambda folder: 0
    begins_anew: bool = True


@dataclass
class Tally:
    """What was seen of a case."""

    seconds: float = 0
    kills: int = 0
    finished: int = 0
    faults: list[str] = field(default_factory=list)


@click.command(help=__doc__)
@click.option("--kills", type=click.IntRange(5), default=200, show_default=True, help="Of all commands together.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--only", help="One command, by its name in the table.")
def main(kills: int, seed: int, only: str | None) -> None:
    """Kill."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = [case for case in _cases(folder) if only in (None, case.name)]
        tallies = [_killed(case, folder, max(1, round(kills * case.share)), rng) for case in cases]
    faults = [fault for tally in tallies for fault in tally.faults]
    click.echo(f"{sum(tally.kills for tally in tallies)} kills, {len(faults)} faults")
    if faults:
        raise SystemExit("\n".join(faults))


def _killed(case: Case, folder: Path, kills: int, rng: np.random.Generator) -> Tally:
    tally, place = Tally(), folder / case.name
    place.mkdir()
    started = time.monotonic()
    _run(case, place, None)
    tally.seconds = time.monotonic() - started
    wanted, expected_files = case.outcome(place), sorted(path.name for path in place.rglob("*"))
    shutil.rmtree(place)
    place.mkdir()
    safe = 0
    while tally.kills < kills:
        if case.begins_anew or case.outcome(place) == wanted:
            shutil.rmtree(place)
            place.mkdir()
            safe = 0
        was_killed = _run(case, place, float(rng.uniform(0, tally.seconds)))
        tally.kills += was_killed
        tally.finished += not was_killed
        try:
            made = case.outcome(place)
            if made not in (None, wanted):
                tally.faults.append(f"{case.name}: something else stands under the real name")
            if case.kept(place) < safe:
                tally.faults.append(f"{case.name}: what was safe is lost")
            safe = case.kept(place)
        except Exception as error:
            tally.faults.append(f"{case.name}: half a file, {error!r}")
    _run(case, place, None)
    if case.outcome(place) != wanted:
        tally.faults.append(f"{case.name}: the end is not that of a run without a break")
    left = [path.name for path in place.rglob("*") if path.name not in expected_files]
    if left:
        tally.faults.append(f"{case.name}: the last run left {', '.join(left)}")
    click.echo(
        f"{case.name:24} {tally.seconds:6.1f} s  {tally.kills:4} kills  {tally.finished:3} ended before theirs  "
        f"{len(tally.faults)} faults"
    )
    return tally


def _run(case: Case, place: Path, kill_after_s: float | None) -> bool:
    """Run a command, and kill it after some time; whether it was still running then."""
    environment = os.environ | {"DIGITS_EDGE_CACHE": str(place / "cache"), "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(
        case.command, cwd=place, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        _, said = process.communicate(timeout=kill_after_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    if process.returncode:
        raise SystemExit(f"{case.name} failed: {said.decode()[-2000:]}")
    return False


def _cases(folder: Path) -> list[Case]:
    table, run = folder / "test.csv", folder / "run"
    write_table(table, rows=6_000)
    subprocess.run((*PROGRAM, "train", "cnn-small", "--epochs", "1", "-o", str(run)), check=True)
    answers = ("batch-predict", str(table), "-o", "out.csv", "--model", "edge-ensemble", "--provider", "cpu")
    training = ("train", "mlp", "--epochs", "5", "-o", "run")
    trial = "from digits_edge.runtime import Classifier; Classifier('edge', images=10**6)"
    return [
        Case("batch-predict", (*PROGRAM, *answers, "--overwrite"), _digest_of("out.csv"), 0.2),
        Case("batch-predict --resume", (*PROGRAM, *answers, "--resume"), _digest_of("out.csv"), 0.3, _rows, False),
        Case("export", (*PROGRAM, "export", str(run), "-o", "out.onnx", "--overwrite"), _model_is_whole, 0.15),
        Case("train --resume", (*PROGRAM, *training, "--resume"), _weights_of_run, 0.2, _epochs, False),
        Case("provider auto's cache", (sys.executable, "-c", trial), _trial_is_whole, 0.15),
    ]


def write_table(path: Path, rows: int) -> None:
    """A CSV of noise as Kaggle's is."""
    images = np.random.default_rng(0).integers(0, 256, (rows, 784), np.uint8)
    with path.open("w") as stream:
        stream.write(",".join(f"pixel{index}" for index in range(784)) + "\n")
        stream.writelines(",".join(map(str, row)) + "\n" for row in images.tolist())


def _digest_of(name: str) -> Callable[[Path], str | None]:
    def digest(place: Path) -> str | None:
        path = place / name
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None

    return digest


def _rows(place: Path) -> int:
    """How many rows are noted as answered; all, once the answers have their name."""
    from digits_edge.runtime.batch.output import _state

    if (place / "out.csv").exists():
        return sys.maxsize
    path = place / "out.csv.partial.json"
    return _state(path, {}).done if path.exists() else 0


def _model_is_whole(place: Path) -> str | None:
    from digits_edge.runtime import Classifier
    from digits_edge.runtime.checks.verify import verify

    path = place / "out.onnx"
    if not path.exists():
        return None
    with Classifier(path, provider="cpu") as classifier:
        assert verify(classifier).holds
    return "a model that verifies"


def _weights_of_run(place: Path) -> str | None:
    """Of a finished training: the sum of its weights, since a .keras file carries the time."""
    import keras

    from digits_edge.runtime.json_record import read_json

    path = place / "run" / "model.keras"
    if not path.exists():
        return None
    weights = keras.saving.load_model(path, compile=False).get_weights()
    finished = "result" in read_json(place / "run" / "recipe.json")
    return hashlib.sha256(b"".join(array.tobytes() for array in weights)).hexdigest() if finished else None


def _epochs(place: Path) -> int:
    from digits_edge.train.training.checkpoint import read_state

    path = place / "run" / "checkpoint.npz"
    return len(read_state(path).history) if path.exists() else 0


def _trial_is_whole(place: Path) -> str | None:
    from digits_edge.runtime.json_record import as_record, read_json
    from digits_edge.runtime.session.trial import SpeedTrial

    paths = [*(place / "cache" / "trials").glob("*.json")]
    for path in paths:
        as_record(SpeedTrial, read_json(path))
    return "a whole trial" if paths else None


if __name__ == "__main__":
    main()
