"""The tick-to-alert benchmark: its market gives an alert at every second bar, under every condition. Nothing is timed."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import msgspec
import pytest

from benchmarks.alert_market import (
    BEGIN_S,
    BENCHMARK,
    DATE,
    OPEN_S,
    RULES,
    STRIKES,
    SYMBOL,
    Kind,
    bar,
    chain_row,
    correction,
    history_row,
    page,
    quote,
)
from benchmarks.alert_outside import Outside
from benchmarks.tick_to_alert import TickToAlert
from config import load_rules
from engine import Engine
from events import (
    OPTION_PRICE_UNIT,
    SECOND,
    STRIKE_UNIT,
    AlertKind,
    AlertOutcome,
    Bar,
    Chain,
    ChainRow,
    Closed,
    Covered,
    Decision,
    ExitReason,
    FeedRestored,
    Opened,
    Outcome,
    Quote,
    Session,
)
from rules import Rules

OPEN = OPEN_S * SECOND
SESSION = Session(date=DATE, open=OPEN, close=OPEN + 23_400 * SECOND, early=False)


def rules() -> Rules:
    known = {name: value for name, value in RULES.items() if name.lower() in Rules.model_fields}
    return load_rules(known, env_file=None)


def bar_fact(sent: dict[str, Any], *, backfilled: bool = False) -> Bar:
    return Bar(
        symbol=sent["sym"],
        start=sent["s"] * 1000,
        open=sent["o"],
        high=sent["h"],
        low=sent["l"],
        close=sent["c"],
        volume=float(sent["v"]),
        vwap=sent["vw"],
        backfilled=backfilled,
    )


def quote_fact(sent: dict[str, Any]) -> Quote:
    return Quote(
        contract=sent["sym"],
        at=sent["t"] * 1000,
        bid=round(sent["bp"] * OPTION_PRICE_UNIT),
        ask=round(sent["ap"] * OPTION_PRICE_UNIT),
        bid_size=float(sent["bs"]),
        ask_size=float(sent["as"]),
    )


def chain_fact(second: int) -> Chain:
    rows = []
    for strike in STRIKES:
        row = chain_row(strike, (OPEN_S + second) * 1000, low=False)
        last = row["last_quote"]
        rows.append(
            ChainRow(
                contract=row["details"]["ticker"],
                strike=strike * STRIKE_UNIT,
                shares=100.0,
                bid=round(last["bid"] * OPTION_PRICE_UNIT),
                ask=round(last["ask"] * OPTION_PRICE_UNIT),
                bid_size=float(last["bid_size"]),
                ask_size=float(last["ask_size"]),
                quoted_at=last["last_updated"] // 1000,
                real_time=True,
                iv=row["implied_volatility"],
                delta=row["greeks"]["delta"],
                open_interest=float(row["open_interest"]),
            )
        )
    return Chain(rows=tuple(rows))


class Played:
    """An engine that the market is played to."""

    def __init__(self) -> None:
        self.engine = Engine(rules(), SESSION)
        self._now = OPEN + BEGIN_S * SECOND
        self.take(FeedRestored())
        for second in range(BEGIN_S):
            for symbol in (BENCHMARK, SYMBOL):
                self.take(bar_fact(bar(symbol, second), backfilled=True))
        for symbol in (SYMBOL, BENCHMARK):
            self.take(Covered(symbol=symbol, start=OPEN, end=self._now))
        self.take(chain_fact(BEGIN_S))

    def take(self, event: Any) -> list[Decision]:
        return self.engine.handle(self._now, event)

    def second(self, second: int, kind: Kind, number: int, *, low: bool) -> list[Decision]:
        """Quotes, then both symbols' bars, 1 s after their end; what the deciding bar decided."""
        self._now = OPEN + (second + 2) * SECOND
        if second % 60 == 0:
            assert not self.take(chain_fact(second))
        for strike in STRIKES:
            assert not self.take(quote_fact(quote(strike, (OPEN_S + second + 1) * 1000, low=low)))
        assert not self.take(bar_fact(bar(BENCHMARK, second)))
        return self.take(bar_fact(bar(SYMBOL, second, kind, number)))

    def told(self, kind: AlertKind, decision: Opened | Closed) -> None:
        assert not self.take(AlertOutcome(kind=kind, id=decision.id, outcome=Outcome.ACCEPTED, attempts=1))


def test_every_second_bar_is_a_buy_and_every_other_a_sell_by_a_bar() -> None:
    market = Played()
    second = BEGIN_S
    for _ in range(40):
        market.second(second, "plain", 0, low=False)
        second += 1
    ids: set[str] = set()
    for number in range(700):
        (opened,) = market.second(second, "up", number, low=False)
        assert isinstance(opened, Opened)
        market.told(AlertKind.BUY, opened)
        evaluation = market.engine.evaluation
        assert evaluation is not None
        assert all(evaluation.passes), "every condition was asked and holds"
        (closed,) = market.second(second + 1, "down", number, low=True)
        assert isinstance(closed, Closed)
        assert closed.reason is ExitReason.VWAP_GIVEBACK
        market.told(AlertKind.SELL, closed)
        ids.add(opened.id)
        second += 2
    assert len(ids) == 700, "each alert is another: none is dropped as a duplicate"


def test_plain_bars_and_corrections_decide_nothing() -> None:
    market = Played()
    second = BEGIN_S
    for _ in range(60):
        assert not market.second(second, "plain", 0, low=False)
        assert not market.take(bar_fact(correction(second - 30, second)))
        second += 1


def test_what_rest_tells_is_what_was_sent() -> None:
    sent = bar(SYMBOL, 5, "up", 3)
    told = history_row(sent)
    assert (told["t"], told["o"], told["h"], told["l"], told["c"]) == (
        *(sent["s"], sent["o"], sent["h"], sent["l"], sent["c"]),
    )
    assert (told["v"], told["vw"]) == (sent["v"], sent["vw"])
    assert correction(5, 1)["v"] != bar(BENCHMARK, 5)["v"]
    assert msgspec.json.decode(msgspec.json.encode(sent)) == sent


def test_the_own_share_is_the_difference_of_the_percentiles() -> None:
    def kept(*first: float) -> dict[str, list[float]]:
        return {"first_us": list(first), "accepted_us": [each + 100 for each in first]}

    samples = {
        "worker": kept(3_000, 4_000, 5_000),
        "floor": kept(2_000, 2_500, 3_000),
        "bare": kept(1_000),
        "massive": kept(9_000),
    }
    told = {"samples": {"quiet": samples, "busy": samples}, "missed": 0}
    benchmark = TickToAlert()
    p50, p99 = benchmark._shares("quiet", told)
    assert (p50.figure, p50.goal, p50.verdict) == (1.5, 0.3, "short")
    assert p99.figure == pytest.approx(4.98 - 2.99)
    assert (p99.goal, p99.verdict) == (None, "–"), "three alerts have no 99th percentile to be judged by"
    assert "3 alerts, too few to judge" in p99.note
    samples["worker"] = kept(*range(1_000, 1_100))
    assert benchmark._shares("quiet", told)[1].goal == 1.0
    samples["worker"] = kept(3_000, 4_000, 5_000)
    row = benchmark._told("busy", "worker", samples)
    assert row.figure == 4.0
    assert "accepted p50 4.10" in row.note


def test_the_vendors_answer_and_note_when_the_first_byte_came() -> None:
    outside = Outside(lambda path, query: page({"path": path, "query": query}))
    with contextlib.closing(outside):
        asking = ThreadPoolExecutor(1)
        began = time.perf_counter_ns()
        with asking:
            rest = asking.submit(httpx.get, f"http://127.0.0.1:{outside.ports['vendor']}/v3/x?limit=2")
            while not rest.done():
                outside.step(0.01)
            assert rest.result().json() == {"path": "/v3/x", "query": {"limit": "2"}}
            form = {"token": "t", "title": "🔥 BUY", "message": "a & b\nc"}
            url = f"http://127.0.0.1:{outside.ports['push']}/1/messages.json"
            push = asking.submit(httpx.post, url, data=form)
            while not push.done():
                outside.step(0.01)
            assert push.result().json()["status"] == 1
        seen = outside.pushes.popleft()
        assert seen.form == form
        assert began < seen.first_ns < seen.accepted_ns < time.perf_counter_ns()
