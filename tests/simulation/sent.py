"""What the market said in a story: the bars and quotes of its frames and answers, read apart from the worker's code."""

from __future__ import annotations

import bisect
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.simulation.story import Frame, Place, Question, Story

SECOND = 1_000_000
"""Microseconds in a second: every time here is µs of true UTC."""

OPTION_UNIT = 10_000
"""Units of an option price in a dollar, in the record."""

AGGREGATES = re.compile(r"/v2/aggs/ticker/(?P<symbol>[^/]+)/range/1/second/")
SNAPSHOT = "/v3/snapshot/options/"


@dataclass(frozen=True, slots=True)
class SentBar:
    """One second of a symbol as the market said it, on a socket or over REST."""

    at: int
    """When it had arrived."""
    symbol: str
    start: int
    numbers: tuple[float, ...]
    """Open, high, low, close."""
    volumes: tuple[float, ...]
    """``dv`` and ``v``, as far as they are numbers."""
    vwap: float | None
    connection: int
    live: bool
    plain: bool
    """Whether nothing about it is odd: each number is one, and they fit each other."""

    @property
    def close(self) -> float:
        """Its last price."""
        return self.numbers[3]

    @property
    def end(self) -> int:
        """The end of the second, exclusive."""
        return self.start + SECOND


@dataclass(frozen=True, slots=True)
class SentQuote:
    """A quote of an option as the market said it; prices in option price units."""

    at: int
    """When it had arrived."""
    stamp: int
    """Its own time."""
    bid: int
    ask: int
    live: bool


class Market:
    """The bars and quotes of a story. Each is made when it is first asked for."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._quotes: dict[str, list[SentQuote]] = {}

    @cached_property
    def bars(self) -> list[SentBar]:
        """Every second that arrived, from sockets and REST, in the order of arrival."""
        found = [bar for frame in self._story.frames for bar in _bars_of_frame(frame)]
        found += [bar for asked in self._story.questions for bar in _bars_of_answer(asked)]
        return sorted(found, key=lambda bar: bar.at)

    @cached_property
    def live(self) -> dict[str, list[SentBar]]:
        """The seconds of each symbol that came over sockets, in the order of arrival."""
        found: dict[str, list[SentBar]] = defaultdict(list)
        for bar in self.bars:
            if bar.live:
                found[bar.symbol].append(bar)
        return found

    @cached_property
    def seconds(self) -> dict[tuple[str, int], list[SentBar]]:
        """Symbol and start → everything that the market said of that second."""
        found: dict[tuple[str, int], list[SentBar]] = defaultdict(list)
        for bar in self.bars:
            found[bar.symbol, bar.start].append(bar)
        return found

    def quotes(self, contract: str) -> list[SentQuote]:
        """The quotes of a contract, in the order of arrival."""
        if contract not in self._quotes:
            frames, answers = self._story.frames, self._story.questions
            found = [quote for frame in frames for quote in _quotes_of_frame(frame, contract)]
            found += [quote for asked in answers for quote in _quotes_of_answer(asked, contract)]
            self._quotes[contract] = sorted(found, key=lambda quote: quote.at)
        return self._quotes[contract]

    def quotes_between(self, contract: str, begin: int, end: int) -> list[SentQuote]:
        """The quotes of a contract that arrived in [begin, end]."""
        quotes = self.quotes(contract)
        first = bisect.bisect_left(quotes, begin, key=lambda quote: quote.at)
        return quotes[first : bisect.bisect_right(quotes, end, key=lambda quote: quote.at)]


def number(value: object) -> float | None:
    """A number, or the text of one; None for anything else, and for NaN and infinities."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if abs(found) < 1e300 else None


def _events(payload: str | bytes) -> list[Any]:
    try:
        said = json.loads(payload)
    except (ValueError, RecursionError):
        return []
    return said if isinstance(said, list) else []


def _bars_of_frame(frame: Frame) -> Iterator[SentBar]:
    if frame.arrived_at is None or frame.cluster is not Place.STOCKS:
        return
    for event in _events(frame.payload):
        if isinstance(event, dict) and event.get("ev") == "A":
            bar = _bar(event, str(event.get("sym")), "s", frame.arrived_at, frame.connection, live=True)
            if bar is not None:
                yield bar


def _bars_of_answer(asked: Question) -> Iterator[SentBar]:
    found = AGGREGATES.search(asked.path)
    if found is None or asked.status != 200 or asked.answered_at is None:
        return
    for row in _results(asked.body):
        if isinstance(row, dict):
            bar = _bar(row, found["symbol"], "t", asked.answered_at, asked.connection, live=False)
            if bar is not None:
                yield bar


def _results(body: bytes) -> list[Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return []
    results = said.get("results") if isinstance(said, dict) else None
    return results if isinstance(results, list) else [results]


def _bar(
    said: dict[str, Any], symbol: str, start_key: str, at: int, connection: int, *, live: bool
) -> SentBar | None:
    start, prices = number(said.get(start_key)), [number(said.get(key)) for key in "ohlc"]
    if start is None or prices[3] is None or not 0 < start < 1e16:
        return None
    opening, high, low, close = (
        (close if each is None else each) for each in prices for close in [prices[3]]
    )
    volumes = tuple(each for each in (number(said.get("dv")), number(said.get("v"))) if each is not None)
    vwap = number(said.get("vw"))
    end = number(said.get("e"))
    is_plain = (
        all(type(said.get(key)) in (int, float) for key in ("o", "h", "l", "c", "vw", start_key, "v"))
        and None not in prices
        and 0.01 <= low <= min(opening, close) <= max(opening, close) <= high <= 1_000_000
        and high <= 2 * low
        and vwap is not None
        and low * 0.99 <= vwap <= high * 1.01
        and bool(volumes)
        and all(0 <= volume < 1e12 for volume in volumes)
        and ("dv" not in said or number(said["dv"]) is not None)
        and start % 1000 == 0
        and (not live or end == start + 1000)
    )
    return SentBar(
        at,
        symbol,
        round(start * 1000),
        (opening, high, low, close),
        volumes,
        vwap,
        connection,
        live,
        is_plain,
    )


def _quotes_of_frame(frame: Frame, contract: str) -> Iterator[SentQuote]:
    payload = frame.payload
    if frame.arrived_at is None or frame.cluster is not Place.OPTIONS:
        return
    if not isinstance(payload, str) or contract not in payload:
        return
    for event in _events(payload):
        if isinstance(event, dict) and event.get("ev") == "Q" and event.get("sym") == contract:
            stamp = number(event.get("t"))
            if stamp is not None and 0 < stamp < 1e16:
                bid, ask = _units(event.get("bp")), _units(event.get("ap"))
                yield SentQuote(frame.arrived_at, round(stamp * 1000), bid, ask, True)


def _quotes_of_answer(asked: Question, contract: str) -> Iterator[SentQuote]:
    if not asked.path.startswith(SNAPSHOT) or asked.status != 200 or asked.answered_at is None:
        return
    if contract.encode() not in asked.body:
        return
    for row in _results(asked.body):
        if not isinstance(row, dict) or not isinstance(row.get("last_quote"), dict):
            continue
        details, quote = row.get("details"), row["last_quote"]
        stamp = number(quote.get("last_updated"))
        is_it = isinstance(details, dict) and details.get("ticker") == contract
        if is_it and stamp is not None and 0 < stamp < 1e22:
            bid, ask = _units(quote.get("bid")), _units(quote.get("ask"))
            yield SentQuote(asked.answered_at, round(stamp / 1000), bid, ask, False)


def _units(value: object) -> int:
    price = number(value)
    return 0 if price is None or not 0 < price < 1e6 else round(price * OPTION_UNIT)
