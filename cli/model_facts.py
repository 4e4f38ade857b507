"""Lines about a model file that several commands print."""

from digits_edge.cli.output import percent
from digits_edge.runtime.model.model_file import Metadata


def accuracy_at_export(metadata: Metadata) -> str:
    """Return a line about the accuracy of Keras on labelled images at export.

    Example:
        >>> accuracy_at_export(Metadata("mine-fp32", "1", "mine", "fp32", ("0", "1"), 7))
        'accuracy unchecked: export had no labelled images; pass them with --data'
    """
    parity = metadata.parity or {}
    counted = metadata.keras_accuracy
    if counted is None and parity.get("reference_errors") is not None:  # files of earlier versions
        counted = {"on": parity["on"], "errors": parity["reference_errors"], "images": parity["images"]}
    if counted is None:
        return "accuracy unchecked: export had no labelled images; pass them with --data"
    share = percent(1 - counted["errors"] / counted["images"])
    return f"Keras accuracy: {share}, {counted['errors']} errors of {counted['images']:,} {counted['on']}"
