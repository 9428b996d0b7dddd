"""I4 no decision on stale data, I5 convergence, I11 calendar: what was decided, beside what the market had said by then."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from fractions import Fraction

from tests.simulation.books import Books
from tests.simulation.faults import Kind
from tests.simulation.invariants.violation import Violation
from tests.simulation.record_lines import Decision, Line
from tests.simulation.sent import SECOND, SentBar
from tests.simulation.story import Place

DOUBT_S = 2.0
"""How far the worker's clock may be off before it doubts it. Every age is judged by its clock, so up to this much wrong."""

SLACK_S = 0.5
"""What lies between an arrival and the decision on it, s: the inbox."""

CHAIN_STAMP_S = 15.0
"""The newest stamp of a chain whose quotes move is younger than this."""

RELATIVE = 1e-9
"""Sums that are made in another order agree within this."""

JUMP = 0.03
"""A close farther than this share from the others is not believed before something confirms it."""

TAKEN_S = 3.0
"""Within this what has arrived is in the record: the inbox, and a loop that was held up for less than 2 s."""

HOLDS_UP = frozenset(
    {
        *(Kind.LOOP_LAG, Kind.SUSPEND, Kind.BURST, Kind.GIANT_FRAME, Kind.KILL, Kind.TERMINATE, Kind.CRASH),
        *(Kind.CLOCK_STEP, Kind.CLOCK_DRIFT, Kind.FOLDER_GONE, Kind.FILE_REPLACED),
        *(Kind.WRITE_FAILS, Kind.SYNC_FAILS, Kind.SYNC_SLOW, Kind.SHORT_WRITE, Kind.READ_ONLY),
    }
)
"""What may keep an arrived bar from the record, for a while or for good."""


CLOCKS = frozenset({Kind.CLOCK_STEP, Kind.CLOCK_DRIFT})


# --- I4 ----------------------------------------------------------------------------------------------


def fresh_when_bought(books: Books) -> Iterator[Violation]:
    """At a BUY the bar, the benchmark and the quote that it used are as young as promised, by what the market had sent."""
    for line, decision in books.decisions("opened"):
        if line.life < 0:
            continue
        yield from _fresh_bars(books, line, decision)
        yield from _fresh_quote(books, line, decision)
        yield from _sees(books, line, decision)


def _tolerance(books: Books) -> int:
    """By how much an age may seem wrong, µs: the part of the clock's error that need not be doubted yet, and the inbox.

    A step of the clock is compared once a second, so a decision within that second may be wrong by all of it.
    """
    return round((DOUBT_S + SLACK_S) * SECOND)


def _fresh_bars(books: Books, line: Line, decision: Decision) -> Iterator[Violation]:
    symbol, benchmark = str(books.rules["symbol"]), str(books.rules["benchmark"])
    bar, slack = line.event, _tolerance(books)
    if line.kind != "bar" or bar.get("symbol") != symbol or bar.get("backfilled"):
        yield Violation("I4", line.at, f"BUY #{decision['id']} on a live bar of {symbol}", str(bar)[:100])
        return
    limit = round(float(books.rules["entry_bar_seconds"]) * SECOND)
    age = line.at - bar["start"] - SECOND
    if limit and age > limit + slack:
        yield Violation(
            "I4",
            line.at,
            f"BUY #{decision['id']} on a bar at most {limit / SECOND:g} s old",
            f"{age / SECOND:.1f} s",
        )
    if benchmark:
        oldest = bar["start"] - int(books.rules["benchmark_max_age_seconds"]) * SECOND
        sent = [each.start for each in books.market.bars if each.symbol == benchmark and each.at <= line.at]
        newest = max((start for start in sent if start <= bar["start"]), default=0)
        warm = any(
            each.event.get("symbol") == benchmark and oldest <= each.event["start"] <= bar["start"]
            for each in books.lines
            if each.kind == "bar" and each.life < 0
        )
        if newest < oldest and not warm:
            yield Violation(
                "I4",
                line.at,
                f"BUY #{decision['id']} with a {benchmark} close of the last 10 s",
                f"the newest that the market had sent was {(bar['start'] - newest) / SECOND:.0f} s old",
            )


def _fresh_quote(books: Books, line: Line, decision: Decision) -> Iterator[Violation]:
    contract, slack = decision["contract"], _tolerance(books)
    limit = round(float(books.rules["entry_quote_seconds"]) * SECOND)
    begin = line.at - limit - slack - books.paused(line.at - limit - slack, line.at)
    for quote in reversed(books.market.quotes_between(contract, begin, line.at)):
        if (quote.bid, quote.ask) == (decision["bid"], decision["ask"]):
            oldest = line.at - slack - (limit if quote.live else round(CHAIN_STAMP_S * SECOND))
            # A polled quote may itself have stood for long, as long as the chain's others move.
            if quote.stamp >= oldest or not quote.live:
                return
    yield Violation(
        "I4",
        line.at,
        f"BUY #{decision['id']} at a quote of {contract} from the last {limit / SECOND:g} s",
        f"none with bid {decision['bid']} and ask {decision['ask']} had arrived",
    )


def _sees(books: Books, line: Line, decision: Decision) -> Iterator[Violation]:
    """A BUY while the feed is there: its connection is open, and some bar came in the last seconds."""
    slack = _tolerance(books)
    is_open = any(
        connection.place is Place.STOCKS
        and connection.life == line.life
        and connection.opened_at <= line.at
        and (connection.closed_at is None or connection.closed_at >= line.at - round(SLACK_S * SECOND))
        for connection in books.story.connections
    )
    stall = int(books.rules["stall_seconds"]) * SECOND
    newest = max((bar.at for bar in books.market.bars if bar.live and bar.at <= line.at), default=0)
    if not is_open:
        yield Violation("I4", line.at, f"BUY #{decision['id']} with an open stocks connection", "none")
    elif newest < line.at - stall - slack:
        yield Violation("I4", line.at, f"BUY #{decision['id']} while bars come", "none in the last 5 s")


def sold_on_true_quotes(books: Books) -> Iterator[Violation]:
    """A SELL by price has a mark that the market quoted, and quotes that stand below the level that sold."""
    for line, decision in books.decisions("closed"):
        if line.life < 0 or decision["reason"] not in ("stop loss", "hard giveback", "VWAP giveback"):
            continue
        hold = int(books.rules["mark_lost_seconds"]) * SECOND
        quotes = books.market.quotes_between(decision["contract"], line.at - hold - 5 * SECOND, line.at)
        base = decision["entry"] if decision["reason"] == "stop loss" else decision["peak"]
        level = base * (1 - Fraction(decision["limit_percent"]).limit_denominator(10_000) / 100)
        marks = [_mid(quote.bid, quote.ask) for quote in quotes if quote.ask]
        if not any(mark <= level for mark in marks):
            yield Violation(
                "I4",
                line.at,
                f"SELL #{decision['id']} ({decision['reason']}) because the market quoted at most {float(level):.0f}",
                f"lowest of its last quotes: {float(min(marks, default=Fraction(0))):.0f}",
            )


def _mid(bid: int, ask: int) -> Fraction:
    """The mark of a quote: half its ask when there is no bid."""
    return Fraction(bid + ask, 2)


# --- I5 ----------------------------------------------------------------------------------------------


class _Tape:
    """The bars of the traded symbol as the record has them, by second, as they become known."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.of: dict[int, tuple[Fraction, Fraction, float]] = {}

    def put(self, start: int, vwap: float, volume: float, close: float) -> None:
        """Stores a bar, or its correction."""
        if start not in self.of:
            bisect.insort(self.starts, start)
        self.of[start] = Fraction(vwap) * Fraction(volume), Fraction(volume), close

    def vwap(self, after: int, until: int, near: float) -> float | None:
        """Σ(vw·v) / Σv of the seconds in (after, until] whose close is within 3 % of ``near``; None without volume."""
        first, last = bisect.bisect_right(self.starts, after), bisect.bisect_right(self.starts, until)
        kept = [self.of[start] for start in self.starts[first:last]]
        kept = [each for each in kept if abs(each[2] / near - 1) <= JUMP]
        volume = sum((each[1] for each in kept), Fraction(0))
        return float(sum((each[0] for each in kept), Fraction(0)) / volume) if volume else None


def values_are_right(books: Books) -> Iterator[Violation]:
    """Price and VWAP of each entry decision are those of the bars as then known, added up in any order."""
    tape, symbol = _Tape(), books.rules.get("symbol")
    seen: set[int] = set()
    for line in books.lines:
        bar = line.event
        if line.kind != "bar" or bar["symbol"] != symbol or not books.open <= bar["start"] < books.close:
            continue
        is_new = bar["start"] not in seen
        seen.add(bar["start"])
        tape.put(bar["start"], bar["vwap"], bar["volume"], bar["close"])
        for decision in line.decisions:
            if decision["type"] not in ("opened", "declined"):
                continue
            if not is_new or bar.get("backfilled"):
                yield Violation(
                    "I5", line.at, "a signal at a second's first live print", f"one at {str(bar)[:90]}"
                )
            if decision["price"] != bar["close"]:
                yield Violation("I5", line.at, f"price {bar['close']}", str(decision["price"]))
            own = tape.vwap(bar["start"] - 60 * SECOND, bar["start"], bar["close"])
            if own is None or abs(decision["vwap"] / own - 1) > RELATIVE:
                yield Violation("I5", line.at, f"VWAP {own} of the last 60 s", str(decision["vwap"]))
            elif decision["price"] <= own * (1 - RELATIVE):
                yield Violation("I5", line.at, f"a price above the VWAP {own}", str(decision["price"]))


def bars_are_the_markets(books: Books) -> Iterator[Violation]:
    """Each bar of the record was sent by the market, with these numbers, before it was recorded."""
    for line in books.lines:
        if line.kind != "bar" or line.life < 0:
            continue
        bar = line.event
        sent = [
            each for each in books.market.seconds.get((bar["symbol"], bar["start"]), ()) if each.at <= line.at
        ]
        if not sent:
            yield Violation("I5", line.at, "bars that the market sent", f"{str(bar)[:120]}")
        elif not any(_is_that(bar, each) for each in sent):
            yield Violation(
                "I5", line.at, f"a bar as sent: {sent[-1].numbers}, {sent[-1].volumes}", f"{str(bar)[:160]}"
            )


def _is_that(bar: dict[str, float], sent: SentBar) -> bool:
    """Whether a recorded bar is what was sent. Numbers that contradict each other may have been mended by their neighbours."""
    if bar["volume"] not in sent.volumes:
        return False
    if sent.plain:
        return (bar["open"], bar["high"], bar["low"], bar["close"]) == sent.numbers
    return bar["close"] in sent.numbers


def nothing_is_lost(books: Books) -> Iterator[Violation]:
    """Each good bar that arrived is in the record, whatever stood beside it, and after corrections the last one stands."""
    recorded: dict[tuple[str, int], list[Line]] = {}
    for line in books.lines:
        if line.kind == "bar":
            recorded.setdefault((line.event["symbol"], line.event["start"]), []).append(line)
    overflows = [line.at for line in books.lines if line.event.get("cause") == "inbox overflow"]
    symbols = (books.rules.get("symbol"), books.rules.get("benchmark"))
    subscribed = _subscribed(books)
    closed_at = {each.number: each.closed_at for each in books.story.connections}
    for bar in books.market.bars:
        due = bar.at + round(TAKEN_S * SECOND)
        if (
            not (bar.live and bar.plain)
            or bar.symbol not in symbols
            or bar.end > bar.at
            or not books.open <= bar.start < books.close
            or subscribed.get((bar.connection, bar.symbol), due) > bar.at
            or (closed_at.get(bar.connection) or due) < due
            or due > books.story.stopped_at
            or books.died(bar.at - SECOND, due)
            or books.troubled(HOLDS_UP, bar.at - 130 * SECOND, due)
            or any(abs(at - bar.at) < 60 * SECOND for at in overflows)
            or books.paused(bar.at, due)
            or not books.is_recorded(bar.at, due)  # the record is off, which has judges of its own
        ):
            continue
        lines = recorded.get((bar.symbol, bar.start), [])
        if not any(bar.at <= line.at <= due and _is_that(line.event, bar) for line in lines):
            before = [line for line in lines if line.at <= due]
            if before and _is_that(before[-1].event, bar):
                continue  # the same again says nothing new
            yield Violation(
                "I5",
                due,
                f"{bar.symbol} {bar.numbers} {bar.volumes} of {(bar.start - books.open) // SECOND} s in the record",
                "nothing of that second" if not lines else f"{str(lines[-1].event)[:120]}",
            )


def _subscribed(books: Books) -> dict[tuple[int, str], int]:
    """Connection and symbol → when the market was asked for it there."""
    found: dict[tuple[int, str], int] = {}
    for request in books.story.requests:
        if request.action == "subscribe":
            for pair in request.pairs:
                found.setdefault((request.connection, pair.removeprefix("A.")), request.at)
    return found


# --- I11 ---------------------------------------------------------------------------------------------


def in_hours(books: Books) -> Iterator[Violation]:
    """BUYs come in the session, after the warm-up and before the cut-off; no position outlives its time stop."""
    slack = round((DOUBT_S + SLACK_S) * SECOND)
    close_by = (16 * 3600 - 34_200) * SECOND - (books.close - books.open)
    for line, decision in books.decisions("opened"):
        if line.life < 0:
            continue
        first = books.open + int(books.rules["warmup_seconds"]) * SECOND
        last = books.moment(str(books.rules["no_entry_after"])) - close_by
        for moment, clock in ((line.now, 0), (line.at, slack)):
            if not first - clock <= moment < last + clock:
                yield Violation(
                    "I11",
                    line.at,
                    f"BUY #{decision['id']} after the warm-up and before {books.rules['no_entry_after']}",
                    f"{(moment - books.open) / SECOND:.1f} s after the open",
                )
                break
    ended = {decision["id"]: line for line, decision in books.decisions("closed", "withdrawn")}
    for position, (_, decision) in books.opened.items():
        due = decision["time_stop"] + slack
        until = ended[position].at if position in ended else books.story.ended_at
        is_late = until > due + books.paused(due - 30 * SECOND, until)
        excused = books.died(due - 60 * SECOND, until) or books.troubled(CLOCKS, 0, until)
        if is_late and not excused:
            yield Violation("I11", due, f"#{position} sold at its time stop", "it was open")
