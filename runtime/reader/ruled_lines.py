"""Removal of ruled lines from the ink of a page: `without_rules`."""

import numpy as np

from digits_edge.runtime.preprocessing.morphology import Mask, boxes, opened, pieces, running

#: Minimum length of a ruled line, and its maximum thickness, as shares of the longer side.
RULE_LENGTH, RULE_THICKNESS = 0.2, 1 / 160
#: Gaps that strokes and crossing lines leave in a ruled line, as a share of the longer side, and the minimum share of a
#: line that is not such a gap.
RULE_GAP, MIN_RULE_COVERAGE = 1 / 32, 0.5
#: Slopes of ruled lines, in pixels per pixel.
RULE_SLOPES = (0.0, -0.02, 0.02, -0.04, 0.04, -0.06, 0.06)
#: Number of parallel lines that no digit has, and their minimum length as a share of the width. Fewer lines are rules
#: only if they are longer than everything else, by this factor, and upright ones only if they reach this far.
MANY_RULES, MANY_RULES_LENGTH, BEYOND_RULES, UPRIGHT_LENGTH = 3, 0.6, 1.4, 0.8
#: Side in pixels of the closing that joins strokes across a removed line.
RULE_CLOSING = 9


def without_rules(mask: Mask) -> Mask:
    """Remove ruled lines; strokes that cross them are joined again.

    Args:
        mask: bool, (H, W).

    Example:
        >>> mask = np.zeros((200, 300), np.bool_)
        >>> mask[20::30] = True
        >>> mask[40:90, 100:104] = True
        >>> cleared = without_rules(mask)
        >>> bool(cleared[50, 102]), bool(cleared[50, 50]), bool(cleared[20, 102])
        (True, False, False)
    """
    half = _halved(mask)
    across, down = (
        np.repeat(np.repeat(each, 2, axis=0), 2, axis=1)[: mask.shape[0], : mask.shape[1]]
        for each in (_rules(half), _rules(half.T, UPRIGHT_LENGTH).T)
    )
    if not (across.any() or down.any()):
        return mask
    # strokes that cross a line are higher than it
    cleared = mask & ~(across & (_thin(mask & ~down) | down)) & ~(down & _thin((mask & ~across).T).T)
    closed = _closed(cleared) & across | _closed(cleared.T).T & down
    return np.asarray(cleared | closed & mask)


def _thin(mask: Mask) -> Mask:
    """The parts of a mask that are not higher than ruled lines."""
    return mask & ~opened(mask, (int(RULE_THICKNESS * max(mask.shape)) | 1) + 2, 1)


def _halved(mask: Mask) -> Mask:
    """Half of the size: a pixel for each square of four, if one of them is true."""
    even = np.pad(mask, ((0, mask.shape[0] % 2), (0, mask.shape[1] % 2)))
    return np.asarray(even[::2, ::2] | even[1::2, ::2] | even[::2, 1::2] | even[1::2, 1::2])


def _rules(mask: Mask, min_length: float = 0.0) -> Mask:
    """The nearly horizontal ruled lines, all with the slope that finds the most pixels.

    Args:
        mask: bool, (H, W).
        min_length: minimum length if they are few, as a share of the width.
    """
    length, gap = (int(share * max(mask.shape)) | 1 for share in (RULE_LENGTH, RULE_GAP))
    thin = _thin(mask)
    if np.count_nonzero(thin.any(axis=0)) < length:
        return np.zeros_like(mask)
    height, width = mask.shape
    best, most = np.zeros_like(mask), 0
    rows, columns = np.arange(height)[:, np.newaxis], np.arange(width)
    thin = running(np.maximum, thin, 3, 1)
    for slope in RULE_SLOPES:
        shift = np.rint(slope * (columns - width / 2)).astype(np.intp)
        sheared = np.pad(thin[np.clip(rows + shift, 0, height - 1), columns], ((0, 0), (gap, gap)))
        closed = running(np.minimum, running(np.maximum, sheared, 1, gap), 1, gap)
        found = opened(closed, 1, length)
        if (count := int(np.count_nonzero(found & sheared))) > most:
            most = count
            best = _covered(found, sheared)[:, gap:-gap][np.clip(rows - shift, 0, height - 1), columns]
    return best if _is_ruled(best, mask & ~best, min_length) else np.zeros_like(mask)


def _covered(found: Mask, inked: Mask) -> Mask:
    """The components of a mask of which enough is inked."""
    numbered, count = pieces(found)
    pixels = np.bincount(numbered.ravel(), minlength=count + 1)
    ink = np.bincount(numbered.ravel(), (found & inked).ravel(), count + 1)
    return np.asarray((ink >= MIN_RULE_COVERAGE * pixels)[numbered] & found)


def _is_ruled(rules: Mask, rest: Mask, min_length: float) -> bool:
    """Whether long straight lines are ruled: they are many, or reach beyond everything else."""
    numbered, count = pieces(rules)
    if not count:
        return False
    found = boxes(numbered, count)
    longest = int((found[:, 2] - found[:, 0]).max())
    columns = np.flatnonzero(rest.any(axis=0))
    if not len(columns):
        return bool(longest > UPRIGHT_LENGTH * rules.shape[1])
    if count >= MANY_RULES and longest >= MANY_RULES_LENGTH * rules.shape[1]:
        return True
    beyond = BEYOND_RULES * int(columns[-1] - columns[0])
    return bool(longest > max(beyond, min_length * rules.shape[1]))


def _closed(mask: Mask) -> Mask:
    """A morphological closing along columns."""
    return running(np.minimum, running(np.maximum, mask, RULE_CLOSING, 1), RULE_CLOSING, 1)
