"""What can go wrong with the simulated market, by name. `sim/broken.py` has the broken things that it then says.

`FAULTS` is the list. A test adds a fault, and afterwards asserts in `Faults.fired` that it really happened.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from events import SECOND
from utils import Clock


class Spec(msgspec.Struct, frozen=True):
    """One kind of fault. Without ``times`` and ``seconds``, a ``lasting`` one stays until cleared, any other happens once."""

    text: str
    lasting: bool
    options: dict[str, Any]
    """Every option it takes, with its default."""


_SOCKET = {"feed": ""}
_REST = {"path": ""}
_SYMBOL = {"symbol": ""}

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
    "overload": Spec(
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
    "duplicates": Spec("each frame is sent twice", True, _SOCKET),
    "burst": Spec(
        "before a new frame comes the last one, `frames` times", False, {**_SOCKET, "frames": 1_000}
    ),
    "wrong_symbol": Spec("each bar comes once more, as that of `other`", True, {"other": "QQQ"}),
    "wrong_day": Spec("bars of `symbol` come once more, as those of the day before", True, _SYMBOL),
    "future": Spec(
        "bars of `symbol` come once more, as those of the second that ends `by` seconds from now",
        False,
        {**_SYMBOL, "by": 5.0},
    ),
    "missed_bars": Spec(
        "`share` of the bars of `symbol` are never sent; REST has them", True, {**_SYMBOL, "share": 0.5}
    ),
    "out_of_order": Spec(
        "bars are held back up to `by` seconds, each by a length of its own", True, {"by": 5.0}
    ),
    "corrections": Spec(
        "`share` of the bars are sent again `age` seconds later, with late trades in them; REST has them then",
        True,
        {"share": 0.5, "age": 60.0},
    ),
    "halt": Spec(
        "nothing trades: the bars of that time are neither sent, nor does REST ever have them", True, {}
    ),
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
    "rest_error_body": Spec("status 200 with the body of an error", False, _REST),
    "truncated_page": Spec("the connection ends in the middle of the body", False, _REST),
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
    "zero_bids": Spec("`share` of the option quotes, streamed and polled, have no bid", True, {"share": 0.5}),
    "contract_gone": Spec("`contract` is neither in the chain nor streamed", True, {"contract": ""}),
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

    def covers(self, at: int) -> bool:
        """Whether it was, or is, in force at a time, µs."""
        return self.asked_at <= at and (self.until is None or at < self.until)

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
        self._ever: list[Fault] = []
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
        self._ever.append(fault)
        if self.on_add is not None:
            self.on_add(fault)
        return fault

    def clear(self, name: str = "") -> None:
        """Takes back every fault of that name; without a name, all. ``fired`` keeps its counts."""
        self._asked = [fault for fault in self._asked if name and fault.name != name]

    def all(self, name: str) -> list[Fault]:
        """Returns every fault of that name that was ever asked for."""
        return [fault for fault in self._ever if fault.name == name]

    def end(self, fault: Fault) -> None:
        """Ends a fault now, if it is still in force."""
        now = self._clock.now()
        fault.until = now if fault.until is None else min(now, fault.until)

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


def happens(share: float, *keys: int) -> bool:
    """Returns whether something of this share happens to what has these keys: the same each time that it is asked."""
    return part_of(*keys) < share


def part_of(*keys: int) -> float:
    """Returns a number in [0, 1) that depends on ``keys`` alone."""
    return zlib.crc32(",".join(map(str, keys)).encode()) / 2**32
