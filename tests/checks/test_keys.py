"""What can be wrong with a key before anybody is asked, and that none is shown."""

from __future__ import annotations

import pytest

from checks.keys import (
    KEYS,
    MARKET_KEY,
    TOKEN,
    USER,
    are_swapped,
    cleaned,
    doubts,
    fault,
    is_like_pushovers,
    shown,
)

A, U, G = "a" + "x" * 29, "u" + "y" * 29, "g" + "z" * 29
MASSIVE = "k" * 32


@pytest.mark.parametrize(
    "typed", ["abc", " abc\t", "'abc'", ' "abc" ', "a b\u00a0c", "“abc”", "\u2009'abc '\n"]
)
def test_spaces_and_quotes_are_left_out(typed: str) -> None:
    assert cleaned(typed) == "abc"


def test_a_key_is_shown_by_its_end_and_a_short_one_not_at_all() -> None:
    assert shown("0123456789abcdef") == "…cdef (16 characters)"
    assert shown("0123456789abcde") == "… (15 characters)"


@pytest.mark.parametrize(
    ("name", "key", "said"),
    [
        (MARKET_KEY, "", "nothing was typed"),
        (
            MARKET_KEY,
            "schlüssel",
            "takes your Massive (formerly Polygon.io) API key, in ASCII and without spaces",
        ),
        (MARKET_KEY, "x", None),
        (
            TOKEN,
            A[:-1],
            "this has 29 characters, and it takes the 30 letters or digits that pushover.net shows",
        ),
        (
            USER,
            U + "1",
            "this has 31 characters, and it takes the 30 letters or digits that pushover.net shows",
        ),
        (USER, "u-" + "y" * 28, "this has 30 characters, and it takes the 30 letters or digits"),
        (TOKEN, A, None),
        (USER, G, None),
    ],
)
def test_what_can_be_no_key_is_said_without_it(name: str, key: str, said: str | None) -> None:
    found = fault(name, key)
    assert found == said or (said is not None and found is not None and found.startswith(said))
    assert len(key) < 9 or key not in str(found)


@pytest.mark.parametrize(
    ("token", "user", "market", "said"),
    [
        (A, U, MASSIVE, []),
        (A, G, MASSIVE, []),
        ("T" * 30, "U" * 30, MASSIVE, []),
        (U, U, MASSIVE, ["token and user key are the same"]),
        (U, G, MASSIVE, ["the token begins with u, as user and group keys do"]),
        (G, A, MASSIVE, ["the token begins with g, as user and group keys do"]),
        (A, "a" * 30, MASSIVE, ["the user key begins with a, as application tokens do"]),
        (A, U, U, ["the Massive API key is the same as one of Pushover's"]),
    ],
)
def test_what_looks_odd_is_a_doubt(token: str, user: str, market: str, said: list[str]) -> None:
    found = doubts({MARKET_KEY: market, TOKEN: token, USER: user})
    assert [line.partition(":")[0] for line in found] == said


@pytest.mark.parametrize(
    ("token", "user", "are"), [(U, A, True), (G, A, True), (A, U, False), (U, G, False), (A, A, False)]
)
def test_swapped_is_only_what_looks_so_on_both_sides(token: str, user: str, are: bool) -> None:
    assert are_swapped({TOKEN: token, USER: user}) is are


def test_a_key_of_pushovers_is_told_by_length_letters_and_beginning() -> None:
    assert all(map(is_like_pushovers, (A, U, G)))
    assert not any(map(is_like_pushovers, ("", MASSIVE, "k" * 30, "a" * 32, "a" + "_" * 29)))


def test_the_keys_are_the_settings_that_are_required() -> None:
    assert [key.name for key in KEYS] == [MARKET_KEY, TOKEN, USER]
