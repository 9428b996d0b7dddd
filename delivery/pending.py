"""What is still to be told, and what became of the rest. In memory: what outlives the process is the record."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from delivery import outbox
from delivery.outbox import PHASES, Attempts, Phase, Turn, care_for
from events import SECOND, AlertKind, Outcome
from messages.alert import Alert, last_chance

OUTBOX_MAX = 50
"""Alerts that may wait. More are a fault; then the least important is dropped, never a SELL."""

REMEMBERED_MAX = 500
"""Outcomes that are remembered: far more than a day has alerts."""

DUPLICATE_S = 60
"""An alert that says the same as one submitted this recently is dropped."""


class Pending:
    """An alert that is still to be told, and how far that has come. ``due`` is when it is tried next, µs."""

    def __init__(
        self,
        alert: Alert,
        due: int,
        written: asyncio.Future[bool] | None,
    ) -> None:
        self.alert = alert
        self.taken_at = self.due = due
        self.written = written
        self.life = Attempts(
            care=care_for(alert),
            give_up_at=alert.give_up_at or (last_chance(alert.decided_at) if alert.urgent else 0),
            may_have_arrived=alert.repeat,
        )
        self.phase = Phase.WAITING
        self.is_told_elsewhere = False
        """Whether it was handed to the side channels."""
        self.begun_at: int | None = None
        """When the last attempt began, by a clock that nobody can set, µs."""
        self.follows: Pending | None = None
        """The alarm, still to be told, of which this is the end: it goes out after it, or not at all."""

    def turn(self, turn: Turn) -> None:
        """Go on to the next phase. Raises KeyError for a turn that the phase does not know."""
        self.phase = PHASES[self.phase, turn]

    @property
    def attempts(self) -> int:
        """How many attempts were made."""
        return self.life.made

    @property
    def is_in_flight(self) -> bool:
        """Whether an attempt may arrive, and is not answered yet."""
        return self.phase is Phase.IN_FLIGHT

    @property
    def is_settled(self) -> bool:
        """Whether nothing more is done for it."""
        return self.phase is Phase.SETTLED

    @property
    def may_have_arrived(self) -> bool:
        """Whether an attempt whose answer was lost, or an earlier process, may have told it."""
        return self.life.may_have_arrived

    @property
    def keeps_entries_held(self) -> bool:
        """Whether no BUY may be told before it: a SELL that was refused, has failed, or an earlier start left."""
        return self.life.is_untold or (self.alert.persistent and self.alert.repeat)

    async def written_within(self, seconds: float) -> bool:
        """Wait for the disk, at most so long (real). Returns whether it is known whether its decision is there."""
        if self.written is not None and not self.written.done():
            await asyncio.wait({self.written}, timeout=seconds)
        return self.written is None or self.written.done()

    @property
    def is_unrecorded(self) -> bool:
        """Whether its decision is known not to be on the disk."""
        written = self.written
        return written is not None and written.done() and not written.cancelled() and not written.result()


class Outbox:
    """Every alert that is still to be told, the oldest first, and the latest outcomes."""

    def __init__(self) -> None:
        self.entries: list[Pending] = []
        self._outcomes: OrderedDict[tuple[AlertKind, str], Outcome] = OrderedDict()
        self._sold: OrderedDict[str, None] = OrderedDict()

    def add(
        self,
        alert: Alert,
        now: int,
        written: asyncio.Future[bool] | None = None,
    ) -> Pending:
        """Take an alert in, due at once. ``written`` tells whether its decision is on the disk."""
        entry = Pending(alert, now, written)
        self.entries.append(entry)
        if alert.kind is AlertKind.SELL:
            self._sold[alert.position] = None
            if len(self._sold) > REMEMBERED_MAX:
                self._sold.popitem(last=False)
        return entry

    @property
    def is_under_way(self) -> bool:
        """Whether an attempt has a connection, or waits for one."""
        return any(entry.phase in (Phase.READYING, Phase.IN_FLIGHT) for entry in self.entries)

    def begin(self, entry: Pending, now: int) -> None:
        """An attempt goes out at ``now`` (µs): from now on it may arrive."""
        entry.life = outbox.begin(entry.life, now)
        entry.turn(Turn.SEND)

    def postpone(self, entry: Pending, due: int) -> None:
        """The attempt came to nothing; the next is at ``due`` (µs)."""
        entry.turn(Turn.POSTPONE)
        entry.due = due

    def settle(self, entry: Pending, outcome: Outcome) -> None:
        """Nothing more is done for it."""
        entry.turn(Turn.SETTLE)
        self.entries.remove(entry)
        self._outcomes[entry.alert.kind, entry.alert.id] = outcome
        if len(self._outcomes) > REMEMBERED_MAX:
            self._outcomes.popitem(last=False)

    def find(self, kind: AlertKind, alert_id: str) -> Pending | None:
        """The entry of that kind and id which is still to be told."""
        return next((e for e in self.entries if e.alert.kind is kind and e.alert.id == alert_id), None)

    def outcome(self, kind: AlertKind, alert_id: str) -> Outcome | None:
        """What became of an alert, if that is known."""
        return self._outcomes.get((kind, alert_id))

    def sold(self, position: str) -> bool:
        """Whether the position's SELL has been submitted."""
        return position in self._sold

    def waiting(self, urgent: bool) -> list[Pending]:
        """Entries of one lane that are not in flight."""
        return [e for e in self.entries if e.alert.urgent is urgent and not e.is_in_flight]

    def alarm_of(self, alert: Alert) -> Pending | None:
        """The newest alarm still to be told that ``alert`` says is over."""
        alarms = [entry for entry in self.entries if alert.ends and entry.alert.spell == alert.ends]
        return alarms[-1] if alarms else None

    def followers(self, alarm: Pending) -> list[Pending]:
        """What waits until an alarm is told."""
        return [entry for entry in self.entries if entry.follows is alarm]

    def next(self, urgent: bool, now: int) -> Pending | None:
        """The most important entry of a lane that is due, the oldest of equals."""
        due = [e for e in self.waiting(urgent) if e.due <= now]
        return min(due, key=lambda e: (e.alert.rank, e.alert.decided_at), default=None)

    def least_important(self) -> Pending | None:
        """What is dropped first when there is too much; never a SELL or "unwatched", nor what is in flight."""
        droppable = [e for e in self.entries if not e.is_in_flight and not e.alert.persistent]
        return max(droppable, key=lambda e: (e.alert.rank, -e.alert.decided_at), default=None)


def _turns(told: Alert, alert: Alert) -> bool:
    """Whether an alert ends the spell of one told before, or begins it anew: what is said after it is not the same."""
    return bool(told.spell and told.spell == alert.ends) or bool(told.ends and told.ends == alert.spell)


class Recent:
    """What was submitted lately, so that nothing is told twice."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, Alert]] = {}

    def is_duplicate(self, alert: Alert, now: int) -> bool:
        """Whether the same was submitted less than `DUPLICATE_S` before ``now`` (µs). If not, remembers it."""
        self._seen = {
            key: (at, told)
            for key, (at, told) in self._seen.items()
            if now - at < DUPLICATE_S * SECOND and not _turns(told, alert)
        }
        if not alert.repeat and alert.fingerprint in self._seen:
            return True
        self._seen[alert.fingerprint] = now, alert
        return False
