"""The calendar, and when a worker may be connected."""

from __future__ import annotations

import pytest

import utils
from checks.check import Severity
from checks.sessions import check_calendar, last_close, may_be_connected
from tests.checks.given import BEFORE, IN_SESSION, MINUTE, SESSION, session_of, settings_of
from tests.checks.made_vendors import SUNDAY


@pytest.mark.parametrize(
    ("now", "lines"),
    [
        (
            IN_SESSION,
            [
                "now Thu 02 Oct 10:40 in New York",
                "in session: Thu 02 Oct 09:30–16:00 New York, closes in 5h20m",
                "that day: no entry from 15:30, time stop 15:55",
            ],
        ),
        (
            BEFORE,
            [
                "now Thu 02 Oct 08:30 in New York",
                "session today: Thu 02 Oct 09:30–16:00 New York, opens in 1h00m",
                "that day: no entry from 15:30, time stop 15:55",
            ],
        ),
        (
            session_of("2025-11-26").close,
            [
                "now Wed 26 Nov 16:00 in New York",
                "no session now; next: Fri 28 Nov 09:30–13:00 New York (early close), opens in 41h30m",
                "that day: no entry from 12:30, time stop 12:55",
                "next early close: Fri 28 Nov 13:00",
            ],
        ),
    ],
)
def test_the_calendar(now: int, lines: list[str]) -> None:
    checks = check_calendar(settings_of(), now)
    assert [check.found for check in checks] == lines
    assert {check.severity for check in checks} == {Severity.OK}


@pytest.mark.parametrize(
    ("minutes", "connected"),
    [(-11, False), (-9, True), (0, True), (389, True), (390.5, True), (392, False)],
)
def test_when_a_worker_elsewhere_may_be_connected(minutes: float, connected: bool) -> None:
    now = SESSION.open + int(minutes * MINUTE)
    assert may_be_connected(SESSION, now) is connected


def test_the_last_close_is_found_over_a_holiday() -> None:
    monday = utils.session_at(SUNDAY)
    assert last_close(monday.open) == SESSION.close + 24 * 60 * MINUTE
    assert last_close(monday.close) == monday.close
