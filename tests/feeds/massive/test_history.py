"""The vendor's REST about the past: rows that cannot be used cost themselves only, and an answer of nothing else is a failure."""

from __future__ import annotations

from typing import Any

import pytest

from events import SECOND
from feeds.massive.errors import RestErrorKind
from feeds.massive.numbers import NANOSECONDS, UNUSABLE, loose
from feeds.vendor import ListedCall
from tests.wire import EXPIRY, NOW, failure, history_of, ok

GOOD = "O:IWM251002C00215000"


def listed(**changes: Any) -> dict[str, Any]:
    """A row of a list of contracts."""
    return {
        "ticker": GOOD,
        "underlying_ticker": "IWM",
        "contract_type": "call",
        "expiration_date": EXPIRY,
        "strike_price": 215,
        "shares_per_contract": 100,
        "exercise_style": "american",
    } | changes


def past_quote(offset_s: float = 0.0, **changes: Any) -> dict[str, Any]:
    """A row of past quotes."""
    at = NOW * NANOSECONDS + round(offset_s * SECOND * NANOSECONDS)
    return {"sip_timestamp": at, "bid_price": 0.5, "ask_price": 0.52, "bid_size": 3, "ask_size": 4} | changes


@pytest.mark.parametrize(
    "bad",
    [
        listed(ticker="O:SPY251002C00215000"),
        listed(ticker="O:IWM251002C00216000"),
        listed(expiration_date="2025-10-03"),
        listed(strike_price="much"),
        listed(shares_per_contract=[]),
        [],
        7,
    ],
)
async def test_a_contract_that_cannot_be_used_costs_itself_only(bad: Any) -> None:
    async with history_of(ok([bad, listed()])) as rest:
        assert await rest.calls_on("IWM", EXPIRY) == [ListedCall(GOOD, 215_000, 100.0)]
        assert sum(rest.bad.counts.values()) == 1
    async with history_of(ok([bad])) as rest:
        assert (await failure(rest.calls_on("IWM", EXPIRY))).kind is RestErrorKind.BAD_BODY


@pytest.mark.parametrize(
    "bad",
    [
        past_quote(sip_timestamp=None),
        past_quote(sip_timestamp="soon"),
        past_quote(bid_price=-1),
        past_quote(ask_price={}),
        past_quote(ask_price="0.52.1"),
        past_quote(bid_size=-3),
        [],
        "x",
    ],
)
async def test_a_quote_that_cannot_be_used_costs_itself_only(bad: Any) -> None:
    async with history_of(ok([bad, past_quote()])) as rest:
        (found,) = await rest.past_quotes(GOOD, NOW, NOW + SECOND)
        assert (found.at, found.bid, found.ask) == (NOW, 5_000, 5_200)
        assert sum(rest.bad.counts.values()) == 1
    async with history_of(ok([bad])) as rest:
        assert (await failure(rest.past_quotes(GOOD, NOW, NOW + SECOND))).kind is RestErrorKind.BAD_BODY


async def test_an_answer_with_quotes_of_another_time_is_no_answer() -> None:
    async with history_of(ok([past_quote(), past_quote(-1)])) as rest:
        error = await failure(rest.past_quotes(GOOD, NOW, NOW + SECOND))
    assert "1 quotes of another time" in str(error)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (None, None),
        (7, 7.0),
        (0.5, 0.5),
        (True, UNUSABLE),
        ("7", UNUSABLE),
        (10**400, UNUSABLE),
        (-(10**400), UNUSABLE),
    ],
)
def test_a_number_is_read_if_a_float_can_hold_it(value: Any, read: float | None) -> None:
    assert repr(loose(value)) == repr(read)
