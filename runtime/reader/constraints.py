"""Constraints on the strings that `search` returns, as finite automata: length, pattern and check digits.

The search steps an automaton with each character and drops a string as soon as no state is left. Constraints on the
text as a whole are a Python function, which is applied to complete strings.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Protocol

from digits_edge.runtime.errors import UsageError, did_you_mean

State = Hashable
#: Whether a complete string is possible.
Check = Callable[[str], bool]

#: Placeholder of a digit in a pattern.
ANY_DIGIT = "N"
#: Longest pattern and length.
MAX_LENGTH = 64
#: Characters that groups of digits are separated with; checks of digits skip them.
GROUP_SEPARATORS = " -"
#: Country codes and lengths of the IBANs that consist of digits after the country code, at least usually.
_IBAN_LENGTHS = (
    "AE23 AT20 BA20 BE16 CH21 CR22 CY28 CZ24 DE22 DK18 EE20 EG29 ES24 FI18 FO18 FR27 GL18 GR27 HR21 HU28 IL23 IS26 "
    "KZ20 LB28 LI21 LT20 LU20 LY25 MC27 ME22 MK19 MR27 NO15 PL28 PT25 RS22 SA24 SE24 SI19 SK24 ST25 TL23 TN24 TR26 "
    "UA29 VA22 XK20"
)
IBAN_LENGTHS = {entry[:2]: int(entry[2:]) for entry in _IBAN_LENGTHS.split()}


class Constraint(Protocol):
    """A deterministic finite automaton over characters.

    Attributes:
        start: state before the first character.
    """

    @property
    def start(self) -> State:
        """State before the first character."""
        ...

    def step(self, state: State, character: str) -> State | None:
        """The state after a character; None if no string with this beginning is accepted."""
        ...

    def accepts(self, state: State) -> bool:
        """Whether the string that leads to a state satisfies the constraint."""
        ...


def accepts_text(constraint: Constraint, text: str) -> bool:
    """Whether a text satisfies a constraint.

    Example:
        >>> accepts_text(Luhn(), "4539 5787 6362 1486"), accepts_text(Luhn(), "4539 5787 6362 1487")
        (True, False)
    """
    state: State | None = constraint.start
    for character in text:
        state = constraint.step(state, character)
        if state is None:
            return False
    return constraint.accepts(state)


@dataclass(frozen=True)
class Length:
    """A number of digits; other characters are not counted.

    Attributes:
        digits: number of digits, 1 to `MAX_LENGTH`.

    Raises:
        UsageError: it is out of range.

    Example:
        >>> [accepts_text(Length(5), text) for text in ("12345", "123.45", "1234")]
        [True, True, False]
    """

    digits: int
    start: State = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        if type(self.digits) is not int or not 1 <= self.digits <= MAX_LENGTH:
            raise UsageError(f"length {self.digits!r}: use 1 to {MAX_LENGTH} digits")

    def step(self, state: State, character: str) -> State | None:
        """Count a digit."""
        assert isinstance(state, int)
        count = state + character.isdecimal()
        return count if count <= self.digits else None

    def accepts(self, state: State) -> bool:
        """Whether all digits were counted."""
        return state == self.digits


@dataclass(frozen=True)
class Pattern:
    """A pattern of characters: `N` is any digit, a space may be missing, and other characters stand for themselves.

    Attributes:
        text: the pattern, 1 to `MAX_LENGTH` characters.

    Raises:
        UsageError: the pattern is empty or too long, or has no digit.

    Example:
        >>> pattern = Pattern("NNNN NN")
        >>> [accepts_text(pattern, text) for text in ("123456", "1234 56", "12345", "12 3456")]
        [True, True, False, False]
        >>> accepts_text(Pattern("€N,NN"), "€5,20")
        True
    """

    text: str
    start: State = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not 1 <= len(self.text) <= MAX_LENGTH or not self.digits:
            raise UsageError(
                f"pattern {self.text!r}: use 1 to {MAX_LENGTH} characters, {ANY_DIGIT} for a digit, such as 'NNNN NN'"
            )

    @property
    def digits(self) -> int:
        """Number of digits of the numbers."""
        return sum(c == ANY_DIGIT or c.isdecimal() for c in self.text)

    def step(self, state: State, character: str) -> State | None:
        """Match a character; spaces of the pattern are skipped if they are not read."""
        assert isinstance(state, int)
        while state < len(self.text):
            wanted = self.text[state]
            if wanted == character or (wanted == ANY_DIGIT and character.isdecimal()):
                return state + 1
            if wanted != " ":
                return None
            state += 1
        return None

    def accepts(self, state: State) -> bool:
        """Whether nothing but spaces is left of the pattern."""
        assert isinstance(state, int)
        return not self.text[state:].strip(" ")


@dataclass(frozen=True)
class Luhn:
    """Numbers of cards and devices, whose last digit is a Luhn check digit; groups may be separated.

    From the left, it is not known which digits are doubled, so the state has the sums of both cases.

    Example:
        >>> accepts_text(Luhn(), "79927398713"), accepts_text(Luhn(), "79927398710")
        (True, False)
    """

    start: State = field(default=(0, 0, 0), init=False, repr=False)

    def step(self, state: State, character: str) -> State | None:
        """Add a digit."""
        assert isinstance(state, tuple)
        if character in GROUP_SEPARATORS:
            return state
        if not character.isdecimal():
            return None
        last_single, last_doubled, digits = state
        digit = int(character)
        doubled = 2 * digit - 9 * (digit > 4)
        return (last_doubled + digit) % 10, (last_single + doubled) % 10, min(digits + 1, 2)

    def accepts(self, state: State) -> bool:
        """Whether there are digits and a check digit, and the sum is a multiple of ten."""
        assert isinstance(state, tuple)
        return bool(state[0] == 0 and state[2] == 2)


@dataclass(frozen=True)
class Isbn13:
    """Numbers of books: 13 digits that begin with 978 or 979; the last is a check digit.

    Example:
        >>> accepts_text(Isbn13(), "978-3-16-148410-0"), accepts_text(Isbn13(), "978-3-16-148410-1")
        (True, False)
    """

    start: State = field(default=(0, 0), init=False, repr=False)

    def step(self, state: State, character: str) -> State | None:
        """Add a digit."""
        assert isinstance(state, tuple)
        if character in GROUP_SEPARATORS:
            return state
        place, total = state
        if place == 13 or not character.isdecimal() or character not in ("9", "7", "89", "0123456789")[min(place, 3)]:
            return None
        return place + 1, (total + int(character) * (3 if place % 2 else 1)) % 10

    def accepts(self, state: State) -> bool:
        """Whether there are 13 digits and the sum is a multiple of ten."""
        return state == (13, 0)


@dataclass(frozen=True)
class Iban:
    """International bank account numbers (ISO 13616) of digits after the country code; mod 97 check.

    The country code may be missing, because forms have it printed and the bundled model reads no letters: then the
    number fits if it does with the code of any country, or of `country`.

    Attributes:
        country: the expected country code; "" for any.

    Raises:
        UsageError: the country is unknown, or its numbers have letters.

    Example:
        >>> accepts_text(Iban(), "DE89 3704 0044 0532 0130 00"), accepts_text(Iban("DE"), "89370400440532013000")
        (True, True)
        >>> accepts_text(Iban("DE"), "89370400440532013001"), accepts_text(Iban("AT"), "89370400440532013000")
        (False, False)
    """

    country: str = ""
    #: country code so far, number of digits, the two check digits, and the other digits modulo 97
    start: State = field(default=("", 0, 0, 0), init=False, repr=False)

    def __post_init__(self) -> None:
        if self.country and self.country not in IBAN_LENGTHS:
            raise UsageError(f"IBAN of {self.country!r}: use one of {', '.join(IBAN_LENGTHS)}")

    def step(self, state: State, character: str) -> State | None:
        """Add a letter of the country code, or a digit."""
        assert isinstance(state, tuple)
        if character in GROUP_SEPARATORS:
            return state
        code, digits, check, rest = state
        if not digits and len(code) < 2 and character.isalpha():
            code += character
            return (code, 0, 0, 0) if any(each.startswith(code) for each in self._countries()) else None
        if not character.isdecimal() or len(code) == 1 or digits + 2 >= self._longest(code):
            return None
        if digits < 2:
            return code, digits + 1, 10 * check + int(character), 0
        return code, digits + 1, check, (10 * rest + int(character)) % 97

    def accepts(self, state: State) -> bool:
        """Whether the number of digits is that of a country, and the remainder is that of its code."""
        assert isinstance(state, tuple)
        code, digits, check, rest = state
        return any(
            IBAN_LENGTHS[country] == digits + 2 and (1_000_000 * rest + 100 * _letters(country) + check) % 97 == 1
            for country in ([code] if len(code) == 2 else self._countries())
        )

    def _countries(self) -> list[str]:
        return [self.country] if self.country else list(IBAN_LENGTHS)

    def _longest(self, code: str) -> int:
        return IBAN_LENGTHS[code] if code else max(IBAN_LENGTHS[country] for country in self._countries())


def _letters(country: str) -> int:
    """The letters as numbers from A = 10, behind each other."""
    return 100 * (ord(country[0]) - ord("A") + 10) + ord(country[1]) - ord("A") + 10


@dataclass(frozen=True)
class All:
    """Several constraints at once.

    Attributes:
        parts: the constraints; none of them accepts everything.

    Example:
        >>> both = All((Length(16), Luhn()))
        >>> accepts_text(both, "4539578763621486"), accepts_text(both, "79927398713")
        (True, False)
    """

    parts: tuple[Constraint, ...] = ()

    @property
    def start(self) -> State:
        """The states of all parts."""
        return tuple(part.start for part in self.parts)

    def step(self, state: State, character: str) -> State | None:
        """Step all parts."""
        assert isinstance(state, tuple)
        states = []
        for part, each in zip(self.parts, state, strict=True):
            after = part.step(each, character)
            if after is None:
                return None
            states.append(after)
        return tuple(states)

    def accepts(self, state: State) -> bool:
        """Whether all parts accept."""
        assert isinstance(state, tuple)
        return all(part.accepts(each) for part, each in zip(self.parts, state, strict=True))


#: Named checks; "iban:DE" names a country, too.
CHECKS = ("luhn", "iban", "isbn13")


def named_check(name: str) -> Constraint:
    """The constraint of a named check: `luhn`, `iban`, `iban:DE` and other countries, `isbn13`.

    Raises:
        UsageError: there is no such check.

    Example:
        >>> named_check("iban:DE")
        Iban(country='DE')
    """
    name, _, country = name.lower().partition(":")
    if name == "iban":
        return Iban(country.upper())
    if name in CHECKS and not country:
        return Luhn() if name == "luhn" else Isbn13()
    raise UsageError(f"unknown check {name!r}.{did_you_mean(name, CHECKS)} Available: {', '.join(CHECKS)}, iban:DE")


def constraint_of(
    length: int | None = None, pattern: str | None = None, check: str | None = None, *, characters: str = ""
) -> Constraint | None:
    """The constraint of a length, a pattern and a named check; None if there is none of them.

    Args:
        length: number of digits, see `Length`.
        pattern: see `Pattern`.
        check: see `named_check`.
        characters: the characters that the model reads; empty if they are not known yet.

    Raises:
        UsageError: a value is invalid, or the pattern has a character that the model does not read.

    Example:
        >>> constraint_of(length=4, characters="0123456789")
        Length(digits=4)
    """
    parts: list[Constraint] = []
    if length is not None:
        parts.append(Length(length))
    if pattern is not None:
        written = Pattern(pattern)
        parts.append(written)
        unread = "".join(c for c in pattern if c not in f"{characters}{ANY_DIGIT} ")
        if length not in (None, written.digits):
            raise UsageError(
                f"length {length} and pattern {pattern!r} with {written.digits} digits exclude each other; omit one"
            )
        if characters and unread:
            raise UsageError(
                f"pattern {pattern!r}: the model reads {characters}, not {unread!r}; {ANY_DIGIT} is any digit"
            )
    if check is not None:
        parts.append(named_check(check))
    return All(tuple(parts)) if len(parts) > 1 else parts[0] if parts else None
