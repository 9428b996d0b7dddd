"""Decisions become texts, and texts become pushes. Nothing is decided here but when a push is sent.

First the texts: pure functions, exact to the character. Then `Pushover`, the service's HTTP client; `Outbox`, what
is still to be told; and `Sender`, the tasks that tell it. Deciding is not delivering: `Sender.submit` never waits.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import date
from enum import IntEnum
from types import TracebackType
from typing import Any, Self, assert_never
from urllib.parse import urlencode

import httpx
import msgspec
import structlog
from pydantic import SecretStr

from config import Settings
from delivery import outbox, receipts, standing
from delivery.answers import ERROR_TEXT_MAX, Answer, Result, is_receipt, read_answer
from delivery.exchange import EXCHANGE_S, close_client, exchange, failure_words, failures, make_client
from delivery.outbox import Attempts, Care, Move, Step
from delivery.receipts import EMERGENCY_EXPIRE_S, UNACKNOWLEDGED_S, Receipt, Receipts, Verdict
from delivery.second_channel import CHANNEL, POST_DELAYS_S, UNANSWERED_S, SecondChannel
from delivery.standing import Mood, Question, Standing
from events import (
    SECOND,
    AlertKind,
    AlertOutcome,
    Closed,
    Decision,
    Declined,
    Event,
    ExitReason,
    FeedAlarmed,
    FeedCause,
    FeedRecovered,
    Hold,
    HoldReason,
    MarkBack,
    MarkLost,
    Opened,
    Outcome,
    Session,
    Withdrawn,
    named_cause,
)
from rules import Rules
from utils import (
    Clock,
    clock_text,
    day_text,
    minute_text,
    momentum_text,
    new_york_date,
    number_text,
    option_price,
    session_on,
    share_price,
    signed_percent,
    span_text,
    steady_of,
    strike_text,
)

log = structlog.get_logger("alerts")

# --- Texts -------------------------------------------------------------------------------------------

TITLE_MAX = 250
"""Characters of a title that Pushover takes."""

MESSAGE_MAX = 1024
"""Characters of a message that Pushover takes."""

LINES_ADDED_MAX = 64
"""Characters kept free for the lines that are added when an alert is sent (``Late``, ``Repeat of``)."""

LATE_S = 5
"""Seconds after its decision from which an alert says that it is late."""

AFTER_CLOSE_S = 15 * 60
"""How long after the close a SELL is still tried: the options trade until then."""

REASON_MAX = 200
"""Characters of a reason that somebody else has worded."""

HALF_CENT = 50
"""Half a cent in units of an option price: the step of a mid."""

DELTA_DIGITS = 2
DELTA_DIGITS_MAX = 6

HIGH, NORMAL, QUIET = 1, 0, -1
"""Pushover's priorities: past quiet hours, ordinary, without a sound."""

EMERGENCY = 2
"""Pushover's priority that repeats until it is acknowledged."""


class Rank(IntEnum):
    """Importance of an alert, the most important first. The first three have a lane of their own."""

    SELL = 0
    UNWATCHED = 1
    SAFETY = 2
    BUY = 3
    SYSTEM = 4
    QUIET = 5


ALWAYS_SAFETY = frozenset({AlertKind.MARK_LOST, AlertKind.EVICTED, AlertKind.REFUSED})
"""System pushes without which a position may go unwatched, or every signal be missed."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One push, before it is sent.

    ``id`` is the position's for BUY and SELL, else the cause. ``position`` is the position it concerns, or empty.
    Times are µs of UTC, ``pay_limit`` is an option price; each is 0 where it has no meaning. ``repeat`` marks an alert
    of which an earlier copy may have arrived. ``spell`` names what an alarm warns of, such as the feed's blindness, and
    ``ends`` is the spell that is over.
    """

    kind: AlertKind
    id: str
    title: str
    message: str
    decided_at: int
    priority: int
    position: str = ""
    contract: str = ""
    pay_limit: int = 0
    pay_until: int = 0
    time_stop: int = 0
    give_up_at: int = 0
    repeat: bool = False
    spell: str = ""
    ends: str = ""

    @property
    def rank(self) -> Rank:
        """How important it is."""
        if self.kind is AlertKind.SELL:
            return Rank.SELL
        if self.kind is AlertKind.UNWATCHED:
            return Rank.UNWATCHED
        if self.kind in ALWAYS_SAFETY or (self.kind is AlertKind.FEED_BLIND and self.position):
            return Rank.SAFETY
        if self.kind is AlertKind.BUY:
            return Rank.BUY
        return Rank.QUIET if self.priority < NORMAL else Rank.SYSTEM

    @property
    def urgent(self) -> bool:
        """Whether it is a SELL or a safety push, which never wait behind another."""
        return self.rank <= Rank.SAFETY

    @property
    def persistent(self) -> bool:
        """Whether it is tried until `give_up_at`, and again after a lost answer."""
        return self.rank <= Rank.UNWATCHED

    @property
    def care(self) -> Care:
        """How much is done for it."""
        if self.persistent:
            return Care.PERSISTENT
        return Care.SAFETY if self.urgent else Care.ONCE

    @property
    def fingerprint(self) -> str:
        """Equal for two alerts that say the same: SHA-256 of kind, contract and position, or of kind and cause."""
        contract = self.contract if self.kind in (AlertKind.BUY, AlertKind.SELL) else ""
        return hashlib.sha256(f"{self.kind}|{contract}|{self.id}".encode()).hexdigest()


def alert_for(now: int, decision: Decision, rules: Rules, sell_priority: int = EMERGENCY) -> Alert | None:
    """The push that tells ``decision``, made at ``now`` (µs); None for a decision that is not pushed."""
    match decision:
        case Opened():
            return _buy(now, decision, rules)
        case Closed():
            return _sell(now, decision, rules, sell_priority)
        case FeedAlarmed():
            return _feed_alarmed(now, decision, rules)
        case FeedRecovered():
            return _feed_recovered(now, decision, rules)
        case MarkLost():
            return _mark_lost(now, decision, rules)
        case MarkBack():
            return _mark_back(now, decision, rules)
        case Declined() | Withdrawn():
            return None
        case _:
            assert_never(decision)


def _buy(now: int, opened: Opened, rules: Rules) -> Alert:
    time_stop = minute_text(opened.time_stop)
    spread = (opened.ask - opened.bid) / opened.mid * 100
    lines = (
        f"{rules.symbol} {share_price(opened.price)} | VWAP {share_price(opened.vwap)} "
        f"({signed_percent(_change(opened.price, opened.vwap), 2)})",
        f"Momentum {momentum_text(opened.momentum)}%/s | Vol Z{_one_decimal(opened.volume_z)}",
        "",
        f"📊 {opened.contract} {opened.expiry} {strike_text(opened.strike)}c",
        f"Δ{_delta_text(opened, rules)} IV{opened.iv * 100:.1f}%",
        "",
        f"💰 Entry ~{option_price(opened.entry)} "
        f"(mid {option_price(opened.mid)} +{option_price(opened.entry - opened.mid)})",
        f"Spread {spread:.1f}% | Size {opened.bid_size:.0f}×{opened.ask_size:.0f}",
        "",
        f"⚠️ Hard Giveback {number_text(rules.max_giveback_percent)}% | Time Stop {time_stop} ET",
        "",
        # The highest mid that sells: the level itself may lie between two mids.
        f"Pay ≤ {option_price(opened.pay_limit)} until {clock_text(opened.pay_until)} "
        f"| Stop {option_price(opened.stop - opened.stop % HALF_CENT)}",
        f"No SELL by {time_stop}? Close it yourself.",
        f"#{opened.id}",
    )
    return Alert(
        kind=AlertKind.BUY,
        id=opened.id,
        title=f"🔥 {rules.symbol} 0DTE CALL — BUY",
        message="\n".join(lines),
        decided_at=now,
        priority=HIGH,
        position=opened.id,
        contract=opened.contract,
        pay_limit=opened.pay_limit,
        pay_until=opened.pay_until,
        time_stop=opened.time_stop,
    )


def _sell(now: int, closed: Closed, rules: Rules, priority: int) -> Alert:
    close = _close_of(closed.time_stop, rules)
    lines = [f"Reason: {reason_text(closed, rules)}"]
    if closed.late > LATE_S * SECOND:
        lines.append(f"{span_text(closed.late)} after the time stop: the program was not watching")
    lines += [
        "",
        f"{rules.symbol} {share_price(closed.price)} | VWAP {share_price(closed.vwap)}",
        f"Peak {option_price(closed.peak)} → Now {option_price(closed.mark)}",
    ]
    age = 0 if closed.mark is None or closed.mark_at is None else (now - closed.mark_at) // SECOND
    if age >= rules.mark_lost_seconds:
        lines.append(f"Price {age} s old: check the quote")
    lines += [
        "",
        f"📊 {closed.contract}",
        _profit_line(closed),
        "",
        "✅ Close at market / best bid" if now < close else "⚠️ The market has closed: ask your broker",
        "",
        f"Entry {option_price(closed.entry)} at {clock_text(closed.opened_at)}, "
        f"held {span_text(now - closed.opened_at)}{_bid_part(closed)}",
        f"#{closed.id}",
    ]
    return Alert(
        kind=AlertKind.SELL,
        id=closed.id,
        title=sell_title(rules),
        message="\n".join(lines),
        decided_at=now,
        priority=priority,
        position=closed.id,
        contract=closed.contract,
        time_stop=closed.time_stop,
        give_up_at=_give_up_at(now, closed.time_stop, rules),
    )


def sell_title(rules: Rules) -> str:
    """The title of a SELL."""
    return f"🚪 {rules.symbol} 0DTE CALL — SELL"


def reason_text(closed: Closed, rules: Rules) -> str:
    """Why a position was closed, as the phone and the log say it."""
    match closed.reason:
        case ExitReason.TIME_STOP:
            return f"Time stop {minute_text(closed.time_stop)} ET"
        case ExitReason.STOP_LOSS:
            loss = signed_percent(profit_percent(closed))
            return f"Stop loss {loss} (limit -{_limit(closed, rules.stop_loss_percent)}%)"
        case ExitReason.HARD_GIVEBACK:
            return f"Giveback {_giveback(closed)} (Hard cap {_limit(closed, rules.max_giveback_percent)}%)"
        case ExitReason.VWAP_GIVEBACK:
            cap = _limit(closed, rules.tighten_giveback_percent)
            return f"Giveback {_giveback(closed)} below VWAP (cap {cap}%)"
        case ExitReason.VWAP_PERSISTENCE:
            return f"Below VWAP 2×{rules.persistence_block_seconds}s"
        case ExitReason.SHUTDOWN:
            return "Shutdown (program stopping, not a market signal)"
        case _:
            assert_never(closed.reason)


def profit_percent(closed: Closed) -> float | None:
    """The last mark against the entry, in percent; None without a mark."""
    return _change(closed.mark, closed.entry)


def _profit_line(closed: Closed) -> str:
    if closed.mark is None:
        return "P&L: n/a"
    return f"{'🔴' if closed.mark < closed.entry else '🟢'} P&L: {signed_percent(profit_percent(closed))}"


def _bid_part(closed: Closed) -> str:
    if closed.bid is None:
        return ""
    if closed.bid <= 0:
        return " | No bid"
    size = "" if closed.bid_size is None else f"×{closed.bid_size:.0f}"
    return f" | Bid {option_price(closed.bid)}{size} ({signed_percent(_change(closed.bid, closed.entry))})"


def _giveback(closed: Closed) -> str:
    change = _change(closed.mark, closed.peak)
    return "n/a" if change is None else f"{_one_decimal(-change)}%"


def _limit(closed: Closed, rule: float) -> str:
    return number_text(rule if closed.limit_percent is None else closed.limit_percent)


def _change(value: float | None, base: float | None) -> float | None:
    """Change of ``value`` against ``base`` in percent; None when either is missing."""
    return (value - base) / base * 100 if value is not None and base else None


def _one_decimal(value: float | None) -> str:
    """One decimal, never ``-0.0``; ``n/a`` without a value."""
    return "n/a" if value is None else f"{round(value, 1) or 0.0:.1f}"


def _delta_text(opened: Opened, rules: Rules) -> str:
    if opened.in_range:
        return f"{opened.delta:.{DELTA_DIGITS}f}"
    digits = DELTA_DIGITS
    # A delta of 0.4504 is outside 0.30–0.45, and must not read as 0.45.
    while digits < DELTA_DIGITS_MAX and rules.delta_min <= round(opened.delta, digits) <= rules.delta_max:
        digits += 1
    low, high = _bound_text(rules.delta_min), _bound_text(rules.delta_max)
    return f"{opened.delta:.{digits}f} (outside {low}–{high})"


def _bound_text(bound: float) -> str:
    """A bound of delta with two decimals, and more only if it has them."""
    text = f"{bound:.{DELTA_DIGITS_MAX}f}".rstrip("0")
    return text.ljust(text.index(".") + 1 + DELTA_DIGITS, "0")


def _close_of(time_stop: int, rules: Rules) -> int:
    return time_stop + rules.before_close(rules.hard_time_stop) * SECOND


def _last_chance(decided_at: int) -> int:
    """Until when an alert without a time of its own is tried: as long as a SELL of its day, or as long from now."""
    session = session_on(date.fromisoformat(new_york_date(decided_at)))
    close = decided_at if session is None else max(session.close, decided_at)
    return close + AFTER_CLOSE_S * SECOND


def _give_up_at(now: int, time_stop: int, rules: Rules) -> int:
    """Until when a SELL is tried. One that is decided after its day (a restart) gets as long from now."""
    return max(_close_of(time_stop, rules), now) + AFTER_CLOSE_S * SECOND


# What happened, what the program does now, and what the owner can do, for each cause of blindness.
CAUSE_TEXTS: Mapping[FeedCause, tuple[str, str, str]] = {
    FeedCause.NOT_CONNECTED: (
        "The feed could not be connected",
        "connecting again without end",
        "if it lasts, check the vendor's status page and the log",
    ),
    FeedCause.DROPPED: (
        "The feed's connection was lost and is not back",
        "connecting again without end",
        "if it lasts, check the vendor's status page and the log",
    ),
    FeedCause.STALL: (
        "The feed has stalled: connected, but nothing comes (confirmed)",
        "closing the connection and opening a new one",
        "if it lasts, check the vendor's status page and the log",
    ),
    FeedCause.SILENCE: (
        "No bars come, and nothing explains it (a trading halt looks like this)",
        "reconnecting once, then waiting for a bar",
        "see whether trading is halted",
    ),
    FeedCause.UNSEEN: (
        "A symbol does not trade or is not sent, while the other comes",
        "asking the vendor's REST every 5 s, and reconnecting if that has newer seconds",
        "see whether trading in it is halted",
    ),
    FeedCause.LAG: (
        "Bars come too late to act on",
        "waiting for bars in time, with a new connection after a minute",
        "if it lasts, see that your plan is real-time, not delayed",
    ),
    FeedCause.OVERFLOW: (
        "More came in than could be handled (inbox overflow)",
        "reconnecting and filling the gap",
        "if it comes again, the machine is too slow: see the log",
    ),
    FeedCause.EVICTED: (
        "The vendor gave our connection to another copy: probably a second one is running with the same account "
        "(a laptop, a second Render service)",
        "trying again after 60, 120, then every 300 s",
        "stop the other copy. A second key does not help: the limit is the account's",
    ),
    FeedCause.REFUSED: (
        "The vendor refuses the key or the plan",
        "trying again every 5 minutes",
        "check the key, and that the plan includes real-time stocks",
    ),
}

# What happened when one symbol alone is concerned; the rest is the cause's.
SYMBOL_TEXTS: Mapping[FeedCause, str] = {
    FeedCause.STALL: "{symbol} has stalled: {other} comes, but {symbol} does not, and the vendor's REST has newer "
    "seconds of it",
    FeedCause.UNSEEN: "{symbol} does not trade or is not sent, while {other} comes",
    FeedCause.LAG: "Bars of {symbol} come too late to act on, while {other} is in time",
}

ALARM_TITLES = {
    AlertKind.EVICTED: "⚠️ {symbol}: feed taken by another copy",
    AlertKind.REFUSED: "⚠️ {symbol}: feed refused by the vendor",
    AlertKind.FEED_BLIND: "⚠️ {symbol}: feed blind",
}

BENCHMARK_TITLE = "⚠️ {symbol}: benchmark missing"

STILL_WATCHED = (
    "The position is watched by its own quotes: stop loss, hard giveback and time stop stand; "
    "the exits that need bars pause."
)


def _system(
    kind: AlertKind,
    now: int,
    cause: str,
    *,
    title: str,
    lines: Iterable[str],
    position: str | None,
    **more: Any,
) -> Alert:
    """A push that is not BUY or SELL: loud with a position open, else normal; the position's id is its last line."""
    return Alert(
        kind=kind,
        id=cause,
        title=title,
        message=_fitted(list(lines), [f"#{position}"] if position else []),
        decided_at=now,
        position=position or "",
        **{"priority": HIGH if position else NORMAL, **more},
    )


def _fitted(lines: list[str], end: list[str]) -> str:
    """The lines as one message. What does not fit before ``end`` is left out from the back, and counted."""
    text = "\n".join([*lines, *end])
    kept = len(lines)
    while kept and len(text) > MESSAGE_MAX - LINES_ADDED_MAX:
        kept -= 1
        text = "\n".join([*lines[:kept], f"({len(lines) - kept} more lines: see the log)", *end])
    return text


def _feed_alarmed(now: int, alarm: FeedAlarmed, rules: Rules) -> Alert:
    kinds = {FeedCause.EVICTED: AlertKind.EVICTED, FeedCause.REFUSED: AlertKind.REFUSED}
    kind = kinds.get(alarm.cause, AlertKind.FEED_BLIND)
    happened, doing, owner = CAUSE_TEXTS[alarm.cause]
    symbol, is_benchmark = alarm.symbol, bool(alarm.symbol) and alarm.symbol == rules.benchmark
    if symbol and alarm.cause in SYMBOL_TEXTS:
        other = rules.symbol if is_benchmark else rules.benchmark
        happened = SYMBOL_TEXTS[alarm.cause].format(symbol=symbol, other=other)
    lines = [
        f"{happened}.",
        f"No usable bar{f' of {symbol}' if symbol else ''} since {clock_text(alarm.since)} ET.",
        f"Now: no entries{f', for {symbol} is compared with' if is_benchmark else ''}; {doing}.",
    ]
    if alarm.position:
        lines.append("The position is watched as before." if is_benchmark else STILL_WATCHED)
    lines.append(f"You: {owner}.")
    if alarm.untold:
        spells = "blind spell was" if alarm.untold == 1 else "blind spells were"
        lines.append(f"Before this, {alarm.untold} {spells} not pushed.")
    title = (BENCHMARK_TITLE if is_benchmark else ALARM_TITLES[kind]).format(symbol=rules.symbol)
    if symbol:
        title += f" ({named_cause(alarm.cause, symbol)})"
    return _system(
        kind,
        now,
        named_cause(alarm.cause, symbol),
        title=title,
        lines=lines,
        position=alarm.position,
        spell=_sight_spell(symbol, rules),
    )


def _sight_spell(symbol: str, rules: Rules) -> str:
    """What an alarm about ``symbol`` and the recovery from it have in common, while causes come and go."""
    return "benchmark" if symbol and symbol == rules.benchmark else "feed"


def _feed_recovered(now: int, recovered: FeedRecovered, rules: Rules) -> Alert:
    gap = span_text(recovered.gap_end - recovered.gap_start)
    symbol, is_benchmark = recovered.symbol, bool(recovered.symbol) and recovered.symbol == rules.benchmark
    lines = [
        f"Bars{f' of {symbol}' if symbol else ''} come again. Gap {gap}: {clock_text(recovered.gap_start)} to "
        f"{clock_text(recovered.gap_end)} ET ({recovered.cause.value}).",
        "Now: filling the gap; entries again once it is filled."
        + (" All exits stand again." if recovered.position and not is_benchmark else ""),
        "You: nothing to do.",
    ]
    title = (
        f"✅ {rules.symbol}: benchmark back, gap {gap}"
        if is_benchmark
        else f"✅ {rules.symbol}: feed recovered, gap {gap}"
    )
    return _system(
        AlertKind.FEED_RECOVERED,
        now,
        named_cause(recovered.cause, symbol),
        title=title,
        lines=lines,
        position=recovered.position,
        ends=_sight_spell(symbol, rules),
    )


def _mark_lost(now: int, lost: MarkLost, rules: Rules) -> Alert:
    last = f" The last was {option_price(lost.mark)}." if lost.mark is not None else ""
    lines = (
        f"{lost.contract} has had no usable price since {clock_text(lost.since)} ET.{last}",
        "Now: stop loss and givebacks wait for a price; the time stop still comes.",
        "You: check the quote, and close it yourself if you want out.",
    )
    title = f"⚠️ {rules.symbol}: no price for the open position"
    return _system(
        AlertKind.MARK_LOST,
        now,
        lost.id,
        title=title,
        lines=lines,
        position=lost.id,
        contract=lost.contract,
        spell=f"price {lost.id}",
    )


def _mark_back(now: int, back: MarkBack, rules: Rules) -> Alert:
    lines = (
        f"{back.contract} has a usable price again: {option_price(back.mark)}. "
        f"There was none for {span_text(now - back.since)}, since {clock_text(back.since)} ET.",
        "Now: stop loss and givebacks are judged again.",
        "You: nothing to do.",
    )
    title = f"✅ {rules.symbol}: price of the open position is back"
    return _system(
        AlertKind.MARK_BACK,
        now,
        back.id,
        title=title,
        lines=lines,
        position=back.id,
        contract=back.contract,
        ends=f"price {back.id}",
    )


# System pushes that are not decisions. ``position`` is the id of the open one, or None.


def record_off(now: int, rules: Rules, *, since: int, reason: str, position: str | None = None) -> Alert:
    """The session's record cannot be written since ``since`` (µs), for ``reason`` (words, no path)."""
    lines = (
        f"The session's record cannot be written since {clock_text(since)} ET: {reason[:REASON_MAX]}.",
        "Now: no entries; tried again every minute. SELLs still come.",
        "You: see that the disk is there, writable and not full. A restart now would forget an open position.",
    )
    title = f"⚠️ {rules.symbol}: record off"
    return _system(AlertKind.RECORD_OFF, now, "record", title=title, lines=lines, position=position)


def record_on(now: int, rules: Rules, *, since: int, position: str | None = None) -> Alert:
    """The session's record is written again; it was not since ``since`` (µs)."""
    lines = (
        f"The session's record is written again. It was not for {span_text(now - since)}, "
        f"since {clock_text(since)} ET.",
        "Now: entries are possible again.",
        "You: nothing to do.",
    )
    title = f"✅ {rules.symbol}: record on"
    return _system(AlertKind.RECORD_ON, now, "record", title=title, lines=lines, position=position)


def watching_again(
    now: int, rules: Rules, *, position: str, contract: str, since: int, time_stop: int, note: str = ""
) -> Alert:
    """A restart found ``position`` open; nobody watched it since ``since`` (µs). ``note`` is a line more."""
    lines = (
        f"Watching again #{position}: gap {span_text(now - since)}, peak in the gap unknown",
        f"{contract} was not watched since {clock_text(since)} ET.",
        f"Now: all exits stand, the time stop at {minute_text(time_stop)} ET.",
        *([note] if note else []),
        "You: if it ran up in the gap, the givebacks do not know: look at it once.",
    )
    title = f"👀 {rules.symbol}: watching again #{position}"
    return _system(
        AlertKind.WATCHING_AGAIN,
        now,
        position,
        title=title,
        lines=lines,
        position=position,
        contract=contract,
        time_stop=time_stop,
    )


def unwatched(now: int, rules: Rules, *, position: str, contract: str, stop: int, time_stop: int) -> Alert:
    """The program stops and leaves ``position`` open. ``stop`` is its stop level, ``time_stop`` µs."""
    by = minute_text(time_stop)
    lines = (
        f"Unwatched from now #{position}",
        f"The program stopped at {clock_text(now)} ET. {contract} is still open, and no SELL comes for it "
        "until the program runs again.",
        "Now: nothing watches it. The next start does, and says so.",
        f"You: close it yourself by {by} ET, or at {option_price(stop - stop % HALF_CENT)} (its stop).",
    )
    return _system(
        AlertKind.UNWATCHED,
        now,
        position,
        title=f"⚠️ {rules.symbol}: unwatched from now #{position}",
        lines=lines,
        position=position,
        contract=contract,
        time_stop=time_stop,
        give_up_at=_give_up_at(now, time_stop, rules),
    )


def cap_reached(now: int, rules: Rules, *, entries: int, position: str | None = None) -> Alert:
    """The day's ``entries`` have reached `Rules.max_entries_per_day`."""
    lines = (
        f"{entries} entries today: MAX_ENTRIES_PER_DAY is reached, at {clock_text(now)} ET.",
        "Now: no more entries today." + (" The open position is watched to its end." if position else ""),
        "You: nothing to do. The cap is a setting (0 = none).",
    )
    title = f"✋ {rules.symbol}: entry cap reached"
    return _system(AlertKind.CAP_REACHED, now, "entries", title=title, lines=lines, position=position)


def market_closed(now: int, rules: Rules, *, session: Session, position: str | None = None) -> Alert:
    """The vendor says that the exchange is closed in ``session``, which the calendar has."""
    lines = (
        f"The vendor says that the exchange is closed, at {clock_text(now)} ET. The calendar has a session "
        f"from {minute_text(session.open)} to {minute_text(session.close)} ET.",
        "Now: no entries while it says so; asked again."
        + (" The open position is still watched." if position else ""),
        "You: see nyse.com for an unscheduled closing.",
    )
    title = f"⚠️ {rules.symbol}: market closed"
    return _system(AlertKind.MARKET_CLOSED, now, session.date, title=title, lines=lines, position=position)


def clock_doubt(
    now: int, rules: Rules, *, since: int, detail: str, session: Session, position: str | None = None
) -> Alert:
    """The time is doubted since ``since`` (µs). ``detail`` says which clock differs; ``session`` is this or the next one."""
    what_follows = ""
    if position:
        what_follows = " The open position is still watched, its time stop by this program's time."
    elif now < session.open:
        what_follows = f" By its time the next session opens {day_text(session.open)} ET: it may come too late or too early."
    lines = (
        f"Since {day_text(since)} ET by this program's time: {detail}.",
        f"Now: no entries until they agree; compared every second.{what_follows}",
        "You: set this machine's clock (switch NTP on). The program follows by itself.",
    )
    title = f"⚠️ {rules.symbol}: clock doubt"
    return _system(AlertKind.CLOCK_DOUBT, now, "clock", title=title, lines=lines, position=position)


def armed(
    now: int,
    rules: Rules,
    *,
    version: str,
    session: Session,
    well: Sequence[str],
    lacking: Sequence[str],
) -> Alert:
    """The program watches ``session``. ``well`` and ``lacking`` say what an entry needs and has, or has not."""
    early = ", early close" if session.early else ""
    cutoff = session.close - rules.before_close(rules.no_entry_after) * SECOND
    lines = [
        f"Watching {rules.symbol} at {clock_text(now)} ET, session {session.date} "
        f"{minute_text(session.open)}–{minute_text(session.close)} ET{early}.",
        f"Well: {'; '.join(well)}." if well else "",
        f"Not well: {'; '.join(lacking)}. No entry before it is." if lacking else "",
        f"No BUY any more in this session: it is past {minute_text(cutoff)} ET." if now >= cutoff else "",
        f"Version {version}, rules {rules.digest()}.",
        "You: run python diagnose.py, which says what to do."
        if lacking
        else "You: nothing to do. No such push on a trading day? The program is not running.",
    ]
    title = f"⚠️ {rules.symbol}: armed, not all well" if lacking else f"✅ {rules.symbol}: armed"
    return _system(
        AlertKind.ARMED,
        now,
        session.date,
        title=title,
        lines=filter(None, lines),
        position=None,
        priority=QUIET,
    )


def evening(now: int, rules: Rules, *, date: str, summary: Iterable[str]) -> Alert:
    """The day's ``summary``, one line each; what does not fit is counted, and stands in the log."""
    title = f"🌙 {rules.symbol}: {date}"
    return _system(AlertKind.EVENING, now, date, title=title, lines=summary, position=None, priority=QUIET)


def named(alert: Alert) -> str:
    """The alert's title, and the position that it concerns."""
    is_named = not alert.position or f"#{alert.position}" in alert.title
    return alert.title if is_named else f"{alert.title} #{alert.position}"


def repeated(alert: Alert) -> Alert:
    """The same alert, marked: an earlier process may have sent it."""
    return msgspec.structs.replace(alert, repeat=True)


def text_at(alert: Alert, now: int, repeat: bool) -> str:
    """The message as it is sent at ``now``: ``Late 12 s`` and ``Repeat of #7f3a91`` stand above the id."""
    added: list[str] = []
    late = now - alert.decided_at
    if late > LATE_S * SECOND:
        added.append(f"Late {late // SECOND} s")
    if repeat:
        added.append(f"Repeat of #{alert.position or alert.id}")
    body, separator, last = alert.message.rpartition("\n")
    if alert.position and last == f"#{alert.position}":
        return "\n".join([body, *added, last]) if separator else "\n".join([*added, last])
    return "\n".join([alert.message, *added])


# --- The service -------------------------------------------------------------------------------------

CONNECTIONS_MAX = 2
"""The vendor's limit of connections at a time."""

EMERGENCY_RETRY_S = 30
"""Seconds between the repeats of an emergency push: the vendor's least."""

NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""Failures before the first byte: the request has definitely not arrived."""

BEFORE_FIRST_BYTE = ".send_request_headers.started"
"""How the event ends that httpcore traces when a request is about to be written: ``http11.`` stands before it."""


class Gate:
    """Holds a request back at the socket: connected and made ready, it writes nothing until ``cleared`` has returned.

    What ``cleared`` raises ends the request instead, and its connection, with not a byte written. ``limit`` begins
    anew, with ``exchange_s`` real seconds, when the request goes. Without ``cleared`` the gate is open.
    """

    def __init__(
        self, cleared: Callable[[], Awaitable[None]] | None, limit: asyncio.Timeout, exchange_s: float
    ) -> None:
        self._cleared = cleared
        self._limit = limit
        self._exchange_s = exchange_s
        self.is_open = cleared is None
        """Whether a byte of the request may be out."""
        self.was_asked = False
        """Whether the transport has asked before the first byte."""

    async def open(self) -> None:
        """Wait until the request may go."""
        if self._cleared is not None and not self.is_open:
            await self._cleared()
            self.is_open = True
            self._limit.reschedule(asyncio.get_running_loop().time() + self._exchange_s)

    async def trace(self, name: str, details: Mapping[str, Any]) -> None:
        """Awaited by httpcore at each step of a request. A proxy's CONNECT, which comes first, tells nothing of it."""
        if name.endswith(BEFORE_FIRST_BYTE) and details["request"].method != b"CONNECT":
            self.was_asked = True
            await self.open()


class Pushover:
    """The push service over HTTP: one method for each question. No method raises for a failed exchange.

    ``exchange_s`` are real seconds for a whole exchange.
    """

    def __init__(
        self,
        url: str,
        token: SecretStr,
        user: SecretStr,
        transport: httpx.AsyncBaseTransport | None = None,
        exchange_s: float = EXCHANGE_S,
    ) -> None:
        self._exchange_s = exchange_s
        self._token = token
        self._user = user
        self._url = url
        self._transport = transport
        self._is_gated = False
        """Whether the transport, as httpcore does, asks the gate before the first byte: the last request has shown it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @functools.cached_property
    def _client(self) -> httpx.AsyncClient:
        """Made at the first request: httpx's own transport takes 40 ms to import, and the feed comes first."""
        return make_client(self._url, CONNECTIONS_MAX, self._transport)

    @functools.cached_property
    def _blank(self) -> httpx.Request:
        """A message's request without its content: address and headers are made out once, not at each alert."""
        blank = self._client.build_request("POST", "/1/messages.json", data={"title": ""})
        del blank.headers["Content-Length"]
        return blank

    async def close(self) -> None:
        """Close its connections, if any was made."""
        if "_client" in self.__dict__:
            await close_client(self._client)

    def message(self, fields: Mapping[str, str]) -> httpx.Request:
        """The request that posts one message; token and user are added here. Raises one of `failures`."""
        blank = self._blank
        return httpx.Request(
            blank.method,
            blank.url,
            headers=blank.headers,
            content=urlencode({**self._keys(), **fields}),
            extensions=dict(blank.extensions),
        )

    async def post(
        self, fields: Mapping[str, str], cleared: Callable[[], Awaitable[None]] | None = None
    ) -> Answer:
        """Post one message as `send` does. What cannot even be made ready was not sent."""
        try:
            request = self.message(fields)
        except failures() as error:
            return Answer(result=Result.FAILED, reason=failure_words(error))
        return await self.send(request, cleared)

    async def validate(self) -> Answer:
        """Ask whether token and user are good; `Answer.devices` names the user's."""
        return await self._exchange("POST", "/1/users/validate.json", self._keys())

    async def limits(self) -> Answer:
        """Ask for the quota."""
        return await self._exchange("GET", "/1/apps/limits.json")

    async def receipt(self, receipt: str) -> Answer:
        """Ask whether an emergency push was acknowledged, given what `is_receipt` takes. Not more often than every 5 s."""
        return await self._exchange("GET", f"/1/receipts/{receipt}.json")

    def _keys(self) -> dict[str, str]:
        return {"token": self._token.get_secret_value(), "user": self._user.get_secret_value()}

    async def _exchange(self, method: str, path: str, form: dict[str, str] | None = None) -> Answer:
        # The vendor takes a GET's token in the address only: no address and no text of an httpx error is ever logged.
        parameters = None if form else {"token": self._token.get_secret_value()}
        try:
            request = self._client.build_request(method, path, data=form, params=parameters)
        except failures() as error:
            return Answer(result=Result.FAILED, reason=failure_words(error))
        return await self.send(request)

    async def send(
        self, request: httpx.Request, cleared: Callable[[], Awaitable[None]] | None = None
    ) -> Answer:
        """Send a request, such as one that `message` has made, and read what comes of it.

        All but its first byte is done before ``cleared`` returns; the time of the exchange begins then. What
        ``cleared`` raises is raised, and nothing was sent.
        """
        try:
            async with asyncio.timeout(self._exchange_s) as limit:
                gate = Gate(cleared, limit, self._exchange_s)
                request.extensions["trace"] = gate.trace
                if not self._is_gated:
                    await gate.open()
                reply = await exchange(self._client, request)
                self._is_gated = gate.was_asked
        except failures() as error:
            # httpcore tells of the first byte before it is out; a transport of one's own need not.
            began = gate.is_open and (gate.was_asked or self._transport is not None)
            result = Result.LOST if began and not isinstance(error, NEVER_SENT) else Result.FAILED
            return Answer(result=result, reason=failure_words(error))
        body = reply.body if reply.is_whole else b""
        return read_answer(reply.status, reply.headers, body, self._scrubbed)

    def _scrubbed(self, text: object) -> str:
        """A vendor's text without our keys, on one line of printable characters, of bounded length."""
        line = " ".join("".join(each if each.isprintable() else " " for each in str(text)).split())
        for key in self._keys().values():
            line = line.replace(key, "***")
        return line[:ERROR_TEXT_MAX]


# --- The outbox --------------------------------------------------------------------------------------

OUTBOX_MAX = 50
"""Alerts that may wait. More are a fault; then the least important is dropped, never a SELL."""

REMEMBERED_MAX = 500
"""Outcomes that are remembered: far more than a day has alerts."""


class Entry:
    """An alert that is still to be told, and how far that has come. ``due`` is when it is tried next, µs.

    From ``under_way`` on an attempt has a connection, or waits for one; only once it is ``in_flight`` may it arrive.
    """

    def __init__(
        self,
        alert: Alert,
        due: int,
        written: asyncio.Future[bool] | None,
        tried: Callable[[], None] | None = None,
    ) -> None:
        self.alert = alert
        self.taken_at = self.due = due
        self.written = written
        self._tried = tried
        self.life = Attempts(
            care=alert.care,
            give_up_at=alert.give_up_at or (_last_chance(alert.decided_at) if alert.urgent else 0),
            may_have_arrived=alert.repeat,
        )
        self.is_told_elsewhere = False
        """Whether it was handed to the second channel."""
        self.begun_at: int | None = None
        """When the last attempt began, by a clock that nobody can set, µs."""
        self.follows: Entry | None = None
        """The alarm, still to be told, of which this is the end: it goes out after it, or not at all."""
        self.is_held_up = False
        """Whether the disk is so slow that an attempt has given its connection up."""
        self.under_way = False
        self.in_flight = False

    @property
    def attempts(self) -> int:
        """How many attempts were made."""
        return self.life.made

    @property
    def may_have_arrived(self) -> bool:
        """Whether an attempt whose answer was lost, or an earlier process, may have told it."""
        return self.life.may_have_arrived

    @property
    def keeps_entries_held(self) -> bool:
        """Whether no BUY may be told before it: a SELL that was refused, has failed, or an earlier start left."""
        return self.life.is_untold or (self.alert.persistent and self.alert.repeat)

    def note(self) -> None:
        """Say that an attempt has been made, or that none is."""
        if self._tried is not None:
            self._tried()

    async def written_within(self, seconds: float) -> bool:
        """Wait for the disk, at most so long (real). Returns whether it is known whether its decision is there."""
        if self.written is not None and not self.written.done():
            await asyncio.wait({self.written}, timeout=seconds)
        return self.written is None or self.written.done()

    @property
    def is_unrecorded(self) -> bool:
        """Whether its decision is known not to be on the disk."""
        written = self.written
        return written is not None and written.done() and not written.cancelled() and not written.result()


class Outbox:
    """What is still to be told, and what became of the rest.

    It lives in memory; what outlives the process is the session's record.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._outcomes: OrderedDict[tuple[AlertKind, str], Outcome] = OrderedDict()
        self._sold: OrderedDict[str, None] = OrderedDict()

    def add(
        self,
        alert: Alert,
        now: int,
        written: asyncio.Future[bool] | None = None,
        tried: Callable[[], None] | None = None,
    ) -> Entry:
        """Take an alert in, due at once. ``written`` tells whether its decision is on the disk."""
        entry = Entry(alert, now, written, tried)
        self.entries.append(entry)
        if alert.kind is AlertKind.SELL:
            self._sold[alert.position] = None
            if len(self._sold) > REMEMBERED_MAX:
                self._sold.popitem(last=False)
        return entry

    @property
    def is_under_way(self) -> bool:
        """Whether an attempt has a connection, or waits for one."""
        return any(entry.under_way for entry in self.entries)

    def begin(self, entry: Entry, now: int) -> None:
        """An attempt goes out at ``now`` (µs): from now on it may arrive."""
        entry.life = outbox.begin(entry.life, now)
        entry.in_flight = True

    def postpone(self, entry: Entry, due: int) -> None:
        """The attempt came to nothing; the next is at ``due`` (µs)."""
        entry.in_flight = False
        entry.due = due

    def settle(self, entry: Entry, outcome: Outcome) -> None:
        """Nothing more is done for it."""
        entry.in_flight = False
        self.entries.remove(entry)
        self._outcomes[entry.alert.kind, entry.alert.id] = outcome
        if len(self._outcomes) > REMEMBERED_MAX:
            self._outcomes.popitem(last=False)

    def find(self, kind: AlertKind, alert_id: str) -> Entry | None:
        """The entry of that kind and id which is still to be told."""
        return next((e for e in self.entries if e.alert.kind is kind and e.alert.id == alert_id), None)

    def outcome(self, kind: AlertKind, alert_id: str) -> Outcome | None:
        """What became of an alert, if that is known."""
        return self._outcomes.get((kind, alert_id))

    def sold(self, position: str) -> bool:
        """Whether the position's SELL has been submitted."""
        return position in self._sold

    def waiting(self, urgent: bool) -> list[Entry]:
        """Entries of one lane that are not in flight."""
        return [e for e in self.entries if e.alert.urgent is urgent and not e.in_flight]

    def alarm_of(self, alert: Alert) -> Entry | None:
        """The newest alarm still to be told that ``alert`` says is over."""
        alarms = [entry for entry in self.entries if alert.ends and entry.alert.spell == alert.ends]
        return alarms[-1] if alarms else None

    def followers(self, alarm: Entry) -> list[Entry]:
        """What waits until an alarm is told."""
        return [entry for entry in self.entries if entry.follows is alarm]

    def next(self, urgent: bool, now: int) -> Entry | None:
        """The most important entry of a lane that is due, the oldest of equals."""
        due = [e for e in self.waiting(urgent) if e.due <= now]
        return min(due, key=lambda e: (e.alert.rank, e.alert.decided_at), default=None)

    def least_important(self) -> Entry | None:
        """What is dropped first when there is too much; never a SELL or "unwatched", nor what is in flight."""
        droppable = [e for e in self.entries if not e.in_flight and not e.alert.persistent]
        return max(droppable, key=lambda e: (e.alert.rank, -e.alert.decided_at), default=None)


# --- The sender --------------------------------------------------------------------------------------

WRITTEN_REAL_S = 1.0
"""Real seconds that an alert waits for its decision to be on the disk: a slow disk must not cost the alert."""

HELD_REAL_S = 0.1
"""Real seconds of that on a connection: in more, the service may close it, and the alert would be lost with it."""

DUPLICATE_S = 60
"""An alert that says the same as one submitted this recently is dropped."""

FOLLOWS_MOST_S = 3600
"""How long the end of a spell waits for its alarm: far longer than the three attempts of one that is not persistent."""

KEEP_WARM_S = 45
"""Pause between two questions for the quota in a session: they keep the connection open."""

QUOTA_LOW = 200
"""Pushes left in the month below which only what matters is sent."""

DRAIN_SHARE = 0.3
"""Part of a stop's patience after which what is still untold goes to the second channel, too."""

HOUSEKEEPING_S = 1.0
"""Pause between two looks at what is due besides alerts."""


class Withheld(Exception):
    """An attempt is not sent after all. ``obstacle`` says why; empty when there is nothing to say."""

    def __init__(self, obstacle: str = "") -> None:
        super().__init__(obstacle)
        self.obstacle = obstacle


class Sender:
    """Delivers alerts: `submit` takes one, `run` is its task, `drain` waits for what is pending.

    ``report`` is given an `AlertOutcome` for every alert, and `Hold` when pushes are refused or too many. ``ask_of``
    answers a contract's newest ask in units of an option price, None when there is none.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        report: Callable[[Event], None],
        ask_of: Callable[[str], int | None],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._report = report
        self._ask_of = ask_of
        self._pushover = Pushover(
            settings.pushover_url, settings.pushover_token, settings.pushover_user_key, transport
        )
        self._second = SecondChannel(settings.second_channel_url, transport)
        self._outbox = Outbox()
        self._wakes = {True: asyncio.Event(), False: asyncio.Event()}
        self._changed = asyncio.Event()
        self._seen: dict[str, int] = {}
        self._accepted_at: deque[int] = deque()
        self._holds: set[HoldReason] = set()
        self._standing = Standing()
        self._receipts = Receipts()
        self._side_tasks: set[asyncio.Task[None]] = set()
        self._question: asyncio.Task[None] | None = None
        self._ended = False
        self._healthy = False
        self._in_session = False
        self._remaining: int | None = None
        self._limits_due = 0
        self._is_stopping = False
        self._last_ask_at: int | None = None
        """When a stop asks, once, whether a refused SELL may be tried again, µs."""
        self._is_quota_untold = False
        """Whether the last question for the quota was not answered well: that is said once."""
        self._steady = steady_of(clock)
        self.gave_up: Callable[[str], None] = lambda _: None
        """Called with a line when a SELL or safety push is given up for good."""

    @property
    def healthy(self) -> bool:
        """Whether the last push or question was answered well; False until the first one was."""
        return self._healthy

    @property
    def holds(self) -> frozenset[HoldReason]:
        """What holds entries here at present. It is reported once: an engine that begins later must be told."""
        return frozenset(self._holds)

    def trouble(self, now: int) -> str:
        """What keeps alerts from being told at ``now`` (µs), in words; empty when nothing does."""
        if any(e.alert.urgent and now - e.taken_at > UNANSWERED_S * SECOND for e in self._outbox.entries):
            return "a SELL or safety push is not told"
        if any(now - e.due > UNANSWERED_S * SECOND for e in self._outbox.entries):
            return "the sender is stuck"
        return ""

    @property
    def pending(self) -> list[Alert]:
        """What is still to be told, the most important first."""
        return [entry.alert for entry in sorted(self._outbox.entries, key=lambda e: e.alert.rank)]

    @property
    def awaits_acknowledgement(self) -> bool:
        """Whether an emergency push may still be acknowledged."""
        return bool(self._receipts.open)

    def in_session(self, on: bool) -> None:
        """Keep the connection warm (``on``) or not."""
        self._in_session = on

    def submit(
        self,
        alert: Alert,
        written: asyncio.Future[bool] | None = None,
        tried: Callable[[], None] | None = None,
    ) -> None:
        """Take an alert over. Never waits; what cannot be taken is logged and reported.

        ``written`` becomes true when the alert's decision is on the disk, false when it cannot be put there: a BUY
        is then not sent. The first attempt waits for it, but not for long. ``tried`` is called when an attempt has
        been answered, or has come to nothing, before anything is logged of it.
        """
        now = self._clock.now()
        if self._is_duplicate(alert, now):
            log.warning(
                "alert_duplicate",
                text=f"⏭️ Alert dropped, the same was sent less than {DUPLICATE_S} s ago: {alert.title}",
                kind=alert.kind.value,
                id=alert.id,
            )
            return
        entry = self._outbox.add(alert, now, written, tried)
        if alert.kind is AlertKind.SELL:
            self._settle_buy_of(entry)
        self._line_up(entry)
        self._shed()
        self._judge_hold()
        self._wakes[alert.urgent].set()

    def leave(self, alert: Alert) -> None:
        """Name a SELL whose time is over before this start could tell it: an earlier one may have."""
        log.critical("alert_left", text=f"🛑 Alert never delivered: {alert.title}", id=alert.id)
        self.gave_up(f"never told: {named(alert)}")
        outcome = AlertOutcome(
            kind=alert.kind, id=alert.id, outcome=Outcome.UNSENT, attempts=0, channel=CHANNEL
        )
        self._post_beside(outcome, alert.title, text_at(alert, self._clock.now(), repeat=True))

    def ask_for(self, receipt: Receipt) -> None:
        """Go on asking for a receipt that an earlier start has left."""
        self._receipts.add(receipt)

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._lane(urgent=True), name="alerts-urgent")
                tasks.create_task(self._lane(urgent=False), name="alerts-normal")
                tasks.create_task(self._housekeeping(), name="alerts-housekeeping")
                tasks.create_task(self._look_after_overdue(), name="alerts-overdue")
        finally:
            self._ended = True
            self._changed.set()
            for task in tuple(self._side_tasks):
                task.cancel()
            await asyncio.gather(*self._side_tasks, return_exceptions=True)
            await asyncio.gather(self._pushover.close(), self._second.close())

    async def drain(self, seconds: float) -> list[Alert]:
        """Wait until all is told, at most ``seconds`` (real: the host's patience is), while `run` still runs.

        Returns what is left, the most important first, as soon as no attempt for it falls into that time, or `run` has
        ended.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        for entry in tuple(self._outbox.entries):
            if entry.attempts:
                self._tell_elsewhere(entry)  # it has failed before: no time to wait for more of that
                self._hurry(entry, seconds)
        self._is_stopping = True
        self._ask_once_more()
        soon = loop.call_later(seconds * DRAIN_SHARE, self._tell_rest_elsewhere)
        try:
            async with asyncio.timeout_at(end):
                while self._works_within(end - loop.time()) or self._tell_rest_elsewhere():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            log.warning(
                "drain_timed_out", text=f"⏱️ Alerts not sent within {number_text(seconds)} s", seconds=seconds
            )
        finally:
            soon.cancel()
        left = self.pending
        for alert in left:
            text = f"🛑 Alert left unsent: {alert.title}"
            if alert.urgent:
                log.critical("sell_left_unsent", text=text, kind=alert.kind.value, id=alert.id)
            else:
                log.error("alert_left_unsent", text=text, kind=alert.kind.value, id=alert.id)
        return left

    def _hurry(self, entry: Entry, seconds: float) -> None:
        """Try a SELL that has failed once more within half of ``seconds`` (real): its usual pause of 30 s is too long."""
        if not entry.alert.persistent or entry.life.waits or entry.in_flight:
            return
        now = self._clock.now()
        due = outbox.due_once_taken(entry.life, now)
        if due <= now + int(seconds / 2 * self._clock.speed * SECOND):
            self._outbox.postpone(entry, min(entry.due, due))
            self._wakes[True].set()

    def _works_within(self, seconds: float) -> bool:
        """Whether something is being sent, or will be within so many real seconds, however the clock steps meanwhile."""
        end = self._clock.now() + int(seconds * self._clock.speed * SECOND)
        coming = (e.in_flight or e.due < end for e in self._outbox.entries)
        last = self._last_ask_at
        is_asked = last is not None and last == self._standing.ask_at and last < end
        return not self._ended and (bool(self._side_tasks) or is_asked or any(coming))

    def _ask_once_more(self) -> None:
        """At a stop, ask in 5 s whether pushes are taken again, once: there are no 60 s for a SELL that was refused."""
        is_owed = any(e.life.waits and e.alert.persistent for e in self._outbox.entries)
        if not self._is_stopping or self._last_ask_at is not None or not is_owed:
            return
        stand = self._standing
        if stand.mood is Mood.REFUSED and stand.ask_at is not None:
            soon = max(self._clock.now(), stand.refused_at + outbox.RETRY_LEAST_S * SECOND)
            self._last_ask_at = min(stand.ask_at, soon)
            self._standing = msgspec.structs.replace(stand, ask_at=self._last_ask_at)

    def _tell_rest_elsewhere(self) -> bool:
        """Hand every SELL and safety push that is still untold to the second channel. Returns whether there was one."""
        if self._ended:
            return False
        return any([self._tell_elsewhere(entry) for entry in self._outbox.entries])

    # Taking over

    def _is_duplicate(self, alert: Alert, now: int) -> bool:
        self._seen = {key: at for key, at in self._seen.items() if now - at < DUPLICATE_S * SECOND}
        if not alert.repeat and alert.fingerprint in self._seen:
            return True
        self._seen[alert.fingerprint] = now
        return False

    def _line_up(self, entry: Entry) -> None:
        """Have the end of a spell wait while its alarm is still to be told: else the phone would hear it first.

        Where the alarm was told elsewhere, its end is, too.
        """
        alarm = self._outbox.alarm_of(entry.alert)
        if alarm is None:
            return
        entry.follows = alarm
        entry.due = max(alarm.life.give_up_at, entry.due + FOLLOWS_MOST_S * SECOND)
        if alarm.is_told_elsewhere:
            self._tell_elsewhere(entry)

    def _release(self, alarm: Entry, outcome: Outcome) -> None:
        """An alarm is settled: what says that it is over goes out now, unless nobody was told of it."""
        for entry in self._outbox.followers(alarm):
            entry.follows = None
            if outcome in (Outcome.ACCEPTED, Outcome.LOST):
                self._outbox.postpone(entry, self._clock.now())
                self._wakes[entry.alert.urgent].set()
            else:
                self._withdraw(entry, "nobody was told what it ends")

    def _settle_buy_of(self, sell: Entry) -> None:
        """A BUY that has not arrived is withdrawn by its SELL, and the SELL by that."""
        buy = self._outbox.find(AlertKind.BUY, sell.alert.position)
        if buy is not None and not buy.in_flight:
            self._withdraw(buy, "its position has closed")
        if self._nobody_told(sell):
            self._withdraw(sell, "nobody was told of the BUY")

    def _nobody_told(self, sell: Entry) -> bool:
        outcome = self._outbox.outcome(AlertKind.BUY, sell.alert.position)
        return outcome in (Outcome.REFUSED, Outcome.UNSENT) and not sell.may_have_arrived

    def _shed(self) -> None:
        """Drop the least important while there are too many."""
        while len(self._outbox.entries) > OUTBOX_MAX:
            entry = self._outbox.least_important()
            if entry is None:
                return
            log.error(
                "outbox_full",
                text=f"🛑 Too many alerts are waiting ({OUTBOX_MAX}); dropped: {entry.alert.title}",
                kind=entry.alert.kind.value,
                id=entry.alert.id,
            )
            self._finish(entry, self._unsent(entry), "too many alerts were waiting")

    # Delivering

    async def _lane(self, urgent: bool) -> None:
        """Deliver one alert after the other. What waits for its next attempt is in nobody's way."""
        wake = self._wakes[urgent]
        while True:
            wake.clear()
            entry = self._outbox.next(urgent, self._clock.now())
            if entry is not None and (left := self._pause_left(entry)) > 0:
                self._outbox.postpone(entry, self._clock.now() + left)
                continue
            if entry is not None:
                await self._attempt(entry)
                self._changed.set()
                continue
            waiting = self._outbox.waiting(urgent)
            await self._rest(wake, min((e.due for e in waiting), default=None))

    def _pause_left(self, entry: Entry) -> int:
        """What is left of the vendor's least pause since the last attempt, µs. A step of the clock does not shorten it."""
        if entry.begun_at is None:
            return 0
        return entry.begun_at + outbox.RETRY_LEAST_S * SECOND - self._steady()

    async def _rest(self, wake: asyncio.Event, until: int | None) -> None:
        """Wait for ``wake``, or for the time ``until`` (µs) if there is one."""
        if until is None:
            await wake.wait()
            return
        seconds = max(0, until - self._clock.now()) / SECOND
        waits = {
            asyncio.ensure_future(wake.wait()),
            asyncio.ensure_future(self._clock.sleep(seconds)),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _attempt(self, entry: Entry) -> None:
        """One attempt. While the disk works it is made ready; the last look at it is before its first byte."""
        if entry.is_held_up:
            await self._await_disk(entry)
            if entry not in self._outbox.entries:
                return  # settled while it waited
        now = self._clock.now()
        if obstacle := self._obstacle(entry, now):
            entry.note()
            self._withdraw(entry, obstacle)
            return
        if outbox.is_over(entry.life, now):
            self._give_up(entry, "its time is over, and pushes are not taken")
            return
        try:
            answer = await self._send(entry, now)
        except Withheld as withheld:
            self._limits_due = 0  # its connection is gone: the next alert shall find a warm one again
            if withheld.obstacle:
                entry.note()
                self._withdraw(entry, withheld.obstacle)
            return
        self._learn(answer)
        entry.note()
        if entry not in self._outbox.entries:
            return  # settled while it could not be connected
        now = self._clock.now()
        if not entry.in_flight:
            self._begin(entry, now)  # it was an attempt although it never got as far as the first byte
        self._follow(entry, answer, outbox.step(entry.life, answer.result, now))

    def _follow(self, entry: Entry, answer: Answer, what: Step) -> None:
        """Do what follows from an attempt's answer."""
        entry.life = what.attempts
        match what.move:
            case Move.ACCEPTED:
                self._accepted(entry, answer)
            case Move.REFUSED | Move.WAIT:
                self._refused(entry, answer, what)
            case Move.LOST:
                self._lost(entry, answer)
            case Move.RETRY | Move.RETRY_ON:
                self._failed(entry, answer, what)
            case _:
                assert_never(what.move)

    async def _send(self, entry: Entry, now: int) -> Answer:
        """Make an attempt ready as of ``now``, and send it when it may go. Raises Withheld when it may not."""
        self._make_room()
        entry.under_way = True
        try:
            return await self._pushover.post(self._fields(entry, now), lambda: self._clear(entry))
        finally:
            entry.under_way = False

    async def _clear(self, entry: Entry) -> None:
        """Return when an attempt may go out; raise Withheld when it may not.

        From the obstacles to `_begin` nothing is awaited, so that nothing changes in between.
        """
        if not await entry.written_within(HELD_REAL_S):
            entry.is_held_up = True
            raise Withheld  # it waits on without a connection
        if entry not in self._outbox.entries:
            raise Withheld  # settled while it waited
        now = self._clock.now()
        if obstacle := self._obstacle(entry, now):
            raise Withheld(obstacle)
        self._begin(entry, now)

    def _begin(self, entry: Entry, now: int) -> None:
        self._outbox.begin(entry, now)
        entry.begun_at = self._steady()

    async def _await_disk(self, entry: Entry) -> None:
        """Wait on until it is known whether the decision is on the disk, but not for long."""
        entry.is_held_up = False
        if not await entry.written_within(WRITTEN_REAL_S - HELD_REAL_S):
            entry.written = None
            log.warning(
                "record_slow", text=f"⚠️ The record is not on the disk after {WRITTEN_REAL_S:g} s: sending"
            )

    def _obstacle(self, entry: Entry, now: int) -> str:
        """Why an alert is not to be sent (any more); empty when it is."""
        alert = entry.alert
        if alert.kind is AlertKind.BUY:
            unrecorded = "its decision could not be recorded" if entry.is_unrecorded else ""
            return unrecorded or self._buy_obstacle(alert, now)
        if alert.kind is AlertKind.SELL:
            return "nobody was told of the BUY" if self._nobody_told(entry) else ""
        if alert.urgent:
            return ""
        if HoldReason.PUSH_REFUSED in self._holds:
            return "the push service refuses our pushes"
        if self._remaining is not None and self._remaining < QUOTA_LOW and alert.priority <= NORMAL:
            return f"only {self._remaining} pushes are left this month"
        return ""

    def _buy_obstacle(self, alert: Alert, now: int) -> str:
        if self._outbox.sold(alert.position):
            return "its position has closed"
        if now >= alert.pay_until:
            return f"it is {(now - alert.decided_at) // SECOND} s old"
        ask = self._ask_of(alert.contract)
        if ask is not None and ask > alert.pay_limit:
            return f"the ask {option_price(ask)} has passed its limit {option_price(alert.pay_limit)}"
        if HoldReason.PUSH_REFUSED in self._holds:
            return "the push service refuses our pushes"
        return ""

    def _fields(self, entry: Entry, now: int) -> dict[str, str]:
        alert = entry.alert
        fields = {
            "title": alert.title,
            "message": text_at(alert, now, entry.may_have_arrived),
            "timestamp": str(alert.decided_at // SECOND),
            "priority": str(alert.priority),
        }
        if alert.kind is AlertKind.BUY:
            # A stale BUY vanishes from the phone at the time stop.
            fields["ttl"] = str(max(1, (alert.time_stop - now) // SECOND))
        if alert.priority == EMERGENCY:
            fields |= {"retry": str(EMERGENCY_RETRY_S), "expire": str(EMERGENCY_EXPIRE_S)}
        return fields

    def _accepted(self, entry: Entry, answer: Answer) -> None:
        alert = entry.alert
        now = self._clock.now()
        seconds = (now - alert.decided_at) / SECOND
        log.info(
            "alert_sent",
            text=f"✓ Alert sent: {alert.title} ({seconds:.2f} s)",
            kind=alert.kind.value,
            id=alert.id,
            seconds=round(seconds, 3),
            attempts=entry.attempts,
        )
        receipt = answer.receipt if is_receipt(answer.receipt) else ""
        self._finish(entry, Outcome.ACCEPTED, receipt=receipt)
        self._accepted_at.append(now)
        self._check_cap(now)
        if receipt:
            self._receipts.add(
                Receipt(
                    receipt=receipt,
                    kind=alert.kind,
                    id=alert.id,
                    title=alert.title,
                    accepted_at=now,
                    due=now + receipts.RECEIPT_POLL_S * SECOND,
                    attempts=entry.attempts,
                )
            )
        elif answer.receipt:
            log.warning(
                "receipt_unusable",
                text="⚠️ The push service gave a receipt that cannot be one: whether the SELL is acknowledged "
                "will not be known",
                id=alert.id,
            )

    def _refused(self, entry: Entry, answer: Answer, what: Step) -> None:
        alert = entry.alert
        again = "tried again once pushes are taken" if what.outcome is None else "not sent again"
        text = f"🛑 Alert refused, {again}: {alert.title} ({answer.reason})"
        if alert.kind is AlertKind.SELL:
            log.critical("sell_refused", text=text, id=alert.id, status=answer.status, errors=answer.errors)
        else:
            log.error(
                "alert_refused",
                text=text,
                kind=alert.kind.value,
                id=alert.id,
                status=answer.status,
                errors=answer.errors,
            )
        if alert.kind is AlertKind.BUY and self._outbox.sold(alert.position):
            log.warning(
                "buy_refused_after_sell",
                text=f"⚠️ The BUY of #{alert.position} was refused after its SELL had gone out: "
                "the SELL concerns nobody",
                id=alert.id,
            )
        self._stand(standing.refused(self._standing, answer, self._clock.now()), answer.reason)
        if what.outcome is None:
            self._outbox.postpone(entry, what.due)
            self._judge_hold()
            self._tell_elsewhere(entry)
            self._ask_once_more()
        elif what.move is Move.WAIT:
            self._give_up(entry, answer.reason)
        else:
            self._finish(entry, what.outcome, answer.reason)

    def _lost(self, entry: Entry, answer: Answer) -> None:
        """The answer was lost, and the alert is not repeated: it may have been accepted."""
        alert = entry.alert
        log.warning(
            "alert_answer_lost",
            text=f"❓ Alert sent, answer lost, not repeated: {alert.title} ({answer.reason})",
            kind=alert.kind.value,
            id=alert.id,
            attempts=entry.attempts,
        )
        self._tell_elsewhere(entry)
        self._finish(entry, Outcome.LOST, answer.reason)

    def _failed(self, entry: Entry, answer: Answer, what: Step) -> None:
        """Try again later, or not."""
        alert = entry.alert
        word = "lost its answer" if answer.result is Result.LOST else "failed"
        log.warning(
            "alert_attempt_failed",
            text=f"⚠️ Alert attempt {entry.attempts} {word}: {alert.title} ({answer.reason})",
            kind=alert.kind.value,
            id=alert.id,
            attempts=entry.attempts,
        )
        if alert.kind is AlertKind.BUY and self._outbox.sold(alert.position):
            self._withdraw(entry, "its position has closed")
        elif what.outcome is not None:
            self._give_up(entry, answer.reason)
        else:
            self._outbox.postpone(entry, what.due)
            self._judge_hold()

    def _give_up(self, entry: Entry, reason: str) -> None:
        alert = entry.alert
        text = f"🛑 Could not deliver after {entry.attempts} attempts: {alert.title} ({reason})"
        if alert.urgent:
            log.critical("could_not_deliver", text=text, kind=alert.kind.value, id=alert.id)
            self.gave_up(f"never told: {named(alert)}")
        else:
            log.error("alert_given_up", text=text, kind=alert.kind.value, id=alert.id)
        self._tell_elsewhere(entry)
        self._finish(entry, outbox.ended(entry.life), f"{entry.attempts} attempts failed: {reason}")

    def _withdraw(self, entry: Entry, reason: str) -> None:
        log.warning(
            "alert_not_sent",
            text=f"🚫 Alert not sent: {entry.alert.title} ({reason})",
            kind=entry.alert.kind.value,
            id=entry.alert.id,
            reason=reason,
        )
        self._finish(entry, self._unsent(entry), reason)

    def _unsent(self, entry: Entry) -> Outcome:
        return Outcome.LOST if entry.may_have_arrived else Outcome.UNSENT

    def _finish(self, entry: Entry, outcome: Outcome, detail: str = "", receipt: str = "") -> None:
        self._outbox.settle(entry, outcome)
        self._changed.set()
        alert = entry.alert
        self._report(
            AlertOutcome(
                kind=alert.kind,
                id=alert.id,
                outcome=outcome,
                attempts=entry.attempts,
                detail=detail,
                receipt=receipt,
            )
        )
        self._release(entry, outcome)
        self._judge_hold()

    # What holds entries

    def _hold(self, reason: HoldReason, on: bool, text: str) -> None:
        if on == (reason in self._holds):
            return
        (self._holds.add if on else self._holds.discard)(reason)
        if on:
            log.error("entries_held", text=f"✋ Entries held, {reason.value}: {text}", reason=reason.value)
        else:
            log.info("entries_released", text=f"✓ Entries released, {text}", reason=reason.value)
        self._report(Hold(reason=reason, on=on))

    def _judge_hold(self, reason: str = "") -> None:
        """Hold entries while no push can arrive, or a SELL is untold; ``reason`` is what the service has just said."""
        untold = next((e.alert for e in self._outbox.entries if e.keeps_entries_held), None)
        match self._standing.mood:
            case Mood.SPENT:
                text = f"the quota is used up until {self._reset_text}"
            case Mood.REFUSED:
                text = f"the push service refuses ({reason})" if reason else "the push service refuses"
            case _ if untold is not None:
                text = f"not told yet: {untold.title}"
            case _:
                text = "the push service takes our pushes"
        self._hold(HoldReason.PUSH_REFUSED, self._standing.takes_nothing or untold is not None, text)

    @property
    def _reset_text(self) -> str:
        reset = self._standing.reset
        return "it is told" if reset is None else f"{day_text(reset * SECOND)} ET"

    def _stand(self, new: Standing, reason: str = "") -> None:
        """We stand otherwise with the service, for ``reason``: what waited for that is tried, and entries are judged."""
        was, self._standing = self._standing.mood, new
        if new.mood is Mood.SPENT and was is not Mood.SPENT:
            log.error(
                "quota_used_up",
                text=f"🛑 Pushover's quota is used up until {self._reset_text}: no push arrives",
                reset=new.reset,
            )
        if new.mood is Mood.TAKEN:
            now = self._clock.now()
            for entry in self._outbox.entries:
                if entry.life.waits and not entry.in_flight:
                    self._outbox.postpone(entry, outbox.due_once_taken(entry.life, now))
            self._wakes[True].set()
        self._judge_hold(reason)

    def _check_cap(self, now: int) -> None:
        count, span = self._settings.push_cap_count, self._settings.push_cap_seconds
        while self._accepted_at and now - self._accepted_at[0] >= span * SECOND:
            self._accepted_at.popleft()
        if count:
            full = len(self._accepted_at) >= count
            text = f"{count} pushes within {span} s" if full else f"fewer than {count} pushes within {span} s"
            self._hold(HoldReason.PUSH_CAP, full, text)

    def _learn(self, answer: Answer) -> None:
        """What every answer tells: whether the service is well, and how many pushes are left."""
        self._healthy = answer.result is Result.OK
        if answer.remaining is None:
            return
        was_low = self._remaining is not None and self._remaining < QUOTA_LOW
        if self._remaining is None:
            log.info(
                "quota",
                text=f"📮 Pushover: {answer.remaining:,} pushes left this month",
                remaining=answer.remaining,
            )
        self._remaining = answer.remaining
        if answer.remaining < QUOTA_LOW and not was_low:
            log.warning(
                "quota_low",
                text=f"⚠️ Pushover: only {answer.remaining} pushes left this month; quiet ones are not sent",
                remaining=answer.remaining,
            )

    # Besides alerts

    async def _housekeeping(self) -> None:
        """Ask what is due, one question at a time, and only while no alert is on its way."""
        while True:
            now = self._clock.now()
            self._check_cap(now)
            question = None if self._outbox.is_under_way else self._due_question(now)
            if question is not None:
                await self._ask(question)
            await self._clock.sleep(HOUSEKEEPING_S)

    async def _ask(self, question: Coroutine[Any, Any, None]) -> None:
        task = self._question = asyncio.create_task(question, name="alerts-question")
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
            self._question = None
        if not task.cancelled():
            task.result()

    def _make_room(self) -> None:
        """An alert never waits for a question: with the other lane under way, the question gives way."""
        if self._question is not None and self._outbox.is_under_way:
            self._question.cancel()

    def _due_question(self, now: int) -> Coroutine[Any, Any, None] | None:
        if self._standing.ask_at is not None and now >= self._standing.ask_at:
            return self._ask_standing(self._standing.question, now)
        receipt = self._receipts.due(now)
        if receipt is not None:
            return self._ask_receipt(receipt, now)
        wanted = self._in_session or not self._healthy or not self._limits_due
        if wanted and now >= self._limits_due:
            return self._ask_quota(now)
        return None

    async def _ask_standing(self, question: Question, now: int) -> None:
        """Ask whether pushes are taken: at the start, and while they are refused or the quota is used up."""
        answer = await (self._pushover.validate() if question is Question.USER else self._pushover.limits())
        self._learn(answer)
        new = standing.answered(self._standing, answer, now, self._clock.now())
        if new.mood is Mood.TAKEN and self._standing.mood is not Mood.TAKEN:
            log.info(
                "push_ready",
                text=f"✓ Pushover takes our pushes (devices: {len(answer.devices)})",
                devices=len(answer.devices),
            )
        elif answer.result not in (Result.OK, Result.REFUSED):
            log.warning(
                "push_question_failed",
                text=f"⚠️ Pushover did not answer: {answer.reason}",
                reason=answer.reason,
            )
        self._stand(new, answer.reason)
        self._changed.set()

    async def _ask_quota(self, now: int) -> None:
        """Ask for the quota, which keeps the connection warm."""
        self._limits_due = now + KEEP_WARM_S * SECOND
        was_healthy = self._healthy
        answer = await self._pushover.limits()
        self._learn(answer)
        if answer.result is not Result.OK:
            # The quota is only a number. Whether pushes are taken is asked in its stead: an alert may be next.
            self._standing = standing.doubted(self._standing, now)
        if answer.result is not Result.OK and was_healthy and not self._is_quota_untold:
            log.warning(
                "push_question_failed",
                text=f"⚠️ Pushover did not answer: {answer.reason}",
                reason=answer.reason,
            )
        self._is_quota_untold = answer.result is not Result.OK

    async def _ask_receipt(self, receipt: Receipt, now: int) -> None:
        self._receipts.asked(receipt, now)
        answer = await self._pushover.receipt(receipt.receipt)
        now = self._clock.now()
        verdict = receipts.judge(receipt, answer, now)
        seconds = (now - receipt.accepted_at) // SECOND
        match verdict:
            case Verdict.ACKNOWLEDGED:
                at = receipts.acknowledged_at(receipt, answer, now)
                seconds = (at - receipt.accepted_at) // SECOND
                who = f"on {answer.acknowledged_on}" if answer.acknowledged_on else "on an unnamed device"
                when = f"{who} at {clock_text(at)} ET"
                log.info(
                    "sell_acknowledged",
                    text=f"✓ SELL acknowledged {when} ({seconds} s): {receipt.title}",
                    id=receipt.id,
                    seconds=seconds,
                )
                self._end_receipt(receipt, Outcome.ACKNOWLEDGED, when)
            case Verdict.WAITS:
                if self._receipts.is_to_be_warned_of(receipt, now):
                    self._warn_of(receipt, seconds)
            case Verdict.EXPIRED | Verdict.UNKNOWN:
                log.warning(
                    "sell_never_acknowledged",
                    text=f"⚠️ Repeats have ended, {verdict.value}: {receipt.title}",
                    id=receipt.id,
                    seconds=seconds,
                )
                self._end_receipt(receipt, Outcome.EXPIRED, verdict.value)

    def _end_receipt(self, receipt: Receipt, outcome: Outcome, detail: str) -> None:
        self._receipts.end(receipt)
        self._report(
            AlertOutcome(
                kind=receipt.kind,
                id=receipt.id,
                outcome=outcome,
                attempts=receipt.attempts,
                detail=detail,
                receipt=receipt.receipt,
            )
        )

    def _warn_of(self, receipt: Receipt, seconds: int) -> None:
        """Nobody has acknowledged: said in the log, and on the second channel."""
        log.warning(
            "sell_unacknowledged",
            text=f"⚠️ Not acknowledged for {seconds} s: {receipt.title}",
            id=receipt.id,
            seconds=seconds,
        )
        title = f"⚠️ Not acknowledged for {span_text(seconds * SECOND)}: {receipt.title}"
        lines = (
            f"Pushed at {clock_text(receipt.accepted_at)} ET, and nobody is known to have acknowledged it.",
            f"Now: the phone goes on ringing until {clock_text(receipt.accepted_at + EMERGENCY_EXPIRE_S * SECOND)} ET.",
            "You: look at the position.",
            f"#{receipt.id}",
        )
        outcome = AlertOutcome(
            kind=receipt.kind,
            id=receipt.id,
            outcome=Outcome.UNSENT,
            attempts=0,
            detail=f"not acknowledged for {UNACKNOWLEDGED_S} s",
            receipt=receipt.receipt,
            channel=CHANNEL,
        )
        self._post_beside(outcome, title, "\n".join(lines))

    # The second channel

    async def _look_after_overdue(self) -> None:
        """Tell elsewhere what Pushover has not accepted for 60 s, however slow its answers are."""
        while True:
            now = self._clock.now()
            for entry in self._outbox.entries:
                if now - entry.taken_at >= UNANSWERED_S * SECOND and entry.alert.urgent:
                    self._tell_elsewhere(entry)
            await self._clock.sleep(HOUSEKEEPING_S)

    def _tell_elsewhere(self, entry: Entry) -> bool:
        """Post a SELL or safety push that Pushover does not take to the second channel, once. Returns whether it is."""
        alert = entry.alert
        if not (alert.urgent or entry.follows is not None) or entry.is_told_elsewhere:
            return False
        entry.is_told_elsewhere = True
        outcome = AlertOutcome(
            kind=alert.kind, id=alert.id, outcome=Outcome.UNSENT, attempts=0, channel=CHANNEL
        )
        is_posted = self._post_beside(outcome, alert.title, text_at(alert, self._clock.now(), alert.repeat))
        for follower in self._outbox.followers(entry):
            self._tell_elsewhere(follower)
        return is_posted

    def _post_beside(self, outcome: AlertOutcome, title: str, text: str) -> bool:
        """Post a text to the second channel beside everything else; ``outcome`` is reported with what came of it."""
        if not self._second.is_set:
            return False
        task = asyncio.create_task(
            self._post_elsewhere(outcome, title, f"{title}\n\n{text}"), name="alerts-second-channel"
        )
        self._side_tasks.add(task)
        task.add_done_callback(self._side_task_done)
        return True

    def _side_task_done(self, task: asyncio.Task[None]) -> None:
        self._side_tasks.discard(task)
        self._changed.set()

    async def _post_elsewhere(self, outcome: AlertOutcome, title: str, text: str) -> None:
        """Three attempts; what came of them is a fact of its own."""
        failure, attempts = "", 0
        for attempts, delay in enumerate(POST_DELAYS_S, 1):  # noqa: B007 - counted for the report below
            await self._clock.sleep(delay)
            failure = await self._second.post(text)
            if not failure:
                break
        kind, alert_id = outcome.kind.value, outcome.id
        if failure:
            log.critical(
                "second_channel_failed",
                text=f"🛑 Second channel failed too: {title} ({failure}; {attempts} attempts)",
                kind=kind,
                id=alert_id,
            )
        else:
            log.info(
                "second_channel_sent",
                text=f"✓ Alert sent to the second channel: {title}",
                kind=kind,
                id=alert_id,
            )
        told = Outcome.UNSENT if failure else Outcome.ACCEPTED
        detail = "; ".join(filter(None, (outcome.detail, failure)))
        self._report(msgspec.structs.replace(outcome, outcome=told, attempts=attempts, detail=detail))
