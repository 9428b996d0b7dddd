"""The alerts that are still to be delivered, and the outcomes of the others. In memory: the record outlives the process."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from delivery import outbox
from delivery.outbox import PHASES, Attempts, Phase, Turn, care_for
from events import SECOND, AlertKind, Outcome
from messages.alert import Alert, last_chance

OUTBOX_MAX = 50
"""How many alerts may wait. More are a fault: then the least important one is dropped, but never a SELL."""

REMEMBERED_MAX = 500
"""How many outcomes are remembered: far more than a day has alerts."""

DUPLICATE_S = 60
"""An alert is dropped if one that says the same was submitted within this many seconds before."""


class Pending:
    """An alert that is still to be delivered, and how far that has come. ``due`` is when it is tried next, µs."""

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
        """Whether it was posted to the side channels."""
        self.begun_at: int | None = None
        """When the last attempt began, µs by a clock that nobody can set."""
        self.follows: Pending | None = None
        """The undelivered alarm that this all-clear ends. It goes out after the alarm, or not at all."""

    def turn(self, turn: Turn) -> None:
        """Goes on to the next phase. Raises KeyError for a turn that this phase does not have."""
        self.phase = PHASES[self.phase, turn]

    @property
    def attempts(self) -> int:
        """Returns how many attempts were made."""
        return self.life.made

    @property
    def is_in_flight(self) -> bool:
        """Returns whether an attempt was sent and not answered yet."""
        return self.phase is Phase.IN_FLIGHT

    @property
    def is_settled(self) -> bool:
        """Returns whether nothing more is done for it."""
        return self.phase is Phase.SETTLED

    @property
    def may_have_arrived(self) -> bool:
        """Returns whether an attempt whose answer was lost, or an earlier process, may have delivered it."""
        return self.life.may_have_arrived

    @property
    def keeps_entries_held(self) -> bool:
        """Returns whether it holds entries: a SELL that was refused, has failed, or was left by an earlier start."""
        return self.life.is_untold or (self.alert.persistent and self.alert.repeat)

    async def written_within(self, seconds: float) -> bool:
        """Waits for the disk, at most so many real seconds. Returns whether it is known if the decision is on it."""
        if self.written is not None and not self.written.done():
            await asyncio.wait({self.written}, timeout=seconds)
        return self.written is None or self.written.done()

    @property
    def is_unrecorded(self) -> bool:
        """Returns whether its decision is known not to be on the disk."""
        written = self.written
        return written is not None and written.done() and not written.cancelled() and not written.result()


class Outbox:
    """Every alert that is still to be delivered, the oldest first, and the latest outcomes."""

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
        """Adds an alert, due at once. ``written`` becomes whether its decision is on the disk."""
        entry = Pending(alert, now, written)
        self.entries.append(entry)
        if alert.kind is AlertKind.SELL:
            self._sold[alert.position] = None
            if len(self._sold) > REMEMBERED_MAX:
                self._sold.popitem(last=False)
        return entry

    @property
    def is_under_way(self) -> bool:
        """Returns whether an attempt has a connection, or waits for one."""
        return any(entry.phase in (Phase.READYING, Phase.IN_FLIGHT) for entry in self.entries)

    def begin(self, entry: Pending, now: int) -> None:
        """Records that an attempt goes out at ``now`` (µs): from now on it may arrive."""
        entry.life = outbox.begin(entry.life, now)
        entry.turn(Turn.SEND)

    def postpone(self, entry: Pending, due: int) -> None:
        """Records that the attempt failed, and that the next one is at ``due`` (µs)."""
        entry.turn(Turn.POSTPONE)
        entry.due = due

    def settle(self, entry: Pending, outcome: Outcome) -> None:
        """Removes an alert, and remembers its outcome."""
        entry.turn(Turn.SETTLE)
        self.entries.remove(entry)
        self._outcomes[entry.alert.kind, entry.alert.id] = outcome
        if len(self._outcomes) > REMEMBERED_MAX:
            self._outcomes.popitem(last=False)

    def find(self, kind: AlertKind, alert_id: str) -> Pending | None:
        """Returns the undelivered alert of a kind and id, or None."""
        return next((e for e in self.entries if e.alert.kind is kind and e.alert.id == alert_id), None)

    def outcome(self, kind: AlertKind, alert_id: str) -> Outcome | None:
        """Returns an alert's outcome; None if it is not known."""
        return self._outcomes.get((kind, alert_id))

    def sold(self, position: str) -> bool:
        """Returns whether a position's SELL has been submitted."""
        return position in self._sold

    def waiting(self, urgent: bool) -> list[Pending]:
        """Returns the alerts of one lane that are not in flight."""
        return [e for e in self.entries if e.alert.urgent is urgent and not e.is_in_flight]

    def alarm_of(self, alert: Alert) -> Pending | None:
        """Returns the newest undelivered alarm that ``alert`` ends, or None."""
        alarms = [entry for entry in self.entries if alert.ends and entry.alert.spell == alert.ends]
        return alarms[-1] if alarms else None

    def followers(self, alarm: Pending) -> list[Pending]:
        """Returns the all-clears that wait until an alarm is delivered."""
        return [entry for entry in self.entries if entry.follows is alarm]

    def next(self, urgent: bool, now: int) -> Pending | None:
        """Returns the most important alert of a lane that is due at ``now`` (µs), the oldest of equals; None without any."""
        due = [e for e in self.waiting(urgent) if e.due <= now]
        return min(due, key=lambda e: (e.alert.rank, e.alert.decided_at), default=None)

    def least_important(self) -> Pending | None:
        """Returns the alert to drop first if there are too many: never a SELL, "unwatched", or one in flight."""
        droppable = [e for e in self.entries if not e.is_in_flight and not e.alert.persistent]
        return max(droppable, key=lambda e: (e.alert.rank, -e.alert.decided_at), default=None)


def _turns(told: Alert, alert: Alert) -> bool:
    """Returns whether an alert ends the spell of an earlier one, or begins it again: then a third may repeat the first."""
    return bool(told.spell and told.spell == alert.ends) or bool(told.ends and told.ends == alert.spell)


class Recent:
    """The alerts submitted lately, so that nothing is pushed twice."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, Alert]] = {}

    def is_duplicate(self, alert: Alert, now: int) -> bool:
        """Returns whether the same was submitted less than `DUPLICATE_S` before ``now`` (µs). If not, remembers it."""
        self._seen = {
            key: (at, told)
            for key, (at, told) in self._seen.items()
            if now - at < DUPLICATE_S * SECOND and not _turns(told, alert)
        }
        if not alert.repeat and alert.fingerprint in self._seen:
            return True
        self._seen[alert.fingerprint] = now, alert
        return False
