"""The pushes that a fact causes without a decision: armed, clock doubt, market closed, caps reached, unwatched,
no entries possible."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from config import VERSION
from engine import Engine
from events import (
    SECOND,
    AlertKind,
    AlertOutcome,
    Event,
    Hold,
    HoldReason,
    Outcome,
    Shutdown,
    Tick,
    named_cause,
)
from messages import notices
from messages.alert import Alert
from utils import plural_s, span_text
from worker.blocked import Blocked, chain_fault

ARMED_WITHIN_S = 60
"""Seconds after the open, or the start, that the push "armed" waits for everything to be well."""

CLOCK_SPACING_S = 3600
"""Seconds between two pushes about the clock, so that a flapping clock does not ring all day."""


def readiness(
    now: int, engine: Engine, details: Mapping[HoldReason, str] | None = None
) -> tuple[list[str], list[str]]:
    """Returns what an entry needs, in words: first what is well, then what is lacking.

    ``now`` in µs. ``details`` has more to say about reasons that hold entries.
    """
    rules, feed = engine.rules, engine.feed
    well: list[str] = []
    lacking: list[str] = []
    silent = [symbol for symbol in rules.symbols if (feed.progress.newest(symbol) or 0) < engine.session.open]
    old = [
        f"{symbol} for {span_text(age)}"
        for symbol in rules.symbols
        if (age := now - (feed.progress.newest(symbol) or 0) - SECOND) > rules.symbol_silence_seconds * SECOND
    ]
    if feed.cause is not None:
        lacking.append(f"feed blind ({named_cause(feed.cause, feed.symbol)})")
    elif silent:
        lacking.append(f"no bar of {' and '.join(silent)} yet")
    elif old:
        lacking.append(f"no bar of {' and of '.join(old)}")
    else:
        late = "" if feed.progress.lag is None else f", {feed.progress.lag / SECOND:.1f} s late"
        well.append(f"bars of {' and '.join(rules.symbols)} arrive{late}")
    calls = engine.quotes.live_calls(now)
    (lacking if (fault := chain_fault(now, engine)) else well).append(
        fault or f"{calls} call{plural_s(calls)} with real-time quotes"
    )
    if engine.holds:
        more = details or {}
        named = [
            f"{reason}: {more[reason]}" if more.get(reason) else reason for reason in sorted(engine.holds)
        ]
        lacking.append(f"entries held ({', '.join(named)})")
    else:
        well.append("the record is written, nothing holds entries")
    return well, lacking


class Notices:
    """Makes the pushes that a fact causes without a decision.

    ``arms`` is whether the session's beginning is pushed. ``time_is_known`` returns whether the clock is known to agree
    with the vendor's.
    """

    def __init__(self, *, arms: bool, time_is_known: Callable[[], bool] = lambda: True) -> None:
        self._arms = arms
        self._time_is_known = time_is_known
        self._arms_by: int | None = None
        self._is_armed_told = False
        self._is_cap_told = False
        self._is_push_cap_told = False
        self._blocked = Blocked()
        self._details: dict[HoldReason, str] = {}
        """What else is known about the holds that began."""
        self._clock_told_at: int | None = None
        self.is_summed_up = False
        """Whether the evening's summary was pushed."""

    def record(self, event: Event) -> None:
        """Records a fact, also one from before a restart: which pushes have been sent."""
        if isinstance(event, AlertOutcome):
            self._is_armed_told = self._is_armed_told or event.kind is AlertKind.ARMED
            self.is_summed_up = self.is_summed_up or event.kind is AlertKind.EVENING
            self._is_push_cap_told = self._is_push_cap_told or event.kind is AlertKind.PUSH_CAP

    def watching_again(self, now: int, engine: Engine, *, since: int, note: str = "") -> Iterator[Alert]:
        """Yields the push that the program watches an open position again, after it did not from ``since`` (µs) on."""
        self._arms_by = None
        if engine.position is not None:
            opened = engine.position.opened
            yield notices.watching_again(
                now,
                engine.rules,
                position=opened.id,
                contract=opened.contract,
                since=since,
                time_stop=opened.time_stop,
                note=note,
            )

    def owed(self, now: int, event: Event, engine: Engine) -> Iterator[Alert]:
        """Yields the pushes that a fact handled at ``now`` (µs) causes."""
        rules, session = engine.rules, engine.session
        held = None if engine.position is None else engine.position.opened
        position = None if held is None else held.id
        self.record(event)
        match event:
            case Tick():
                yield from self._armed(now, engine)
                yield from self._blocked.owed(now, engine)
            case Hold(reason=HoldReason.CLOCK_DOUBT, on=True, detail=detail) if detail:
                self._details[event.reason] = f"{detail}; make sure that NTP sets it"
                if self._clock_told_at is None or now - self._clock_told_at >= CLOCK_SPACING_S * SECOND:
                    self._clock_told_at = now
                    yield notices.clock_doubt(
                        now, rules, since=now, detail=detail, session=session, position=position
                    )
            case Hold(reason=HoldReason.MARKET_CLOSED, on=True):
                yield notices.market_closed(now, rules, session=session, position=position)
            case Hold(reason=HoldReason.PUSH_CAP, on=True) if not self._is_push_cap_told:
                self._is_push_cap_told = True
                yield notices.push_cap(now, rules, position=position)
            case AlertOutcome(kind=AlertKind.BUY, outcome=Outcome.ACCEPTED | Outcome.LOST):
                # A BUY that arrived counts as an entry, and may be the day's last.
                if 0 < rules.max_entries_per_day <= engine.book.entries and not self._is_cap_told:
                    self._is_cap_told = True
                    yield notices.cap_reached(now, rules, entries=engine.book.entries, position=position)
            case Shutdown(close_position=False) if held is not None:
                yield notices.unwatched(
                    now,
                    rules,
                    position=held.id,
                    contract=held.contract,
                    stop=held.stop,
                    time_stop=held.time_stop,
                )
            case _:
                pass

    def _armed(self, now: int, engine: Engine) -> Iterator[Alert]:
        """Yields the push "armed", once a session after the open: when all is well, or after a while with what is lacking."""
        session = engine.session
        if not self._arms or self._is_armed_told or not session.open <= now < session.close:
            return
        if self._arms_by is None:
            self._arms_by = now + ARMED_WITHIN_S * SECOND
        well, lacking = readiness(now, engine, self._details)
        if not self._time_is_known() and HoldReason.CLOCK_DOUBT not in engine.holds:
            lacking.append("this machine's clock has not been compared with the vendor's yet")
        if not lacking or now >= self._arms_by:
            self._is_armed_told = True
            yield notices.armed(
                now, engine.rules, version=VERSION, session=session, well=well, lacking=lacking
            )
