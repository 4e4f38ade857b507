"""The search of strings, compared with all alignments of small columns."""

from collections import defaultdict
from dataclasses import replace
from itertools import groupby, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_edge.runtime.reader.best_path import best_path
from digits_edge.runtime.reader.constraints import (
    Constraint,
    Iban,
    Isbn13,
    Length,
    Luhn,
    Pattern,
    accepts_text,
)
from digits_edge.runtime.reader.search import CONSTRAINT_ODDS, Beam, empty_probability, search, spans

DIGITS = "0123456789"
EXACT = Beam(width=10_000, classes=20, min_probability=0.0, blank_above=1.0, min_share=0.0)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def by_alignments(columns: np.ndarray, labels: str) -> dict[str, float]:
    """Probability of each string: the sum over all sequences of classes that collapse to it."""
    found: dict[str, float] = defaultdict(float)
    for classes in product(range(columns.shape[1]), repeat=len(columns)):
        text = "".join(labels[each] for each, _ in groupby(classes) if each < len(labels))
        found[text] += float(np.prod([row[each] for row, each in zip(columns.astype(float), classes, strict=True)]))
    return found


@st.composite
def small_columns(draw: st.DrawFn) -> tuple[np.ndarray, str]:
    labels = draw(st.sampled_from(["1", "17", "179"]))
    count = draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return softmax(rng.normal(0, draw(st.sampled_from([0.5, 2.0, 6.0])), (count, len(labels) + 1))), labels


def written(text: str, *, others: dict[int, str] | None = None, labels: str = DIGITS) -> np.ndarray:
    """Columns of a written text, four for each character; `others` has the second most probable character of some."""
    logits = np.full((4 * len(text) + 2, len(labels) + 1), -4.0)
    logits[:, -1] = 6
    for place, character in enumerate(text):
        logits[4 * place + 2, [labels.index(character), -1]] = 8, 0
        if other := (others or {}).get(place):
            logits[4 * place + 2, labels.index(other)] = 6.5
    return softmax(logits)


@given(small_columns())
def test_probabilities_are_sums_over_all_alignments(drawn: tuple[np.ndarray, str]):
    columns, labels = drawn
    expected = by_alignments(columns, labels)
    found = search(columns, labels, beam=EXACT)
    assert {each.text for each in found} == set(expected)
    for each in found:
        assert each.confidence == pytest.approx(expected[each.text], rel=1e-6, abs=1e-12)
    assert empty_probability(columns) == pytest.approx(expected[""], rel=1e-5)


@given(small_columns())
def test_the_default_beam_finds_the_most_probable_string_unless_another_is_nearly_as_probable(drawn):
    columns, labels = drawn
    expected = by_alignments(columns, labels)
    found = search(columns, labels)
    best = max(expected.values())
    assert expected[found[0].text] >= min(0.8 * best, best - 0.02)  # where no string is probable, the beam misses some
    assert [each.confidence for each in found] == sorted((each.confidence for each in found), reverse=True)


@given(small_columns(), st.sampled_from([Length(2), Pattern("N1"), Luhn()]))
def test_a_constrained_search_is_the_best_of_the_accepted_strings(drawn, constraint: Constraint):
    columns, labels = drawn
    accepted = {text: share for text, share in by_alignments(columns, labels).items() if accepts_text(constraint, text)}
    found = search(columns, labels, constraint, beam=EXACT)
    assert {each.text for each in found} == set(accepted)
    if found:
        total = sum(accepted.values())
        assert accepted[found[0].text] == pytest.approx(max(accepted.values()))
        expected = accepted[found[0].text] / (total + (1 - total) / CONSTRAINT_ODDS)
        assert found[0].confidence == pytest.approx(expected, rel=1e-5)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([Length(6), Pattern("NNN NN"), Pattern("NN.N"), Luhn(), Isbn13(), Iban("NO"), Iban()]),
)
def test_a_constrained_search_never_returns_a_string_that_breaks_the_constraint(seed: int, constraint: Constraint):
    rng = np.random.default_rng(seed)
    columns = softmax(rng.normal(0, rng.uniform(1, 8), (rng.integers(1, 40), 12)))
    for each in search(columns, f"{DIGITS}.", constraint):
        assert accepts_text(constraint, each.text)
        assert 0 <= each.confidence <= 1


@given(st.integers(0, 2**32 - 1))
def test_a_function_of_the_caller_is_never_broken(seed: int):
    columns = softmax(np.random.default_rng(seed).normal(0, 4, (12, 11)))
    assert all(int(each.text) % 7 == 0 for each in search(columns, DIGITS, check=lambda text: _is_multiple(text, 7)))


def _is_multiple(text: str, of: int) -> bool:
    return bool(text) and int(text) % of == 0


@pytest.mark.parametrize("place", range(16))
def test_a_check_digit_resolves_a_doubtful_digit_anywhere(place: int):
    number = "4539578763621486"
    other = str((int(number[place]) + 5) % 10)
    doubtful = number[:place] + other + number[place + 1 :]
    columns = written(doubtful, others={place: number[place]})
    assert search(columns, DIGITS)[0].text == doubtful
    best = search(columns, DIGITS, Luhn())[0]
    assert best.text == number
    assert best.confidence > 0.8
    assert search(columns, DIGITS, check=lambda text: text == number)[0].text == number


def test_a_number_that_breaks_the_constraint_gets_a_low_confidence():
    forced = search(written("12345"), DIGITS, Length(4))
    assert forced == [] or forced[0].confidence < 0.3


def test_equal_neighbours_need_a_blank_between():
    assert search(written("1155"), DIGITS)[0].text == "1155"
    assert search(softmax(np.array([[9.0, 0, 0], [9.0, 0, 0]])), "17")[0].text == "1"


def test_no_columns_and_no_characters():
    assert [each.text for each in search(np.zeros((0, 11), np.float32), DIGITS)] == [""]
    assert search(written(""), DIGITS)[0].text == ""
    assert search(written(""), DIGITS, Length(1)) == [] or search(written(""), DIGITS, Length(1))[0].confidence < 0.1


def test_long_lines_do_not_underflow():
    text = "".join(str(place % 10) for place in range(250))
    best = search(written(text), DIGITS)[0]
    assert best.text == text
    assert best.confidence > 0.1


def test_each_character_has_its_columns():
    text = "73377"
    found = spans(written(text), DIGITS, text)
    assert [(span.start, span.peak, span.end) for span in found] == [(n, n, n + 1) for n in range(2, 22, 4)]
    assert min(span.confidence for span in found) > 0.9


@given(small_columns())
def test_spans_are_in_order_and_within_the_columns(drawn: tuple[np.ndarray, str]):
    columns, labels = drawn
    for each in search(columns, labels):
        found = spans(columns, labels, each.text)
        assert len(found) == len(each.text)
        edges = [edge for span in found for edge in (span.start, span.end)]
        assert edges == sorted(edges) and all(span.start <= span.peak < span.end for span in found)
        assert not edges or (edges[0] >= 0 and edges[-1] <= len(columns))


@given(small_columns())
def test_spans_are_the_most_probable_alignment(drawn: tuple[np.ndarray, str]):
    columns, labels = drawn
    text = best_path(columns, labels)
    best = np.max([columns[np.arange(len(columns)), classes].prod() for classes in _alignments(columns, labels, text)])
    found = spans(columns, labels, text)
    # the classes of the spans, and blanks elsewhere
    classes = np.full(len(columns), len(labels))
    for character, span in zip(text, found, strict=True):
        classes[span.start : span.end] = labels.index(character)
    assert columns[np.arange(len(columns)), classes].prod() == pytest.approx(best)


def _alignments(columns: np.ndarray, labels: str, text: str) -> list[tuple[int, ...]]:
    """The sequences of classes that collapse to a text."""
    return [
        classes
        for classes in product(range(columns.shape[1]), repeat=len(columns))
        if "".join(labels[label] for label, _ in groupby(classes) if label < len(labels)) == text
    ]


@given(small_columns(), st.integers(0, 5), st.integers(1, 3))
def test_columns_without_a_character_only_separate_equal_neighbours(drawn, place: int, count: int):
    columns, labels = drawn
    blank = np.eye(columns.shape[1], dtype=np.float32)[-1:]
    nearly_blank = 0.9999 * blank + 0.0001 / columns.shape[1]
    place = min(place, len(columns))
    expected = by_alignments(np.insert(columns, [place], blank, axis=0), labels)
    separated = np.insert(columns, [place] * count, nearly_blank, axis=0)
    best = search(separated, labels, beam=replace(EXACT, blank_above=0.999))[0]
    assert best.confidence == pytest.approx(max(expected.values()), rel=0.02)
    assert expected[best.text] == pytest.approx(max(expected.values()), rel=0.02)


def test_a_string_that_does_not_fit_has_no_spans():
    assert spans(written("1"), DIGITS, "1" * 9) == []
