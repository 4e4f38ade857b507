"""Tests of `digits_edge.train.numbers.texts`."""

import numpy as np

from digits_edge.train.numbers.texts import CHARACTERS, MAX_DIGITS, random_text, without_spaces


def test_texts_have_1_to_12_digits_and_known_characters() -> None:
    rng = np.random.default_rng(0)
    texts = [random_text(rng) for _ in range(2000)]
    assert {len(text.digits) for text in texts} == set(range(1, MAX_DIGITS + 1))
    assert {character for text in texts for character in text.characters} == set(CHARACTERS)


def test_spaces_and_raised_cents_are_within_the_text() -> None:
    rng = np.random.default_rng(1)
    texts = [random_text(rng) for _ in range(2000)]
    assert any(text.spaces for text in texts)
    assert any(text.raised is not None for text in texts)
    for text in texts:
        assert all(0 < space < len(text.characters) for space in text.spaces)
        assert text.raised is None or len(text.characters) - text.raised == 2


def test_spaces_are_places_and_not_characters() -> None:
    assert without_spaces("$ 1 250").spaces == {1, 2}
    assert without_spaces("$ 1 250").characters == "$1250"
