"""Texts of number lines, as amounts, dates, codes and other numbers are written: `random_text`."""

from dataclasses import dataclass

import numpy as np

#: The characters that a line may have, in the order of the network's classes.
CHARACTERS = "0123456789.,-/=$€"
#: Largest number of digits of a line.
MAX_DIGITS = 12

#: Digits of an amount and their frequency.
_AMOUNT_DIGITS, _AMOUNT_WEIGHTS = (1, 2, 3, 4, 5, 6, 7, 8), (0.03, 0.07, 0.17, 0.28, 0.26, 0.12, 0.05, 0.02)
_ENDINGS = (".-", "-", "=", ".=", ",-", ".", ",", "--", ".--", "==", "/")
_ENDING_WEIGHTS = (0.2, 0.24, 0.14, 0.08, 0.12, 0.1, 0.05, 0.025, 0.02, 0.02, 0.005)
#: Separators of groups and of the parts of dates. A slash looks like a slanted 1, so that it must stay rare.
_GROUPED, _GROUPED_WEIGHTS = ("-", " ", ".", "", "/"), (0.27, 0.25, 0.23, 0.2, 0.05)
_DATED, _DATED_WEIGHTS = (".", "-", ". ", "/"), (0.36, 0.27, 0.25, 0.12)
#: A space is a wider gap, in heights of a digit.
_SPACE = (0.25, 0.7)


@dataclass(frozen=True)
class Text:
    """A text and how it is laid out.

    Attributes:
        characters: the text, of `CHARACTERS`.
        spaces: indices of characters before which there is a wider gap.
        raised: index from which the characters are small and raised, as cents are; None for none.

    Example:
        >>> Text("1250", raised=2).digits
        '1250'
    """

    characters: str
    spaces: frozenset[int] = frozenset()
    raised: int | None = None

    @property
    def digits(self) -> str:
        """The digits of the text."""
        return "".join(each for each in self.characters if each.isdigit())


def random_text(rng: np.random.Generator) -> Text:
    """Draw a text with 1 to 12 digits.

    Example:
        >>> 1 <= len(random_text(np.random.default_rng(0)).digits) <= 12
        True
    """
    kinds = (_amount, _decimal, _digits, _groups, _date)
    return kinds[int(rng.choice(len(kinds), p=(0.53, 0.09, 0.25, 0.08, 0.05)))](rng)


def without_spaces(written: str) -> Text:
    """The text of characters with spaces between groups.

    Example:
        >>> without_spaces("12 500")
        Text(characters='12500', spaces=frozenset({2}), raised=None)
    """
    parts = written.split()
    starts = np.cumsum([len(part) for part in parts])[:-1]
    return Text("".join(parts), frozenset(int(start) for start in starts))


def _number(rng: np.random.Generator, digits: int) -> str:
    """Digits, often with zeros at the end or repeated ones, as amounts have."""
    drawn = rng.integers(0, 10, digits)
    drawn[0] = rng.integers(1, 10)
    if rng.random() < 0.45:
        zeros = min(digits - 1, int(rng.geometric(0.4)))
        drawn[digits - zeros :] = 0
    if rng.random() < 0.15:
        start = int(rng.integers(digits))
        drawn[start : start + int(rng.integers(2, 4))] = drawn[start]
    return "".join(map(str, drawn))


def _amount(rng: np.random.Generator) -> Text:
    digits = _number(rng, int(rng.choice(_AMOUNT_DIGITS, p=_AMOUNT_WEIGHTS)))
    style = rng.random()
    separator = "." if style < 0.5 else " " if style < 0.62 else "," if style < 0.67 else ""
    written = _thousands(digits, separator)
    if rng.random() < 0.36:
        space = " " if rng.random() < 0.25 else ""
        written += space + _ENDINGS[int(rng.choice(len(_ENDINGS), p=_ENDING_WEIGHTS))]
    return without_spaces(_with_currency(written, rng))


def _thousands(digits: str, separator: str) -> str:
    first = len(digits) % 3 or 3
    return separator.join([digits[:first], *(digits[at : at + 3] for at in range(first, len(digits), 3))])


def _with_currency(written: str, rng: np.random.Generator) -> str:
    which = rng.random()
    if which < 0.07:
        return "$" + (" " if rng.random() < 0.3 else "") + written
    if which < 0.11:
        return f"{written} €" if rng.random() < 0.6 else f"€ {written}"
    return written


def _decimal(rng: np.random.Generator) -> Text:
    whole, cents = _number(rng, int(rng.integers(1, 6))), f"{rng.integers(0, 100):02d}"
    if rng.random() < 0.3:
        cents = rng.choice(["00", "50"])
    if rng.random() < 0.35:
        return Text(whole + cents, raised=len(whole))
    separator = "." if rng.random() < 0.5 else ","
    return without_spaces(_with_currency(f"{whole}{separator}{cents}", rng))


def _digits(rng: np.random.Generator) -> Text:
    count = int(min(rng.geometric(0.3), MAX_DIGITS))
    characters = "".join(map(str, rng.integers(0, 10, count)))
    spaces = frozenset(int(place) for place in np.flatnonzero(rng.random(count) < 0.08) if place)
    return Text(characters, spaces)


def _groups(rng: np.random.Generator) -> Text:
    """Codes, phone numbers and accounts: groups with a separator."""
    separator = _GROUPED[int(rng.choice(len(_GROUPED), p=_GROUPED_WEIGHTS))]
    groups = rng.integers(1, 5, int(rng.integers(2, 5)))
    while groups.sum() > MAX_DIGITS:
        groups = groups[:-1]
    return without_spaces(separator.join("".join(map(str, rng.integers(0, 10, count))) for count in groups))


def _date(rng: np.random.Generator) -> Text:
    day, month, year = rng.integers(1, 32), rng.integers(1, 13), rng.integers(1950, 2050)
    separator = _DATED[int(rng.choice(len(_DATED), p=_DATED_WEIGHTS))]
    days, months = (f"{number:02d}" if rng.random() < 0.5 else str(number) for number in (day, month))
    last = str(year) if rng.random() < 0.6 else f"{year % 100:02d}"
    parts = [days, months, last] if rng.random() < 0.8 else [days, months]
    return without_spaces(separator.join(parts))
