"""The clock, New York time, the session calendar, money formatting, what a terminal may be shown.

This list is closed: nothing else belongs here. `timekeeping` computes the time; the clocks here read the machine for it.

New York time exists only in this module; everything else counts microseconds of UTC.
"""

from __future__ import annotations

import asyncio
import functools
import re
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from typing import Protocol, assert_never
from zoneinfo import ZoneInfo

from events import OPTION_PRICE_UNIT, SECOND, STRIKE_UNIT, Session
from exchange_calendar import exchange_class
from timekeeping import SLOWING, Doubt, DoubtCause, Timekeeper, VendorOffset

NEW_YORK = ZoneInfo("America/New_York")

OPEN = time_of_day(9, 30)
CLOSE = time_of_day(16, 0)
EARLY_CLOSE = time_of_day(13, 0)
SATURDAY = 5
MINUTE, DAY = 60 * SECOND, 86_400 * SECOND


# --- The clock ---------------------------------------------------------------------------------------

READS_MAX, READ_WITHIN_US = 5, 1_000
"""Both clocks must be read within this time, or they are read again: a pause in between would look like a step. After
`READS_MAX` attempts the last readings count."""

NAP_REAL_S = 1.0
"""The longest single wait, real seconds: a sleeper notices a step of the clock within this time."""


def utc_now() -> int:
    """Returns the time by the machine's wall clock, µs of UTC. Nothing else reads that clock."""
    return time.time_ns() // 1000


def steady_now() -> int:
    """Returns the µs since some moment in the past, by a clock that nobody can set.

    ``CLOCK_BOOTTIME`` counts the time that the machine is suspended. Linux's ``CLOCK_MONOTONIC`` does not, so a
    position's time stop would be late by the length of the sleep until the vendor's time is known. Without
    ``CLOCK_BOOTTIME``, or if a virtual machine is paused as a whole, the wall clock shows the sleep as a step forward.
    """
    return _steady_ns() // 1000


def _steady_source() -> Callable[[], int]:
    """Returns the function that reads the steady clock, in ns. Tries it once: some emulated kernels lack CLOCK_BOOTTIME."""
    try:
        read = functools.partial(time.clock_gettime_ns, time.CLOCK_BOOTTIME)
        read()
    except (AttributeError, OSError):
        return time.monotonic_ns
    return read


_steady_ns = _steady_source()


class Clock(Protocol):
    """The time, and a way to wait for it. ``speed`` is how many times as fast as real time it runs."""

    speed: float

    def now(self) -> int:
        """Returns the time, µs of UTC. It never goes back and never stands still."""

    async def sleep(self, seconds: float) -> None:
        """Waits for that many seconds of this clock."""


class KeptClock(Clock, Protocol):
    """A clock that is compared with the machine's wall clock and the vendor's time. See `Timekeeper`."""

    @property
    def is_compared(self) -> bool:
        """Returns whether the vendor's time is known well enough to rule out doubt."""

    def check(self, limit_s: float) -> Doubt | None:
        """Compares the wall clock. Returns why the time is doubted (a difference over ``limit_s``); None if it is not."""

    def hear_date(self, vendor: VendorOffset) -> None:
        """Records the vendor's time from a ``Date`` header."""

    def hear_bars(self, lag: int, since: int) -> None:
        """Records the median lag (µs) of the bars that arrived from ``since`` on."""

    def go_on_from(self, latest: int) -> None:
        """Makes the time at least ``latest`` (µs), the last time of a record."""

    def begin_anew(self) -> None:
        """Starts again at the wall clock's time, which may be earlier. Call it only while nothing depends on the time."""


class SteadyClock:
    """A clock kept by a `Timekeeper`. ``wall`` and ``steady`` read its two clocks, in µs; both run at ``speed``."""

    def __init__(self, wall: Callable[[], int], steady: Callable[[], int], speed: float = 1.0) -> None:
        self.speed = speed
        self._wall = wall
        self._steady = steady
        self._keeper = Timekeeper(*self._read())

    def now(self) -> int:
        """Returns the time, µs of UTC."""
        return self._keeper.at(self._steady())

    async def sleep(self, seconds: float) -> None:
        """Waits for that many seconds: fewer if the clock steps forward, up to a ninth more while it runs slower."""
        end = self.now() + round(seconds * SECOND)
        latest = self._steady() + round(seconds * SECOND * SLOWING / (SLOWING - 1))
        while True:
            left = min(end - self.now(), latest - self._steady()) / SECOND
            await asyncio.sleep(min(max(0.0, left) / self.speed, NAP_REAL_S))
            if end <= self.now() or latest <= self._steady():
                return

    def steady(self) -> int:
        """Returns the µs of this clock since some moment in the past. No step changes them."""
        return self._steady()

    @property
    def is_compared(self) -> bool:
        """Returns whether the vendor's time is known well enough to rule out doubt."""
        return self._keeper.is_compared

    def check(self, limit_s: float) -> Doubt | None:
        """Compares the wall clock. Returns why the time is doubted (a difference over ``limit_s``); None if it is not."""
        return self._keeper.check(*self._read(), round(limit_s * SECOND))

    def hear_date(self, vendor: VendorOffset) -> None:
        """Records the vendor's time from a ``Date`` header."""
        self._keeper.hear_date(vendor, self._steady())

    def hear_bars(self, lag: int, since: int) -> None:
        """Records the median lag (µs) of the bars that arrived from ``since`` on."""
        self._keeper.hear_bars(lag, since, self._steady())

    def go_on_from(self, latest: int) -> None:
        """Makes the time at least ``latest`` (µs), the last time of a record."""
        self._keeper.go_on_from(latest, self._steady())

    def begin_anew(self) -> None:
        """Starts again at the wall clock's time, which may be earlier. Call it only while nothing depends on the time."""
        self._keeper = Timekeeper(*self._read())

    def _read(self) -> tuple[int, int]:
        """Returns the readings (µs) of the wall clock and of the steady one at the same moment."""
        for _ in range(READS_MAX):
            before, wall, after = self._steady(), self._wall(), self._steady()
            if after - before <= READ_WITHIN_US * self.speed:
                break
        return wall, (before + after) // 2


def steady_of(clock: Clock) -> Callable[[], int]:
    """Returns a function that reads µs for measuring spans: of a `SteadyClock`, one that no step changes."""
    return clock.steady if isinstance(clock, SteadyClock) else clock.now


class SystemClock(SteadyClock):
    """The clock of this machine, at its own speed."""

    def __init__(self) -> None:
        super().__init__(utc_now, steady_now)


class ScaledClock(SteadyClock):
    """A clock that starts at ``start`` (µs of UTC) and runs ``speed`` times as fast as the machine's.

    ``origin_ns`` is the machine's monotonic time at ``start`` (default: now), so that two processes can share one clock.
    ``wall_off`` (µs) may be set at any time: it makes the wall clock wrong, as a machine's may be, and `now` shows how
    the `Timekeeper` copes.
    """

    def __init__(self, start: int, speed: float, origin_ns: int | None = None, wall_off: int = 0) -> None:
        self.start = start
        self.origin_ns = time.monotonic_ns() if origin_ns is None else origin_ns
        self.wall_off = wall_off
        super().__init__(lambda: self.start + self._passed() + self.wall_off, self._passed, speed)

    def _passed(self) -> int:
        return int((time.monotonic_ns() - self.origin_ns) * self.speed) // 1000


# --- New York time -----------------------------------------------------------------------------------


def new_york(at: int) -> datetime:
    """Returns the New York date and time of ``at`` (µs of UTC)."""
    return datetime.fromtimestamp(at // SECOND, UTC).astimezone(NEW_YORK).replace(microsecond=at % SECOND)


def clock_text(at: int) -> str:
    """Returns ``at`` as New York time of day, such as ``10:41:22``."""
    return new_york(at).strftime("%H:%M:%S")


def minute_text(at: int) -> str:
    """Returns ``at`` as New York time of day, without the seconds if they are 0: ``15:55``, ``15:55:30``."""
    moment = new_york(at)
    return moment.strftime("%H:%M:%S" if moment.second else "%H:%M")


def day_text(at: int) -> str:
    """Returns ``at`` as New York weekday, date and time, such as ``Mon 23 Nov 09:30``."""
    return new_york(at).strftime("%a %d %b %H:%M")


def moment_text(at: int) -> str:
    """Returns ``at`` as New York date and time to the second, such as ``2025-10-02 09:25:00 ET``."""
    return new_york(at).strftime("%Y-%m-%d %H:%M:%S ET")


def new_york_date(at: int) -> str:
    """Returns the New York date of ``at`` in ISO form."""
    return new_york(at).date().isoformat()


def utc_iso(at: int) -> str:
    """Returns ``at`` as ISO 8601 UTC, with microseconds only if there are any."""
    moment = datetime.fromtimestamp(at // SECOND, UTC).replace(microsecond=at % SECOND)
    return moment.isoformat().replace("+00:00", "Z")


def span_text(microseconds: int) -> str:
    """Returns a span as a person writes it: ``45s``, ``3m12s``, ``1h05m``."""
    seconds = max(0, microseconds) // SECOND
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"


def difference_text(difference: int) -> str:
    """Returns how far two clocks differ (µs): ``3.0 s``, ``10m00s``, ``3 days``."""
    if difference < MINUTE:
        return f"{difference / SECOND:.1f} s"
    days = round(difference / DAY)
    return span_text(difference + SECOND // 2) if days < 2 else f"{days} days"


def doubt_text(doubt: Doubt) -> str:
    """Returns which clock differs from which, and by how much."""
    by, side = difference_text(abs(doubt.off)), "ahead of" if doubt.off > 0 else "behind"
    match doubt.cause:
        case DoubtCause.STEP:
            return f"this machine's clock is {by} {side} the program's time, and the vendor's does not confirm it"
        case DoubtCause.SLOWED:
            left = span_text(doubt.off * SLOWING)
            return (
                f"the program's time is {by} ahead of the right time, and runs at 0.9 of its rate for {left}"
            )
        case DoubtCause.DATE:
            return f"this machine's clock is {by} {side} the vendor's"
        case DoubtCause.BARS:
            return f"this machine's clock is {by} {side} the vendor's, as its bars tell"
        case _:
            assert_never(doubt.cause)


# --- The session calendar ----------------------------------------------------------------------------


@functools.lru_cache(maxsize=8)
def _calendar(year: int) -> tuple[frozenset[date], frozenset[date]]:
    """Returns the holidays and half days of the New York Stock Exchange in a year, from the ``holidays`` package."""
    closed = frozenset(_exchange()(years=year, categories=("public",)))
    half = frozenset(_exchange()(years=year, categories=("half_day",)))
    return closed, half - closed


_exchange = functools.cache(exchange_class)


def session_on(day: date) -> Session | None:
    """Returns the regular session of a New York date, None if the exchange is closed."""
    closed, half = _calendar(day.year)
    if day.weekday() >= SATURDAY or day in closed:
        return None
    early = day in half
    return Session(
        date=day.isoformat(),
        open=_moment(day, OPEN),
        close=_moment(day, EARLY_CLOSE if early else CLOSE),
        early=early,
    )


def session_at(now: int) -> Session:
    """Returns the session in progress at ``now``, else the next one. Raises LookupError if there is none within 30 days."""
    day = new_york(now).date()
    for offset in range(31):
        session = session_on(day + timedelta(days=offset))
        if session is not None and now < session.close:
            return session
    raise LookupError(f"no session within 30 days of {day}: the calendar must be wrong")


def _moment(day: date, at: time_of_day) -> int:
    return int(datetime.combine(day, at, NEW_YORK).timestamp()) * SECOND


# --- Money -------------------------------------------------------------------------------------------


def share_price(value: float | None) -> str:
    """Returns a share price, such as ``$215.34``; ``n/a`` without one."""
    return "n/a" if value is None else f"${value:,.2f}"


def option_price(value: int | None) -> str:
    """Returns an option price in whole cents, or to the half-cent if it has one: ``$1.45``, ``$1.455``; ``n/a`` for None."""
    if value is None:
        return "n/a"
    dollars, rest = divmod(value, OPTION_PRICE_UNIT)
    digits = f"{rest:04d}"
    return f"${dollars}.{digits.rstrip('0').ljust(2, '0')}"


def strike_text(strike: int) -> str:
    """Returns a strike (strike units) in dollars without trailing zeros: ``215``, ``242.5``."""
    return f"{strike / STRIKE_UNIT:.3f}".rstrip("0").rstrip(".")


def signed_percent(value: float | None, digits: int = 1) -> str:
    """Returns a signed percentage, such as ``+18.5%``; never ``-0.0%``; ``n/a`` without one."""
    if value is None:
        return "n/a"
    rounded = round(value, digits)
    return f"{rounded + 0.0 if rounded else 0.0:+.{digits}f}%"


def one_decimal(value: float | None) -> str:
    """Returns a number with one decimal, never ``-0.0``; ``n/a`` without a value."""
    return "n/a" if value is None else f"{round(value, 1) + 0.0:.1f}"


def plural_s(count: int) -> str:
    """Returns the plural ending of an English noun: empty for 1, else ``s``."""
    return "" if count == 1 else "s"


def number_text(value: float) -> str:
    """Returns a number without trailing zeros, such as a limit in percent: ``15``, ``12.5``."""
    return f"{value:g}"


def momentum_text(value: float, digits: int = 3) -> str:
    """Returns a signed rate with at least ``digits`` decimals and two significant digits: ``+0.045``, ``+0.00081``."""
    if value == 0:
        return f"{0.0:+.{digits}f}"
    text = f"{value:+.{digits}f}"
    while len(text.lstrip("+-0.").replace(".", "")) < 2 and digits < 12:
        digits += 1
        text = f"{value:+.{digits}f}"
    return text


# --- Text that somebody else wrote -------------------------------------------------------------------

_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Characters that a terminal obeys or that change how the rest reads: C0 and C1 controls, marks that change the
direction of writing, invisible ones, lone surrogates. Newline and tab are not among them, nor the joiner and the
variation selectors that emoji need."""


def printable(text: str, *, as_json: bool = False) -> str:
    """Returns ``text`` with every character that a terminal would obey replaced by its escape: ``\\x1b``, ``\\u202e``.

    Keeps newline and tab. With ``as_json``, writes each escape in JSON's form, for text that is already JSON.
    """
    return _OBEYED.sub(_escaped_in_json if as_json else _escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _escaped_in_json(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
