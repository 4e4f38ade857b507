"""Run commands with faults: full disk, read-only folder, no home, no temporary space, closed pipe, signals.

Each command must end with a documented exit code and one line that names the fault, without a traceback, and must
leave only the files that `--resume` needs. A training whose disk was full must continue after the disk has space again.
The disks are mounted in memory, which needs root and Linux.

Example: sudo python -m endurance.faults --only export
"""

import os
import shlex
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
    """A command that writes files, run in a folder of its own.

    Attributes:
        name: name in the output.
        arguments: arguments of `digits-edge`.
        may_leave: prefixes of files that may be left after a failure.
        import_s: time after which imports are done and the work has started.
    """

    name: str
    arguments: tuple[str, ...]
    may_leave: tuple[str, ...] = ()
    import_s: float = 0.3


@dataclass(frozen=True)
class Result:
    """Result of a command.

    Attributes:
        code: exit code.
        errors: standard error.
        left: files in its folder.
    """

    code: int
    errors: str
    left: tuple[str, ...]


@click.command(help=__doc__)
@click.option(
    "--sizes", type=click.IntRange(1), default=6, show_default=True, help="Number of disk sizes for each command."
)
@click.option("--only", help="Run one command only, by its name in the output.")
def main(sizes: int, only: str | None) -> None:
    """Run the commands with faults and print the results."""
    with tempfile.TemporaryDirectory(dir="/mnt") as name:  # not in a folder for temporary files, which some runs hide
        folder = Path(name)
        commands = [command for command in _commands(folder) if only in (None, command.name)]
        faults = []
        for what, fault in _faults(commands, folder, sizes):
            faults.append(fault)
            click.echo(f"{what:60} {fault or 'ok'}")
    wrong = [fault for fault in faults if fault]
    click.echo(f"{len(faults)} runs, {len(wrong)} faults")
    if wrong:
        raise SystemExit(1)


def _commands(folder: Path) -> list[Command]:
    table, run = folder / "test.csv", folder / "trained"
    write_table(table, rows=4000)
    subprocess.run((*PROGRAM, "train", "perceptron", "--epochs", "1", "-o", str(run)), check=True)
    batch_predict = ("batch-predict", str(table), "-o", "out.csv", "--model", "edge-ensemble", "--provider", "cpu")
    return [
        Command("batch-predict", batch_predict),
        Command("batch-predict --resume", (*batch_predict, "--resume"), may_leave=("out.csv.partial",)),
        Command("export", ("export", str(run), "-o", "out.onnx"), import_s=4),
        Command("train", ("train", "mlp", "--epochs", "2", "-o", "run"), may_leave=("run",), import_s=8),
        Command("evaluate", ("evaluate", "edge", "--data", "mnist", "-o", "page.html"), import_s=4),
        Command("report", ("report", "mnist", "-o", "page.html"), import_s=4),
    ]


def _faults(commands: list[Command], folder: Path, sizes: int) -> Iterator[tuple[str, str]]:
    """Yield the description of each run, and its problem (empty if there is none)."""
    rng = np.random.default_rng(0)
    for command in commands:
        with _disk("size=50m") as place:
            yield f"{command.name}: no fault", _check(command, _run(command, place), 0)
            needed = sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) // 1024
        for size in sorted(rng.uniform(0.05, 0.8, sizes)):
            kilobytes = max(4, int(size * needed) // 4 * 4)  # a multiple of the page size
            with _disk(f"size={kilobytes}k") as place:
                yield f"{command.name}: a disk of {kilobytes} kB", _check(command, _run(command, place), 4)
                if command.name == "train":
                    subprocess.run(("mount", "-o", "remount,size=50m", str(place)), check=True)
                    again = _run(
                        command, place, "--resume" if (place / "run" / "recipe.json").exists() else "--overwrite"
                    )
                    yield f"{command.name}: continued after the disk has space", _check(command, again, 0)
        with _disk("size=50m") as place:
            subprocess.run(("mount", "-o", "remount,ro", str(place)), check=True)
            yield f"{command.name}: a read-only folder", _check(command, _run(command, place), 4)
        with _disk("size=50m") as place:
            yield f"{command.name}: no home, no cache", _check(command, _run(command, place, home="/nonexistent"), 0)
        with _disk("size=50m") as place:
            yield f"{command.name}: no temporary space", _check(command, _run(command, place, no_temporary=True), 0)
        for number, code in _SIGNALS.items():
            for late in rng.uniform(0, 2, 2):
                with _disk("size=50m") as place:
                    result = _run(command, place, send=number, after_s=command.import_s + float(late))
                    expected = 0 if result.code == 0 else code  # it may have finished before the signal
                    yield f"{command.name}: {number.name}", _check(command, result, expected)
    with _disk("size=50m") as place:
        many = Command(
            "predict", ("predict", *[str(path) for path in sorted(Path("samples").resolve().glob("*.png"))] * 50)
        )
        yield "predict: a closed output pipe", _check(many, _run(many, place, closed_pipe=True), 0)


def _check(command: Command, result: Result, code: int) -> str:
    """Return the problem of a result; empty if there is none."""
    lines = [line for line in result.errors.splitlines() if "error:" in line or "interrupted" in line]
    if result.code != code:
        return f"exit code {result.code}, expected {code}: {result.errors[-300:]}"
    if "Traceback" in result.errors or "this is a bug" in result.errors:
        return f"traceback or bug: {result.errors[-300:]}"
    if code and len(lines) != 1:
        return f"{len(lines)} error lines, expected 1: {result.errors[-300:]}"
    left = [name for name in result.left if code and not name.startswith(command.may_leave or ("\0",))]
    return f"left behind: {', '.join(left)}" if left else ""


@contextmanager
def _disk(options: str) -> Iterator[Path]:
    """Mount a disk in memory for the block."""
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
    no_temporary: bool = False,
    send: signal.Signals | None = None,
    after_s: float = 0,
    closed_pipe: bool = False,
) -> Result:
    """Run a command in a folder, with a fault."""
    command_line: tuple[str, ...] = (*PROGRAM, *command.arguments, *more)
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    if home is not None:
        environment |= {"HOME": home, "XDG_CACHE_HOME": home}
        environment.pop("DIGITS_EDGE_CACHE", None)
    if no_temporary:  # hide the folders for temporary files behind a read-only mount in a namespace of its own
        hide = "for each in /tmp /var/tmp /dev/shm; do mount -t tmpfs -o size=4k,ro tmpfs $each; done"
        inner = shlex.join(command_line)
        command_line = ("unshare", "--mount", "sh", "-c", f"{hide}; exec {inner}")
    process = subprocess.Popen(command_line, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if closed_pipe:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
    if send is not None:
        time.sleep(after_s)
        process.send_signal(send)
    _, errors = process.communicate()
    left = tuple(sorted(path.relative_to(place).as_posix() for path in place.rglob("*")))
    return Result(process.returncode, errors.decode(errors="replace"), left)


if __name__ == "__main__":
    main()
