"""The `digits-edge benchmark` command."""

from itertools import product

import click

from digits_edge.cli.options import (
    BATCH_SIZE,
    PIXEL_RANGE_OPTIONS,
    THREADS,
    examples,
    file_path,
    json_option,
    models_option,
    output_option,
    overwrite_option,
    pixel_range_options,
    refuse_options,
)
from digits_edge.cli.output import print_json, print_table, say, show
from digits_edge.cli.peers import KerasChoice, run_peers
from digits_edge.runtime.checks.latency import BATCH_SIZES, Benchmark, benchmark
from digits_edge.runtime.classifier import FEW_IMAGES, Classifier
from digits_edge.runtime.model.bundled import bundled_classifiers
from digits_edge.runtime.model.pixel_range import PixelRange

#: Options that apply only without --peers, and only with it.
_OWN_OPTIONS = ("providers", "repeats", "cold_starts")
_PEER_OPTIONS = ("keras", *PIXEL_RANGE_OPTIONS, "rounds", "output", "overwrite")


@click.command(
    epilog=examples(
        "digits-edge benchmark --model edge-int8 --batch-size 1 --threads 1",
        "digits-edge benchmark --peers --model edge-int8 -o results.csv",
        "digits-edge benchmark --peers --model edge-int8 --threads 1 -o chart.svg",
    )
)
@models_option
@click.option(
    "--provider",
    "providers",
    multiple=True,
    default=["auto"],
    show_default=True,
    metavar="NAME",
    help="ONNX Runtime execution provider; repeatable.",
)
@click.option(
    "--threads",
    multiple=True,
    type=THREADS,
    help="Number of threads; repeatable.  [default: all available; with --peers also one]",
)
@click.option(
    "--batch-size",
    "batch_sizes",
    multiple=True,
    type=BATCH_SIZE,
    default=BATCH_SIZES,
    show_default=True,
    help="Images per batch; repeatable.",
)
@click.option(
    "--seconds", type=click.FloatRange(min=0), default=1.0, show_default=True, help="Minimum time per table row."
)
@click.option(
    "--repeats", type=click.IntRange(min=1), default=100, show_default=True, help="Minimum number of calls per row."
)
@click.option(
    "--cold-starts", type=click.IntRange(min=0), default=3, show_default=True, help="Number of cold starts to measure."
)
@click.option("--peers", is_flag=True, help="Also measure other engines: plain ONNX Runtime, OpenVINO, LiteRT, Keras.")
@click.option("--keras", metavar="PATH", help="Keras source of the model files, for Keras and tf.function.")
@pixel_range_options
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Rounds over all engines.")
@output_option(
    "Output of --peers: CSV, or a chart if the name ends in .svg or .png; in a folder, a CSV file named by date and "
    "environment.",
    required=False,
)
@overwrite_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    models: tuple[str, ...],
    providers: tuple[str, ...],
    threads: tuple[int, ...],
    batch_sizes: tuple[int, ...],
    seconds: float,
    repeats: int,
    cold_starts: int,
    peers: bool,
    keras: str | None,
    pixel_range: PixelRange,
    rounds: int,
    output: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Measure latency and throughput.

    The images are the reference images of each model file. Models that read lines are not measured. Warm-up calls are
    not counted. A cold start is the time from the start of a Python interpreter to its first prediction. Other load on
    the machine affects all figures, so compare figures of one run only. --json prints every sample.

    With --peers, the same weights are measured in every installed engine, each in its own process, round-robin. The
    figure is the median over the rounds of each round's median. Engines that need only the model file always take part:
    digits-edge with each provider, plain ONNX Runtime, OpenVINO, and LiteRT, which converts it. Keras (predict and
    call) and tf.function need the Keras model in --keras. Each engine that is not measured is named with the reason;
    --json has it as an object with "skipped".
    """
    if peers:
        refuse_options(context, _OWN_OPTIONS, "without --peers")
        choice = KerasChoice(file_path(keras), pixel_range) if keras is not None else None
        run_peers(models, choice, threads, batch_sizes, rounds, seconds, output, overwrite, as_json)
        return
    refuse_options(context, _PEER_OPTIONS, "with --peers")
    measured = []
    names = models or [model.name for model in bundled_classifiers()]
    for name, provider, count in product(names, providers, threads or (None,)):
        with Classifier(name, provider=provider, threads=count, images=FEW_IMAGES) as classifier:
            show(f"measuring {classifier.metadata.name} on {classifier.provider}, {classifier.threads} thread(s)")
            result = benchmark(
                classifier, batch_sizes=batch_sizes, seconds=seconds, repeats=repeats, cold_starts=cold_starts
            )
        if as_json:
            print_json(result.to_json())
        measured.append(result)
    if not as_json:
        _print(measured)


def _print(measured: list[Benchmark]) -> None:
    head = ["model", "provider", "threads", "batch", "p50 µs", "p90 µs", "p99 µs", "images/s", "first µs"]
    rows = []
    for result in measured:
        for row in result.rows:
            p99 = row.latency.p99_us
            rows.append(
                [
                    result.model,
                    result.provider,
                    str(result.threads),
                    str(row.batch_size),
                    f"{row.latency.p50_us:,.0f}",
                    f"{row.latency.p90_us:,.0f}",
                    "" if p99 is None else f"{p99:,.0f}",
                    f"{row.images_per_second:,.0f}",
                    f"{row.warm_up.us[0]:,.0f}",
                ]
            )
    print_table(head, rows, left=2)
    for result in measured:
        if result.cold_starts:
            start = sorted(result.cold_starts, key=lambda start: start.total_ms)[len(result.cold_starts) // 2]
            say(
                f"cold start of {result.model} on {result.provider}: {start.total_ms:.0f} ms "
                f"(imports {start.import_ms:.0f} ms, ONNX Runtime and session {start.open_ms:.0f} ms, "
                f"first prediction {start.first_ms:.1f} ms)"
            )
