"""Checks the calendar, and knows when a worker may be connected."""

from __future__ import annotations

from datetime import date, timedelta

import utils
from checks.check import Check, Severity
from config import Settings
from events import SECOND, Session

CALENDAR_DAYS = 40
"""The next early close is searched for so far ahead."""

CONNECTED_BEFORE_SECONDS, CONNECTED_AFTER_SECONDS = 600, 60
"""A worker may be connected from this long before the open (it connects 300 s before) until this long after the close (it
stays for 30 s)."""


def check_calendar(settings: Settings, now: int) -> list[Check]:
    """Describes today's session or the next one, its hours, and the next early close."""
    session = utils.session_at(now)
    today = utils.new_york_date(now)
    checks = [Check("Calendar", Severity.OK, f"now {utils.day_text(now)} in New York")]
    hours = f"{utils.day_text(session.open)}–{utils.minute_text(session.close)} New York"
    if session.early:
        hours += " (early close)"
    if in_session(session, now):
        text = f"in session: {hours}, closes in {utils.span_text(session.close - now)}"
    elif session.date == today:
        text = f"session today: {hours}, opens in {utils.span_text(session.open - now)}"
    else:
        text = f"no session now; next: {hours}, opens in {utils.span_text(session.open - now)}"
    checks.append(Check("Calendar", Severity.OK, text))
    no_entry, time_stop = (
        utils.minute_text(session.close - settings.before_close(at) * SECOND)
        for at in (settings.no_entry_after, settings.hard_time_stop)
    )
    checks.append(
        Check("Calendar", Severity.OK, f"that day: no entry from {no_entry}, time stop {time_stop}")
    )
    ahead = (date.fromisoformat(today) + timedelta(days=days) for days in range(CALENDAR_DAYS))
    early = next((found for day in ahead if (found := utils.session_on(day)) and found.early), None)
    if early is not None:
        text = f"next early close: {utils.day_text(early.close)}"
        checks.append(Check("Calendar", Severity.OK, text))
    return checks


def in_session(session: Session, now: int) -> bool:
    """Returns whether ``session`` is in progress."""
    return session.open <= now < session.close


def may_be_connected(session: Session, now: int) -> bool:
    """Returns whether a worker elsewhere could be connected now: opening a socket would cut it off."""
    begin = session.open - CONNECTED_BEFORE_SECONDS * SECOND
    return begin <= now < session.close + CONNECTED_AFTER_SECONDS * SECOND


def last_close(now: int) -> int:
    """Returns the latest close before ``now``, µs. Raises LookupError if there was none in 30 days."""
    today = date.fromisoformat(utils.new_york_date(now))
    for days in range(31):
        session = utils.session_on(today - timedelta(days=days))
        if session is not None and session.close <= now:
            return session.close
    raise LookupError("no session within the last 30 days: the calendar must be wrong")
