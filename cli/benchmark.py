"""`digits-edge benchmark`: latency and throughput."""

from typing import Literal

import click

from digits_edge.cli.options import (
    BATCH_SIZE,
    THREADS,
    data_option,
    file_path,
    input_scale_option,
    json_option,
    output_option,
    overwrite_option,
    refuse_options,
)
from digits_edge.cli.output import print_json, print_table, say, show
from digits_edge.cli.peers import KerasChoice, run_peers
from digits_edge.runtime.checks.latency import BATCH_SIZES, Benchmark, benchmark
from digits_edge.runtime.classifier import FEW_IMAGES, Classifier
from digits_edge.runtime.model.bundled import bundled_models

#: What only one of the two ways of this command takes.
_OF_OURS = ("providers", "repeats", "cold_starts")
_OF_PEERS = ("keras", "input_scale", "data", "rounds", "output", "overwrite")


@click.command()
@click.option("--model", "models", multiple=True, metavar="NAME|FILE", help="Repeatable.  [default: all bundled]")
@click.option("--provider", "providers", multiple=True, default=["auto"], show_default=True, help="Repeatable.")
@click.option(
    "--threads", multiple=True, type=THREADS, help="Repeatable.  [default: all allowed; with --peers also one]"
)
@click.option(
    "--batch-size",
    "batch_sizes",
    multiple=True,
    type=BATCH_SIZE,
    default=BATCH_SIZES,
    show_default=True,
    help="Repeatable.",
)
@click.option("--seconds", type=click.FloatRange(min=0), default=1.0, show_default=True, help="At least, for each row.")
@click.option("--repeats", type=click.IntRange(min=1), default=100, show_default=True, help="At least, for each row.")
@click.option("--cold-starts", type=click.IntRange(min=0), default=3, show_default=True, help="Fresh interpreters.")
@click.option("--peers", is_flag=True, help="Measure other engines too: onnxruntime alone, OpenVINO, LiteRT, Keras, …")
@click.option("--keras", metavar="PATH", help="What the model files were made of, for LiteRT, Keras and tf.function.")
@input_scale_option
@data_option
@click.option(
    "--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="In which the peers take turns."
)
@output_option("The peers' table as CSV; in a folder its name tells day and environment.", required=False)
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
    input_scale: Literal[1, 255] | None,
    data: str | None,
    rounds: int,
    output: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Time models by batch size, threads and provider, on their own golden images.

    Calls that warm up are not counted; a cold start is a fresh interpreter's way to its first answer. Other work on the
    machine shows in every figure: compare within one run. With --json every sample is there.

    With --peers the same weights are measured in every engine that is installed here, each in a process of its own, in
    turns; the figure is the median over rounds of each round's median. Engines that need only the model file take part
    always: ours on every provider, onnxruntime alone, OpenVINO. LiteRT, keras.Model.predict, the called model and a
    tf.function run the Keras model that the file was made of; LiteRT's int8 takes its ranges from the training images.
    """
    if peers:
        refuse_options(context, _OF_OURS, "without --peers")
        chosen = KerasChoice(file_path(keras), input_scale, data) if keras is not None else None
        run_peers(models, chosen, threads, batch_sizes, rounds, seconds, output, overwrite, as_json)
        return
    refuse_options(context, _OF_PEERS, "with --peers")
    measured = []
    for name in models or [model.name for model in bundled_models()]:
        for provider in providers:
            for count in threads or (None,):
                with Classifier(name, provider=provider, threads=count, images=FEW_IMAGES) as classifier:
                    show(
                        f"measuring {classifier.metadata.name} on {classifier.provider}, {classifier.threads} thread(s)"
                    )
                    result = benchmark(
                        classifier,
                        batch_sizes=batch_sizes,
                        seconds=seconds,
                        repeats=repeats,
                        cold_starts=cold_starts,
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
                f"cold start of {result.model} on {result.provider}: {start.total_ms:.0f} ms (imports "
                f"{start.import_ms:.0f}, onnxruntime and session {start.open_ms:.0f}, "
                f"first answer {start.first_ms:.1f})"
            )
