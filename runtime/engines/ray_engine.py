"""`predict_with_ray()`: tables and pictures answered by all processors of a machine or a cluster, through Ray Data.

Ray Data schedules, restarts what dies and holds back readers that are ahead of the classifiers. What is ours is a
function for each of its steps: `divide` a source, `read` a piece, answer a block (`Answering`).
"""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.engines.answering import Answering
from digits_edge.runtime.engines.output_folder import OutputFolder
from digits_edge.runtime.engines.reading import Piece, SourceBlock, Work, divide, read, work_left
from digits_edge.runtime.engines.record import FileFormat, Manifest, Named, Record, total
from digits_edge.runtime.engines.source import find_sources
from digits_edge.runtime.errors import DigitsEdgeError, ModelError, UsageError
from digits_edge.runtime.model_file import Preprocessing, recorded_digest
from digits_edge.runtime.providers import AUTO
from digits_edge.runtime.threads import available_threads

#: Told how many rows and pictures are dealt with.
Listener = Callable[[int], None]
_GPUS = ("cuda", "tensorrt")
#: Of a processor, for a classifier and for a reader: as many of each as there are processors, which the system shares
#: out by what there is to do. Were each a whole one, the classifiers would hold all and the readers wait for ever.
_SHARE = 0.5
#: A block on its way, with room for its labels and names.
_BLOCK_BYTES = 16_000_000
#: Blocks in memory for every processor, on this machine.
_BLOCKS_AHEAD = 8
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
    found = find_sources(sources)
    with Classifier(model, provider=provider, threads=1) as classifier:
        run = Manifest(
            classifier.metadata.name,
            recorded_digest(classifier.path),
            classifier.provider,
            file_format,
            batch_size,
            tuple(Named(source.name, source.pattern, source.version) for source in found),
        )
        preprocessing = classifier.metadata.preprocessing
        model_file = classifier.path.read_bytes()
    folder = OutputFolder.of(target)
    with folder.alone():
        records = folder.begin(run, model_file, overwrite=overwrite)
        done_before, count = _dealt_with(records), 0
        works = work_left(found, records)
        if works:
            with _python_alone_on_stderr(), _ray(address, actors) as (ray, processors):
                count = actors or int(ray.cluster_resources().get("GPU", 0) if run.provider in _GPUS else processors)
                for record in _records(ray, works, folder, run, preprocessing, max(count, 1)):
                    records.append(record)
                    listener(_dealt_with(records))
        manifest = folder.finish(run, records)
    return RayReport(manifest, done_before, count, time.perf_counter() - start_s)


def _dealt_with(records: Sequence[Record]) -> int:
    counts = total(records)
    return counts["answered"] + counts["bad"]


@contextmanager
def _python_alone_on_stderr() -> Iterator[None]:
    """Keep what Ray's C++ says from the user, who can do nothing about it; what Python prints comes through."""
    descriptor = os.dup(2)
    with open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace") as through:  # noqa: PTH123
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)
        try:
            # what Ray tells of workers that died it prints on stdout, where answers are
            with redirect_stderr(through), redirect_stdout(through):
                yield
        finally:
            os.dup2(descriptor, 2)


@contextmanager
def _ray(address: str | None, processors: int | None) -> Iterator[tuple[Any, float]]:
    """Start Ray here, or join a cluster, quietly; the module, and how many processors it has."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its maker
    import ray as module

    ray: Any = module  # of its functions only some are typed
    _refuse_unreachable(address)
    count = max(processors or available_threads(), 1)
    here: dict[str, Any] = {
        "num_cpus": count,
        "include_dashboard": False,
        "object_store_memory": count * _BLOCKS_AHEAD * _BLOCK_BYTES,
    }
    try:
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            **({} if address else here),
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [""])[0]
        if address:
            mend = "set RAY_AUTH_MODE=token if it wants Ray's token, as a cluster of `ray start` does"
            raise UsageError(f"no Ray cluster at {address} can be joined: {reason}; {mend}") from error
        raise UsageError(f"Ray cannot be started here: {reason}") from error
    try:
        yield ray, ray.cluster_resources().get("CPU", 1.0)
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
    context.target_max_block_size = _BLOCK_BYTES  # by default eight blocks would wait to travel as one
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    pieces = (
        ray.data.from_items([{"work": work} for work in works], override_num_blocks=len(works))
        .flat_map(_divide, num_cpus=_SHARE)
        .repartition(target_num_rows_per_block=1)  # or one reader would read all pieces of a source
    )
    gpus = {"num_gpus": 1} if run.provider in _GPUS else {}
    answered = pieces.flat_map(_read, fn_kwargs={"preprocessing": preprocessing}, num_cpus=_SHARE).map(
        _Answer,
        # small, so that it travels with the actor: what lies in Ray's store may be lost when one is started again
        fn_constructor_args=[folder, replace(run, sources=()), version("digits-edge")],
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=actors, initial_size=actors),
        num_cpus=_SHARE,
        **gpus,
    )
    try:
        for row in answered.iter_rows():
            yield row["record"]
    except ray.exceptions.RayError as error:
        raise _ours(error) from error


def _ours(error: Any) -> DigitsEdgeError:
    """An error of a worker, without the stack that Ray carries along."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, DigitsEdgeError):
        return cause
    return ModelError(f"Ray has stopped ({(str(error).splitlines() or [''])[0]}); run the command again to go on")


def _divide(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    work: Work = row["work"]
    for piece in divide(work):
        yield {"piece": piece}


def _read(row: dict[str, Any], preprocessing: Preprocessing) -> Iterator[dict[str, Any]]:
    piece: Piece = row["piece"]
    for block in read(piece, preprocessing):
        yield {"block": block}


class _Answer:
    """`Answering` as Ray Data calls it."""

    def __init__(self, folder: OutputFolder, run: Manifest, package: str) -> None:
        self._answering = Answering(folder, run, package)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        block: SourceBlock = row["block"]
        return {"record": self._answering.answer(block)}
