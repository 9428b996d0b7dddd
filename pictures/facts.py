"""What a picture shows, as it is handed to the process that draws it.

Times are µs of UTC. Share prices are dollars. Option prices are integers of a hundredth of a cent, as in `events`.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Dark(StrEnum):
    """Why nothing is known of a span of time."""

    BLIND = "blind"
    AWAY = "not running"


class DarkSpan(msgspec.Struct, frozen=True, array_like=True):
    """A span [start, end) of which nothing is known."""

    start: int
    end: int
    why: Dark


class Seconds(msgspec.Struct, frozen=True, kw_only=True):
    """What was known at each moment ``at``, one list a column; None where there was nothing.

    ``price`` is the share's, ``vwap`` and ``long_vwap`` are its short and long VWAP, ``mark`` and ``peak`` those of the
    held call.
    """

    at: list[int]
    price: list[float | None]
    vwap: list[float | None]
    long_vwap: list[float | None]
    mark: list[int | None]
    peak: list[int | None]


class Level(msgspec.Struct, frozen=True, array_like=True):
    """A share of the peak (``of_peak``, such as 0.7) or a ``price`` at which the call is sold, and what it is called."""

    name: str
    price: int | None = None
    of_peak: float | None = None


class Moment(msgspec.Struct, frozen=True, array_like=True):
    """When an order was told, and the share's price then; None if it was not known."""

    at: int
    price: float | None


class TradePicture(msgspec.Struct, frozen=True, kw_only=True, tag="trade"):
    """One trade. ``call`` names it, such as ``242 call``. ``result`` and what follows it are sentences for a person.

    ``percent`` is the result in percent for the headline, None if there is none; ``entry``, ``exit`` and ``peak`` are
    option prices.
    """

    symbol: str
    call: str
    id: str
    date: str
    bought: Moment
    sold: Moment
    entry: int
    exit: int | None
    peak: int
    levels: list[Level]
    percent: float | None
    reason: str
    by_hand: str
    at_once: str
    short_vwap_s: int
    long_vwap_s: int
    seconds: Seconds
    dark: list[DarkSpan]


class DayTrade(msgspec.Struct, frozen=True, kw_only=True):
    """A trade of a day: when it began and ended (None: still open), and its ``dollars`` by hand (None: no result)."""

    number: int
    bought: Moment
    sold: Moment | None
    text: str
    dollars: float | None


class DayPicture(msgspec.Struct, frozen=True, kw_only=True, tag="day"):
    """A session from ``open`` to ``close``. ``headline`` and ``lines`` are sentences for a person."""

    symbol: str
    date: str
    open: int
    close: int
    headline: str
    lines: list[str]
    trades: list[DayTrade]
    long_vwap_s: int
    seconds: Seconds
    dark: list[DarkSpan]


Picture = TradePicture | DayPicture


def encoded(picture: Picture) -> bytes:
    """Returns a picture's facts as JSON."""
    return msgspec.json.encode(picture)


def decoded(data: bytes) -> Picture:
    """Returns the facts in JSON. Raises msgspec.DecodeError for anything else."""
    found: Picture = msgspec.json.decode(data, type=Picture)
    return found
