"""The fully convolutional network that reads lines: `line_network`."""

from collections.abc import Sequence
from typing import Any

from keras import layers

#: Width of a column of the output in pixels.
COLUMN_PX = 2
#: Columns of the output for each column of the convolutions, which is 4 pixels wide: narrow digits need two columns.
_SUBCOLUMNS = 2


def line_network(
    x: Any,
    classes: int,
    *,
    filters: Sequence[int] = (24, 32, 48, 64, 80, 96),
    context: Sequence[int] = (96, 96),
    context_px: int = 5,
    dropout: float = 0.1,
) -> Any:
    """Convolutions that reduce a line of 32 rows to a row of columns, each 2 pixels wide.

    Six convolutions halve the height three times and the width twice; one convolution over the remaining four rows
    makes a single row, and horizontal ones add what is beside a column. The last one gives two columns for each. The
    loss is CTC (Graves et al. 2006); networks without recurrent layers read handwriting as well as those with them.

    Args:
        x: lines, (N, 32, W, 1).
        classes: number of characters, K; one more class is the blank.
        filters: filters of the six convolutions.
        context: filters of the row and of the horizontal convolutions.
        context_px: width of the horizontal convolutions, in columns.
        dropout: share of the features of a column that are dropped in training.

    Returns:
        Logits, (N, W / 2, K + 1).
    """
    strides = ((2, 2), (1, 1), (2, 2), (1, 1), (2, 1), (1, 1))
    for index, (count, stride) in enumerate(zip(filters, strides, strict=True)):
        x = _normalized(x, count, 5 if index == 0 else 3, strides=stride, padding="same")
    x = _normalized(x, context[0], (4, 1), padding="valid")
    for count in context:
        x = _normalized(x, count, (1, context_px), padding="same")
    if dropout:
        x = layers.SpatialDropout2D(dropout)(x)
    # float32 also under a mixed dtype policy: softmax and loss need its range
    x = layers.Conv2D(_SUBCOLUMNS * (classes + 1), 1, dtype="float32", name="logits")(x)
    return layers.Reshape((-1, classes + 1), dtype="float32", name="columns")(x)


def _normalized(x: Any, filters: int, size: int | tuple[int, int], **settings: Any) -> Any:
    return layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(filters, size, use_bias=False, **settings)(x)))
