"""Fetches sessions from the vendor: bars, the calls that were listed, and only the quotes that the rules look at.

A session is kept after each step, so that a run that was ended goes on where it was. Which quotes are needed is found by
running the live engine: first on bars alone, for the seconds at which a call would be chosen; then with those quotes, for
those of the calls that were held; until nothing is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from statistics import median
from typing import NamedTuple

import msgspec

import utils
from errors import OurError
from events import SECOND, Bar, Session
from network import is_loopback
from research.history.requests import NotInPlan, Requests, Unanswered
from research.history.session import Call, PastSession
from research.history.store import History, Origin, Source, State, with_blocks
from research.history.tape import play
from rules import Rules

ROUNDS = 200
"""How often a session is run at most until no quote is missing: each round holds a position at least five minutes longer."""

LEAST_SHARE = 0.9
"""A session with a smaller share of the usual seconds is left out."""

LEAST_SECONDS = {True: 0.9, False: 0.5}
"""The same, as a share of all seconds, while no usual number is known: of the benchmark, and of the symbol, which has no
trade in up to a third of its seconds."""

KNOWN_SESSIONS = 3
"""Sessions from which on their median is the usual number of seconds."""

EMPTY_SHARE = 0.5
"""If more of the blocks are empty, the session has no quotes."""


class BadSpan(OurError):
    """There is no session between two dates."""


class Wanted(NamedTuple):
    """What is fetched: sessions of a symbol beside its benchmark, under rules."""

    symbol: str
    benchmark: str
    rules: Rules
    origin: str
    """The vendor's address."""


def sessions_between(first: date, last: date, now: int) -> list[Session]:
    """Returns the sessions from ``first`` to ``last`` that are over by ``now`` (µs). Raises BadSpan without any."""
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    found = [session for session in map(utils.session_on, days) if session is not None]
    over = [session for session in found if session.close + SETTLED_S * SECOND <= now]
    if not over:
        what = "is not over yet" if found else "has no session of the exchange"
        raise BadSpan(f"{first} to {last} {what}")
    return over


SETTLED_S = 1_200
"""Corrections come up to 15 minutes late: a session is final 20 minutes after its close."""


async def fetch(
    history: History,
    requests: Requests,
    wanted: Wanted,
    sessions: Sequence[Session],
    *,
    now: Callable[[], int],
    told: Callable[[Source, bool], None],
) -> None:
    """Fetches sessions, one after the other. ``now`` is the time, µs of UTC.

    ``told`` gets each session as it stands then, and whether anything was asked for.

    Raises Refused when the vendor refuses the key, and OSError when the history cannot be written.
    """
    for session in sessions:
        known = history.source(wanted.symbol, session.date)
        if known is not None and _is_done(known, wanted):
            told(known, False)
            continue
        told(await _Fetch(history, requests, wanted, session, now).run(known), True)


def _is_done(known: Source, wanted: Wanted) -> bool:
    """Returns whether nothing is missing for these rules. What was left out, or lacked quotes, is asked for again."""
    return (
        known.state is State.WHOLE
        and known.benchmark == wanted.benchmark
        and wanted.rules.digest() in known.rules
    ) or known.kind is not Origin.VENDOR


class _Fetch:
    """One session being fetched."""

    def __init__(
        self, history: History, requests: Requests, wanted: Wanted, session: Session, now: Callable[[], int]
    ) -> None:
        self._history = history
        self._requests = requests
        self._wanted = wanted
        self._session = session
        self._now = now
        self._before = requests.count
        self._faults: list[str] = []

    async def run(self, known: Source | None) -> Source:
        """Returns the session as it was kept."""
        try:
            past = await self._begun(known)
        except (Unanswered, NotInPlan) as error:
            return self._kept(None, State.LEFT_OUT, f"its bars or calls cannot be had: {error}")
        if lacking := too_few(self._history, past):
            return self._kept(past, State.LEFT_OUT, lacking)
        if not past.calls:
            return self._kept(past, State.LEFT_OUT, "no call was listed that expired on this day")
        return await self._with_quotes(past)

    async def _begun(self, known: Source | None) -> PastSession:
        """Returns the session with what is already there; its bars and calls are asked for if they are not."""
        wanted, session = self._wanted, self._session
        if known is not None and known.state is not State.LEFT_OUT and known.benchmark == wanted.benchmark:
            return self._history.read(wanted.symbol, session.date)
        bars: list[Bar] = []
        for symbol in dict.fromkeys((wanted.symbol, *filter(None, [wanted.benchmark]))):
            found = await self._requests.bars(symbol, session.open, session.close)
            bars += [msgspec.structs.replace(bar, backfilled=False) for bar in found]
        calls = [Call(*call) for call in await self._requests.calls(wanted.symbol, session.date)]
        bars.sort(key=lambda bar: (bar.start, bar.symbol))
        return PastSession(wanted.symbol, wanted.benchmark, session, bars, calls, {})

    async def _with_quotes(self, past: PastSession) -> Source:
        empty = 0
        for _ in range(ROUNDS):
            missing = play(past, self._wanted.rules).missing
            if not missing:
                break
            try:
                found = await self._requests.blocks(missing)
            except NotInPlan:
                return self._kept(past, State.BARS_ONLY, "the plan has no past quotes (Options Advanced has)")
            except Unanswered as error:
                return self._kept(past, State.PARTIAL, f"quotes are missing: {error}")
            empty += sum(not rows for _, rows in found)
            past = with_blocks(past, found)
            self._kept(past, State.PARTIAL)
        else:
            return self._kept(past, State.PARTIAL, f"quotes are still missing after {ROUNDS} rounds")
        return self._judged(past, empty)

    def _judged(self, past: PastSession, empty: int) -> Source:
        known = sum(len(quotes.known) for quotes in past.quotes.values())
        rows = sum(len(quotes.rows) for quotes in past.quotes.values())
        if known and not rows:
            return self._kept(past, State.LEFT_OUT, f"all {known} blocks of quotes are empty")
        if empty:
            self._faults.append(f"{empty} of {known} blocks of quotes are empty")
        if empty > EMPTY_SHARE * known:
            return self._kept(past, State.LEFT_OUT)
        return self._kept(past, State.WHOLE)

    def _kept(self, past: PastSession | None, state: State, fault: str = "") -> Source:
        """Writes the session as it stands, and returns where it comes from."""
        wanted, session = self._wanted, self._session
        if fault:
            self._faults.append(fault)
        empty = PastSession(wanted.symbol, wanted.benchmark, session, [], [], {})
        source = Source(
            symbol=wanted.symbol,
            benchmark=wanted.benchmark,
            date=session.date,
            kind=Origin.VENDOR,
            origin=wanted.origin,
            fetched_at=self._now(),
            requests=self._requests.count - self._before,
            state=state,
            rules=(wanted.rules.digest(),) if state is State.WHOLE else (),
            faults=tuple(self._faults),
            counts=counts_of(past or empty),
            simulated=is_loopback(wanted.origin),
        )
        self._history.write(source, past or empty)
        return source


def too_few(history: History, past: PastSession) -> str:
    """Returns why a session has too few seconds, or none; empty if it has enough."""
    session = past.session
    seconds = (session.close - session.open) // SECOND
    usual = usual_seconds(history, past.symbol, apart_from=session.date)
    for name in filter(None, (past.symbol, past.benchmark)):
        count = sum(bar.symbol == name for bar in past.bars)
        share = usual.get(name)
        least = (LEAST_SECONDS[name == past.benchmark] if share is None else share * LEAST_SHARE) * seconds
        if count < least:
            return f"{name} has {count:,} seconds; at least {least:,.0f} of {seconds:,} are usual"
    return ""


def counts_of(past: PastSession) -> dict[str, int]:
    """Returns how much of everything a session has."""
    names = [name for name in (past.symbol, past.benchmark) if name]
    return {
        **{f"seconds of {name}": sum(bar.symbol == name for bar in past.bars) for name in names},
        "calls": len(past.calls),
        "blocks of quotes": sum(len(quotes.known) for quotes in past.quotes.values()),
        "quotes": sum(len(quotes.rows) for quotes in past.quotes.values()),
    }


def usual_seconds(history: History, symbol: str, *, apart_from: str = "") -> dict[str, float]:
    """Returns the share of a session's seconds that usually has a bar, by symbol: the median of what is there."""
    shares: dict[str, list[float]] = {}
    for day in history.dates(symbol):
        source = history.source(symbol, day)
        session = utils.session_on(date.fromisoformat(day))
        if source is None or session is None or day == apart_from or source.state is State.LEFT_OUT:
            continue
        for name in filter(None, (source.symbol, source.benchmark)):
            count = source.counts.get(f"seconds of {name}", 0)
            shares.setdefault(name, []).append(count / ((session.close - session.open) // SECOND))
    return {name: median(found) for name, found in shares.items() if len(found) >= KNOWN_SESSIONS}
