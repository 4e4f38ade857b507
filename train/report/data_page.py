"""HTML page of a data report."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from digits_edge.train.charts.data_charts import (
    PairTile,
    draw_classes,
    draw_distances,
    draw_ink,
    draw_levels,
    draw_pairs,
    draw_samples,
    level_edges,
)
from digits_edge.train.charts.drawing import as_png, as_svg, name_text
from digits_edge.train.charts.gallery import Tile, draw_gallery
from digits_edge.train.data.duplicates import max_pairs
from digits_edge.train.data.reading import LISTED as FAULTS_LISTED
from digits_edge.train.data.reading import WHOLE, Reading
from digits_edge.train.data.report import DISTANCE_BIN, DataReport, Group, Leakage, Pair, Range, Split, mean_images
from digits_edge.train.report.page import Block, Facts, Picture, Section, Table, Text, render_page

#: Sample images per class.
_PER_CLASS = 8
_CLASSES_PER_PICTURE = 5


def data_page(report: DataReport, readings: Sequence[Reading]) -> str:
    """Render the page as HTML.

    Args:
        report: statistics of the splits.
        readings: splits of these statistics, in the same order.
    """
    counts = " and ".join(f"{split.images:,} {_images_of(split)}" for split in report.splits)
    sections = [
        Section("Data", _overview(report)),
        Section("Missing and out-of-range values", _values(report)),
        Section("Labels", _labels(report)),
        Section("Samples", _samples(report, readings)),
        Section("Mean images", _means(report, readings)),
        Section("Pixel statistics", _pixels(report, readings)),
        Section("Exact duplicates", _duplicates(report)),
        Section("Near-duplicates between train and test", _near(report, readings)),
    ]
    return render_page(f"Data report: {report.name}", f"{counts}, {_kind(readings)}", sections)


def _kind(readings: Sequence[Reading]) -> str:
    image = readings[0].dataset.image
    return f"{image.shape[0]}×{image.shape[1]} {'grey levels' if image.channels == 1 else 'colours'}"


def _images_of(split: Split) -> str:
    return {"train": "training images", "test": "test images"}.get(split.split, "images")


def _side_by_side(
    first_column: str, rows: Sequence[tuple[str, Callable[[Split], str]]], splits: Sequence[Split], caption: str = ""
) -> Table:
    """Create a table with a row per statistic and a column per split."""
    cells = [[name, *(figure(split) for split in splits)] for name, figure in rows]
    return Table([first_column, *(split.split for split in splits)], cells, caption)


def _overview(report: DataReport) -> list[Block]:
    rows: list[tuple[str, Callable[[Split], str]]] = [
        ("images", lambda split: f"{split.images:,}"),
        ("shape", lambda split: str(split.shape)),
        ("type", lambda split: split.dtype),
        ("labels", lambda split: split.labels_dtype or "none"),
        ("licence", lambda split: split.licence),
    ]
    blocks: list[Block] = [_side_by_side("", rows, report.splits)]
    if report.splits[0].split == WHOLE:
        blocks.append(Text("This file has no training and test split; it is reported as a whole."))
    elif len(report.splits) == 1:
        blocks.append(Text(f"The data set has a {report.splits[0].split} split only."))
    for split in report.splits:
        valid = "valid " if split.account.broken_rows else ""
        file = split.file.replace("\\", "/").rpartition("/")[2]
        blocks.append(Text(f"{split.split}: {file}, SHA-256 of the {valid}images and labels: {split.sha256}"))
    return blocks


def _values(report: DataReport) -> list[Block]:
    rows: list[tuple[str, Callable[[Split], str]]] = [
        ("rows in the file", lambda split: f"{split.account.rows:,}"),
        ("missing values", lambda split: f"{split.account.missing:,}"),
        ("values out of range", lambda split: f"{split.account.out_of_range:,}"),
        ("malformed values", lambda split: f"{split.account.malformed:,}"),
        ("rows with a wrong number of values", lambda split: f"{split.account.wrong_length:,}"),
        ("rows with a fault", lambda split: f"{split.account.broken_rows:,}"),
    ]
    table = _side_by_side("", rows, report.splits)
    labels = f"labels from 0 to {len(report.class_names) - 1}"
    expected = f"Pixels must be integers from 0 to 255, {labels}, in decimal digits."
    broken = [split for split in report.splits if split.account.broken_rows]
    if not broken:
        return [Text(f"{expected} All values are valid."), table]
    excluded = "Rows with a fault are excluded from the statistics below. Training requires a file without faults."
    blocks: list[Block] = [Text(f"{expected} {excluded}"), table]
    for split in broken:
        listed = [[f"{f.row:,}", f.column or "row", f.value or "(empty)", f.kind] for f in split.account.first]
        which = f"first {FAULTS_LISTED} faults" if len(listed) == FAULTS_LISTED else "all faults"
        blocks.append(Text(f"{split.split}: {which}. Row 1 is the first image after the header."))
        blocks.append(Table(["row", "column", "value", "fault"], listed, left=4))
    return blocks


def _labels(report: DataReport) -> list[Block]:
    labelled = [split for split in report.splits if split.classes]
    blocks: list[Block] = [Text(f"{split.split} has no labels.") for split in report.splits if not split.classes]
    if not labelled:
        return blocks
    shares = {split.split: [found.share for found in split.classes] for split in labelled}
    head, rows = ["class"], [[_label_and_name(label, report)] for label in range(len(report.class_names))]
    for split in labelled:
        head += [split.split, "share"]
        for row, found in zip(rows, split.classes, strict=True):
            row += [f"{found.images:,}", f"{100 * found.share:.1f} %"]
    return [
        *blocks,
        Facts([(f"imbalance, {split.split}", _imbalance(split)) for split in labelled]),
        Text("Imbalance is the size of the largest class divided by that of the smallest."),
        Picture(as_svg(draw_classes(shares, report.class_names)), "Class distribution"),
        Table(head, rows),
    ]


def _imbalance(split: Split) -> str:
    empty = sum(not found.images for found in split.classes)
    if split.imbalance is not None:
        return f"{split.imbalance:.2f} to 1"
    return "1 class is empty" if empty == 1 else f"{empty} classes are empty"


def _label_and_name(label: int, report: DataReport) -> str:
    name = report.class_names[label]
    return name if name == str(label) else f"{label} {name}"


def _samples(report: DataReport, readings: Sequence[Reading]) -> list[Block]:
    blocks: list[Block] = []
    rng = np.random.default_rng(0)
    for reading in readings:
        lines = _sample_lines(reading, report, rng)
        for start in range(0, len(lines), _CLASSES_PER_PICTURE):
            part, polarity = lines[start : start + _CLASSES_PER_PICTURE], reading.dataset.image.polarity
            figure = draw_samples(part, _PER_CLASS, polarity)
            blocks.append(Picture(as_png(figure), f"Samples of {reading.split}", reading.split))
    return [Text("Random images (fixed seed); one row per class if there are labels."), *blocks]


def _sample_lines(
    reading: Reading, report: DataReport, rng: np.random.Generator
) -> list[tuple[str, list[NDArray[np.uint8]]]]:
    images, labels = reading.dataset.images, reading.dataset.labels
    if labels is None:
        chosen = rng.permutation(len(images))[: 2 * _CLASSES_PER_PICTURE * _PER_CLASS]
        return [("", list(images[chosen[at : at + _PER_CLASS]])) for at in range(0, len(chosen), _PER_CLASS)]
    rows = [rng.permutation(np.flatnonzero(labels == label))[:_PER_CLASS] for label in range(len(report.class_names))]
    return [(name, list(images[own])) for name, own in zip(report.class_names, rows, strict=True)]


def _means(report: DataReport, readings: Sequence[Reading]) -> list[Block]:
    blocks: list[Block] = []
    for reading in readings:
        if reading.dataset.labels is None:
            found = [(reading.dataset.images.sum(axis=0, dtype=np.int64) / len(reading.dataset), "all images")]
        else:
            by_class = zip(mean_images(reading.dataset), report.class_names, strict=True)
            found = [(mean, name) for mean, name in by_class if mean is not None]
        tiles = [
            Tile(np.rint(mean).astype(np.uint8), f"{name_text(name, 14)}\n{mean.mean():.1f}") for mean, name in found
        ]
        polarity = reading.dataset.image.polarity
        figure = draw_gallery(tiles, _CLASSES_PER_PICTURE, font_size=11, polarity=polarity)
        blocks.append(Picture(as_png(figure), f"Mean images of {reading.split}", reading.split))
    text = "Pixel-wise mean of all images of a class. The number is the mean grey level, 0 to 255."
    return [Text(text), *blocks]


def _pixels(report: DataReport, readings: Sequence[Reading]) -> list[Block]:
    splits = report.splits
    rows: list[tuple[str, Callable[[Split], str]]] = [
        ("raw: range", lambda split: _ends(split.pixels.raw)),
        ("raw: mean", lambda split: f"{split.pixels.raw.mean:.2f}"),
        ("raw: standard deviation", lambda split: f"{split.pixels.raw.std:.2f}"),
        ("scaled by 1/255: range", lambda split: _ends(split.pixels.scaled)),
        ("scaled by 1/255: mean", lambda split: f"{split.pixels.scaled.mean:.4f}"),
        ("scaled by 1/255: standard deviation", lambda split: f"{split.pixels.scaled.std:.4f}"),
        ("standardised: minimum", lambda split: _end(split.pixels.standardised, "min")),
        ("standardised: maximum", lambda split: _end(split.pixels.standardised, "max")),
        ("pixels at 0", lambda split: f"{100 * split.pixels.zero_share:.2f} %"),
        ("pixels at 255", lambda split: f"{100 * split.pixels.saturated_share:.2f} %"),
        ("always-empty pixels", lambda split: f"{split.pixels.always_empty:,}"),
        ("blank images", lambda split: f"{split.pixels.blank_images:,}"),
    ]
    counts = {split.split: split.pixels.counts for split in splits}
    raw, edges = splits[0].pixels.raw, level_edges()
    axes = [(edges, "raw grey level, 0 to 255"), (edges / 255, "value scaled by 1/255, 0 to 1")]
    if raw.std:
        label = f"value standardised with mean and standard deviation of {splits[0].split}"
        axes.append(((edges - raw.mean) / raw.std, label))
    caption = f"{splits[0].split}: share of images with a non-zero value at each pixel; white pixels are always 0."
    return [
        _side_by_side("", rows, splits),
        Text(
            f"Always-empty pixels: pixels (of {readings[0].dataset.image.pixels:,}) that are 0 in every image of the "
            "split. Scaling is linear, so the histograms differ in the axis only."
        ),
        *[Picture(as_svg(draw_levels(counts, ends, x)), f"Histogram: {x}") for ends, x in axes],
        Picture(as_png(draw_ink(_ink(readings[0].dataset.images))), "Non-zero pixels", caption),
    ]


def _ends(found: Range) -> str:
    return f"{found.min:.3g} to {found.max:.3g}"


def _end(found: Range | None, which: Literal["min", "max"]) -> str:
    return "–" if found is None else f"{getattr(found, which):.2f}".replace("-", "−")


def _ink(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    shown = images if images.ndim == 3 else images.max(axis=3)
    return np.asarray(np.count_nonzero(shown, axis=0) / len(images))


def _duplicates(report: DataReport) -> list[Block]:
    rows: list[tuple[str, Callable[[Split], str]]] = [
        ("images with duplicates", lambda split: f"{split.repeats.groups:,}"),
        ("redundant copies", lambda split: f"{split.repeats.surplus:,}"),
        (
            "duplicates with different labels",
            lambda split: f"{split.repeats.conflicting:,}" if split.classes else "no labels",
        ),
    ]
    text = (
        "Images with identical pixels in a split, the number of copies that could be removed, and the number of "
        "duplicated images whose copies have different labels."
    )
    blocks: list[Block] = [Text(text), _side_by_side("", rows, report.splits)]
    if report.leakage:
        blocks.append(Text(_in_both(report.leakage)))
    for split in report.splits:
        if split.repeats.groups:
            listed = [[_rows_of(group), _labels_of(group, report)] for group in split.repeats.first]
            which = "all" if split.repeats.groups == len(listed) else f"first {len(listed)}"
            blocks.append(Text(f"{split.split}: {which}, different labels first. Row 1 is the first image."))
            blocks.append(Table(["rows", "labels"], listed, left=2))
    return blocks


def _in_both(found: Leakage) -> str:
    if not found.identical:
        return "No test image is identical to a training image."
    count = f"Test images that are identical to a training image: {found.identical:,}"
    other = found.identical_other_label
    return f"{count}, of which {other:,} have a different label." if other is not None else f"{count}."


def _rows_of(group: Group) -> str:
    shown = ", ".join(f"{row}" for row in group.rows[:6])
    return shown + (f" and {len(group.rows) - 6:,} more" if len(group.rows) > 6 else "")


def _labels_of(group: Group, report: DataReport) -> str:
    return ", ".join(report.class_names[label] for label in sorted(set(group.labels))) or "–"


def _near(report: DataReport, readings: Sequence[Reading]) -> list[Block]:
    found = report.leakage
    if found is None:
        return [Text("The data set has one split only.")]
    test_images = report.splits[1].images
    facts = [
        ("near or identical", f"{found.near:,} of {found.searched:,}"),
        ("of these, identical", f"{found.identical:,}" if found.searched == test_images else "see above"),
        ("of these, different label", _count(found.near_other_label)),
        ("1-nearest-neighbour error", _share(found.nearest_other_label, found.searched)),
        ("median distance", f"{found.median_distance:.1f} grey levels"),
    ]
    blocks: list[Block] = [Facts(facts), Text(_definition(found))]
    if found.searched < test_images:
        limited = (
            f"The search is limited to {max_pairs(readings[0].dataset.image.pixels):,} pairs, so it covers a random "
            f"sample of {found.searched:,} of {test_images:,} test images."
        )
        blocks.append(Text(limited))
    distances = draw_distances(found.distance_counts, DISTANCE_BIN, found.near_up_to)
    blocks.append(Picture(as_svg(distances), "Distances to the nearest training image"))
    polarity = readings[0].dataset.image.polarity
    tiles = _pair_tiles(found.closest, report, readings)
    caption = (
        "Nearest pairs at any distance. Left: train, right: test. Below: labels, rows and distance in grey levels."
    )
    blocks.append(
        Picture(as_png(draw_pairs(tiles, polarity=polarity)), "Nearest pairs of training and test images", caption)
    )
    if found.closest_other_label:
        tiles = _pair_tiles(found.closest_other_label, report, readings)
        caption = "Nearest pairs with different labels at any distance: similar classes or wrong labels."
        blocks.append(
            Picture(as_png(draw_pairs(tiles, polarity=polarity)), "Nearest pairs with different labels", caption)
        )
    return blocks


def _definition(found: Leakage) -> str:
    return (
        f"Each of {found.searched:,} test images was compared with every training image. Pairs are near-duplicates if "
        f"the root mean square difference of their pixels is at most {found.near_up_to:g} of 255 grey levels. A copy "
        "saved as JPEG with quality 75 differs by 5 or 6 grey levels, rarely by more than 9. A copy shifted by one "
        "pixel differs by about 48, so shifted copies are not found. Images with little ink, such as the digit 1, have "
        "small distances, so check the pairs before removing them. The 1-nearest-neighbour error is the share of test "
        "images whose nearest training image has a different class."
    )


def _count(value: int | None) -> str:
    return "no labels" if value is None else f"{value:,}"


def _share(value: int | None, of: int) -> str:
    return "no labels" if value is None else f"{100 * value / of:.2f} %"


def _pair_tiles(pairs: Sequence[Pair], report: DataReport, readings: Sequence[Reading]) -> list[PairTile]:
    train, test = readings
    return [
        PairTile(
            train.dataset.images[np.searchsorted(train.rows, pair.train_row)],
            test.dataset.images[np.searchsorted(test.rows, pair.test_row)],
            f"{_name(pair.train_label, report)} | {_name(pair.test_label, report)}\n"
            f"rows {pair.train_row} | {pair.test_row}: {pair.distance:.2f}",
            marked=None not in (pair.train_label, pair.test_label) and pair.train_label != pair.test_label,
        )
        for pair in pairs
    ]


def _name(label: int | None, report: DataReport) -> str:
    return "no label" if label is None else name_text(report.class_names[label], 14)
