"""What can go wrong with the simulated market, by name, and the broken things that it then says.

`FAULTS` is the list. A test adds a fault, and afterwards asserts in `Faults.fired` that it really happened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from events import SECOND
from sim.wire import Event
from utils import Clock


class Spec(msgspec.Struct, frozen=True):
    """One kind of fault. Without ``times`` and ``seconds``, a ``lasting`` one stays until cleared, any other happens once."""

    text: str
    lasting: bool
    options: dict[str, Any]
    """Every option it takes, with its default."""


_SOCKET = {"feed": ""}
_REST = {"path": ""}

FAULTS: dict[str, Spec] = {
    # Sockets. `feed` is "stocks", "options" or empty for both.
    "drop": Spec(
        "the TCP connection ends without a close frame; `stage`: now, open, auth or subscribe",
        False,
        {**_SOCKET, "stage": "now"},
    ),
    "silence": Spec(
        "the socket stays open and sends no data; `pings` says whether pings are answered",
        True,
        {**_SOCKET, "pings": True},
    ),
    "garbage": Spec(
        "a frame with something broken in it, among good events; `kind` from GARBAGE, empty for each in turn",
        False,
        {**_SOCKET, "kind": ""},
    ),
    "flood": Spec(
        "before a new frame comes one of `size` bytes in which nothing is an event",
        False,
        {**_SOCKET, "size": 1_000_000},
    ),
    "burst": Spec(
        "before a new frame come `frames` frames with its events `copies` times: more than a client can handle at once",
        False,
        {**_SOCKET, "frames": 4, "copies": 2_500},
    ),
    "late": Spec(
        "bars come `by` seconds later than usual: a delayed plan; of `symbol` alone, or of all; `cured`: not those "
        "of a connection made after it was asked for",
        True,
        {**_SOCKET, "by": 900.0, "symbol": "", "cured": False},
    ),
    "one_silent": Spec(
        "bars of `symbol` are not sent; `rest` says whether REST has them; `cured` as for `late`",
        True,
        {**_SOCKET, "symbol": "IWM", "rest": True, "cured": False},
    ),
    "repeat": Spec("instead of every new frame, the last one is sent again", True, _SOCKET),
    "no_pong": Spec("pings are not answered, and data goes on", True, _SOCKET),
    "evict": Spec(
        "a second copy connects: `max_connections` and close 1008, `after` seconds after the subscription",
        False,
        {**_SOCKET, "after": 0.0},
    ),
    "refuse_auth": Spec(
        "`auth_failed` and no close frame; `plan` picks the text about the plan",
        False,
        {**_SOCKET, "plan": False},
    ),
    "max_connections_at_auth": Spec(
        "`max_connections` instead of the answer to auth, close 1008", False, _SOCKET
    ),
    "accept_then_close": Spec("the socket opens and is closed with `code`", False, {**_SOCKET, "code": 1000}),
    "handshake": Spec(
        "the WebSocket handshake is answered with HTTP `status`, by the vendor or by something on the way (`html`)",
        False,
        {**_SOCKET, "status": 503, "html": False},
    ),
    "no_ack": Spec(
        "a subscription is neither acknowledged nor served; `pair` such as A.IWM, empty for the first asked",
        False,
        {**_SOCKET, "pair": ""},
    ),
    "no_connected": Spec("the socket opens and says nothing until it is closed", False, _SOCKET),
    # REST. `path` limits the fault to addresses that contain it.
    "rest_429": Spec(
        "too many requests; `retry_after` seconds in the header, None for no header",
        False,
        {**_REST, "retry_after": 1},
    ),
    "rest_500": Spec("an error of the server", False, _REST),
    "rest_html": Spec("a 504 page of nginx instead of JSON", False, _REST),
    "rest_bad_json": Spec("JSON that breaks off, with status 200", False, _REST),
    "rest_empty": Spec("status OK without results", False, _REST),
    "rest_no_rows": Spec("status OK with an empty list of results", False, _REST),
    "rest_slow": Spec("one byte every half second of real time", False, _REST),
    "rest_hang": Spec(
        "no answer for `real_seconds` of real time, then a reset", False, {**_REST, "real_seconds": 30.0}
    ),
    "rest_reset": Spec("the connection is reset", False, _REST),
    "rest_401": Spec("the key is unknown", False, _REST),
    "rest_403": Spec("the plan does not include it", False, _REST),
    "next_url_offhost": Spec("`next_url` names another host", False, {**_REST, "host": "http://127.0.0.1:9"}),
    "next_url_loop": Spec("`next_url` names the same page for ever", False, _REST),
    "aggregates_lag": Spec("second aggregates are `by` seconds older than usual", True, {"by": 60.0}),
    "quote_hole": Spec("a span of past quotes is answered as if there were none", False, {}),
    "market_closed": Spec("the market status says closed", True, {}),
    "skewed_date": Spec("the Date header and the server time are `by` seconds off", True, {"by": 30.0}),
    "cached": Spec("a cache answers: the Date header is `by` seconds old, and Age says so", True, {"by": 30}),
    "no_date": Spec("a proxy takes the Date header away", True, {}),
    "no_quotes": Spec("rows of the chain without `last_quote`: the plan has none", True, {}),
    "delayed_quotes": Spec("rows of the chain that say DELAYED", True, {}),
    "rest_null": Spec("status OK with `results: null`", False, _REST),
    # What arrives well formed and cannot be true.
    "absurd_print": Spec(
        "bars of `symbol` with prices times `factor` and `volume` times the shares",
        False,
        {"symbol": "IWM", "factor": 1.1, "volume": 100.0},
    ),
    "absurd_quotes": Spec("option quotes, streamed and polled, times `factor`", True, {"factor": 100.0}),
    "frozen_quotes": Spec(
        "rows of the chain marked REAL-TIME whose quotes are `by` seconds old", True, {"by": 72_000.0}
    ),
    "zero_greeks": Spec("rows of the chain whose greeks are all 0", True, {}),
    "absurd_delta": Spec("rows of the chain that all have the same `delta`", True, {"delta": 0.4}),
    "adjusted_root": Spec(
        "each row of the chain twice: first as that of the adjusted contract of `root`",
        True,
        {"root": "IWM1"},
    ),
    "bad_page": Spec(
        "broken rows among the good ones; `nan` includes NaN, which is not JSON",
        False,
        {**_REST, "nan": True},
    ),
}


class Fault:
    """A fault that was asked for. ``times`` counts down, ``until`` is in µs of the market's clock; None is no limit."""

    def __init__(
        self, name: str, times: int | None, until: int | None, options: dict[str, Any], asked_at: int = 0
    ) -> None:
        self.name, self.times, self.until, self.options = name, times, until, options
        self.asked_at = asked_at
        self.fired = 0

    def __getitem__(self, option: str) -> Any:
        """The value of an option."""
        return self.options[option]

    def __repr__(self) -> str:
        return f"Fault({self.name!r}, times={self.times}, fired={self.fired}, {self.options})"


class Faults:
    """The faults that are asked for now, and ``fired``: how often each name really happened."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asked: list[Fault] = []
        self.fired: Counter[str] = Counter()
        self.on_add: Callable[[Fault], None] | None = None
        """Called with each new fault, so that the server can act on connections that are open already."""

    def add(
        self, name: str, *, times: int | None = None, seconds: float | None = None, **options: Any
    ) -> Fault:
        """Asks for a fault: ``times`` often, for ``seconds`` of the market's clock, or as its kind has it.

        Raises ValueError for a name or option that is not in `FAULTS`.
        """
        spec = FAULTS.get(name)
        if spec is None:
            raise ValueError(f"no fault named {name!r}; there are: {', '.join(FAULTS)}")
        unknown = sorted(set(options) - set(spec.options))
        if unknown:
            raise ValueError(
                f"fault {name!r} takes no {', '.join(unknown)}; it takes: {', '.join(spec.options)}"
            )
        if times is None and seconds is None and not spec.lasting:
            times = 1
        until = None if seconds is None else self._clock.now() + int(seconds * SECOND)
        fault = Fault(name, times, until, {**spec.options, **options}, self._clock.now())
        self._asked.append(fault)
        if self.on_add is not None:
            self.on_add(fault)
        return fault

    def clear(self, name: str = "") -> None:
        """Takes back every fault of that name; without a name, all. ``fired`` keeps its counts."""
        self._asked = [fault for fault in self._asked if name and fault.name != name]

    def find(self, name: str, **where: Any) -> Fault | None:
        """Returns the first fault of that name that is in force and fits, without using it up.

        ``feed`` must equal the fault's, ``path`` contain it; an empty option fits everything. Others must be equal.
        """
        if not self._asked:
            return None
        now = self._clock.now()
        return next((fault for fault in self._asked if fault.name == name and _fits(fault, now, where)), None)

    def take(self, name: str, **where: Any) -> Fault | None:
        """Like `find`, and the fault happens: it is counted in ``fired``, and one of its times is used up."""
        fault = self.find(name, **where)
        if fault is not None:
            self.use(fault)
        return fault

    def use(self, fault: Fault) -> None:
        """Counts a fault as having happened once."""
        fault.fired += 1
        self.fired[fault.name] += 1
        if fault.times is not None:
            fault.times -= 1


def _fits(fault: Fault, now: int, where: dict[str, Any]) -> bool:
    if fault.times == 0 or (fault.until is not None and now >= fault.until):
        return False
    for name, value in where.items():
        wanted = fault.options.get(name, "")
        if name == "path":
            if wanted not in value:
                return False
        elif wanted not in ("", value):
            return False
    return True


# --- Broken frames -----------------------------------------------------------------------------------

WRONG = 2.0
"""Broken events carry prices this many times the good one's, so that a test sees if one is used."""

PRICE_KEYS = ("o", "h", "l", "c", "vw", "a", "bp", "ap")
NS_PER_MS = 1_000_000
HOUR_MS = 3_600_000


def _wrong(good: Event, **changes: Any) -> Event:
    prices: Event = {key: good[key] * WRONG for key in PRICE_KEYS if key in good}
    return {**good, **prices, **changes}


def _without(good: Event, *keys: str) -> Event:
    return {key: value for key, value in _wrong(good).items() if key not in keys}


def _stamp(good: Event, factor: int = 1, plus: int = 0) -> Event:
    return _wrong(good, **{key: good[key] * factor + plus for key in ("s", "e", "t") if key in good})


BROKEN_EVENTS: dict[str, Callable[[Event], Any]] = {
    "nan": lambda good: _wrong(good, c=float("nan"), bp=float("nan")),
    "infinity": lambda good: _wrong(good, vw=float("inf"), ap=float("inf")),
    "null_fields": lambda good: _wrong(good, c=None, v=None, s=None, bp=None, t=None),
    "missing_fields": lambda good: _without(good, "o", "c", "h", "l", "s", "t", "bp", "ap"),
    "text_numbers": lambda good: _wrong(good, c="dear", s="soon", bp="cheap", t="now"),
    "number_as_text": lambda good: _wrong(
        good, c=str(good.get("c", 1) * WRONG), bp=str(good.get("bp", 1) * WRONG)
    ),
    "negative": lambda good: _wrong(good, c=-1.0, v=-100, dv="-100", vw=-1.0, bp=-0.5, ap=-0.4, bs=-3),
    "zero_prices": lambda good: _wrong(good, o=0, h=0, l=0, c=0, vw=0),
    "bad_decimal": lambda good: _wrong(good, dv="many", v="many", bs="many"),
    "ns_timestamps": lambda good: _stamp(good, NS_PER_MS),
    "future": lambda good: _stamp(good, 1, HOUR_MS),
    "huge_integer": lambda good: _wrong(good, s=10**30, t=10**30),
    "fractional_time": lambda good: _stamp(good, 1, 0) | {"s": 0.5, "t": 0.5},
    "unknown_symbol": lambda good: _wrong(good, sym="ZZZZ"),
    "null_symbol": lambda good: _wrong(good, sym=None),
    "unknown_event": lambda good: _wrong(good, ev="ZZ"),
    "no_event": lambda good: _without(good, "ev"),
    "unknown_status": lambda good: {
        "ev": "status",
        "status": "gremlins",
        "message": "nobody has heard of this",
    },
    "bare_status": lambda good: {"ev": "status"},
    "null_event": lambda good: None,
    "number_event": lambda good: 17,
    "text_event": lambda good: "A",
    "list_event": lambda good: [[good["sym"]]],
}
"""Name → a broken event made from a good one, to stand among good ones."""

BROKEN_FRAMES: dict[str, str | bytes] = {
    "broken_json": '[{"ev":"A","sym":"IWM","v":1,',
    "not_json": "upstream connect error or disconnect/reset before headers",
    "not_an_array": '{"ev":"status","status":"gremlins","message":"not in an array"}',
    "null_frame": "null",
    "empty_frame": "",
    "empty_array": "[]",
    "binary": b"\x00\x01\x02\xff",
}
"""Name → a whole frame that is broken, sent before a good one."""

GARBAGE = (*BROKEN_EVENTS, *BROKEN_FRAMES)


def flood(size: int) -> str:
    """Returns a frame of about ``size`` bytes in which nothing is an event."""
    return f"[{'1,' * (size // 2 - 2)}1]"


# --- Broken rows -------------------------------------------------------------------------------------


def bad_rows(good: dict[str, Any], *, nan: bool) -> list[Any]:
    """Returns rows of a chain page, each broken in another way, from a good one."""
    quote, details = good.get("last_quote", {}), good["details"]

    def row(**changes: Any) -> dict[str, Any]:
        return {**good, **changes}

    rows: list[Any] = [
        None,
        "row",
        7,
        [],
        {},
        row(details=None),
        row(details={**details, "ticker": None}),
        row(details={**details, "strike_price": "high"}),
        row(details={**details, "strike_price": -240}),
        row(last_quote=None),
        row(last_quote={}),
        row(last_quote={**quote, "bid": "0.86", "ask": None}),
        row(last_quote={**quote, "bid": -0.5, "ask": -0.4}),
        row(last_quote={**quote, "last_updated": "now"}),
        row(greeks=None, implied_volatility="high", open_interest=None),
    ]
    if nan:
        rows.append(row(last_quote={**quote, "bid": float("nan"), "ask": float("inf")}))
        rows.append(row(greeks={"delta": float("nan")}, implied_volatility=float("nan")))
    return rows


def bad_bars(good: dict[str, Any], *, nan: bool) -> list[Any]:
    """Returns rows of an aggregates page, each broken in another way, from a good one."""
    wrong = {key: good[key] * WRONG for key in "ohlc"}
    rows: list[Any] = [
        None,
        "bar",
        {},
        {**good, **wrong, "t": None},
        {**good, **wrong, "t": "now"},
        {**good, **wrong, "t": good["t"] * NS_PER_MS},
        {**good, **wrong, "c": None},
        {**good, **wrong, "c": "dear"},
        {**good, **wrong, "v": -5, "c": -1.0},
    ]
    if nan:
        rows.append({**good, **wrong, "c": float("nan")})
    return rows
