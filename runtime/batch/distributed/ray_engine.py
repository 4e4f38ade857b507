"""`predict_with_ray()`: classify tables and pictures on all processors of a machine or a cluster with Ray Data.

Ray Data schedules the tasks, restarts failed workers and slows down readers that are ahead of the classifiers. This
project provides a function for each step: `divide` a source, `read` a piece, classify a block (`BlockPredictor`).
"""

import logging
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from digits_edge.runtime.batch.distributed.block_predictor import BlockPredictor
from digits_edge.runtime.batch.distributed.output_folder import OutputFolder
from digits_edge.runtime.batch.distributed.reading import (
    ROWS_PER_BLOCK,
    Piece,
    SourceBlock,
    Work,
    divide,
    read,
    work_left,
)
from digits_edge.runtime.batch.distributed.record import FileFormat, Manifest, Named, Record
from digits_edge.runtime.batch.distributed.source import find_sources
from digits_edge.runtime.batch.table import refuse_table
from digits_edge.runtime.classifier import FEW_IMAGES, Classifier
from digits_edge.runtime.errors import DigitsEdgeError, InputError, ModelError, UsageError, one_line
from digits_edge.runtime.model.model_file import recorded_digest
from digits_edge.runtime.pixel_scale import PixelScale
from digits_edge.runtime.preprocessing.steps import PictureForm
from digits_edge.runtime.session.precision import find_precisions
from digits_edge.runtime.session.provider_names import AUTO, NVIDIA, parse_provider, short_name
from digits_edge.runtime.session.quiet import silenced_stderr
from digits_edge.runtime.session.threads import available_threads

#: Called with the number of rows and pictures processed so far.
Listener = Callable[[int], None]
#: CPUs that a classifier or a reader reserves. With half a CPU each, there are as many classifiers and as many readers
#: as processors. If a classifier reserved a full CPU, readers would never be scheduled. With a CPU provider, Ray Data
#: fuses reading and predicting into one process: separate processes took twice the time for two million Parquet rows.
_CPUS_PER_TASK = 0.5
_BLOCK_BYTES = ROWS_PER_BLOCK * 784
#: Blocks per processor in Ray's object store on this machine.
_BLOCKS_AHEAD = 8
#: Ray's limit for the object store on macOS.
_MAX_STORE_BYTES = 2_000_000_000
_CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class RayReport:
    """Result of a run.

    Attributes:
        manifest: the manifest written to the output folder.
        done_before: number of rows and pictures that an earlier run processed.
        actors: maximum number of classifiers.
        elapsed_s: time in seconds, including the start of Ray.
    """

    manifest: Manifest
    done_before: int
    actors: int
    elapsed_s: float


def predict_with_ray(
    sources: Sequence[str],
    target: str,
    *,
    model: str | os.PathLike[str] | None = None,
    provider: str = AUTO,
    actors: int | None = None,
    address: str | None = None,
    batch_size: int = 128,
    file_format: FileFormat = "parquet",
    overwrite: bool = False,
    pixel_range: PixelScale | None = None,
    listener: Listener = lambda done: None,
) -> RayReport:
    """Classify tables and pictures block by block, in constant memory.

    Progress is recorded in `target`. The same call resumes an interrupted run. After a complete run, the same call
    processes changed sources and retries rows and pictures that could not be read.

    Args:
        sources: files, folders or globs, as for `find_sources`; on a cluster, all machines need access to them.
        target: output folder for the shards and `_manifest.json`; on a cluster, all machines need access to it.
        model: as for `Classifier`; only this machine needs the model file.
        provider: as for `Classifier`; "auto" measures on this machine, and all workers use the provider it selects.
        actors: maximum number of classifiers; None for the number of processors or, with CUDA, of GPUs.
        address: address of a cluster, as for `ray.init`; None starts Ray on this machine.
        batch_size: batch size of the model.
        file_format: format of the shards, "parquet" or "csv".
        overwrite: discard the output of an earlier run.
        pixel_range: as for `read_blocks`; for tables only.
        listener: called after each block with the number of rows and pictures processed so far.

    Raises:
        DataError: a source does not exist.
        InputError: `target` cannot be written.
        ModelError: the model cannot be opened on this machine or by a worker, or Ray stopped.
        UsageError: `target` contains the output of another run, or the cluster cannot be joined.
        CheckError: some rows or pictures have no prediction; the same call resumes the run.

    Example:
        >>> report = predict_with_ray(["digits.parquet", "scans/"], "out")  # doctest: +SKIP
        >>> counts = report.manifest.counts  # doctest: +SKIP
    """
    start_s = time.perf_counter()
    folder = OutputFolder.of(target)
    found = [source for source in find_sources(sources) if not folder.holds(source.name)]
    path, bound = _choose_model(model, provider, None if overwrite else folder.begun())
    with Classifier(path, provider="cpu", threads=1) as classifier:
        metadata, form = classifier.metadata, classifier.form
    for source in found:
        if source.kind != "pictures":
            refuse_table(source.name, metadata.name, metadata.input)
    named = tuple(Named(source.name, source.patterns, source.version) for source in found)
    package = version("digits-edge")
    run = Manifest(metadata.name, recorded_digest(path), bound, package, file_format, batch_size, named)
    run = replace(run, pixel_range=pixel_range or 255)
    reading = {"form": form, "pixel_range": pixel_range}
    with folder.alone():
        records = folder.begin(run, path.read_bytes(), overwrite=overwrite)
        done_before = done = sum(map(_processed, records))
        count, works = 0, work_left(found, records)
        if works:
            with _without_native_stderr(), _ray(address, actors) as (ray, resources):
                count = actors or _max_actors(bound, resources)
                for record in _records(ray, works, folder, run, reading, count):
                    records.append(record)
                    done += _processed(record)
                    listener(done)
        manifest = folder.finish(run, records)
    return RayReport(manifest, done_before, count, time.perf_counter() - start_s)


def _choose_model(model: str | os.PathLike[str] | None, provider: str, begun: Manifest | None) -> tuple[Path, str]:
    """Return the model file and the provider's short name; a named provider need not be available on this machine."""
    if provider.lower() == AUTO and begun is None:
        with Classifier(model, provider=AUTO, threads=1, images=FEW_IMAGES) as classifier:
            return classifier.path, classifier.provider
    # when resuming, use the provider and precision of the run: a new measurement may select others
    name = begun.provider if begun and provider.lower() == AUTO else _without_device(provider)
    files = find_precisions(model, name)
    file = next((file for file in files if begun is not None and recorded_digest(file) == begun.digest), files[0])
    return file, name


def _without_device(provider: str) -> str:
    """Return the short name of a provider; NVIDIA's devices cannot be named, because Ray distributes them."""
    selection = parse_provider(provider)
    if selection.device is not None and (short := short_name(selection.provider)) in NVIDIA:
        raise UsageError(f"Ray distributes the devices of provider {short}; use --provider {short} without a device")
    return selection.name


def _max_actors(provider: str, resources: dict[str, float]) -> int:
    """Return the number of GPUs, for providers that need one, otherwise of processors."""
    kind = "GPU" if provider in NVIDIA else "CPU"
    if not (count := int(resources.get(kind, 0))):
        raise ModelError(f"provider {provider} needs a {kind}, but Ray found none; use --provider cpu")
    return count


def _processed(record: Record) -> int:
    """Return the number of rows or pictures of a record."""
    return record.counts["answered"] + record.counts["bad"]


@contextmanager
def _without_native_stderr() -> Iterator[None]:
    """Discard the messages of Ray's C++ code, which users cannot act on; Python's output goes to stderr."""
    with (
        open(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace") as stderr,  # noqa: PTH123
        silenced_stderr(),
        # Ray reports dead workers on stdout, which is reserved for the command's output
        redirect_stderr(stderr),
        redirect_stdout(stderr),
    ):
        yield


@contextmanager
def _ray(address: str | None, processors: int | None) -> Iterator[tuple[Any, dict[str, float]]]:
    """Start Ray on this machine, or join a cluster; yields the module and the resources, such as `{"CPU": 2.0}`."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports usage statistics by default
    if address is None and "RAY_AUTH_MODE" not in os.environ and "ray" not in sys.modules:
        # Ray's ports are open to the network even on one machine, and anyone who connects can run code. Ray reads these
        # variables on import, so that a program that has imported Ray before must set them itself.
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    import ray as module

    ray: Any = module  # only some of its functions are typed
    _check_reachable(address)
    count = max(processors or available_threads(), 1)
    local_options: dict[str, Any] = {
        "num_cpus": count,
        "include_dashboard": False,
        "object_store_memory": min(count * _BLOCKS_AHEAD * _BLOCK_BYTES, _MAX_STORE_BYTES),
    }
    try:
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            **({} if address else local_options),
        )
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        reason = one_line(error)
        if address:
            remedy = "set RAY_AUTH_MODE=token if the cluster requires Ray's token, the default of `ray start`"
            raise UsageError(f"could not join a Ray cluster at {address}: {reason}; {remedy}") from error
        raise UsageError(f"could not start Ray on this machine: {reason}") from error
    try:
        yield ray, ray.cluster_resources()
    finally:
        ray.shutdown()


def _check_reachable(address: str | None) -> None:
    """Check that HOST:PORT accepts connections; otherwise Ray's C++ code would exit this process without a message."""
    host, _, port = (address or "").rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        return
    try:
        socket.create_connection((host, int(port)), _CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise UsageError(f"could not join a Ray cluster at {address}: {error.strerror or error}") from error


def _records(
    ray: Any, works: list[Work], folder: OutputFolder, run: Manifest, reading: dict[str, Any], actors: int
) -> Iterator[Record]:
    """Run the steps with Ray Data and yield the record of each finished block."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = 1  # pass on each piece, block and record at once
    context.execution_no_progress_timeout_s = -1  # no time limit for a piece
    context.raise_original_map_exception = True
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    pieces = ray.data.from_items([{"work": work} for work in works], override_num_blocks=len(works)).flat_map(
        _divide,
        num_cpus=_CPUS_PER_TASK / 2,  # differs from the readers' value, so that Ray Data does not fuse the two steps
    )
    gpus = {"num_gpus": 1} if run.provider in NVIDIA else {}
    # Ray Data fuses reading and predicting, unless predicting needs a GPU
    predicted = pieces.flat_map(_read, fn_kwargs=reading, num_cpus=_CPUS_PER_TASK).map(
        _Predict,
        fn_constructor_args=[folder, replace(run, sources=())],
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=actors, initial_size=actors),
        num_cpus=_CPUS_PER_TASK,
        **gpus,
    )
    try:
        for row in predicted.iter_rows():
            yield row["record"]
    except Exception as error:  # from a worker or from Ray
        raise _unwrapped(error) from error


def _unwrapped(error: Exception) -> DigitsEdgeError:
    """Extract the original error of a worker from Ray's exception, without its stack trace and advice."""
    cause: Any = error
    while (inner := getattr(cause, "cause", None) or cause.__cause__) is not None:
        cause = inner
    reason = one_line(cause)
    for kind in (InputError, ModelError, UsageError):
        if isinstance(cause, kind):
            return kind(reason)
    return ModelError(f"Ray stopped ({reason}); run the command again to resume")


def _divide(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    work: Work = row["work"]
    for piece in divide(work):
        yield {"piece": piece}


def _read(row: dict[str, Any], form: PictureForm, pixel_range: PixelScale | None) -> Iterator[dict[str, Any]]:
    piece: Piece = row["piece"]
    for block in read(piece, form, pixel_range):
        yield {"block": block}


class _Predict:
    """Adapter of `BlockPredictor` for Ray Data; opens the model with the first block, so that errors are reported."""

    def __init__(self, folder: OutputFolder, run: Manifest) -> None:
        self._folder, self._run = folder, run
        self._predictor: BlockPredictor | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        self._predictor = self._predictor or BlockPredictor(self._folder, self._run)
        block: SourceBlock = row["block"]
        return {"record": self._predictor.answer(block)}
