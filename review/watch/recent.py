"""Keeps what a frame shows of a session: the engine, its last evaluations, what was said, what was closed. Pure.

Bounded: a day of 300,000 facts leaves no more here than its last minute, what was said and the engine itself.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from engine import Engine
from events import (
    SECOND,
    AlertOutcome,
    Closed,
    Evaluation,
    Event,
    FeedLost,
    FeedRestored,
    Session,
    Shutdown,
    Withdrawn,
    named_cause,
)
from review.derive import Handled, Start
from review.screen import outcome_line
from utils import span_text
from worker.narrator import Narrator

KEPT_S = 60
"""How far back (s) evaluations are kept."""

EVENTS_KEPT = 200

EVERY_MINUTE = frozenset({"feed_active", "feed_quiet", "feed_blind", "conditions"})
"""Lines of the log that come every minute: a frame shows more, every second."""


class Said(NamedTuple):
    """A line about something that happened at ``at`` (µs). ``is_warning``: something may have to be done."""

    at: int
    text: str
    is_warning: bool


class _Listener:
    """Takes the log's lines of what is derived, in the words of the log."""

    def __init__(self) -> None:
        self.now = 0
        self.said: deque[Said] = deque(maxlen=EVENTS_KEPT)

    def info(self, event: str, *, text: str, **_: object) -> None:
        """Takes a line."""
        if event not in EVERY_MINUTE:
            self.said.append(Said(self.now, text, False))

    def warning(self, event: str, *, text: str, **_: object) -> None:
        """Takes a line about which something may have to be done."""
        if event not in EVERY_MINUTE:
            self.said.append(Said(self.now, text, True))


class Recent:
    """What the last minutes of a session hold. `record` takes what was derived, in its order."""

    def __init__(self, first: Start) -> None:
        self.engine: Engine = first.engine
        """The engine of the newest start."""
        self.until = first.header.now
        """When the last line was handled, µs."""
        self.started_at = first.header.now
        self.is_stopped = False
        """Whether the program was asked to stop since its newest start."""
        self.evaluations: deque[Evaluation] = deque()
        """Those of the last `KEPT_S`, by their seconds."""
        self.closed: list[Closed] = []
        """The positions that were closed, in their order; not those that were withdrawn later."""
        self.differing = 0
        """Facts on which the engine decides otherwise than is recorded."""
        self._listener = _Listener()
        self._narrator = Narrator(first.engine.rules, first.engine, self._listener)

    @property
    def session(self) -> Session:
        """Returns the session that the record is of."""
        return self.engine.session

    @property
    def said(self) -> deque[Said]:
        """Returns what happened, the newest last."""
        return self._listener.said

    def record(self, item: Start | Handled) -> None:
        """Records a start of the program, or a fact that the engine has handled."""
        if isinstance(item, Start):
            self._start(item)
            return
        now, event, made = item.entry.now, item.entry.event, item.decisions
        self.until = self._listener.now = now
        if item.entry.decisions or made:
            self.differing += item.entry.decisions != tuple(made)
        if item.evaluation is not None:
            self._keep(item.evaluation)
        self._narrator.fact(now, event)
        for decision in made:
            self._narrator.decision(now, decision)
            if isinstance(decision, Closed):
                self.closed.append(decision)
            elif isinstance(decision, Withdrawn):
                self.closed = [closed for closed in self.closed if closed.id != decision.id]
        self._tell(event)

    def _start(self, item: Start) -> None:
        now, header = item.header.now, item.header
        self.engine, self.is_stopped = item.engine, False
        self._narrator = Narrator(item.engine.rules, item.engine, self._listener)
        self._listener.now = now
        gap = "" if item.before is None else f", {span_text(now - item.before.now)} after its last line"
        text = f"▶ The program started: version {header.version}, rules {item.digest}{gap}"
        self._listener.info("program_started", text=text)
        self.started_at, self.until = now, max(now, self.until)

    def _keep(self, evaluation: Evaluation) -> None:
        kept = self.evaluations
        kept.append(evaluation)
        oldest = evaluation.start - KEPT_S * SECOND
        while kept[0].start <= oldest:
            kept.popleft()

    def _tell(self, event: Event) -> None:
        """Says what the log's other authors say of a fact: the feed's connection, the alerts, the stop."""
        listener = self._listener
        match event:
            case FeedLost():
                listener.warning(
                    "feed_lost", text=f"🔌 Stocks feed lost: {named_cause(event.cause, event.symbol)}"
                )
            case FeedRestored():
                listener.info("feed_restored", text="🔌 Stocks feed connected")
            case AlertOutcome():
                listener.info("alert_outcome", text=outcome_line(event))
            case Shutdown():
                self.is_stopped = True
                listener.warning("stopping", text="⏹ The program was asked to stop")
            case _:
                pass
