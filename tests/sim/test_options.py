"""Does the simulated chain look like the real one?"""

from __future__ import annotations

import itertools

from events import SECOND
from tests.sim.days import OPEN, call_rows, calls, day


def test_near_the_money_spreads_are_a_cent_or_two_and_quotes_are_fresh() -> None:
    at = OPEN + 70 * 60 * SECOND
    near = call_rows(day(), at, 0.006)
    assert len(near) >= 2
    for row in near:
        quote = row["last_quote"]
        assert 1 <= round(100 * (quote["ask"] - quote["bid"])) <= 2
        assert 5 <= quote["bid_size"] <= 60 and 5 <= quote["ask_size"] <= 60
        assert quote["timeframe"] == "REAL-TIME"
        assert 0 <= at * 1000 - quote["last_updated"] < 250_000_000
        assert row["open_interest"] > 500
    closest = min(near, key=lambda row: abs(row["details"]["strike_price"] - day().spot(at)))
    assert 0.6 < closest["last_quote"]["bid"] < 1.5


def test_far_rows_lack_what_the_vendor_leaves_out() -> None:
    rows = day().chain(OPEN + 70 * 60 * SECOND)
    assert 100 <= len(rows) <= 232
    assert {row["details"]["contract_type"] for row in rows} == {"call", "put"}
    assert any(row["last_quote"]["bid"] == 0 for row in rows)
    assert any("greeks" not in row for row in rows) and any(row.get("greeks") == {} for row in rows)
    assert any(row.get("greeks", {}).get("vega", 0) is None for row in rows)
    assert any("implied_volatility" not in row for row in rows)
    assert any(row["day"] == {} and row["last_trade"] == {} for row in rows)
    assert all(
        "greeks" in row and row["greeks"]["delta"] for row in call_rows(day(), OPEN + 3600 * SECOND, 0.03)
    )


def test_the_delta_range_is_sometimes_empty_and_mostly_not() -> None:
    found = []
    for minute in range(10, 350, 10):
        deltas = [row["greeks"]["delta"] for row in call_rows(day(), OPEN + minute * 60 * SECOND, 0.03)]
        found.append(any(0.30 <= delta <= 0.45 for delta in deltas))
    assert 0.5 < sum(found) / len(found) < 1


def test_a_quote_is_the_chains_and_moves_about_every_second() -> None:
    at = OPEN + 3600 * SECOND + 123_456
    for row in day().chain(at):
        quote = day().quote(row["details"]["ticker"], at)
        assert quote is not None
        assert (quote.bid, quote.ask) == (row["last_quote"]["bid"], row["last_quote"]["ask"])
        assert quote.at * 1000 == row["last_quote"]["last_updated"]
        assert row == day().row(quote.contract, at)
    contract = min(calls(day()), key=lambda name: abs(day().strike(name) - day().spot(at)))
    quotes = [day().quote(contract, at + step * SECOND // 4) for step in range(240)]
    shown = [(quote.bid, quote.ask, quote.bid_size, quote.ask_size) for quote in quotes if quote is not None]
    assert sum(before != after for before, after in itertools.pairwise(shown)) > 60
    assert day().quote("O:IWM251002C00999000", at) is None and day().row("O:SPY", at) is None


def test_quote_times_and_sequences_never_go_back() -> None:
    # A contract's pace changes as spot moves; its stamps must not run backwards where it does.
    contract = calls(day())[len(calls(day())) // 2 + 4]
    quotes = [day().quote(contract, OPEN + step * SECOND // 4) for step in range(0, 90_000, 9)]
    stamps = [(quote.at, quote.sequence) for quote in quotes if quote is not None]
    assert stamps == sorted(stamps) and len({at % SECOND for at, _ in stamps}) > 1
