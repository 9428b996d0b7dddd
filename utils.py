"""The clock, New York time, the session calendar, money formatting, what a terminal may be shown.

A closed list: nothing else belongs here.

New York time exists only in this module; everything else counts microseconds of UTC.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import re
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol, assert_never
from zoneinfo import ZoneInfo

import holidays

from events import OPTION_PRICE_UNIT, SECOND, STRIKE_UNIT, Session

NEW_YORK = ZoneInfo("America/New_York")
OPEN = time_of_day(9, 30)
CLOSE = time_of_day(16, 0)
EARLY_CLOSE = time_of_day(13, 0)
SATURDAY = 5
MINUTE, DAY = 60 * SECOND, 86_400 * SECOND


# --- The clock ---------------------------------------------------------------------------------------

SLOWING = 10
"""While `now` is ahead it loses one µs in 10: it runs at 0.9 of its rate until the right time has caught up."""

SAME_US = 50_000
"""A smaller difference between the wall clock and ours is not a step: reading two clocks takes a moment."""

READS_MAX, READ_WITHIN_US = 5, 1_000
"""Two clocks must be read within this time, or they are read again: a pause in between would look like a step."""

FRESH_US = 600 * SECOND
"""How long a measurement of the vendor's time is used. Ordinary oscillators drift by 0.06 s in that time."""

DATE_FIRST_US = 120 * SECOND
"""With a ``Date`` this recent, late bars mean a delayed plan or a slow network, not a wrong clock."""

EXACT_US = 1_200_000
"""The uncertainty that a measurement may have: an answer's ``Date`` has whole seconds, and may be 1.4 s under way."""

NEAR_US = 600_000
"""A step to within this distance of the vendor's time is followed even if our time seems slightly nearer."""

BAR_HOLD_US = (1 * SECOND, 3 * SECOND)
"""How long after its second a bar arrives: the vendor holds it about 2 s for late prints; 1 s to 3 s were seen."""

MEASUREMENTS_IN_A_ROW = 2
"""This many measurements must agree before the vendor's time makes the clock doubted, or trusted again."""

RELEASE_SHARE = 0.75
"""Doubt ends at this share of the limit, so that a clock that is off by about the limit does not flap."""

NAP_REAL_S = 1.0
"""The longest single wait, in real seconds: a sleeper notices a step of the clock within it."""


def utc_now() -> int:
    """Now, in µs of UTC, by the machine's wall clock. Nothing else reads it."""
    return time.time_ns() // 1000


def steady_now() -> int:
    """µs since some moment in the past, by a clock that nobody can set.

    ``CLOCK_BOOTTIME`` runs on while the machine is suspended; Linux's ``CLOCK_MONOTONIC`` stops, and a position's time
    stop would then be late by the sleep until the vendor had told the time. Where there is no ``CLOCK_BOOTTIME``, or a
    virtual machine is paused as a whole, the wall clock shows the sleep as a step forward.
    """
    return _steady_ns() // 1000


def _steady_source() -> Callable[[], int]:
    """Returns the function that reads the steady clock, in ns. Some emulated kernels lack the clock that their headers name."""
    try:
        read = functools.partial(time.clock_gettime_ns, time.CLOCK_BOOTTIME)
        read()
    except (AttributeError, OSError):
        return time.monotonic_ns
    return read


_steady_ns = _steady_source()


class DoubtCause(StrEnum):
    """Why the time is doubted."""

    STEP = "step"
    """The wall clock differs from the program's time, and the vendor's time does not confirm the wall clock."""
    SLOWED = "slowed"
    """The program's time is ahead of the right time, and runs slower until that has caught up."""
    DATE = "date"
    """The vendor's ``Date`` says another time."""
    BARS = "bars"
    """The vendor's bars say another time."""


class Doubt(NamedTuple):
    """Why the time is doubted, and by how much the clock is ``off``: µs, positive when it is ahead."""

    cause: DoubtCause
    off: int

    @property
    def remedy(self) -> str:
        """What the owner can do."""
        is_set = self.cause is DoubtCause.SLOWED
        return "nothing to do, it follows by itself" if is_set else "set this machine's clock (NTP)"

    @property
    def text(self) -> str:
        """Which clock differs from which, and by how much."""
        by, side = difference_text(abs(self.off)), "ahead of" if self.off > 0 else "behind"
        match self.cause:
            case DoubtCause.STEP:
                return f"this machine's clock is {by} {side} the program's time, and the vendor's does not confirm it"
            case DoubtCause.SLOWED:
                left = span_text(self.off * SLOWING)
                return f"the program's time is {by} ahead of the right time, and runs at 0.9 of its rate for {left}"
            case DoubtCause.DATE:
                return f"this machine's clock is {by} {side} the vendor's"
            case DoubtCause.BARS:
                return f"this machine's clock is {by} {side} the vendor's, as its bars tell"
            case _:
                assert_never(self.cause)


def difference_text(difference: int) -> str:
    """How far two clocks differ (µs): ``3.0 s``, ``10m00s``, ``3 days``."""
    if difference < MINUTE:
        return f"{difference / SECOND:.1f} s"
    days = round(difference / DAY)
    return span_text(difference + SECOND // 2) if days < 2 else f"{days} days"


class VendorTime(NamedTuple):
    """One measurement: the vendor's time was ``low`` to ``high`` µs ahead of `now` (negative: behind) when that was ``at``."""

    low: int
    high: int
    at: int


class _Evidence:
    """One source's measurements of the vendor's time, relative to a time that only the steady clock advances."""

    def __init__(self) -> None:
        self.low = self.high = 0
        """Bounds (µs) of how far the vendor's time is ahead."""
        self.measured_at: int | None = None
        """When it was last measured, by the steady clock, µs; None: never."""
        self.is_off = False
        """Whether, by this source, the clock is off by more than the limit."""
        self._is_news = False
        self._judged = 0
        self._in_a_row = 0

    @property
    def is_settled(self) -> bool:
        """Whether enough measurements have been judged, the last one confirmed the verdict, and it is precise enough."""
        is_exact = (self.high - self.low) // 2 <= EXACT_US
        return self._judged >= MEASUREMENTS_IN_A_ROW and not self._in_a_row and is_exact

    @property
    def middle(self) -> int:
        """The best guess, µs."""
        return (self.low + self.high) // 2

    def is_fresh(self, steady: int, within: int = FRESH_US) -> bool:
        """Whether it was measured at most ``within`` µs ago."""
        return self.measured_at is not None and steady - self.measured_at <= within

    def learn(self, low: int, high: int, steady: int, *, narrows: bool) -> None:
        """Record a measurement. With ``narrows``, keep only the range that it shares with those before, if there is one."""
        if narrows and self.is_fresh(steady) and max(low, self.low) <= min(high, self.high):
            low, high = max(low, self.low), min(high, self.high)
        self.low, self.high, self.measured_at = low, high, steady
        self._is_news = True

    def move(self, by: int) -> None:
        """Shift the measurements: the time that they are relative to has moved by ``by`` µs."""
        self.low -= by
        self.high -= by

    def judge(self, lead: int, limit: int, *, ahead_counts: bool = True) -> None:
        """Judge a new measurement for a clock that is ``lead`` µs ahead of the time it was taken against.

        What a measurement leaves open beyond half the limit is given to the clock's favour. Without ``ahead_counts``,
        only a clock that is behind counts as off.
        """
        if not self._is_news:
            return
        self._is_news = False
        self._judged += 1
        off = lead - self.middle
        vague = max(0, (self.high - self.low) // 2 - limit // 2)
        is_beyond = abs(off) - vague > limit * (RELEASE_SHARE if self.is_off else 1)
        if (is_beyond and (ahead_counts or off < 0)) is self.is_off:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        if self._in_a_row >= MEASUREMENTS_IN_A_ROW:
            self.is_off = not self.is_off
            self._in_a_row = 0

    def clear(self) -> None:
        """The clock now follows this source, so it is not off."""
        self.is_off = False
        self._in_a_row = 0


class Timekeeper:
    """Computes `now` from the wall clock, a steady clock and the vendor's time. Pure: every reading (µs) is passed in.

    The right time is taken to be ``line`` + the steady clock; at the start that is the wall clock's time. A step of the
    wall clock moves the line only once the vendor's time agrees with it. Forward, `now` follows at once. Backward, it
    runs at 0.9 of its rate until the right time has caught up: it never stands still and never goes back.
    """

    def __init__(self, wall: int, steady: int) -> None:
        self._line = wall - steady
        self._lead, self._lead_since = 0, steady
        """How far `now` was ahead of the right time, and when."""
        self._step = 0
        """How far the wall clock is ahead of the right time."""
        self._moved_at = wall
        """`now` when the line last moved; earlier measurements no longer count."""
        self._date, self._bars = _Evidence(), _Evidence()
        self._is_slowed = False

    def at(self, steady: int) -> int:
        """`now` when the steady clock says ``steady``."""
        right = self._line + steady
        return right + self._lead_at(steady) if self._lead else right

    @property
    def is_compared(self) -> bool:
        """Whether the vendor's time is known well enough to rule doubt out."""
        return self._date.is_settled or (self._date.measured_at is None and self._bars.is_settled)

    def _lead_at(self, steady: int) -> int:
        """How far `now` is ahead of the right time."""
        return max(0, self._lead - (steady - self._lead_since) // SLOWING)

    def hear_date(self, vendor: VendorTime, steady: int) -> None:
        """Record what a ``Date`` says. Each has whole seconds; several together narrow it to fractions."""
        if vendor.at >= self._moved_at:
            lead = self._lead_at(steady)
            self._date.learn(vendor.low + lead, vendor.high + lead, steady, narrows=True)

    def hear_bars(self, lag: int, since: int, steady: int) -> None:
        """Record the median ``lag`` of bars that arrived from ``since`` on; negative if they arrived before their seconds ended."""
        if since >= self._moved_at:
            soonest, latest = BAR_HOLD_US
            lead = self._lead_at(steady)
            self._bars.learn(soonest - lag + lead, latest - lag + lead, steady, narrows=False)

    def go_on_from(self, latest: int, steady: int) -> None:
        """Make `now` at least ``latest``, where a record ends. A wall clock behind that has stepped back."""
        ahead = latest - self.at(steady)
        if ahead > 0:
            self._move(ahead)
            self._moved_at = latest

    def check(self, wall: int, steady: int, limit: int) -> Doubt | None:
        """Compare the wall clock; follow its step if the vendor's time agrees with it within ``limit`` µs.

        Returns why the time is doubted; None when it is not.
        """
        step = wall - self._line - steady
        self._step = step if abs(step) > SAME_US else 0
        known = next((found for found in (self._date, self._bars) if found.is_fresh(steady)), None)
        if self._step and known is not None:
            off = abs(known.middle - self._step)
            # Within the limit and not a step away from the vendor's time: a drifting wall clock is not followed.
            if off <= limit and off <= max(abs(known.middle), NEAR_US):
                self._follow(steady)
        self._judge_vendor(steady, limit)
        return self._doubt(steady, limit)

    def _follow(self, steady: int) -> None:
        """Adopt the wall clock's time as the right one."""
        now = self.at(steady)
        self._move(self._step)
        self._lead, self._lead_since = max(0, now - self._line - steady), steady
        self._moved_at = self.at(steady)
        self._date.clear()
        self._bars.clear()

    def _move(self, by: int) -> None:
        self._line += by
        self._step -= by
        self._date.move(by)
        self._bars.move(by)

    def _judge_vendor(self, steady: int, limit: int) -> None:
        """Judge by each source whether the vendor's time differs from ours.

        Bars that come too early prove that our clock is behind. Late bars prove nothing while a ``Date`` is known: the
        plan may be delayed, or the network slow.
        """
        date, bars, lead = self._date, self._bars, self._lead_at(steady)
        date.judge(lead, limit)
        bars.judge(lead, limit, ahead_counts=not date.is_fresh(steady, DATE_FIRST_US))
        if self._is_slowed:  # that difference is known and already reported
            date.clear()
            bars.clear()

    def _doubt(self, steady: int, limit: int) -> Doubt | None:
        if abs(self._step) > limit:
            return Doubt(DoubtCause.STEP, self._step)
        lead = self._lead_at(steady)
        self._is_slowed = lead > (limit * RELEASE_SHARE if self._is_slowed else limit)
        if self._is_slowed:
            return Doubt(DoubtCause.SLOWED, lead)
        # A source that has gone quiet yields to the other.
        has_date, has_bars = self._date.is_fresh(steady), self._bars.is_fresh(steady)
        if self._date.is_off and (has_date or not has_bars):
            return Doubt(DoubtCause.DATE, lead - self._date.middle)
        if self._bars.is_off and (has_bars or not has_date):
            return Doubt(DoubtCause.BARS, lead - self._bars.middle)
        return None


class Clock(Protocol):
    """What the shell is given: the time, and a way to wait for it."""

    speed: float

    def now(self) -> int:
        """Now, in µs of UTC. Never goes back and never stands still."""

    async def sleep(self, seconds: float) -> None:
        """Wait for that many seconds of this clock."""


class KeptClock(Clock, Protocol):
    """A clock that is compared with the machine's wall clock and the vendor's time. See `Timekeeper`."""

    @property
    def is_compared(self) -> bool:
        """Whether the vendor's time is known well enough to say that there is no doubt."""

    def check(self, limit_s: float) -> Doubt | None:
        """Compare the wall clock. Returns why the time is doubted (differences over ``limit_s``), None when it is not."""

    def hear_date(self, vendor: VendorTime) -> None:
        """Take in what the ``Date`` of a vendor's answer tells."""

    def hear_bars(self, lag: int, since: int) -> None:
        """Take in the median lag (µs) of bars that arrived from ``since`` on."""

    def go_on_from(self, latest: int) -> None:
        """Go on behind ``latest`` (µs), the last time of a record."""

    def begin_anew(self) -> None:
        """Forget all that was, and begin at the wall clock, which may be back: only while nothing depends on the time."""


class SteadyClock:
    """A clock kept by a `Timekeeper`. ``wall`` and ``steady`` read its two clocks, in µs; both run at ``speed``."""

    def __init__(self, wall: Callable[[], int], steady: Callable[[], int], speed: float = 1.0) -> None:
        self.speed = speed
        self._wall = wall
        self._steady = steady
        self._keeper = Timekeeper(*self._read())

    def now(self) -> int:
        """Now, in µs of UTC."""
        return self._keeper.at(self._steady())

    async def sleep(self, seconds: float) -> None:
        """Wait for that many seconds: fewer if the clock steps forward meanwhile, up to a ninth more while it is slowed."""
        end = self.now() + round(seconds * SECOND)
        latest = self._steady() + round(seconds * SECOND * SLOWING / (SLOWING - 1))
        while True:
            left = min(end - self.now(), latest - self._steady()) / SECOND
            await asyncio.sleep(min(max(0.0, left) / self.speed, NAP_REAL_S))
            if end <= self.now() or latest <= self._steady():
                return

    def steady(self) -> int:
        """µs of this clock since some moment in the past: no step moves it."""
        return self._steady()

    @property
    def is_compared(self) -> bool:
        """Whether the vendor's time is known well enough to say that there is no doubt."""
        return self._keeper.is_compared

    def check(self, limit_s: float) -> Doubt | None:
        """Compare the wall clock. Returns why the time is doubted (differences over ``limit_s``), None when it is not."""
        return self._keeper.check(*self._read(), round(limit_s * SECOND))

    def hear_date(self, vendor: VendorTime) -> None:
        """Take in what the ``Date`` of a vendor's answer tells."""
        self._keeper.hear_date(vendor, self._steady())

    def hear_bars(self, lag: int, since: int) -> None:
        """Take in the median lag (µs) of bars that arrived from ``since`` on."""
        self._keeper.hear_bars(lag, since, self._steady())

    def go_on_from(self, latest: int) -> None:
        """Go on behind ``latest`` (µs), the last time of a record."""
        self._keeper.go_on_from(latest, self._steady())

    def begin_anew(self) -> None:
        """Forget all that was, and begin at the wall clock, which may be back: only while nothing depends on the time."""
        self._keeper = Timekeeper(*self._read())

    def _read(self) -> tuple[int, int]:
        """The wall clock and the steady one at the same moment, µs."""
        for _ in range(READS_MAX):
            before, wall, after = self._steady(), self._wall(), self._steady()
            if after - before <= READ_WITHIN_US * self.speed:
                break
        return wall, (before + after) // 2


def steady_of(clock: Clock) -> Callable[[], int]:
    """What measures a pause by this clock although its time may step; of a clock that never does, its time."""
    return clock.steady if isinstance(clock, SteadyClock) else clock.now


class SystemClock(SteadyClock):
    """The machine's clock."""

    def __init__(self) -> None:
        super().__init__(utc_now, steady_now)


class ScaledClock(SteadyClock):
    """A clock that starts at ``start`` (µs of UTC) and runs ``speed`` times as fast as the machine's.

    ``origin_ns`` is the machine's monotonic time at ``start`` (default: now), so that two processes can share one.
    ``wall_off`` sets its wall clock that many µs wrong, at any time: its time is then what a worker makes of that.
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
    """The New York date and time of ``at`` (µs of UTC)."""
    return datetime.fromtimestamp(at // SECOND, UTC).astimezone(NEW_YORK).replace(microsecond=at % SECOND)


def clock_text(at: int) -> str:
    """``at`` as New York time of day, such as ``10:41:22``."""
    return new_york(at).strftime("%H:%M:%S")


def minute_text(at: int) -> str:
    """``at`` as New York time of day; seconds are left out when they are 0, as in ``15:55``."""
    moment = new_york(at)
    return moment.strftime("%H:%M:%S" if moment.second else "%H:%M")


def day_text(at: int) -> str:
    """``at`` as New York weekday, date and time, such as ``Mon 23 Nov 09:30``."""
    return new_york(at).strftime("%a %d %b %H:%M")


def new_york_date(at: int) -> str:
    """The New York date of ``at`` in ISO form."""
    return new_york(at).date().isoformat()


def utc_iso(at: int) -> str:
    """``at`` as ISO 8601 UTC, with microseconds only where there are any."""
    return (
        datetime.fromtimestamp(at // SECOND, UTC)
        .replace(microsecond=at % SECOND)
        .isoformat()
        .replace("+00:00", "Z")
    )


def span_text(microseconds: int) -> str:
    """A span as a person writes it: ``45s``, ``3m12s``, ``1h05m``."""
    seconds = max(0, microseconds) // SECOND
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"


# --- The session calendar ----------------------------------------------------------------------------


EXCHANGE_FILE = Path(holidays.__file__).with_name("financial") / "ny_stock_exchange.py"
"""Where the ``holidays`` package defines the New York Stock Exchange."""


def exchange_class(file: Path = EXCHANGE_FILE) -> Callable[..., holidays.HolidayBase]:
    """The ``holidays`` package's class of the exchange, from its ``file`` alone.

    Asked for by its name, the package imports every exchange and 250 countries first: a tenth of a second, a
    sixth of a start. Without the file (another version of the package), it is asked for by its name.
    """
    spec = importlib.util.spec_from_file_location("new_york_stock_exchange", file)
    if spec is None or spec.loader is None or not file.is_file():
        return functools.partial(holidays.financial_holidays, "NYSE")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[..., holidays.HolidayBase] = module.NewYorkStockExchange
    return found


@functools.lru_cache(maxsize=8)
def _calendar(year: int) -> tuple[frozenset[date], frozenset[date]]:
    """Holidays and half days of the New York Stock Exchange in a year, from the ``holidays`` package."""
    closed = frozenset(_exchange()(years=year, categories=("public",)))
    half = frozenset(_exchange()(years=year, categories=("half_day",)))
    return closed, half - closed


_exchange = functools.cache(exchange_class)


def session_on(day: date) -> Session | None:
    """The regular session of a New York date, or None when the exchange is closed."""
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
    """The session in progress at ``now``, else the next one. Raises LookupError when none is found in 30 days."""
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
    """A share price, such as ``$215.34``; ``n/a`` without one."""
    return "n/a" if value is None else f"${value:,.2f}"


def option_price(value: int | None) -> str:
    """An option price in whole cents, or to the half-cent when it has one: ``$1.45``, ``$1.455``; ``n/a`` without one."""
    if value is None:
        return "n/a"
    dollars, rest = divmod(value, OPTION_PRICE_UNIT)
    digits = f"{rest:04d}"
    return f"${dollars}.{digits.rstrip('0').ljust(2, '0')}"


def strike_text(strike: int) -> str:
    """A strike without needless zeros: ``215``, ``242.5``."""
    return f"{strike / STRIKE_UNIT:.3f}".rstrip("0").rstrip(".")


def signed_percent(value: float | None, digits: int = 1) -> str:
    """A signed percentage, such as ``+18.5%``; never ``-0.0%``; ``n/a`` without one."""
    if value is None:
        return "n/a"
    rounded = round(value, digits)
    return f"{rounded + 0.0 if rounded else 0.0:+.{digits}f}%"


def number_text(value: float) -> str:
    """A number without needless zeros, such as a limit in percent: ``15``, ``12.5``."""
    return f"{value:g}"


def momentum_text(value: float, digits: int = 3) -> str:
    """A signed rate with at least ``digits`` decimals and two significant digits: ``+0.045``, ``+0.00081``."""
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
"""Characters that a terminal obeys or that change how the rest reads: C0 and C1 controls, marks that turn the
direction of writing, invisible ones, halves of a character. Not among them: newline and tab, and the joiner and the
selectors that emoji are made with."""


def printable(text: str, *, as_json: bool = False) -> str:
    """``text`` with every character that a terminal would obey written as its escape: ``\\x1b``, ``\\u202e``.

    Newline and tab stay. ``as_json`` writes each escape as JSON has it, for text that is JSON already.
    """
    return _OBEYED.sub(_escaped_in_json if as_json else _escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _escaped_in_json(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
