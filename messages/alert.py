"""One alert before it is sent: its kind, rank and deadlines, and the text that a phone shows. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import date
from enum import IntEnum
from typing import Any

import msgspec

from events import SECOND, AlertKind
from rules import Rules
from utils import new_york_date, session_on

TITLE_MAX = 250
"""The most characters of a title: Pushover's limit (https://pushover.net/api#limits)."""

MESSAGE_MAX = 1024
"""The most characters of a message, with the lines that are added when it is sent: Pushover's limit."""

LINES_ADDED_MAX = 64
"""Characters that are kept free for the lines added when an alert is sent (``Late``, ``Repeat of``)."""

LATE_S = 5
"""Seconds after its decision from which an alert says that it is late."""

AFTER_CLOSE_S = 15 * 60
"""Seconds after the close for which a SELL is still tried: the options trade until then."""

PICTURE_LATEST_S = 600
"""Age in seconds from which a picture is of no use any more."""

HALF_CENT = 50
"""Half a cent in units of an option price: the step of a mid."""


class Priority(IntEnum):
    """How loud an alert is. A channel maps these to its own numbers."""

    QUIET = -1
    """Without a sound."""
    NORMAL = 0
    HIGH = 1
    """Sounds even in the phone's quiet hours."""
    EMERGENCY = 2
    """Repeated until somebody acknowledges it."""


class Rank(IntEnum):
    """An alert's importance, the most important first. The first three have a lane of their own."""

    SELL = 0
    UNWATCHED = 1
    SAFETY = 2
    BUY = 3
    SYSTEM = 4
    QUIET = 5


ALWAYS_SAFETY = frozenset({AlertKind.MARK_LOST, AlertKind.EVICTED, AlertKind.REFUSED})
"""System pushes that are always safety pushes: without them a position may go unwatched, or every signal be missed."""

SAFETY_WITH_POSITION = frozenset({AlertKind.FEED_BLIND, AlertKind.CRASH_LOOP})
"""System pushes that are safety pushes while a position is open."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One push, before it is sent.

    ``id`` is the position's for BUY and SELL, else the cause. ``position`` is the id of the position it concerns, or empty.
    Times are µs of UTC, ``pay_limit`` is an option price; each is 0 if it has no meaning. ``repeat`` marks an alert of
    which an earlier process may have sent a copy. ``spell`` names what an alarm warns of, such as the feed's blindness;
    ``ends`` names the spell that an all-clear ends.
    """

    kind: AlertKind
    id: str
    title: str
    message: str
    decided_at: int
    priority: Priority
    position: str = ""
    contract: str = ""
    pay_limit: int = 0
    pay_until: int = 0
    time_stop: int = 0
    give_up_at: int = 0
    repeat: bool = False
    spell: str = ""
    ends: str = ""
    detail: str = ""
    """What a lock screen must show beside the title, such as ``242c ≤ $0.47``."""

    @property
    def rank(self) -> Rank:
        """Returns how important it is."""
        if self.kind is AlertKind.SELL:
            return Rank.SELL
        if self.kind is AlertKind.UNWATCHED:
            return Rank.UNWATCHED
        if self.kind in ALWAYS_SAFETY or (self.kind in SAFETY_WITH_POSITION and self.position):
            return Rank.SAFETY
        if self.kind is AlertKind.BUY:
            return Rank.BUY
        return Rank.QUIET if self.priority < Priority.NORMAL else Rank.SYSTEM

    @property
    def urgent(self) -> bool:
        """Returns whether it is a SELL or a safety push, which never wait behind other alerts."""
        return self.rank <= Rank.SAFETY

    @property
    def persistent(self) -> bool:
        """Returns whether it is tried until `give_up_at`, and also after a lost answer."""
        return self.rank <= Rank.UNWATCHED

    @property
    def fingerprint(self) -> str:
        """Returns a hash that is equal for alerts that say the same: of kind, contract and position, or kind and cause."""
        contract = self.contract if self.kind in (AlertKind.BUY, AlertKind.SELL) else ""
        return hashlib.sha256(f"{self.kind}|{contract}|{self.id}".encode()).hexdigest()


def close_of(time_stop: int, rules: Rules) -> int:
    """Returns the close (µs) of the session whose time stop is at ``time_stop`` (µs)."""
    return time_stop + rules.before_close(rules.hard_time_stop) * SECOND


def last_chance(decided_at: int) -> int:
    """Returns until when (µs) an alert without a `give_up_at` is tried: 15 minutes after its day's close, or after now."""
    session = session_on(date.fromisoformat(new_york_date(decided_at)))
    close = decided_at if session is None else max(session.close, decided_at)
    return close + AFTER_CLOSE_S * SECOND


def give_up_at(now: int, time_stop: int, rules: Rules) -> int:
    """Returns until when (µs) a SELL is tried: 15 minutes after its close; after a restart on a later day, after ``now``."""
    return max(close_of(time_stop, rules), now) + AFTER_CLOSE_S * SECOND


def system_alert(
    kind: AlertKind,
    now: int,
    cause: str,
    *,
    title: str,
    lines: Iterable[str],
    position: str | None,
    **more: Any,
) -> Alert:
    """Returns a push that is not BUY or SELL. It is loud while a position is open, whose id is its last line."""
    return Alert(
        kind=kind,
        id=cause,
        title=title,
        message=_fitted(list(lines), [f"#{position}"] if position else []),
        decided_at=now,
        position=position or "",
        **{"priority": Priority.HIGH if position else Priority.NORMAL, **more},
    )


def _fitted(lines: list[str], end: list[str]) -> str:
    """Returns the lines as one message. Drops the last ones before ``end`` if they do not fit, and says how many."""
    text = "\n".join([*lines, *end])
    kept = len(lines)
    while kept and len(text) > MESSAGE_MAX - LINES_ADDED_MAX:
        kept -= 1
        text = "\n".join([*lines[:kept], f"({len(lines) - kept} more lines: see the log)", *end])
    return text


def named(alert: Alert) -> str:
    """Returns the alert's title with the position that it concerns."""
    is_named = not alert.position or f"#{alert.position}" in alert.title
    return alert.title if is_named else f"{alert.title} #{alert.position}"


def full_title(alert: Alert, now: int) -> str:
    """Returns the title with its detail; for a BUY sent at ``now`` (µs), also how many seconds its price is good for."""
    parts = [alert.title, alert.detail] if alert.detail else [alert.title]
    if alert.kind is AlertKind.BUY and alert.detail:
        parts.append(f"({max(0, -((now - alert.pay_until) // SECOND))} s)")
    return " ".join(parts)


def repeated(alert: Alert) -> Alert:
    """Returns the same alert, marked as one that an earlier process may have sent."""
    return msgspec.structs.replace(alert, repeat=True)


def text_at(alert: Alert, now: int, repeat: bool) -> str:
    """Returns the message as it is sent at ``now`` (µs), with ``Late 12 s`` and ``Repeat of #7f3a91`` above the id."""
    added: list[str] = []
    late = now - alert.decided_at
    if late > LATE_S * SECOND:
        added.append(f"Late {late // SECOND} s")
    if repeat:
        added.append(f"Repeat of #{alert.position or alert.id}")
    body, separator, last = alert.message.rpartition("\n")
    if alert.position and last == f"#{alert.position}":
        return "\n".join([body, *added, last]) if separator else "\n".join([*added, last])
    return "\n".join([alert.message, *added])
