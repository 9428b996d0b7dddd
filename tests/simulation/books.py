"""What a story holds, put in order: the market's events, the phone's messages, and the lines of the record.

Nothing is judged here, and nothing of the worker is used: frames, answers, pushes and the record are read apart from its code.
"""

from __future__ import annotations

import bisect
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Set
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from tests.simulation.faults import Kind
from tests.simulation.record_lines import Decision, Line, decided, lines_of
from tests.simulation.story import Frame, Place, Push, Question, Story

SECOND = 1_000_000
"""Microseconds in a second: every time here is µs of true UTC."""

OPTION_UNIT = 10_000
"""Units of an option price in a dollar, in the record."""

NEW_YORK = ZoneInfo("America/New_York")

AGGREGATES = re.compile(r"/v2/aggs/ticker/(?P<symbol>[^/]+)/range/1/second/")
SNAPSHOT = "/v3/snapshot/options/"
POSITION = re.compile(r"#([0-9a-f]{6})\Z")


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


@dataclass(frozen=True, slots=True)
class Told:
    """A push, as its text has it."""

    push: Push
    kind: str
    """``buy``, ``sell``, ``other``; empty if the service never had it whole."""
    position: str
    is_repeat: bool
    late_s: int | None

    @property
    def at(self) -> int:
        """When its first byte went out."""
        return self.push.first_byte_at


def number(value: object) -> float | None:
    """A number, or the text of one; None for anything else, and for NaN and infinities."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if abs(found) < 1e300 else None


def told(push: Push) -> Told:
    """Reads a push."""
    text = push.text
    title, message = text.get("title", ""), text.get("message", "")
    lines = message.split("\n")
    kind = "buy" if "CALL — BUY" in title else "sell" if "CALL — SELL" in title else "other" if title else ""
    position = POSITION.search(lines[-1])
    late = [re.fullmatch(r"Late (\d+) s", line) for line in lines]
    return Told(
        push,
        kind,
        position[1] if position and kind in ("buy", "sell") else "",
        any(line.startswith("Repeat of ") for line in lines),
        next((int(found[1]) for found in late if found), None),
    )


class Books:
    """A story, put in order. Everything is made when it is first asked for."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.lines, self.damage = lines_of(story)
        self.told = sorted((told(push) for push in story.pushes), key=lambda each: each.at)
        self.settings = dict(story.settings)
        open_at = datetime.fromisoformat(f"{story.session}T09:30").replace(tzinfo=NEW_YORK)
        self.open = round(open_at.timestamp()) * SECOND

    @cached_property
    def rules(self) -> dict[str, Any]:
        """The rules as the last header before the story, or the first in it, has them."""
        headers = [line.event for line in self.lines if line.kind == "header"]
        return dict(headers[0]["rules"]) if headers else {}

    @cached_property
    def close(self) -> int:
        """The close: 16:00 but on a half day, which the record must not decide alone."""
        return self.moment("13:00" if self.story.session[5:] in HALF_DAYS else "16:00")

    def moment(self, clock: str) -> int:
        """A New York time of the session."""
        hours, minutes = map(int, clock.split(":")[:2])
        return self.open + (hours * 3600 + minutes * 60 - 34_200) * SECOND

    # --- Decisions ---

    def decisions(self, *kinds: str) -> Iterator[tuple[Line, Decision]]:
        """The decisions of these kinds, each with its line, in their order."""
        return decided(self.lines, *kinds)

    @cached_property
    def opened(self) -> dict[str, tuple[Line, Decision]]:
        """The position's id → the line and the decision that opened it."""
        return {decision["id"]: (line, decision) for line, decision in self.decisions("opened")}

    def outcomes(self, kind: str, position: str) -> list[Line]:
        """The recorded outcomes of a position's BUY or SELL, those of side channels left out."""
        return [line for line in self._outcomes.get((kind, position), ()) if not line.event.get("channel")]

    @cached_property
    def _outcomes(self) -> dict[tuple[str, str], list[Line]]:
        found: dict[tuple[str, str], list[Line]] = defaultdict(list)
        for line in self.lines:
            if line.kind == "alertoutcome":
                found[line.event["kind"], line.event["id"]].append(line)
        return found

    # --- Lives and the network ---

    def life_at(self, at: int) -> int | None:
        """The number of the process that ran then; None if there was none."""
        for life in self.story.lives:
            if life.began_at <= at and (life.ended_at is None or at < life.ended_at):
                return life.number
        return None

    def paused(self, begin: int, end: int) -> int:
        """For how long of a span nothing of the worker ran although there was a process, µs."""
        spans = [pause for life in self.story.lives for pause in life.pauses]
        return sum(max(0, min(end, until) - max(begin, since)) for since, until in spans)

    @cached_property
    def clock_off(self) -> int:
        """The most that the worker's wall clock was off, either way, µs."""
        return max((abs(change.ahead) for change in self.story.clock), default=0)

    def troubled(self, kinds: Set[Kind], begin: int, end: int) -> bool:
        """Whether a fault of these kinds was in force in some of the span."""
        return any(
            fault.kind in kinds and fault.at <= end and max(fault.until, fault.at) >= begin
            for fault in self.story.injected
        )

    def died(self, begin: int, end: int) -> bool:
        """Whether a process began or ended in the span."""
        return any(
            begin <= moment <= end
            for life in self.story.lives
            for moment in (life.began_at, life.ended_at, life.stop_asked_at)
            if moment is not None
        )

    # --- What the market said ---

    @cached_property
    def bars(self) -> list[SentBar]:
        """Every second that arrived, from sockets and REST, in the order of arrival."""
        found = [bar for frame in self.story.frames for bar in _bars_of_frame(frame)]
        found += [bar for asked in self.story.questions for bar in _bars_of_answer(asked)]
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

    @cached_property
    def quotes(self) -> dict[str, list[SentQuote]]:
        """The quotes of each contract, in the order of arrival."""
        found: dict[str, list[SentQuote]] = defaultdict(list)
        for frame in self.story.frames:
            for contract, quote in _quotes_of_frame(frame):
                found[contract].append(quote)
        for asked in self.story.questions:
            for contract, quote in _quotes_of_answer(asked):
                found[contract].append(quote)
        for quotes in found.values():
            quotes.sort(key=lambda quote: quote.at)
        return found

    def quotes_between(self, contract: str, begin: int, end: int) -> list[SentQuote]:
        """The quotes of a contract that arrived in [begin, end]."""
        quotes = self.quotes.get(contract, [])
        first = bisect.bisect_left(quotes, begin, key=lambda quote: quote.at)
        return quotes[first : bisect.bisect_right(quotes, end, key=lambda quote: quote.at)]

    def newest(self, symbol: str, at: int) -> SentBar | None:
        """The newest second of a symbol that had arrived by then, whatever the order of arrival."""
        arrived = self.live.get(symbol, [])
        known = arrived[: bisect.bisect_right(arrived, at, key=lambda bar: bar.at)]
        return max(known[-50:], key=lambda bar: bar.start, default=None)


HALF_DAYS = frozenset({"07-03", "11-24", "11-28", "11-29", "12-24"})
"""Days on which the exchange may close at 13:00. A story on one of them would have to say which it is."""


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
    return results if isinstance(results, list) else []


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


def _quotes_of_frame(frame: Frame) -> Iterator[tuple[str, SentQuote]]:
    if frame.arrived_at is None or frame.cluster is not Place.OPTIONS:
        return
    for event in _events(frame.payload):
        if isinstance(event, dict) and event.get("ev") == "Q":
            stamp = number(event.get("t"))
            if stamp is not None and 0 < stamp < 1e16:
                bid, ask = _units(event.get("bp")), _units(event.get("ap"))
                yield str(event.get("sym")), SentQuote(frame.arrived_at, round(stamp * 1000), bid, ask, True)


def _quotes_of_answer(asked: Question) -> Iterator[tuple[str, SentQuote]]:
    if not asked.path.startswith(SNAPSHOT) or asked.status != 200 or asked.answered_at is None:
        return
    try:
        said = json.loads(asked.body)
    except (ValueError, RecursionError):
        return
    results = said.get("results") if isinstance(said, dict) else None
    for row in results if isinstance(results, list) else [results]:
        if not isinstance(row, dict) or not isinstance(row.get("last_quote"), dict):
            continue
        details, quote = row.get("details"), row["last_quote"]
        stamp = number(quote.get("last_updated"))
        if isinstance(details, dict) and stamp is not None and 0 < stamp < 1e22:
            bid, ask = _units(quote.get("bid")), _units(quote.get("ask"))
            found = SentQuote(asked.answered_at, round(stamp / 1000), bid, ask, False)
            yield str(details.get("ticker")), found


def _units(value: object) -> int:
    price = number(value)
    return 0 if price is None or not 0 < price < 1e6 else round(price * OPTION_UNIT)
