"""Every fact that reaches the engine and every decision that leaves it, and nothing else.

Times are integer microseconds of UTC. Share prices are dollars (float). Option prices are integers
of a hundredth of a cent (``14_050`` is $1.405), so that levels and marks compare exactly. Strikes
are integers of a tenth of a cent, as in the option's ticker. Facts carry the market's time; the time at
which we learned them is the ``now`` that travels beside them.

The file is longer than 400 lines because this is one closed vocabulary, read as a whole, without logic to split off.
"""

from __future__ import annotations

from enum import StrEnum
from typing import final

import msgspec

SECOND = 1_000_000
"""Microseconds in a second: the unit of every time in this program."""

OPTION_PRICE_UNIT = 10_000
"""Option price units in a dollar."""

STRIKE_UNIT = 1_000
"""Strike units in a dollar (the option ticker writes strikes in thousandths)."""

PRICE_MIN, PRICE_MAX = 0.01, 1_000_000.0
"""The least and the greatest price of a bar, a strike or an option, dollars. No listed share costs a million."""

VOLUME_LIMIT = 1e12
"""Every volume (shares), size and open interest (contracts) is below this. With the price bounds, no window's sums leave
a float's range."""

VWAP_SLACK = 0.01
"""How far a second's VWAP may lie outside its low and high, as a fraction of them: odd lots count in the VWAP only."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """The exchange's regular hours of one day.

    ``date`` is the New York date in ISO form; ``open`` (inclusive) and ``close`` (exclusive) are µs of UTC.
    """

    date: str
    open: int
    close: int
    early: bool = False


# --- Reasons -----------------------------------------------------------------------------------------


class Condition(StrEnum):
    """The entry conditions, in the order in which the funnel shows them."""

    FIVE_MINUTE_VWAP = "five_minute_vwap"
    ABOVE_VWAP = "above_vwap"
    VWAP_RISING = "vwap_rising"
    VOLUME_SURGE = "volume_surge"
    MOMENTUM = "momentum"
    RELATIVE_VOLUME = "relative_volume"
    SPY_LAG = "spy_lag"


class DeclineReason(StrEnum):
    """Why there was no entry: first the gates in their order, then the reasons why no contract was chosen."""

    SESSION_CLOSED = "session closed"
    HELD = "held"
    BLIND = "blind"
    WARM_UP = "warm-up"
    NOT_COVERED = "windows not covered"
    LATE_BAR = "late bar"
    POSITION_OPEN = "position open"
    COOLDOWN = "cooldown"
    MAX_ENTRIES = "max entries per day"
    PAST_CUTOFF = "past no-entry time"
    CHAIN_TOO_OLD = "chain too old"
    NO_CONTRACT = "no contract"
    QUOTE_TOO_OLD = "quote too old"
    STOP_TOO_NEAR = "stop too near"


class HoldReason(StrEnum):
    """Why entries are held for a reason outside the rules. SELLs continue."""

    RECORD_OFF = "record off"
    CLOCK_DOUBT = "clock doubt"
    LOOP_LAG = "loop lag"
    PUSH_CAP = "push cap"
    PUSH_REFUSED = "push refused"
    KEY_REFUSED = "key refused"
    MARKET_CLOSED = "market closed by the exchange"
    CRASH_LOOP = "crash loop"


Gate = tuple[DeclineReason | None, HoldReason | None]
"""The first closed gate, and the hold if that gate is `DeclineReason.HELD`. Both are None if every gate is open."""

ALL_OPEN: Gate = (None, None)


class FeedCause(StrEnum):
    """Why bars do not arrive, or come too late to act on."""

    NOT_CONNECTED = "not connected"
    DROPPED = "connection lost"
    STALL = "confirmed stall"
    SILENCE = "unexplained silence"
    UNSEEN = "not seen"
    LAG = "delayed bars"
    EVICTED = "connection taken by another copy"
    REFUSED = "refused by the vendor"
    OVERFLOW = "inbox overflow"


def named_cause(cause: FeedCause, symbol: str) -> str:
    """Returns a cause in words. Precedes it with the symbol if it concerns only one, such as ``IWM not seen``."""
    return f"{symbol} {cause.value}" if symbol else cause.value


class ContractRule(StrEnum):
    """The rules that a contract can fail, in the order of checking. A contract counts only for the first that it fails."""

    SHARES = "shares"
    """Not a plain contract: another root than the symbol's, or not 100 shares."""
    UNQUOTED = "unquoted"
    DELAYED = "delayed"
    SPREAD = "spread"
    SIZE = "size"
    PREMIUM = "premium"
    OPEN_INTEREST = "open interest"
    DELTA = "delta"
    AGE = "age"
    STOP = "stop"


class ExitReason(StrEnum):
    """The exit rules, in the order in which they are checked."""

    TIME_STOP = "time stop"
    STOP_LOSS = "stop loss"
    HARD_GIVEBACK = "hard giveback"
    VWAP_GIVEBACK = "VWAP giveback"
    VWAP_PERSISTENCE = "VWAP persistence"
    SHUTDOWN = "shutdown"


class QuoteSource(StrEnum):
    """Where a quote came from. A streamed quote's age counts from its own time, a polled one's from its arrival."""

    STREAM = "stream"
    POLL = "poll"


class AlertKind(StrEnum):
    """Every push that the program can send."""

    BUY = "buy"
    SELL = "sell"
    FEED_BLIND = "feed blind"
    FEED_RECOVERED = "feed recovered"
    EVICTED = "evicted"
    REFUSED = "refused"
    MARK_LOST = "mark lost"
    MARK_BACK = "mark back"
    RECORD_OFF = "record off"
    RECORD_ON = "record on"
    WATCHING_AGAIN = "watching again"
    UNWATCHED = "unwatched"
    CAP_REACHED = "cap reached"
    MARKET_CLOSED = "market closed"
    CLOCK_DOUBT = "clock doubt"
    PUSH_CAP = "push cap"
    CRASH_LOOP = "crash loop"
    ENTRIES_BLOCKED = "entries blocked"
    ENTRIES_POSSIBLE = "entries possible"
    ARMED = "armed"
    EVENING = "evening"
    PICTURE = "picture"


class Outcome(StrEnum):
    """What became of an alert."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    """The service answered 4xx: the alert did not arrive and never will."""
    LOST = "lost"
    """The request may have arrived, but its answer did not."""
    UNSENT = "unsent"
    """Given up or withdrawn. No attempt can have arrived."""
    ACKNOWLEDGED = "acknowledged"
    """Somebody acknowledged an emergency push; ``detail`` says who."""
    EXPIRED = "expired"
    """The repeats of an emergency push have ended, and as far as is known nobody acknowledged it."""


# --- Facts -------------------------------------------------------------------------------------------


class Fact(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag_field="type", tag=str.lower
):
    """Base of the facts. Carries the codec's tag. A record leaves out fields that have their default."""


@final
class Bar(Fact, frozen=True, kw_only=True):
    """One second of one symbol, from ``start`` (µs). Prices are dollars.

    ``volume`` is in shares, and may be fractional or 0. ``vwap`` may lie outside high and low. Whoever makes bars (from
    the wire or a file) keeps prices, volume and VWAP within the bounds above.
    """

    symbol: str
    start: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    vwap: float
    backfilled: bool = False

    @property
    def end(self) -> int:
        """Returns the end of the second, exclusive, µs."""
        return self.start + SECOND


def is_vwap(value: float, low: float, high: float) -> bool:
    """Returns whether ``value`` is a plausible VWAP of a second that traded between ``low`` and ``high``."""
    return low * (1 - VWAP_SLACK) <= value <= high * (1 + VWAP_SLACK)


def typical_price(low: float, high: float, close: float) -> float:
    """Returns the typical price, the mean of low, high and close. It replaces an implausible VWAP."""
    return (low + high + close) / 3


class Covered(Fact, frozen=True, kw_only=True):
    """REST has answered twice for the seconds of ``symbol`` that start in [start, end), µs.

    Seconds that REST does not have yet are not covered: ``end`` is at most the end of the newest second in the answers
    for this symbol, or for another that was requested with it.
    """

    symbol: str
    start: int
    end: int


class ChainRow(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One call of today's chain. A record holds its fields in this order, without names.

    ``bid`` and ``ask`` are in option price units, 0 if that side is absent. ``strike`` is in strike units. ``quoted_at``
    is the quote's own time in µs (0: no quote). Sizes are contracts, ``iv`` is a fraction per year, ``open_interest``
    is yesterday's, in contracts.
    """

    contract: str
    strike: int
    shares: float
    bid: int
    ask: int
    bid_size: float
    ask_size: float
    quoted_at: int
    real_time: bool
    iv: float | None
    delta: float | None
    open_interest: float


class Chain(Fact, frozen=True, kw_only=True):
    """Today's calls within `CHAIN_SPOT_PERCENT` of spot, from one poll."""

    rows: tuple[ChainRow, ...]


@final
class Quote(
    Fact,
    frozen=True,
    kw_only=True,
    rename={"contract": "c", "bid": "b", "ask": "a", "bid_size": "bs", "ask_size": "as"},
):
    """The newest bid and ask of one contract, in option price units; 0 if that side is absent. ``at`` in µs.

    Its fields have short names in a record, because most lines of a record are quotes.
    """

    contract: str
    at: int
    bid: int
    ask: int
    bid_size: float
    ask_size: float
    source: QuoteSource = QuoteSource.STREAM


class Tick(Fact, frozen=True, kw_only=True):
    """A second has passed, so that silence is a fact, too.

    ``away`` is how long (µs) the program did not run before it (stopped, or the machine asleep), or how far its clock
    stepped forward; 0 if the last fact was handled on time.
    """

    away: int = 0


class FeedLost(Fact, frozen=True, kw_only=True):
    """The stocks feed is down, or must be treated as down.

    ``symbol`` is empty, or names the one symbol that stayed silent while the other's bars came, although REST has newer
    seconds of it.
    """

    cause: FeedCause
    symbol: str = ""


class FeedRestored(Fact, frozen=True, kw_only=True):
    """The stocks feed is connected and its subscriptions are acknowledged.

    ``gaps_tell`` is False for bars from a file: a file cannot tell a symbol that is not sent from one that does not
    trade, so a symbol's silence means nothing there.
    """

    gaps_tell: bool = True


class Hold(Fact, frozen=True, kw_only=True):
    """Entries are held (``on``) or no longer held for ``reason``. ``detail`` adds what there is to say, in words."""

    reason: HoldReason
    on: bool
    detail: str = ""


class AlertOutcome(Fact, frozen=True, kw_only=True):
    """What became of an alert. ``id`` is the position's for BUY and SELL, otherwise the alert's cause.

    ``receipt`` is an emergency push's: it is polled until somebody acknowledges. ``channel`` names the channel if that
    is not the push service; such an outcome settles nothing.
    """

    kind: AlertKind
    id: str
    outcome: Outcome
    attempts: int
    detail: str = ""
    receipt: str = ""
    channel: str = ""


class Shutdown(Fact, frozen=True, kw_only=True):
    """The program was asked to stop. ``close_position`` says whether an open position is sold first."""

    close_position: bool


RareEvent = Covered | Chain | Tick | FeedLost | FeedRestored | Hold | AlertOutcome | Shutdown
"""Every fact but bars and quotes, which are nearly all that come."""

Event = Bar | Quote | RareEvent


# --- Decisions ---------------------------------------------------------------------------------------


class Decided(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag=str.lower):
    """Base of the decisions. Carries the codec's tag."""


class Opened(Decided, frozen=True, kw_only=True):
    """A BUY was announced. Entry and levels are fixed here for good.

    ``price`` and ``vwap`` are the share's in dollars, ``momentum`` is in percent per second, ``iv`` a fraction per year.
    ``mid``, ``bid``, ``ask``, ``entry``, ``stop`` and ``pay_limit`` are option prices. ``considered`` counts the chain's
    calls, ``fallen`` those that failed each rule. ``in_range`` is False for a delta from the stretched range.
    """

    id: str
    contract: str
    strike: int
    expiry: str
    price: float
    vwap: float
    momentum: float
    volume_z: float | None
    delta: float
    iv: float
    in_range: bool
    mid: int
    bid: int
    ask: int
    bid_size: float
    ask_size: float
    entry: int
    stop: int
    pay_limit: int
    pay_until: int
    time_stop: int
    entry_number: int
    considered: int
    fallen: tuple[tuple[ContractRule, int], ...]
    cost_percent: float
    doubted: int = 0
    """How many of the vendor's deltas contradicted the prices, so that the implied ones replaced them."""


class Declined(Decided, frozen=True, kw_only=True):
    """Every condition was met, and still there was no entry. Units and counts are those of `Opened`."""

    reason: DeclineReason
    hold: HoldReason | None
    price: float
    vwap: float
    momentum: float
    volume_z: float | None
    considered: int = 0
    fallen: tuple[tuple[ContractRule, int], ...] = ()
    doubted: int = 0


class Closed(Decided, frozen=True, kw_only=True):
    """A SELL was announced.

    ``price`` and ``vwap`` are the share's in dollars; None if unknown or too old. ``entry``, ``peak``, ``mark`` and
    ``bid`` are option prices. ``limit_percent`` is the limit of the rule that sold; None if it has none. ``late`` is how
    long after its time stop it was sold, µs (0: in time).
    """

    id: str
    contract: str
    reason: ExitReason
    price: float | None
    vwap: float | None
    entry: int
    opened_at: int
    peak: int
    mark: int | None
    mark_at: int | None
    bid: int | None
    bid_size: float | None
    limit_percent: float | None
    time_stop: int
    late: int = 0


class Withdrawn(Decided, frozen=True, kw_only=True):
    """The BUY cannot have arrived, so the position does not count. ``detail`` says why it did not arrive."""

    id: str
    contract: str
    detail: str


class FeedAlarmed(Decided, frozen=True, kw_only=True):
    """The program is blind, and tells the owner.

    ``since`` is the end of the last bar that was on time, or when blindness began, µs. ``untold`` counts earlier blind
    spells without a push. ``symbol`` is empty if the whole feed is blind; the traded symbol if it alone cannot be seen;
    the benchmark if that is missing, which is not blindness.
    """

    cause: FeedCause
    since: int
    position: str | None
    untold: int
    symbol: str = ""


class FeedRecovered(Decided, frozen=True, kw_only=True):
    """Bars arrive again. The gap runs from the end of the last bar before it to the first bar after it, µs.

    ``symbol`` is that of the alarm that this ends.
    """

    cause: FeedCause
    gap_start: int
    gap_end: int
    position: str | None
    symbol: str = ""


class MarkLost(Decided, frozen=True, kw_only=True):
    """The held contract has had no usable price since ``since`` (µs). ``mark`` is the last one."""

    id: str
    contract: str
    since: int
    mark: int | None


class MarkBack(Decided, frozen=True, kw_only=True):
    """The held contract has a usable price again, ``mark``, after none since ``since`` (µs)."""

    id: str
    contract: str
    since: int
    mark: int


Decision = Opened | Declined | Closed | Withdrawn | FeedAlarmed | FeedRecovered | MarkLost | MarkBack


# --- What the engine shows ---------------------------------------------------------------------------


class Evaluation(msgspec.Struct, frozen=True, gc=False):
    """The conditions' values at one second of the session.

    ``start`` is the start of the second evaluated, µs. Prices and VWAPs are dollars, volumes shares. Percentages are
    percent (``0.09`` is 0.09 %), ``momentum`` is percent per second, rates of change are percent. A value that is
    undefined is None. ``passes`` has one entry per `Condition`, in its order: None if the rules leave it out.
    """

    start: int
    symbol: str
    price: float
    vwap_1m: float | None
    vwap_5m: float | None
    vwap_5m_change: float | None
    vwap_distance: float | None
    vwap_rising_s: int
    volume: float
    volume_p95: float | None
    volume_z: float | None
    momentum: float | None
    relative_volume: float | None
    roc5: float | None
    benchmark_roc5: float | None
    passes: tuple[bool | None, ...]
    gate: DeclineReason | None = None
    hold: HoldReason | None = None
    vwap_1m_change: float | None = None
    has_benchmark: bool = False
    """Whether the benchmark has a close that is young enough. Without one, `spy_lag` fails."""

    @property
    def holds(self) -> bool:
        """Returns whether every enabled condition is met."""
        return False not in self.passes

    @property
    def by_condition(self) -> dict[Condition, bool | None]:
        """Returns ``passes`` by the condition's name."""
        return dict(zip(Condition, self.passes, strict=True))

    @property
    def sole_failure(self) -> Condition | None:
        """Returns the one enabled condition that failed; None if none or several did."""
        failing = [
            condition for condition, passed in zip(Condition, self.passes, strict=True) if passed is False
        ]
        return failing[0] if len(failing) == 1 else None


class Shortfall(msgspec.Struct, frozen=True, kw_only=True):
    """How far a condition was from being met. ``value`` and ``threshold`` are in the condition's own unit.

    ``ratio`` makes conditions comparable: 0 is just missed, 1 is as far away as no volume at all.
    """

    condition: Condition
    value: float
    threshold: float
    ratio: float
