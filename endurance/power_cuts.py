"""Kill commands at random moments, start them again, and check the files that they left.

Each command first runs without interruption, to measure its time and its result. Then it is killed by SIGKILL
repeatedly, at random moments of that time. After every kill, a file under its final name must be complete, and no
stored progress may be lost. At the end the command runs without interruption and must give the same result.

Example: python -m endurance.power_cuts --kills 40 --only export
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
        name: name in the output.
        command: program and arguments.
        result: function of the command's folder: a description of the result, or None if there is none; raises an
            error if the result is incomplete.
        share: share of all kills.
        progress: function of the command's folder: the stored progress, which must not decrease; raises an error if it
            cannot be read.
        restarts: whether the folder is emptied before every start.
    """

    name: str
    command: tuple[str, ...]
    result: Callable[[Path], str | None]
    share: float
    progress: Callable[[Path], int] = lambda folder: 0
    restarts: bool = True


@dataclass
class Tally:
    """Results of a case."""

    seconds: float = 0
    kills: int = 0
    finished: int = 0
    faults: list[str] = field(default_factory=list)


@click.command(help=__doc__)
@click.option(
    "--kills", type=click.IntRange(5), default=200, show_default=True, help="Number of kills of all commands together."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the random moments.")
@click.option("--only", help="Run one command only, by its name in the output.")
def main(kills: int, seed: int, only: str | None) -> None:
    """Kill the commands and print the faults."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = [case for case in _cases(folder) if only in (None, case.name)]
        tallies = [_kill_repeatedly(case, folder, max(1, round(kills * case.share)), rng) for case in cases]
    faults = [fault for tally in tallies for fault in tally.faults]
    click.echo(f"{sum(tally.kills for tally in tallies)} kills, {len(faults)} faults")
    if faults:
        raise SystemExit("\n".join(faults))


def _kill_repeatedly(case: Case, folder: Path, kills: int, rng: np.random.Generator) -> Tally:
    tally, place = Tally(), folder / case.name
    place.mkdir()
    started = time.monotonic()
    _run(case, place, None)
    tally.seconds = time.monotonic() - started
    expected, expected_files = case.result(place), sorted(path.name for path in place.rglob("*"))
    shutil.rmtree(place)
    place.mkdir()
    progress = 0
    while tally.kills < kills:
        if case.restarts or case.result(place) == expected:
            shutil.rmtree(place)
            place.mkdir()
            progress = 0
        was_killed = _run(case, place, float(rng.uniform(0, tally.seconds)))
        tally.kills += was_killed
        tally.finished += not was_killed
        try:
            made = case.result(place)
            if made not in (None, expected):
                tally.faults.append(f"{case.name}: wrong content under the final name")
            if case.progress(place) < progress:
                tally.faults.append(f"{case.name}: stored progress is lost")
            progress = case.progress(place)
        except Exception as error:
            tally.faults.append(f"{case.name}: incomplete file, {error!r}")
    _run(case, place, None)
    if case.result(place) != expected:
        tally.faults.append(f"{case.name}: the final result differs from that of an uninterrupted run")
    left = [path.name for path in place.rglob("*") if path.name not in expected_files]
    if left:
        tally.faults.append(f"{case.name}: the last run left {', '.join(left)}")
    click.echo(
        f"{case.name:24} {tally.seconds:6.1f} s  {tally.kills:4} kills  {tally.finished:3} finished before the kill  "
        f"{len(tally.faults)} faults"
    )
    return tally


def _run(case: Case, place: Path, kill_after_s: float | None) -> bool:
    """Run a command and kill it after some time; return whether it was still running."""
    environment = os.environ | {"DIGITS_EDGE_CACHE": str(place / "cache"), "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(
        case.command, cwd=place, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        _, errors = process.communicate(timeout=kill_after_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    if process.returncode:
        raise SystemExit(f"{case.name} failed: {errors.decode()[-2000:]}")
    return False


def _cases(folder: Path) -> list[Case]:
    table, run = folder / "test.csv", folder / "run"
    write_table(table, rows=6_000)
    subprocess.run((*PROGRAM, "train", "cnn-small", "--epochs", "1", "-o", str(run)), check=True)
    batch_predict = ("batch-predict", str(table), "-o", "out.csv", "--model", "edge-ensemble", "--provider", "cpu")
    training = ("train", "mlp", "--epochs", "5", "-o", "run")
    trial = "from digits_edge.runtime import Classifier; Classifier('edge', images=10**6)"
    return [
        Case("batch-predict", (*PROGRAM, *batch_predict, "--overwrite"), _digest_of("out.csv"), 0.2),
        Case(
            "batch-predict --resume", (*PROGRAM, *batch_predict, "--resume"), _digest_of("out.csv"), 0.3, _rows, False
        ),
        Case("export", (*PROGRAM, "export", str(run), "-o", "out.onnx", "--overwrite"), _verified_model, 0.15),
        Case("train --resume", (*PROGRAM, *training, "--resume"), _weights_of_run, 0.2, _epochs, False),
        Case("provider auto's cache", (sys.executable, "-c", trial), _stored_trial, 0.15),
    ]


def write_table(path: Path, rows: int) -> None:
    """Write a CSV of noise in Kaggle's format."""
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
    """Return the number of stored rows; `sys.maxsize` if the output is complete."""
    from digits_edge.runtime.batch.output import _state

    if (place / "out.csv").exists():
        return sys.maxsize
    path = place / "out.csv.partial.json"
    return _state(path, {}).done if path.exists() else 0


def _verified_model(place: Path) -> str | None:
    from digits_edge.runtime import Classifier
    from digits_edge.runtime.checks.verify import verify

    path = place / "out.onnx"
    if not path.exists():
        return None
    with Classifier(path, provider="cpu") as classifier:
        assert verify(classifier).holds
    return "a model that verifies"


def _weights_of_run(place: Path) -> str | None:
    """Return the SHA-256 of the weights of a finished training; a .keras file itself contains the time."""
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


def _stored_trial(place: Path) -> str | None:
    from digits_edge.runtime.json_record import as_record, read_json
    from digits_edge.runtime.session.trial import SpeedTrial

    paths = [*(place / "cache" / "trials").glob("*.json")]
    for path in paths:
        as_record(SpeedTrial, read_json(path))
    return "a valid trial" if paths else None


if __name__ == "__main__":
    main()
