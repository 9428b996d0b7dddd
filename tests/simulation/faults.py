"""What can go wrong around the worker, by name. `tests/simulation/kinds.py` says more of each kind, and
`tests/simulation/draw.py` draws those of a seed. The world (`tests/simulation/world.py`) makes them happen.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Value = bool | int | float | str


class Place(StrEnum):
    """Where a fault strikes."""

    SOCKET = "socket"
    PAYLOAD = "payload"
    REST = "rest"
    CLOCK = "clock"
    PROCESS = "process"
    LOOP = "loop"
    DISK = "disk"
    PUSH = "push"
    HEARTBEAT = "heartbeat"


class Kind(StrEnum):
    """Every kind of fault."""

    # The way to the vendor, and its sockets
    DROP = "drop"
    HALF_OPEN = "half_open"
    UNREACHABLE = "unreachable"
    NO_NAME = "no_name"
    LATENCY = "latency"
    CHOPPED = "chopped"
    TRICKLE = "trickle"
    STALL = "stall"
    NO_PONG = "no_pong"
    KICK = "kick"
    MAX_CONNECTIONS_AT_AUTH = "max_connections_at_auth"
    ACCEPT_THEN_CLOSE = "accept_then_close"
    AUTH_FAILED = "auth_failed"
    HANDSHAKE = "handshake"
    NO_ACK = "no_ack"
    NO_CONNECTED = "no_connected"
    BURST = "burst"
    GIANT_FRAME = "giant_frame"
    # What its events say
    GARBAGE = "garbage"
    ABSURD_PRINT = "absurd_print"
    DUPLICATES = "duplicates"
    SAME_AGAIN = "same_again"
    CORRECTIONS = "corrections"
    OUT_OF_ORDER = "out_of_order"
    LATE = "late"
    FUTURE = "future"
    WRONG_SYMBOL = "wrong_symbol"
    WRONG_DAY = "wrong_day"
    MISSED_BARS = "missed_bars"
    ONE_SILENT = "one_silent"
    HALT = "halt"
    # REST and the chain
    REST_429 = "rest_429"
    REST_500 = "rest_500"
    REST_RESET = "rest_reset"
    REST_HANG = "rest_hang"
    REST_SLOW = "rest_slow"
    REST_ERROR_BODY = "rest_error_body"
    REST_HTML = "rest_html"
    REST_BAD_JSON = "rest_bad_json"
    REST_EMPTY = "rest_empty"
    REST_NO_ROWS = "rest_no_rows"
    REST_NULL = "rest_null"
    REST_401 = "rest_401"
    REST_403 = "rest_403"
    TRUNCATED_PAGE = "truncated_page"
    BAD_PAGE = "bad_page"
    NEXT_URL_LOOP = "next_url_loop"
    NEXT_URL_OFFHOST = "next_url_offhost"
    AGGREGATES_LAG = "aggregates_lag"
    STALE_QUOTES = "stale_quotes"
    DELAYED_QUOTES = "delayed_quotes"
    NO_QUOTES = "no_quotes"
    ABSURD_QUOTES = "absurd_quotes"
    ZERO_BIDS = "zero_bids"
    ZERO_GREEKS = "zero_greeks"
    ABSURD_DELTA = "absurd_delta"
    ADJUSTED_ROOT = "adjusted_root"
    CONTRACT_GONE = "contract_gone"
    MARKET_CLOSED = "market_closed"
    # Clocks
    CLOCK_STEP = "clock_step"
    CLOCK_DRIFT = "clock_drift"
    SUSPEND = "suspend"
    SKEWED_DATE = "skewed_date"
    CACHED_DATE = "cached_date"
    NO_DATE = "no_date"
    # The process and its loop
    KILL = "kill"
    TERMINATE = "terminate"
    CRASH = "crash"
    SECOND_COPY = "second_copy"
    LOOP_LAG = "loop_lag"
    # The disk
    WRITE_FAILS = "write_fails"
    SYNC_FAILS = "sync_fails"
    SYNC_SLOW = "sync_slow"
    SHORT_WRITE = "short_write"
    FOLDER_GONE = "folder_gone"
    READ_ONLY = "read_only"
    FILE_REPLACED = "file_replaced"
    # The push service and the dead-man's switch
    PUSH_DOWN = "push_down"
    PUSH_ANSWER = "push_answer"
    PUSH_LOST = "push_lost"
    PUSH_CUT = "push_cut"
    PUSH_HANG = "push_hang"
    PUSH_SLOW = "push_slow"
    HEARTBEAT_DOWN = "heartbeat_down"


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; whole ones where both are."""

    low: float
    high: float

    def draw(self, source: random.Random) -> Value:
        """Draws one. Small ones are as likely as large ones, where the range spans more than two powers of ten."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return source.randint(self.low, self.high)
        if self.low > 0 and self.high / self.low > 100:
            return round(float(self.low * (self.high / self.low) ** source.random()), 3)
        return round(source.uniform(self.low, self.high), 3)

    def holds(self, value: Value) -> bool:
        """Whether a value is in the range."""
        return not isinstance(value, str) and self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some values."""

    values: tuple[Value, ...]

    def draw(self, source: random.Random) -> Value:
        """Draws one."""
        return source.choice(self.values)

    def holds(self, value: Value) -> bool:
        """Whether a value is among them."""
        return value in self.values


@dataclass(frozen=True, slots=True)
class Spec:
    """A kind of fault. ``seconds`` is how long it may last; None for what happens once, at a moment."""

    place: Place
    text: str
    seconds: Range | None = None
    options: Mapping[str, Range | Choice] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a run: from ``at``, market seconds after the run's begin, for ``seconds`` (0: once)."""

    kind: Kind
    at: float
    seconds: float = 0.0
    options: Mapping[str, Value] = field(default_factory=dict)

    def __getitem__(self, option: str) -> Value:
        """The value of an option."""
        return self.options[option]

    @property
    def until(self) -> float:
        """When it is over, market seconds after the run's begin."""
        return self.at + self.seconds

    def __str__(self) -> str:
        lasting = f" for {self.seconds:g} s" if self.seconds else ""
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"{self.at:7.1f} s  {self.kind}{lasting}" + (f" ({options})" if options else "")
