"""Lines about a model file that several commands print."""

from digits_edge.cli.output import percent
from digits_edge.runtime.model.model_file import Metadata


def accuracy_at_export(metadata: Metadata) -> str:
    """Return a line about the accuracy on labelled images at export.

    Example:
        >>> accuracy_at_export(Metadata("mine-fp32", "1", "mine", "fp32", ("0", "1"), 7))
        'accuracy unchecked: export had no labelled images; pass them with --data'
    """
    parity = metadata.parity or {}
    counted = metadata.keras_accuracy
    if counted is None and parity.get("reference_errors") is not None:  # files of earlier versions
        counted = {"on": parity["on"], "errors": parity["reference_errors"], "images": parity["images"]}
    if counted is None and metadata.test is not None:
        counted = {"on": f"images of {metadata.test['name']}", **metadata.test}
    if counted is None:
        return "accuracy unchecked: export had no labelled images; pass them with --data"
    share = percent(1 - counted["errors"] / counted["images"])
    return f"accuracy at export: {share}, {counted['errors']} errors of {counted['images']:,} {counted['on']}"


def multiplications_in_int8(share: float | None) -> str:
    """Return a line about the share of multiplications in int8; None if the file does not record it.

    Example:
        >>> multiplications_in_int8(0.9417), multiplications_in_int8(None)
        ('multiplications in int8: 94 %', 'multiplications in int8: not recorded')
    """
    recorded = "not recorded" if share is None else percent(share, 0)
    return f"multiplications in int8: {recorded}"
