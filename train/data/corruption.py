"""What pens, papers and cameras do to an image: stroke width, blur, uneven light, lines, noise, specks, cut-outs.

All take and give float32 (N, H, W) in 0…1 and draw each image's amounts for themselves.
"""

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]
#: Of a Gaussian: seven taps hold all but a thousandth of a standard deviation of 1.
_TAPS = np.arange(-3, 4)


def with_other_strokes(images: Images, change: NDArray[np.float64]) -> Images:
    """Strokes grown (change up to 1) or shrunk (down to -1) by a pixel on each side; change is (N,)."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)), mode="edge")
    across = [padded[:, :, place : place + images.shape[2]] for place in range(3)]
    cross = [across[1][:, place : place + images.shape[1]] for place in range(3)]
    cross += [across[place][:, 1:-1] for place in (0, 2)]
    grown, shrunk = np.maximum.reduce(cross), np.minimum.reduce(cross)
    share = _each(change)
    changed: Images = images + np.maximum(share, 0) * (grown - images) - np.minimum(share, 0) * (shrunk - images)
    return changed


def blurred(images: Images, sigma_px: NDArray[np.float64]) -> Images:
    """Blurred by a Gaussian, each image with its own standard deviation, (N,)."""
    weights = np.exp(-0.5 * (_TAPS / np.maximum(sigma_px, 1e-3)[:, np.newaxis]) ** 2)
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    for _ in (1, 2):
        padded = np.pad(images, ((0, 0), (3, 3), (0, 0)))
        rows = np.stack([padded[:, tap : tap + images.shape[1]] for tap in range(len(_TAPS))])
        images = np.einsum("nt,tnhw->nwh", weights, rows)
    return images


def lit(images: Images, amount: NDArray[np.float64], rng: np.random.Generator) -> Images:
    """Grounds that are not black, (N,) how light at most, evenly or from one side to the other."""
    count, (height, width) = len(images), images.shape[1:]
    angle, bias = rng.uniform(0, 2 * np.pi, count), rng.uniform(0, 1, count)
    slopes = np.stack([np.sin(angle), np.cos(angle)]) * rng.uniform(0, 1, count)
    rows, columns = np.linspace(-0.5, 0.5, height), np.linspace(-0.5, 0.5, width)
    field = (slopes[0, :, np.newaxis] * rows)[:, :, np.newaxis] + (slopes[1, :, np.newaxis] * columns)[:, np.newaxis]
    light = (_each(amount) * np.clip(_each(bias) + field, 0, 1)).astype(np.float32)
    return images + light * (1 - images)


def ruled(images: Images, amount: NDArray[np.float64], rng: np.random.Generator) -> Images:
    """Lines of ruled or squared paper, (N,) how light at most; level but for 10°, 5 to 14 pixels apart, thin."""
    count, (height, width) = len(images), images.shape[1:]
    spacing = _each(rng.uniform(5, 14, count))
    slope = _each(np.tan(np.radians(rng.uniform(-10, 10, count))))
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    thickness = _each(rng.uniform(0.5, 1.2, count))

    def lines(place: Images) -> Images:
        distance = np.abs((place + _each(rng.uniform(0, 14, count))) % spacing - spacing / 2)
        line: Images = np.clip(thickness + 0.5 - distance, 0, 1)
        return line

    squared = _each(rng.integers(0, 2, count).astype(np.float64))
    paper = np.maximum(lines(rows + slope * columns), squared * lines(columns - slope * rows))
    drawn: Images = np.maximum(images, _each(amount) * paper)
    return drawn


def noisy(images: Images, deviation: NDArray[np.float64], rng: np.random.Generator) -> Images:
    """Gaussian noise of each image's own standard deviation, (N,)."""
    noise = rng.standard_normal(images.shape, np.float32) * _each(deviation)
    return np.clip(images + noise, 0, 1)


def specked(images: Images, share: NDArray[np.float64], rng: np.random.Generator) -> Images:
    """A share, (N,), of the pixels white or black."""
    drawn = rng.random(images.shape, np.float32)
    half = _each(share) / 2
    return np.where(drawn < half, np.float32(1), np.where(drawn > 1 - half, np.float32(0), images))


def cut_out(images: Images, largest_px: NDArray[np.float64], rng: np.random.Generator) -> Images:
    """A rectangle of one grey, its sides up to each image's own number of pixels, (N,); long and thin ones too."""
    count, (height, width) = len(images), images.shape[1:]
    sides = rng.uniform(0, 1, (2, count)) * largest_px
    centres = rng.uniform(0, 1, (2, count)) * [[height], [width]]
    rows = np.abs(np.arange(height) + 0.5 - centres[0, :, np.newaxis]) < sides[0, :, np.newaxis] / 2
    columns = np.abs(np.arange(width) + 0.5 - centres[1, :, np.newaxis]) < sides[1, :, np.newaxis] / 2
    inside = rows[:, :, np.newaxis] & columns[:, np.newaxis]
    grey = rng.uniform(0, 1, count) * rng.integers(0, 2, count)
    return np.where(inside, _each(grey), images)


def _each(amounts: NDArray[np.float64]) -> Images:
    """An amount for each image, (N, 1, 1)."""
    return amounts.astype(np.float32)[:, np.newaxis, np.newaxis]
