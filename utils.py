"""The clock, New York time, the session calendar, money formatting, whom TLS trusts, what a terminal may be shown.

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
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

import holidays

from events import OPTION_PRICE_UNIT, SECOND, STRIKE_UNIT, Session

if TYPE_CHECKING:
    import ssl

NEW_YORK = ZoneInfo("America/New_York")
OPEN = time_of_day(9, 30)
CLOSE = time_of_day(16, 0)
EARLY_CLOSE = time_of_day(13, 0)
SATURDAY = 5


# --- The clock ---------------------------------------------------------------------------------------


def utc_now() -> int:
    """Now, in µs of UTC. The one place where the machine's clock is read for decisions."""
    return time.time_ns() // 1000


class Clock(Protocol):
    """What the shell is given: the time, and a way to wait for it."""

    speed: float

    def now(self) -> int:
        """Now, in µs of UTC. Never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Wait for that many seconds of this clock."""


class SystemClock:
    """The machine's clock, kept from going back: a step back stands still until the time has caught up."""

    speed = 1.0

    def __init__(self) -> None:
        self._latest = 0

    def now(self) -> int:
        """Now, in µs of UTC."""
        self._latest = max(self._latest, utc_now())
        return self._latest

    async def sleep(self, seconds: float) -> None:
        """Wait for that many seconds."""
        await asyncio.sleep(max(0.0, seconds))


class ScaledClock:
    """A clock that starts at ``start`` (µs of UTC) and runs ``speed`` times as fast as the machine's.

    ``origin_ns`` is the machine's monotonic time at ``start`` (default: now), so that two processes can share one.
    """

    def __init__(self, start: int, speed: float, origin_ns: int | None = None) -> None:
        self.speed = speed
        self.start = start
        self.origin_ns = time.monotonic_ns() if origin_ns is None else origin_ns

    def now(self) -> int:
        """Now, in µs of UTC of the scaled day."""
        return self.start + int((time.monotonic_ns() - self.origin_ns) * self.speed) // 1000

    async def sleep(self, seconds: float) -> None:
        """Wait for that many seconds of the scaled day."""
        await asyncio.sleep(max(0.0, seconds) / self.speed)


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


# --- TLS ---------------------------------------------------------------------------------------------


@functools.cache
def trust() -> ssl.SSLContext:
    """The one TLS context of REST, sockets and pushes: verification on, certifi's roots (or ``SSL_CERT_FILE``).

    Made when it is first asked for: reading the certificates takes 40 ms.
    """
    import httpx  # noqa: PLC0415 - this module is everybody's, and few of them speak to a network

    return httpx.create_ssl_context()


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
