"""Verification of sequence models for `digits-edge verify`."""

from digits_edge.cli.model_facts import multiplications_in_int8
from digits_edge.cli.options import file_path
from digits_edge.cli.output import percent, print_json, say
from digits_edge.runtime.checks.verify_lines import LineVerification, verify_lines
from digits_edge.runtime.datasets.line_set import read_line_set
from digits_edge.runtime.reader.line_model import LineModel


def verify_sequence(model: LineModel, data: str | None, *, as_json: bool) -> bool:
    """Verify a sequence model and print the result.

    Args:
        model: the model.
        data: folder or file of labelled lines, or None.
        as_json: print JSON.

    Returns:
        Whether all checks passed.
    """
    lines = None if data is None else read_line_set(file_path(data))
    verification = verify_lines(model, lines)
    if as_json:
        print_json(verification.to_json())
    else:
        _print(verification, "" if lines is None else lines.name)
    return verification.holds


def _print(verification: LineVerification, data: str) -> None:
    state = "ok" if verification.holds else "FAILED"
    say(f"{verification.model} on {verification.provider}, {verification.threads} thread(s): {state}")
    golden = verification.golden
    say(
        f"  reference lines: {golden.lines}, largest difference {golden.max_difference:.2g} "
        f"(allowed {verification.golden_tolerance:g}), {golden.changed} changed strings"
    )
    if verification.overflow_free is not None:
        say(f"  {multiplications_in_int8(verification.int8_share)}")
    if verification.exact_difference is not None:
        say(
            f"  exact arithmetic: largest difference {verification.exact_difference:.2g} "
            f"(allowed {verification.exact_tolerance:g})"
        )
    say(f"  batch sizes and widths: largest difference {verification.batch_difference:.2g}")
    if verification.accuracy is not None:
        errors, images = verification.accuracy.errors, verification.accuracy.images
        say(f"  {data}: {errors} of {images:,} strings are wrong, {percent(verification.accuracy.value, 1)} accuracy")
    for problem in verification.problems:
        say(f"  problem: {problem}")
