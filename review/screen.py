"""What a replay shows: the log's lines, each push as the phone shows it, and how far long work has come."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import IO

import structlog

import alerts
from engine import Engine
from events import (
    SECOND,
    AlertOutcome,
    Decision,
    Declined,
    DeclineReason,
    Event,
    FeedRestored,
    Hold,
    HoldReason,
    Shutdown,
    Tick,
)
from messages.alert import Alert
from wording import gate_line, selection_line, signal_line
from worker.narrator import Narrator
from worker.notices import Notices

log = structlog.get_logger("replay")

SPOKEN = (FeedRestored, Hold, AlertOutcome, Shutdown)
"""Facts that may be said even when nothing is decided; those of every minute are said only when asked for."""

DECLINE_SPACING_S = 60
"""A decline that repeats the one before is shown again after this long."""

EDGE = "─" * 46
FULL = 100


def framed(title: str, message: str) -> str:
    """A push in the phone's frame: the title, an empty line, the message."""
    lines = "\n".join(f"  │ {line}".rstrip() for line in f"{title}\n\n{message}".splitlines())
    return f"  ┌{EDGE}\n{lines}\n  └{EDGE}"


def outcome_line(event: AlertOutcome) -> str:
    """Returns the line about what became of an alert."""
    detail = f" ({event.detail})" if event.detail else ""
    detail += f" by the {event.channel}" if event.channel else ""
    return f"📨 Alert {event.kind.value.upper()} {event.id}: {event.outcome.value}{detail}"


class Progress:
    """A percentage on one line of standard error, if that is a terminal; else nothing."""

    def __init__(self, what: str, total: int, stream: IO[str] | None = None, *, quiet: bool = False) -> None:
        self._what = what
        self._total = max(1, total)
        self._stream = sys.stderr if stream is None else stream
        self._is_shown = not quiet and self._stream.isatty()
        self._percent = -1

    def tell(self, done: int) -> None:
        """So many of the total are done."""
        percent = min(FULL, done * FULL // self._total)
        if self._is_shown and percent != self._percent:
            self._percent = percent
            self._stream.write(f"\r{self._what} {percent:3d}%")
            self._stream.flush()

    def clear(self) -> None:
        """Take the line away, so that another can be written there."""
        if self._is_shown and self._percent >= 0:
            self._percent = -1
            self._stream.write("\r\x1b[K")
            self._stream.flush()


class Screen:
    """Shows a replay as the log and the phone would: by default without the lines of every minute."""

    def __init__(self, progress: Progress, *, verbose: bool, with_contracts: bool = True) -> None:
        self.now = 0
        self._progress = progress
        self._verbose = verbose
        self._with_contracts = with_contracts
        self._engine: Engine | None = None
        self._journalist: Narrator | None = None
        self._declined: tuple[DeclineReason, HoldReason | None] | None = None
        self._declined_at = 0
        self._duties = Notices(arms=with_contracts)

    def clock(self) -> int:
        """The replay's now, µs: what its lines carry."""
        return self.now

    def begin(self, now: int, engine: Engine, text: str, odd: Sequence[str]) -> None:
        """An engine begins: at the session's beginning, or at a restart. ``odd`` is what is odd about its rules."""
        self.now, self._engine = now, engine
        self._journalist = Narrator(engine.rules, engine)
        self._declined = None
        self._progress.clear()
        log.info("replay_started", text=text)
        for item in odd:
            log.warning("replay_doubtful", text=f"⚠️ {item}")

    def watch_again(self, since: int) -> None:
        """The program has started again; nothing is known from ``since`` (µs) until now."""
        assert self._engine is not None
        for alert in self._duties.watching_again(self.now, self._engine, since=since):
            self.push(alert)

    def step(self, now: int, event: Event, decisions: Sequence[Decision]) -> None:
        """A fact has been handled."""
        assert self._journalist is not None and self._engine is not None
        self.now = now
        if decisions or isinstance(event, SPOKEN):
            self._progress.clear()
        if self._verbose or not isinstance(event, Tick):
            self._journalist.fact(now, event)
        for decision in decisions:
            if isinstance(decision, Declined) and not self._verbose:
                self._decline(now, decision)
            else:
                self._journalist.decision(now, decision)
            self.push(alerts.alert_for(now, decision, self._engine.rules))
        for alert in self._duties.owed(now, event, self._engine):
            self.push(alert)
        if isinstance(event, AlertOutcome):
            self._outcome(event)

    def push(self, alert: Alert | None) -> None:
        """Show an alert as the phone does."""
        if alert is not None:
            print(framed(alert.title, alert.message), flush=True)

    def _decline(self, now: int, declined: Declined) -> None:
        """A signal without an entry: when the reason changes, and once a minute."""
        assert self._engine is not None and self._engine.evaluation is not None
        reason = declined.reason, declined.hold
        if reason == self._declined and now - self._declined_at < DECLINE_SPACING_S * SECOND:
            return
        self._declined, self._declined_at = reason, now
        # As live: a signal is told when every gate was open. Bars have no contracts, and get no further than that.
        if declined.considered or not (
            self._with_contracts or declined.reason is not DeclineReason.CHAIN_TOO_OLD
        ):
            log.info("signal", text=signal_line(self._engine.evaluation))
        if declined.considered:
            log.info("contract_declined", text=selection_line(declined))
        if self._with_contracts or declined.reason is not DeclineReason.CHAIN_TOO_OLD:
            log.info("gate_closed", text=gate_line(*reason))

    def _outcome(self, event: AlertOutcome) -> None:
        log.info("alert_outcome", text=outcome_line(event))
