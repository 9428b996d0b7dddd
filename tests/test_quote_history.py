"""Which quote of a contract stood at a moment."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from events import QuoteSource
from quote_history import OLDEST_S, QuoteHistory
from tests.builders import CALL, at, chain, quote, row
from tests.builders import dollars as price


def standing(quotes: QuoteHistory, second: float) -> tuple[int, int] | None:
    """Bid and ask that stood at a second."""
    found = quotes.standing(CALL, at(second))
    return None if found is None else (found.bid, found.ask)


def test_the_newest_quote_stands_until_the_next() -> None:
    quotes = QuoteHistory()
    quotes.record(at(10.4), quote(10, 1.40, 1.42))
    quotes.record(at(12.1), quote(12, 1.43, 1.45))
    assert standing(quotes, 10.3) is None  # not known yet
    assert standing(quotes, 10.4) == (price(1.40), price(1.42))
    assert standing(quotes, 12.0) == (price(1.40), price(1.42))
    assert standing(quotes, 12.1) == (price(1.43), price(1.45))
    assert standing(quotes, 12.1 + OLDEST_S) == (price(1.43), price(1.45))
    assert standing(quotes, 12.2 + OLDEST_S) is None
    assert quotes.standing("O:IWM251002C00230000", at(12)) is None


def test_a_row_of_the_chain_is_a_quote() -> None:
    quotes = QuoteHistory()
    quotes.record(at(5), chain(4, row(bid=1.38, ask=1.40)))
    assert standing(quotes, 5) == (price(1.38), price(1.40))


def test_a_row_without_a_quote_is_none() -> None:
    quotes = QuoteHistory()
    unquoted = replace(chain(4, row(bid=0, ask=0)).rows[0], quoted_at=0)
    quotes.record(at(5), replace(chain(4), rows=(unquoted,)))
    assert standing(quotes, 5) is None


def test_an_older_quote_never_replaces_a_newer_one() -> None:
    quotes = QuoteHistory()
    quotes.record(at(10), quote(10, 1.40, 1.42))
    quotes.record(at(11), chain(9, row(bid=1.30, ask=1.32)))
    quotes.record(at(11), quote(9.5, 1.31, 1.33))
    assert standing(quotes, 11) == (price(1.40), price(1.42))


@pytest.mark.parametrize("source", list(QuoteSource))
def test_a_poll_that_says_the_same_confirms_it(source: QuoteSource) -> None:
    """An unchanged quote is not sent again: the chain shows that it still stands. An old stream quote shows nothing."""
    quotes = QuoteHistory()
    quotes.record(at(10), quote(10, 1.40, 1.42))
    quotes.record(at(24), quote(9, 1.40, 1.42, source=source))
    expected = (price(1.40), price(1.42)) if source is QuoteSource.POLL else None
    assert standing(quotes, 30) == expected


@pytest.mark.parametrize(
    ("age", "stands"), [(OLDEST_S, True), (OLDEST_S + 1, False), (900, False), (72_000, False)]
)
@pytest.mark.parametrize("source", list(QuoteSource))
def test_a_quote_of_another_time_is_no_price_whenever_it_came(
    source: QuoteSource, age: float, stands: bool
) -> None:
    quotes = QuoteHistory()
    quotes.record(at(1000), quote(1000 - age, 0.40, 0.45, source=source))
    assert (standing(quotes, 1000) is not None) is stands


@pytest.mark.parametrize(("age", "stands"), [(OLDEST_S, True), (OLDEST_S + 1, False), (72_000, False)])
def test_a_chain_that_stands_still_prices_nothing(age: float, stands: bool) -> None:
    quotes = QuoteHistory()
    quotes.record(at(1000), chain(1000 - age, row(bid=0.40, ask=0.45), row(216.0, 0.20, 0.22)))
    assert (standing(quotes, 1000) is not None) is stands


def test_a_quiet_strike_of_a_chain_that_moves_has_a_price_and_a_delayed_row_has_none() -> None:
    quotes, delayed = QuoteHistory(), QuoteHistory()
    mine = row(bid=0.40, ask=0.45, quoted_at=at(940))
    quotes.record(at(1000), chain(1000, mine, row(216.0, 0.20, 0.22)))
    delayed.record(at(1000), chain(1000, replace(mine, real_time=False, quoted_at=at(1000)), row(216.0)))
    assert standing(quotes, 1000) == (price(0.40), price(0.45))
    assert standing(delayed, 1000) is None


def test_only_the_newest_is_kept_on_request() -> None:
    quotes = QuoteHistory()
    quotes.record(at(10), quote(10, 1.40, 1.42))
    quotes.record(at(12), quote(12, 1.43, 1.45))
    quotes.of(CALL).keep_newest()
    assert standing(quotes, 11) is None
    assert standing(quotes, 12) == (price(1.43), price(1.45))
