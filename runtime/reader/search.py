"""Search of the most probable strings in the columns of a sequence model: `search`, a CTC prefix beam search.

A string's probability is the sum over all its alignments (Graves et al. 2006). Constraints are applied inside the
search: a string that cannot satisfy them any more leaves the beam, so that it does not displace one that can.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.reader.best_path import character_starts
from digits_edge.runtime.reader.constraints import Check, Constraint, State

Columns = NDArray[np.float32]

#: How much more often, compared to chance, written numbers satisfy a constraint that the caller states. The probability
#: of strings that break it is divided by this, not dropped, so that a number that breaks it gets a low confidence.
CONSTRAINT_ODDS = 100.0
#: Steps of the probabilities in an alignment are bounded by this, because zeros have no logarithm.
_TINY = 1e-12


@dataclass(frozen=True)
class Beam:
    """Limits of the search; wider ones are slower and, with all strings, exact.

    Attributes:
        width: maximum number of strings after a column.
        states: maximum number of further strings, each the best with its state of the constraint. Check digits accept
            one string in ten or in a hundred, and which one is known at the end only.
        classes: maximum number of classes that are considered in a column.
        min_probability: classes that are less probable in a column are not considered there.
        blank_above: columns whose blank is more probable have no character.
        min_share: strings that are less probable than this share of the best one leave the beam.
    """

    width: int = 8
    states: int = 0
    classes: int = 4
    min_probability: float = 5e-3
    blank_above: float = 0.998
    min_share: float = 1e-3


FREE = Beam()
#: The beam for check digits and other constraints, and the one for a function of the caller.
CONSTRAINED = Beam(width=10, states=100, classes=6, min_probability=1e-3, min_share=1e-7)
WIDE = Beam(width=200, classes=6, min_probability=1e-3, min_share=1e-7)


@dataclass(frozen=True)
class Hypothesis:
    """A string and its probability.

    Attributes:
        text: the string; may be empty.
        confidence: its probability given the columns and the constraint, 0 to 1.
    """

    text: str
    confidence: float


class _Node:
    """A prefix: its last class, its parent, its longer prefixes, and the state of the constraint."""

    __slots__ = ("children", "label", "parent", "state")

    def __init__(self, label: int, parent: "_Node | None", state: State) -> None:
        self.label, self.parent, self.state = label, parent, state
        self.children: dict[int, _Node | None] = {}


#: Prefix → probability of its alignments that end with a blank, and of those that end with its last class.
_Scores = dict[_Node, list[float]]


def search(
    columns: Columns,
    labels: Sequence[str],
    constraint: Constraint | None = None,
    check: Check | None = None,
    beam: Beam | None = None,
) -> list[Hypothesis]:
    """Find the most probable strings.

    Args:
        columns: float32 (T, K+1), the probabilities of the K labels and of the blank, which is last; rows sum to 1.
        labels: the K characters.
        constraint: the strings must satisfy it.
        check: the strings must satisfy it, too; it is called with complete strings only.
        beam: limits of the search; by default as wide as the constraint needs.

    Returns:
        The strings, the most probable first; empty if no string within the limits satisfies the constraints.

    Example:
        >>> columns = np.array([[0.6, 0.1, 0.3], [0.1, 0.1, 0.8], [0.3, 0.6, 0.1]], np.float32)
        >>> [(each.text, round(each.confidence, 2)) for each in search(columns, "17")][:3]
        [('17', 0.38), ('7', 0.18), ('1', 0.16)]
        >>> from digits_edge.runtime.reader.constraints import Length
        >>> search(columns, "17", Length(1))[0].text
        '7'
    """
    if beam is None:
        beam = WIDE if check is not None else FREE if constraint is None else CONSTRAINED
    step = constraint.step if constraint is not None else _any_step
    root = _Node(-1, None, constraint.start if constraint is not None else None)
    scores, scale = _scores(columns.astype(np.float64), labels, root, step, beam)
    found = [
        (text, (blank + last) * scale)
        for node, (blank, last) in scores.items()
        if constraint is None or constraint.accepts(node.state)
        for text in (_text(node, labels),)
        if check is None or check(text)
    ]
    found.sort(key=lambda each: -each[1])
    return _with_confidences(found, is_constrained=constraint is not None or check is not None)


def empty_probability(columns: Columns) -> float:
    """The probability that there is no character.

    Example:
        >>> round(empty_probability(np.array([[0.1, 0.9], [0.2, 0.8]], np.float32)), 2)
        0.72
    """
    return float(np.prod(columns[:, -1], dtype=np.float64))


@dataclass(frozen=True)
class Span:
    """The columns of a character.

    Attributes:
        peak: column with its highest probability.
        start: first column.
        end: column after the last.
        confidence: its probability at the peak, 0 to 1.
    """

    peak: int
    start: int
    end: int
    confidence: float


def spans(columns: Columns, labels: Sequence[str], text: str) -> list[Span]:
    """Align a string with the columns by the most probable alignment (Viterbi).

    Args:
        columns: float32 (T, K+1), as for `search`.
        labels: the K characters.
        text: characters of `labels`, not more than fit into the columns.

    Returns:
        The columns of each character, from left to right; empty if the string does not fit.

    Example:
        >>> columns = np.array([[0.6, 0.1, 0.3], [0.1, 0.1, 0.8], [0.2, 0.7, 0.1]], np.float32)
        >>> [(span.start, span.end, round(span.confidence, 1)) for span in spans(columns, "17", "17")]
        [(0, 1, 0.6), (2, 3, 0.7)]
    """
    if not text:
        return []
    blank = columns.shape[1] - 1
    classes = np.full(2 * len(text) + 1, blank)
    classes[1::2] = [labels.index(character) for character in text]
    path = _most_probable_path(columns, classes)
    if path is None:
        path = _path(np.log(np.maximum(columns[:, classes], _TINY)), classes)
    if path is None:
        return []
    found = []
    for number in range(len(text)):
        own = np.flatnonzero(path == 2 * number + 1)
        probabilities = columns[own, classes[2 * number + 1]]
        peak = int(probabilities.argmax())
        found.append(Span(int(own[peak]), int(own[0]), int(own[-1]) + 1, float(probabilities[peak])))
    return found


def _scores(
    columns: NDArray[np.float64], labels: Sequence[str], root: _Node, step: Callable[..., State | None], beam: Beam
) -> tuple[_Scores, float]:
    """The prefixes after the last column, and the factor of their scores."""
    scores: _Scores = {root: [1.0, 0.0]}
    is_written = columns[:, -1] <= beam.blank_above
    log_scale = float(np.log(columns[~is_written, -1]).sum())
    after = 0
    written = np.flatnonzero(is_written).tolist()
    for column, (blank, classes) in zip(written, _considered(columns[is_written], beam), strict=True):
        if column > after:
            _end_with_blank(scores)
        after = column + 1
        scores = _pruned(_extended(scores, blank, classes, labels, step, beam.min_share), beam)
        best = max(score[0] + score[1] for score in scores.values())
        log_scale += log(best)
        for score in scores.values():
            score[0] /= best
            score[1] /= best
    return scores, float(np.exp(log_scale))


def _end_with_blank(scores: _Scores) -> None:
    """Step all prefixes by columns without a character."""
    for score in scores.values():
        score[0] += score[1]
        score[1] = 0.0


def _considered(columns: NDArray[np.float64], beam: Beam) -> Iterator[tuple[float, list[tuple[int, float]]]]:
    """For each column, the probability of the blank, and the most probable classes with theirs, in falling order."""
    order = np.argsort(-columns[:, :-1], axis=1, kind="stable")[:, : beam.classes]
    highest = np.take_along_axis(columns, order, axis=1)
    counts = (highest >= beam.min_probability).sum(axis=1).tolist()
    for blank, classes, values, count in zip(
        columns[:, -1].tolist(), order.tolist(), highest.tolist(), counts, strict=True
    ):
        yield blank, list(zip(classes[:count], values[:count], strict=True))


def _extended(
    scores: _Scores,
    blank: float,
    classes: list[tuple[int, float]],
    labels: Sequence[str],
    step: Callable[..., State | None],
    min_share: float,
) -> _Scores:
    """The prefixes after one more column; those below a share of the best one are omitted."""
    after: _Scores = {}
    least = min_share * max(blank, classes[0][1] if classes else 0.0)
    for node, (ends_blank, ends_label) in scores.items():
        total = ends_blank + ends_label
        own = _score(after, node)
        own[0] += total * blank
        for label, probability in classes:
            if total * probability < least:
                break
            extended = total
            if label == node.label:
                own[1] += ends_label * probability
                extended = ends_blank
            if extended and (longer := _child(node, label, labels, step)) is not None:
                _score(after, longer)[1] += extended * probability
    return after


def _score(scores: _Scores, node: _Node) -> list[float]:
    score = scores.get(node)
    if score is None:
        score = scores[node] = [0.0, 0.0]
    return score


def _child(node: _Node, label: int, labels: Sequence[str], step: Callable[..., State | None]) -> _Node | None:
    """The prefix with one more class; None if the constraint refuses it."""
    if label not in node.children:
        state = step(node.state, labels[label])
        node.children[label] = None if state is None else _Node(label, node, state)
    return node.children[label]


def _pruned(scores: _Scores, beam: Beam) -> _Scores:
    """The most probable prefixes, and the most probable one of each further state of the constraint."""
    ranked = sorted(scores.items(), key=lambda item: -(item[1][0] + item[1][1]))
    least = beam.min_share * sum(ranked[0][1])
    kept = {node: score for node, score in ranked[: beam.width] if score[0] + score[1] >= least}
    if beam.states and len(ranked) > beam.width:
        seen = {node.state for node in kept}
        for node, score in ranked[beam.width :]:
            if len(kept) >= beam.width + beam.states or score[0] + score[1] < least:
                break
            if node.state not in seen:
                seen.add(node.state)
                kept[node] = score
    return kept


def _text(node: _Node | None, labels: Sequence[str]) -> str:
    characters = []
    while node is not None and node.parent is not None:
        characters.append(labels[node.label])
        node = node.parent
    return "".join(reversed(characters))


def _with_confidences(found: list[tuple[str, float]], *, is_constrained: bool) -> list[Hypothesis]:
    """The strings with their probabilities, which are conditional on the constraint if there is one."""
    if not is_constrained:
        return [Hypothesis(text, min(1.0, probability)) for text, probability in found]
    accepted = min(1.0, sum(probability for _, probability in found))
    total = accepted + (1 - accepted) / CONSTRAINT_ODDS
    return [Hypothesis(text, min(1.0, probability / total)) for text, probability in found]


def _most_probable_path(columns: Columns, classes: NDArray[np.intp]) -> NDArray[np.intp] | None:
    """The state of each column if the most probable class of each spells the string, which is then the best alignment.

    Args:
        columns: float32 (T, K+1), as for `search`.
        classes: int (S,), classes of the states: blank, character, blank, …, blank.
    """
    best, blank = columns.argmax(axis=1), columns.shape[1] - 1
    starts = character_starts(best, blank)
    if not np.array_equal(best[starts], classes[1::2]):
        return None
    return np.asarray(2 * np.cumsum(starts) - (best != blank), np.intp)


def _path(scores: NDArray[np.float64], classes: NDArray[np.intp]) -> NDArray[np.intp] | None:
    """The state of each column in the best alignment, int (T,); None if there is none.

    Args:
        scores: float64 (T, S), logarithm of the probability of each state's class in each column.
        classes: int (S,), classes of the states: blank, character, blank, …, blank.
    """
    count, states = scores.shape
    may_skip = [state % 2 == 1 and state > 1 and classes[state] != classes[state - 2] for state in range(states)]
    best = [-np.inf] * states
    best[:2] = scores[0, :2].tolist()
    came_from: list[list[int]] = [[0] * states]
    for row in scores[1:].tolist():  # lists: for so few states they are three times as fast as arrays
        after, steps = [], []
        for state in range(states):
            most, step = best[state], 0
            if state and best[state - 1] > most:
                most, step = best[state - 1], 1
            if may_skip[state] and best[state - 2] > most:
                most, step = best[state - 2], 2
            after.append(most + row[state])
            steps.append(step)
        best = after
        came_from.append(steps)
    state = states - 1 if best[-1] >= best[-2] else states - 2
    if best[state] == -np.inf:
        return None
    path = np.empty(count, np.intp)
    for column in range(count - 1, -1, -1):
        path[column] = state
        state -= came_from[column][state]
    return path


def _any_step(state: State, character: str) -> State | None:
    """The step of an automaton that accepts everything; its only state is a tuple, because None means refused."""
    return ()
