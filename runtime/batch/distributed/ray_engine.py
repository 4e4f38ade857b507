"""`predict_with_ray()`: tables and pictures answered by all processors of a machine or a cluster, through Ray Data.

Ray Data schedules, restarts what dies and holds back readers that are ahead of the classifiers. What is ours is a
function for each of its steps: `divide` a source, `read` a piece, answer a block (`BlockPredictor`).
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
from digits_edge.runtime.classifier import FEW_IMAGES, Classifier
from digits_edge.runtime.errors import DigitsEdgeError, InputError, ModelError, UsageError, one_line
from digits_edge.runtime.model.model_file import Preprocessing, recorded_digest
from digits_edge.runtime.session.precision import find_precisions
from digits_edge.runtime.session.providers import AUTO, full_name, short_name
from digits_edge.runtime.session.quiet import silenced_stderr
from digits_edge.runtime.session.threads import available_threads

#: Told how many rows and pictures are dealt with.
Listener = Callable[[int], None]
_GPUS = ("cuda", "tensorrt")
#: Of a processor, for a classifier and for what divides and reads: as many of each as there are processors, which the
#: system shares out by what there is to do. Were a classifier to hold a whole one, the others would wait for ever.
#: Where classifiers need processors alone, Ray Data lets them read, too: two million rows of Parquet, read by processes
#: of their own, took twice as long, for their way from one to the other.
_SHARE = 0.5
_BLOCK_BYTES = ROWS_PER_BLOCK * 784
#: Blocks on their way for every processor, on this machine.
_BLOCKS_AHEAD = 8
#: What Ray takes on macOS.
_MAX_STORE_BYTES = 2_000_000_000
_ANSWERS_WITHIN_S = 10.0


@dataclass(frozen=True)
class RayReport:
    """What a run came to.

    Attributes:
        manifest: as it was written.
        done_before: rows and pictures that an earlier run had dealt with.
        actors: classifiers at work, at most.
        elapsed_s: in seconds, the start of Ray included.
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
    listener: Listener = lambda done: None,
) -> RayReport:
    """Answer tables and pictures, block by block, in memory that does not grow with them.

    What is dealt with is noted in `target` as it is done. The same call after a cut goes on from there; after a run to
    the end it answers what has changed since, and tries again what could not be read.

    Args:
        sources: files, folders or globs, as `find_sources` takes them; on a cluster all machines must reach them.
        target: the folder of the shards and of `_manifest.json`; on a cluster all machines must reach it.
        model: as `Classifier` takes it; the others need not have it.
        provider: as `Classifier` takes it; "auto" is tried out here, and what it chooses is bound everywhere.
        actors: classifiers at work, at most; None for as many as there are processors or, for CUDA, GPUs.
        address: of a cluster to join, as `ray.init` takes it; None starts Ray on this machine.
        batch_size: images that are answered at once.
        file_format: of the shards.
        overwrite: begin anew, whatever an earlier run has left.
        listener: told of every block that is done.

    Raises:
        DataError: a source is not there.
        InputError: `target` cannot be written.
        ModelError: the model cannot be opened, here or by a worker.
        UsageError: `target` has answers of another run; or no cluster at `address`.
        CheckError: Ray has ended without an answer to everything; the same call goes on.
    """
    start_s = time.perf_counter()
    folder = OutputFolder.of(target)
    found = [source for source in find_sources(sources) if not folder.holds(source.name)]
    path, bound = _chosen(model, provider, None if overwrite else folder.begun())
    with Classifier(path, provider="cpu", threads=1) as classifier:
        metadata = classifier.metadata
    named = tuple(Named(source.name, source.patterns, source.version) for source in found)
    package = version("digits-edge")
    run = Manifest(metadata.name, recorded_digest(path), bound, package, file_format, batch_size, named)
    with folder.alone():
        records = folder.begin(run, path.read_bytes(), overwrite=overwrite)
        done_before = done = sum(map(_dealt_with, records))
        count, works = 0, work_left(found, records)
        if works:
            with _python_alone_on_stderr(), _ray(address, actors) as (ray, resources):
                count = actors or _most_actors(bound, resources)
                for record in _records(ray, works, folder, run, metadata.preprocessing, count):
                    records.append(record)
                    done += _dealt_with(record)
                    listener(done)
        manifest = folder.finish(run, records)
    return RayReport(manifest, done_before, count, time.perf_counter() - start_s)


def _chosen(model: str | os.PathLike[str] | None, provider: str, begun: Manifest | None) -> tuple[Path, str]:
    """The model's file, and the provider's short name; one that is named need not be on this machine."""
    if provider.lower() == AUTO and begun is None:
        with Classifier(model, provider=AUTO, threads=1, images=FEW_IMAGES) as classifier:
            return classifier.path, classifier.provider
    # a trial may come out otherwise the next time, and its answers not belong with those that are there
    name = begun.provider if begun and provider.lower() == AUTO else short_name(full_name(provider))
    files = find_precisions(model, name)
    kept = next((file for file in files if begun is not None and recorded_digest(file) == begun.digest), files[0])
    return kept, name


def _most_actors(provider: str, resources: dict[str, float]) -> int:
    """As many as there are GPUs, for providers that need one, or processors."""
    kind = "GPU" if provider in _GPUS else "CPU"
    if not (count := int(resources.get(kind, 0))):
        raise ModelError(f"provider {provider} needs a {kind}, and Ray knows none; use --provider cpu")
    return count


def _dealt_with(record: Record) -> int:
    return record.counts["answered"] + record.counts["bad"]


@contextmanager
def _python_alone_on_stderr() -> Iterator[None]:
    """Keep what Ray's C++ says from the user, who can do nothing about it; what Python prints comes through."""
    with (
        open(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace") as through,  # noqa: PTH123
        silenced_stderr(),
        # what Ray tells of workers that died it prints on stdout, where answers are
        redirect_stderr(through),
        redirect_stdout(through),
    ):
        yield


@contextmanager
def _ray(address: str | None, processors: int | None) -> Iterator[tuple[Any, dict[str, float]]]:
    """Start Ray here, or join a cluster, quietly; the module, and how many processors and the like it has."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its maker
    if address is None and "RAY_AUTH_MODE" not in os.environ and "ray" not in sys.modules:
        # even on one machine its ports are open to the network, and who reaches them may run anything; it reads this
        # when it is imported, so that who has done so has to set it
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    import ray as module

    ray: Any = module  # of its functions only some are typed
    _refuse_unreachable(address)
    count = max(processors or available_threads(), 1)
    here: dict[str, Any] = {
        "num_cpus": count,
        "include_dashboard": False,
        "object_store_memory": min(count * _BLOCKS_AHEAD * _BLOCK_BYTES, _MAX_STORE_BYTES),
    }
    try:
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            **({} if address else here),
        )
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        reason = one_line(error)
        if address:
            remedy = "set RAY_AUTH_MODE=token if it wants Ray's token, as a cluster of `ray start` does"
            raise UsageError(f"no Ray cluster at {address} can be joined: {reason}; {remedy}") from error
        raise UsageError(f"Ray cannot be started here: {reason}") from error
    try:
        yield ray, ray.cluster_resources()
    finally:
        ray.shutdown()


def _refuse_unreachable(address: str | None) -> None:
    """Look whether anybody listens at HOST:PORT: where nobody does, Ray's C++ ends this process without a word."""
    host, _, port = (address or "").rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        return
    try:
        socket.create_connection((host, int(port)), _ANSWERS_WITHIN_S).close()
    except OSError as error:
        raise UsageError(f"no Ray cluster at {address} can be joined: {error.strerror or error}") from error


def _records(
    ray: Any, works: list[Work], folder: OutputFolder, run: Manifest, preprocessing: Preprocessing, actors: int
) -> Iterator[Record]:
    """Let Ray Data do the work; a record of each block as it is done."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = 1  # each piece, block and record goes on when it is there
    context.execution_no_progress_timeout_s = -1  # a piece may take as long as it takes
    context.raise_original_map_exception = True
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    pieces = ray.data.from_items([{"work": work} for work in works], override_num_blocks=len(works)).flat_map(
        _divide,
        num_cpus=_SHARE / 2,  # another share than the readers', or Ray Data would make one step of them
    )
    gpus = {"num_gpus": 1} if run.provider in _GPUS else {}
    # Ray Data makes one step of these two, unless one needs GPUs
    answered = pieces.flat_map(_read, fn_kwargs={"preprocessing": preprocessing}, num_cpus=_SHARE).map(
        _Answer,
        fn_constructor_args=[folder, replace(run, sources=())],
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=actors, initial_size=actors),
        num_cpus=_SHARE,
        **gpus,
    )
    try:
        for row in answered.iter_rows():
            yield row["record"]
    except Exception as error:  # a worker's, or Ray's own
        raise _ours(error) from error


def _ours(error: Exception) -> DigitsEdgeError:
    """An error of a worker, without the stack and the advice that Ray carries along."""
    cause: Any = error
    while (inner := getattr(cause, "cause", None) or cause.__cause__) is not None:
        cause = inner
    reason = one_line(cause)
    for kind in (InputError, ModelError, UsageError):
        if isinstance(cause, kind):
            return kind(reason)
    return ModelError(f"Ray has stopped ({reason}); run the command again to go on")


def _divide(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    work: Work = row["work"]
    for piece in divide(work):
        yield {"piece": piece}


def _read(row: dict[str, Any], preprocessing: Preprocessing) -> Iterator[dict[str, Any]]:
    piece: Piece = row["piece"]
    for block in read(piece, preprocessing):
        yield {"block": block}


class _Answer:
    """`BlockPredictor` as Ray Data calls it; opened with the first block, for then an error comes to who asked."""

    def __init__(self, folder: OutputFolder, run: Manifest) -> None:
        self._folder, self._run = folder, run
        self._answering: BlockPredictor | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        self._answering = self._answering or BlockPredictor(self._folder, self._run)
        block: SourceBlock = row["block"]
        return {"record": self._answering.answer(block)}
