"""The clock, New York time, the session calendar and money: each at its edges."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import holidays
import pytest

import utils
from events import SECOND
from exchange_calendar import EXCHANGE_FILE, exchange_class
from timekeeping import VendorOffset

ROOT = Path(__file__).parent.parent
HOUR = 3600 * SECOND


def utc(*parts: int) -> int:
    """A moment of UTC in µs."""
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * SECOND  # type: ignore[misc,arg-type]


# --- The calendar ------------------------------------------------------------------------------------

SESSIONS = {
    **{2006: 251, 2007: 251, 2008: 253, 2009: 252, 2010: 252, 2011: 252, 2012: 250, 2013: 252, 2014: 252},
    **{2015: 252, 2016: 252, 2017: 251, 2018: 251, 2019: 252, 2020: 253, 2021: 252, 2022: 251, 2023: 250},
    **{2024: 252, 2025: 250, 2026: 251, 2027: 251},
}
"""Sessions of the New York Stock Exchange in each year, as its own calendars count them."""


def test_every_day_of_twenty_two_years() -> None:
    counted: Counter[int] = Counter()
    day = date(2006, 1, 1)
    before = 0
    while day < date(2028, 1, 1):
        session = utils.session_on(day)
        if session is not None:
            counted[day.year] += 1
            assert day.weekday() < utils.SATURDAY
            assert session.date == day.isoformat() == utils.new_york_date(session.open)
            assert utils.clock_text(session.open) == "09:30:00"
            assert utils.clock_text(session.close) == ("13:00:00" if session.early else "16:00:00")
            assert session.close - session.open == (7 * HOUR // 2 if session.early else 13 * HOUR // 2)
            assert session.open > before
            before = session.close
        day += timedelta(days=1)
    assert dict(counted) == SESSIONS


@pytest.mark.parametrize("file", [EXCHANGE_FILE, Path("not/there.py")])
def test_the_exchange_is_the_packages_own(file: Path) -> None:
    exchange = exchange_class(file)
    for year in range(2000, 2041):  # unscheduled closings of 2001, 2012, 2018 and 2025 among them
        for category in ("public", "half_day"):
            expected = holidays.financial_holidays("NYSE", years=year, categories=(category,))
            assert dict(exchange(years=year, categories=(category,))) == dict(expected)


def test_sessions_are_those_of_the_packages_own_exchange() -> None:
    for year in range(2015, 2036):
        closed = holidays.financial_holidays("NYSE", years=year, categories=("public",))
        half = holidays.financial_holidays("NYSE", years=year, categories=("half_day",))
        for offset in range(365):
            day = date(year, 1, 1) + timedelta(days=offset)
            session = utils.session_on(day)
            is_open = day.weekday() < utils.SATURDAY and day not in closed
            assert (session is not None) is is_open
            assert session is None or session.early is (day in half)


def test_the_calendar_imports_no_country() -> None:
    code = (
        "import sys, utils; assert utils.session_at(1759420800000000).date == '2025-10-02';"
        "print(*(name for name in sys.modules if name.startswith(('holidays.countries', 'holidays.financial'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    "day",
    [
        "2025-01-01",  # New Year's Day
        "2025-01-09",  # national day of mourning, announced ten days before
        "2025-01-20",  # Martin Luther King Jr. Day
        "2025-04-18",  # Good Friday
        "2025-06-19",  # Juneteenth
        "2026-07-03",  # Independence Day observed
        "2025-11-27",  # Thanksgiving
        "2026-12-25",  # Christmas
        "2027-12-24",  # Christmas observed
        "2012-10-29",  # storm
        "2025-11-22",  # Saturday
        "2025-11-23",  # Sunday
    ],
)
def test_days_without_a_session(day: str) -> None:
    assert utils.session_on(date.fromisoformat(day)) is None


@pytest.mark.parametrize(
    ("day", "early"),
    [
        ("2025-11-28", True),
        ("2026-11-27", True),
        ("2026-12-24", True),
        ("2025-07-03", True),
        ("2027-11-26", True),
        ("2026-07-02", False),
        ("2021-06-18", False),  # Juneteenth on a Saturday, before the exchange kept it
        ("2021-12-31", False),  # New Year's Day on a Saturday: not kept
        ("2024-12-31", False),
        ("2026-01-02", False),
    ],
)
def test_early_closes_and_year_ends(day: str, early: bool) -> None:
    session = utils.session_on(date.fromisoformat(day))
    assert session is not None
    assert session.early is early


@pytest.mark.parametrize(
    ("day", "opens"),
    [
        ("2026-03-06", utc(2026, 3, 6, 14, 30)),  # Friday before clocks go forward
        ("2026-03-09", utc(2026, 3, 9, 13, 30)),
        ("2025-10-31", utc(2025, 10, 31, 13, 30)),  # Friday before clocks go back
        ("2025-11-03", utc(2025, 11, 3, 14, 30)),
    ],
)
def test_daylight_saving_days(day: str, opens: int) -> None:
    session = utils.session_on(date.fromisoformat(day))
    assert session is not None
    assert (session.open, session.close) == (opens, opens + 13 * HOUR // 2)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (utc(2025, 11, 21, 14, 29, 59), "2025-11-21"),  # a second before the open
        (utc(2025, 11, 21, 20, 59, 59), "2025-11-21"),  # a second before the close
        (utc(2025, 11, 21, 21, 0), "2025-11-24"),  # at the close: the next one, over the weekend
        (utc(2025, 11, 28, 18, 0), "2025-12-01"),  # at an early close
        (utc(2025, 11, 26, 22, 0), "2025-11-28"),  # over Thanksgiving
        (utc(2025, 12, 31, 21, 0), "2026-01-02"),  # over the year's end
        (utc(2025, 11, 24, 3, 0), "2025-11-24"),  # Sunday evening in New York, Monday in UTC
        (utc(2025, 11, 25, 4, 59), "2025-11-25"),  # late Monday evening in New York
    ],
)
def test_the_session_now_or_next(now: int, expected: str) -> None:
    assert utils.session_at(now).date == expected


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "Pacific/Kiritimati", "America/Los_Angeles", "UTC"])
def test_the_machines_time_zone_does_not_matter(zone: str) -> None:
    program = (
        "import utils, datetime\n"
        "s = utils.session_at(1_763_951_400_000_000)\n"
        "print(s, utils.new_york(s.open), utils.day_text(s.open), utils.minute_text(s.close),"
        " utils.utc_iso(s.open + 1))\n"
    )

    def run(name: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "TZ": name},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout

    assert run(zone) == run("America/New_York")
    assert "Mon 24 Nov 09:30 16:00 2025-11-24T14:30:00.000001Z" in run(zone)


# --- Times in words ----------------------------------------------------------------------------------


def test_times_in_words() -> None:
    at = utc(2025, 10, 2, 14, 41, 22) + 250_000
    assert utils.clock_text(at) == "10:41:22"
    assert utils.minute_text(at) == "10:41:22"
    assert utils.minute_text(utc(2025, 10, 2, 19, 55)) == "15:55"
    assert utils.new_york_date(utc(2025, 10, 3, 3, 59)) == "2025-10-02"
    assert utils.utc_iso(at) == "2025-10-02T14:41:22.250000Z"
    assert utils.utc_iso(utc(2025, 10, 2)) == "2025-10-02T00:00:00Z"
    assert utils.new_york(at).microsecond == 250_000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (0, "0s"),
        (59.999, "59s"),
        (60, "1m00s"),
        (192, "3m12s"),
        (3599, "59m59s"),
        (3900, "1h05m"),
    ],
)
def test_spans_in_words(seconds: float, text: str) -> None:
    assert utils.span_text(int(seconds * SECOND)) == text


# --- Money -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (14_500, "$1.45"),
        (14_550, "$1.455"),
        (14_000, "$1.40"),
        (10_000, "$1.00"),
        (50, "$0.005"),
        (0, "$0.00"),
        (1_234_500, "$123.45"),
        (None, "n/a"),
    ],
)
def test_option_prices(value: int | None, text: str) -> None:
    assert utils.option_price(value) == text


def test_share_prices_strikes_and_numbers() -> None:
    assert utils.share_price(215.344) == "$215.34"
    assert utils.share_price(1215.3) == "$1,215.30"
    assert utils.share_price(None) == "n/a"
    assert [utils.strike_text(strike) for strike in (215_000, 242_500, 99_125)] == ["215", "242.5", "99.125"]
    assert [utils.number_text(value) for value in (15.0, 12.5, 0.05)] == ["15", "12.5", "0.05"]


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (18.5, 1, "+18.5%"),
        (-15.84, 1, "-15.8%"),
        (-0.04, 1, "+0.0%"),
        (0.0, 1, "+0.0%"),
        (0.0908, 2, "+0.09%"),
        (None, 1, "n/a"),
    ],
)
def test_signed_percentages(value: float | None, digits: int, text: str) -> None:
    assert utils.signed_percent(value, digits) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.045, "+0.045"),
        (0.0234, "+0.023"),
        (-0.087, "-0.087"),
        (0.1, "+0.100"),
        (2.5, "+2.500"),
        (0.00081, "+0.00081"),
        (0.0012, "+0.0012"),
        (-0.000_004_56, "-0.0000046"),
        (0.0, "+0.000"),
        (1e-15, "+0.000000000000"),
    ],
)
def test_momentum_has_three_decimals_and_two_digits(value: float, text: str) -> None:
    assert utils.momentum_text(value) == text


# --- Clocks ------------------------------------------------------------------------------------------


CLOCK_START = utc(2025, 10, 2, 14, 30)


def test_the_system_clock_tells_the_time() -> None:
    clock = utils.SystemClock()
    before = time.clock_gettime_ns(time.CLOCK_REALTIME) // 1000
    assert before - SECOND <= clock.now() <= before + 60 * SECOND
    assert clock.check(2.0) is None


def test_the_steady_clock_counts_a_suspended_machines_sleep() -> None:
    if not hasattr(time, "CLOCK_BOOTTIME"):
        pytest.skip("no such clock on this system")
    assert abs(utils.steady_now() - time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000) < SECOND


def test_two_clocks_are_read_at_one_moment() -> None:
    """A process that is stopped between the two readings would see a step that never was."""
    steady = iter([0, 0, 10, 10, 40 * SECOND, 40 * SECOND + 10, 40 * SECOND + 10])
    wall = iter([CLOCK_START, CLOCK_START + 5, CLOCK_START + 40 * SECOND + 10])
    clock = utils.SteadyClock(lambda: next(wall), lambda: next(steady))
    assert clock.check(2.0) is None


async def test_a_sleep_ends_with_a_step_forward_and_lasts_longer_while_the_clock_is_slowed() -> None:
    clock = utils.ScaledClock(CLOCK_START, 100.0)
    sleeping = asyncio.create_task(clock.sleep(3600))
    await asyncio.sleep(0)
    clock.go_on_from(CLOCK_START + HOUR + SECOND)
    await asyncio.wait_for(sleeping, 5)
    right = utils.ScaledClock(CLOCK_START, 100.0)
    clock.hear_date(VendorOffset(-HOUR, -HOUR, clock.now()))
    clock.check(2.0)
    at = right.now()
    await clock.sleep(9)
    assert 9.5 <= (right.now() - at) / SECOND < 500


async def test_a_sleep_outlasts_no_clock_that_begins_anew() -> None:
    clock = utils.ScaledClock(CLOCK_START, 100.0, wall_off=24 * HOUR)
    sleeping = asyncio.create_task(clock.sleep(20))
    await asyncio.sleep(0)
    clock.wall_off = 0
    clock.begin_anew()
    assert abs(clock.now() - CLOCK_START) < HOUR
    await asyncio.wait_for(sleeping, 5)


async def test_sleeping_takes_as_long_as_it_says() -> None:
    clock = utils.SystemClock()
    begun = time.monotonic()
    await clock.sleep(0.05)
    await clock.sleep(-1)
    assert 0.045 <= time.monotonic() - begun < 5


async def test_a_scaled_clock_runs_and_sleeps_at_its_speed() -> None:
    start = utc(2025, 10, 2, 14, 40)
    clock = utils.ScaledClock(start, 600.0)
    assert start <= clock.now() < start + 3600 * SECOND
    real, scaled = time.monotonic(), clock.now()
    await clock.sleep(60)
    passed = time.monotonic() - real
    assert 0.09 <= passed < 5
    assert (clock.now() - scaled) / SECOND == pytest.approx(passed * 600, abs=60)
    await asyncio.wait_for(clock.sleep(-5), 5)


def test_a_scaled_clock_never_goes_back() -> None:
    clock = utils.ScaledClock(0, 1000.0)
    seen = [clock.now() for _ in range(1000)]
    assert seen == sorted(seen)
