"""Automata of constraints, compared with plain implementations on complete strings."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_edge.runtime.errors import UsageError
from digits_edge.runtime.reader.constraints import (
    IBAN_LENGTHS,
    All,
    Constraint,
    Iban,
    Isbn13,
    Length,
    Luhn,
    Pattern,
    accepts_text,
    constraint_of,
    named_check,
)

CHARACTERS = "0123456789.,-/=$€"
digit_strings = st.text("0123456789", max_size=20)


def luhn_holds(text: str) -> bool:
    digits = [int(digit) for digit in reversed(text)]
    total = sum(digits[0::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return len(digits) > 1 and total % 10 == 0


def isbn_holds(text: str) -> bool:
    if not re.fullmatch(r"97[89]\d{10}", text):
        return False
    return sum(int(digit) * weight for digit, weight in zip(text, [1, 3] * 7, strict=False)) % 10 == 0


def iban_holds(country: str, digits: str) -> bool:
    if len(digits) + 2 != IBAN_LENGTHS[country]:
        return False
    moved = digits[2:] + country + digits[:2]
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


def with_check_digits(country: str, account: str) -> str:
    number = int("".join(str(int(character, 36)) for character in f"{account}{country}00"))
    return f"{98 - number % 97:02}{account}"


@given(digit_strings)
def test_luhn_as_summed_from_the_right(text: str):
    assert accepts_text(Luhn(), text) == luhn_holds(text)


@given(digit_strings)
def test_one_of_ten_last_digits_satisfies_luhn(text: str):
    accepted = [digit for digit in "0123456789" if accepts_text(Luhn(), text + digit)]
    assert len(accepted) == (1 if text else 0)


@given(st.one_of(digit_strings, st.builds("97{}{}".format, st.sampled_from("789"), st.text("0123456789", min_size=10))))
def test_isbn_as_summed(text: str):
    assert accepts_text(Isbn13(), text) == isbn_holds(text)


@given(st.text("0123456789", min_size=9, max_size=9), st.sampled_from("89"))
def test_one_check_digit_satisfies_isbn(text: str, third: str):
    assert sum(accepts_text(Isbn13(), f"97{third}{text}{digit}") for digit in "0123456789") == 1


@given(st.sampled_from(sorted(IBAN_LENGTHS)), st.data())
def test_iban_as_by_remainder(country: str, data: st.DataObject):
    length = IBAN_LENGTHS[country] - 4
    right = with_check_digits(country, data.draw(st.text("0123456789", min_size=length, max_size=length)))
    wrong = data.draw(st.text("0123456789", min_size=length + 2, max_size=length + 2))
    for digits in (right, wrong, right[:-1]):
        expected = iban_holds(country, digits)
        assert accepts_text(Iban(country), digits) == expected
        assert accepts_text(Iban(), country + digits) == expected
        assert accepts_text(Iban(country), country + digits) == expected
        assert accepts_text(Iban(), digits) == any(iban_holds(each, digits) for each in IBAN_LENGTHS)
    assert iban_holds(country, right)


def test_published_numbers_are_accepted():
    for iban in ("AT611904300234573201", "BE68539007547034", "CH9300762011623852957", "NO9386011117947"):
        assert accepts_text(Iban(), iban), iban
        assert not accepts_text(Iban(), iban[:-1] + str((int(iban[-1]) + 1) % 10))
    assert accepts_text(Isbn13(), "978-0-306-40615-7")


@given(st.text(CHARACTERS, max_size=8), st.integers(1, 8))
def test_length_counts_digits(text: str, digits: int):
    assert accepts_text(Length(digits), text) == (sum(map(str.isdecimal, text)) == digits)


@given(st.text("N1.- ", min_size=1, max_size=8), st.text("012. -", max_size=8))
def test_pattern_as_a_regular_expression(pattern: str, text: str):
    expression = "".join({"N": "[0-9]", " ": " ?"}.get(each, re.escape(each)) for each in pattern)
    if not set(pattern) & set("N1"):
        with pytest.raises(UsageError):
            Pattern(pattern)
        return
    # a space of the text is matched by the first possible space of the pattern; a backtracking match may find more
    if accepts_text(Pattern(pattern), text):
        assert re.fullmatch(expression, text)
    without_spaces = text.replace(" ", "")
    assert accepts_text(Pattern(pattern), without_spaces) == bool(re.fullmatch(expression, without_spaces))


@given(st.text(CHARACTERS, max_size=16))
def test_all_parts_have_to_accept(text: str):
    parts: tuple[Constraint, ...] = (Length(4), Luhn())
    assert accepts_text(All(parts), text) == all(accepts_text(part, text) for part in parts)


def test_an_automaton_refuses_as_soon_as_no_continuation_is_accepted():
    assert Isbn13().step((2, 0), "5") is None
    assert Length(1).step(1, "0") is None
    assert Pattern("N.N").step(1, "5") is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Length(0), "length 0: use 1 to 64 digits"),
        (lambda: Length(True), "length True: use 1 to 64 digits"),
        (lambda: Length("6"), "length '6': use 1 to 64 digits"),  # type: ignore[arg-type]
        (lambda: Pattern(""), "pattern ''"),
        (lambda: Pattern(6), "pattern 6: use 1 to 64 characters"),  # type: ignore[arg-type]
        (lambda: constraint_of(5, "NN NN"), "length 5 and pattern 'NN NN' with 4 digits exclude each other"),
        (lambda: named_check("lun"), "unknown check 'lun'. Did you mean 'luhn'?"),
        (lambda: named_check("luhn:DE"), "unknown check"),
        (lambda: named_check("iban:GB"), "IBAN of 'GB': use one of AE, AT"),
        (lambda: constraint_of(pattern="AB N", characters=CHARACTERS), "reads 0123456789.,-/=$€, not 'AB'"),
    ],
)
def test_errors_say_what_to_use(wrong, message: str):
    with pytest.raises(UsageError, match=re.escape(message)):
        wrong()


def test_names_of_checks_are_in_either_case():
    assert named_check("IBAN:de") == Iban("DE")
    assert constraint_of(5, "NNNNN", "luhn", characters=CHARACTERS) == All((Length(5), Pattern("NNNNN"), Luhn()))
    assert constraint_of(characters=CHARACTERS) is None
