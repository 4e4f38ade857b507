"""Give commands a full disk, a read-only folder, no home, no room for temporary files, a closed pipe, signals.

Each has to end with a documented exit code and one line that names what is wrong, without a traceback, and to leave
nothing behind but what `--resume` asks for; a training whose disk was full has to go on once there is room. Disks of
any size are mounted in memory, so it takes root and Linux.
"""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from endurance.power_cuts import PROGRAM, write_table

_SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}


@dataclass(frozen=True)
class Command:
    """A command that writes, run in a folder of its own.

    Attributes:
        name: in the table.
        words: after `digits-edge`.
        keeps: what it may leave where it fails, by the beginning of the name.
        slow_s: when it has begun to work, after loading what it needs.
    """

    name: str
    words: tuple[str, ...]
    keeps: tuple[str, ...] = ()
    slow_s: float = 0.3


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    complaint: str
    left: tuple[str, ...]


@click.command(help=__doc__)
@click.option("--sizes", type=click.IntRange(1), default=6, show_default=True, help="Of the disks, for each command.")
@click.option("--only", help="One command, by its name in the table.")
def main(sizes: int, only: str | None) -> None:
    """Inject faults."""
    with tempfile.TemporaryDirectory(dir="/mnt") as name:  # the folders for temporary files will be hidden
        folder = Path(name)
        commands = [command for command in _commands(folder) if only in (None, command.name)]
        faults = []
        for what, fault in _faults(commands, folder, sizes):
            faults.append(fault)
            click.echo(f"{what:60} {fault or 'in order'}")
    wrong = [fault for fault in faults if fault]
    click.echo(f"{len(faults)} runs, {len(wrong)} not answered in order")
    if wrong:
        raise SystemExit(1)


def _commands(folder: Path) -> list[Command]:
    table, run = folder / "test.csv", folder / "trained"
    write_table(table, rows=4000)
    subprocess.run((*PROGRAM, "train", "perceptron", "--epochs", "1", "-o", str(run)), check=True)
    answers = ("batch-predict", str(table), "-o", "out.csv", "--model", "edge-ensemble", "--provider", "cpu")
    return [
        Command("batch-predict", answers),
        Command("batch-predict --resume", (*answers, "--resume"), keeps=("out.csv.partial",)),
        Command("export", ("export", str(run), "-o", "out.onnx"), slow_s=4),
        Command("train", ("train", "mlp", "--epochs", "2", "-o", "run"), keeps=("run",), slow_s=8),
        Command("evaluate", ("evaluate", "edge", "--data", "mnist", "-o", "page.html"), slow_s=4),
        Command("report", ("report", "mnist", "-o", "page.html"), slow_s=4),
    ]


def _faults(commands: list[Command], folder: Path, sizes: int) -> Iterator[tuple[str, str]]:
    """Every fault: what it was, and what went wrong in it, or nothing."""
    rng = np.random.default_rng(0)
    for command in commands:
        with _disk("size=50m") as place:
            yield f"{command.name}: nothing", _judged(command, _run(command, place), 0)
            needed = sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) // 1024
        for size in sorted(rng.uniform(0.05, 0.8, sizes)):
            kilobytes = max(4, int(size * needed) // 4 * 4)  # a disk of whole pages
            with _disk(f"size={kilobytes}k") as place:
                yield f"{command.name}: a disk of {kilobytes} kB", _judged(command, _run(command, place), 4)
                if command.name == "train":
                    subprocess.run(("mount", "-o", "remount,size=50m", str(place)), check=True)
                    again = _run(
                        command, place, "--resume" if (place / "run" / "recipe.json").exists() else "--overwrite"
                    )
                    yield f"{command.name}: gone on with, once there is room", _judged(command, again, 0)
        with _disk("size=50m") as place:
            subprocess.run(("mount", "-o", "remount,ro", str(place)), check=True)
            yield f"{command.name}: a read-only folder", _judged(command, _run(command, place), 4)
        with _disk("size=50m") as place:
            yield f"{command.name}: no home, no cache", _judged(command, _run(command, place, home="/nonexistent"), 0)
        with _disk("size=50m") as place:
            yield f"{command.name}: nowhere for temporary files", _judged(command, _run(command, place, alone=True), 0)
        for number, code in _SIGNALS.items():
            for late in rng.uniform(0, 2, 2):
                with _disk("size=50m") as place:
                    ended = _run(command, place, sends=number, after_s=command.slow_s + float(late))
                    expected = 0 if ended.code == 0 else code  # it may have been quicker
                    yield f"{command.name}: {number.name}", _judged(command, ended, expected)
    with _disk("size=50m") as place:
        many = Command(
            "predict", ("predict", *[str(path) for path in sorted(Path("samples").resolve().glob("*.png"))] * 50)
        )
        yield "predict: a pipe that nobody reads", _judged(many, _run(many, place, pipe=True), 0)


def _judged(command: Command, ended: Ended, code: int) -> str:
    """What is wrong with how a command ended; nothing where it is in order."""
    lines = [line for line in ended.complaint.splitlines() if "error:" in line or "interrupted" in line]
    if ended.code != code:
        return f"exit code {ended.code}, not {code}: {ended.complaint[-300:]}"
    if "Traceback" in ended.complaint or "this is a bug" in ended.complaint:
        return f"a traceback or a bug: {ended.complaint[-300:]}"
    if code and len(lines) != 1:
        return f"{len(lines)} lines of complaint: {ended.complaint[-300:]}"
    left = [name for name in ended.left if code and not name.startswith(command.keeps or ("\0",))]
    return f"left behind: {', '.join(left)}" if left else ""


@contextmanager
def _disk(options: str) -> Iterator[Path]:
    """A disk in memory, mounted for the block."""
    place = Path(tempfile.mkdtemp(dir="/mnt"))
    subprocess.run(("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)), check=True)
    try:
        yield place
    finally:
        subprocess.run(("umount", "-l", str(place)), check=True)
        place.rmdir()


def _run(
    command: Command,
    place: Path,
    *more: str,
    home: str | None = None,
    alone: bool = False,
    sends: signal.Signals | None = None,
    after_s: float = 0,
    pipe: bool = False,
) -> Ended:
    """Run a command in a folder, with something missing or sent to it."""
    words: tuple[str, ...] = (*PROGRAM, *command.words, *more)
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    if home is not None:
        environment |= {"HOME": home, "XDG_CACHE_HOME": home}
        environment.pop("DIGITS_EDGE_CACHE", None)
    if alone:  # a mount of its own over the folders for temporary files, of no room at all
        hide = "for each in /tmp /var/tmp /dev/shm; do mount -t tmpfs -o size=4k,ro tmpfs $each; done"
        inner = " ".join(f"'{word}'" for word in words)
        words = ("unshare", "--mount", "sh", "-c", f"{hide}; exec {inner}")
    process = subprocess.Popen(words, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if pipe:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
    if sends is not None:
        time.sleep(after_s)
        process.send_signal(sends)
    _, said = process.communicate()
    left = tuple(sorted(path.relative_to(place).as_posix() for path in place.rglob("*")))
    return Ended(process.returncode, said.decode(errors="replace"), left)


if __name__ == "__main__":
    main()
