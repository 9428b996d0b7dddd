"""From a decision to the alert on the phone: `alert_for` turns one decision into at most one `Alert`. Pure.

Tests hold the texts to the character. `delivery` decides when and how an alert is sent.
"""

from __future__ import annotations

from typing import assert_never

from events import (
    SECOND,
    AlertKind,
    Closed,
    Decision,
    Declined,
    ExitReason,
    FeedAlarmed,
    FeedCause,
    FeedRecovered,
    MarkBack,
    MarkLost,
    Opened,
    Withdrawn,
    named_cause,
)
from messages.alert import HALF_CENT, LATE_S, Alert, Priority, close_of, give_up_at, system_alert
from messages.causes import ALARM_TITLES, BENCHMARK_TITLE, CAUSE_TEXTS, STILL_WATCHED, SYMBOL_TEXTS
from rules import Rules
from utils import (
    clock_text,
    minute_text,
    momentum_text,
    number_text,
    one_decimal,
    option_price,
    share_price,
    signed_percent,
    span_text,
    strike_text,
)

DELTA_DIGITS = 2

DELTA_DIGITS_MAX = 6


def alert_for(
    now: int, decision: Decision, rules: Rules, sell_priority: int = Priority.EMERGENCY
) -> Alert | None:
    """Returns the push about ``decision``, made at ``now`` (µs); None for a decision that is not pushed.

    ``sell_priority`` is the Pushover priority of a SELL.
    """
    match decision:
        case Opened():
            return _buy(now, decision, rules)
        case Closed():
            return _sell(now, decision, rules, Priority(sell_priority))
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
        f"Momentum {momentum_text(opened.momentum)}%/s | Vol Z{one_decimal(opened.volume_z)}",
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
        # Mids come in half cents, so show the highest mid that sells: the level itself may lie between two.
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
        priority=Priority.HIGH,
        position=opened.id,
        contract=opened.contract,
        pay_limit=opened.pay_limit,
        pay_until=opened.pay_until,
        time_stop=opened.time_stop,
        detail=f"{strike_text(opened.strike)}c ≤ {option_price(opened.pay_limit)}",
    )


def _sell(now: int, closed: Closed, rules: Rules, priority: Priority) -> Alert:
    close = close_of(closed.time_stop, rules)
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
        give_up_at=give_up_at(now, closed.time_stop, rules),
        detail=_bid_detail(closed),
    )


def sell_title(rules: Rules) -> str:
    """Returns the title of a SELL."""
    return f"🚪 {rules.symbol} 0DTE CALL — SELL"


def reason_text(closed: Closed, rules: Rules) -> str:
    """Returns why a position was closed, in the words of phone and log."""
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
    """Returns the change of the last mark against the entry, in percent; None without a mark."""
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


def _bid_detail(closed: Closed) -> str:
    """Returns what selling at the bid pays against the entry, for the title; empty without a bid."""
    if closed.bid is None:
        return ""
    return "no bid" if closed.bid <= 0 else f"{signed_percent(_change(closed.bid, closed.entry))[:-1]} %"


def _giveback(closed: Closed) -> str:
    change = _change(closed.mark, closed.peak)
    return "n/a" if change is None else f"{one_decimal(-change)}%"


def _limit(closed: Closed, rule: float) -> str:
    return number_text(rule if closed.limit_percent is None else closed.limit_percent)


def _change(value: float | None, base: float | None) -> float | None:
    """Returns the change of ``value`` against ``base`` in percent; None if either is missing."""
    return (value - base) / base * 100 if value is not None and base else None


def _delta_text(opened: Opened, rules: Rules) -> str:
    if opened.in_range:
        return f"{opened.delta:.{DELTA_DIGITS}f}"
    digits = DELTA_DIGITS
    # A delta of 0.4504 is outside 0.30–0.45, so it must not read as 0.45.
    while digits < DELTA_DIGITS_MAX and rules.delta_min <= round(opened.delta, digits) <= rules.delta_max:
        digits += 1
    low, high = _bound_text(rules.delta_min), _bound_text(rules.delta_max)
    return f"{opened.delta:.{digits}f} (outside {low}–{high})"


def _bound_text(bound: float) -> str:
    """Returns a bound of delta with two decimals, or with more if it has more."""
    text = f"{bound:.{DELTA_DIGITS_MAX}f}".rstrip("0")
    return text.ljust(text.index(".") + 1 + DELTA_DIGITS, "0")


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
        f"Now: no entries{f', because {symbol} is the benchmark' if is_benchmark else ''}; {doing}.",
    ]
    if alarm.position:
        lines.append("The position is watched as before." if is_benchmark else STILL_WATCHED)
    lines.append(f"You: {owner}.")
    if alarm.untold:
        spells = "blind spell was" if alarm.untold == 1 else "blind spells were"
        lines.append(f"{alarm.untold} earlier {spells} not pushed.")
    title = (BENCHMARK_TITLE if is_benchmark else ALARM_TITLES[kind]).format(symbol=rules.symbol)
    if symbol:
        title += f" ({named_cause(alarm.cause, symbol)})"
    return system_alert(
        kind,
        now,
        named_cause(alarm.cause, symbol),
        title=title,
        lines=lines,
        position=alarm.position,
        spell=_sight_spell(symbol, rules),
    )


def _sight_spell(symbol: str, rules: Rules) -> str:
    """Returns the key that an alarm about ``symbol`` and its recovery share. The cause may change in between."""
    return "benchmark" if symbol and symbol == rules.benchmark else "feed"


def _feed_recovered(now: int, recovered: FeedRecovered, rules: Rules) -> Alert:
    gap = span_text(recovered.gap_end - recovered.gap_start)
    symbol, is_benchmark = recovered.symbol, bool(recovered.symbol) and recovered.symbol == rules.benchmark
    lines = [
        f"Bars{f' of {symbol}' if symbol else ''} arrive again. Gap {gap}: {clock_text(recovered.gap_start)} to "
        f"{clock_text(recovered.gap_end)} ET ({recovered.cause.value}).",
        "Now: filling the gap; entries resume once it is filled."
        + (" All exits apply again." if recovered.position and not is_benchmark else ""),
        "You: nothing to do.",
    ]
    title = (
        f"✅ {rules.symbol}: benchmark back, gap {gap}"
        if is_benchmark
        else f"✅ {rules.symbol}: feed recovered, gap {gap}"
    )
    return system_alert(
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
        "Now: stop loss and givebacks wait for a price; the time stop still applies.",
        "You: check the quote, and close it yourself if you want out.",
    )
    title = f"⚠️ {rules.symbol}: no price for the open position"
    return system_alert(
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
        "Now: stop loss and givebacks apply again.",
        "You: nothing to do.",
    )
    title = f"✅ {rules.symbol}: price of the open position is back"
    return system_alert(
        AlertKind.MARK_BACK,
        now,
        back.id,
        title=title,
        lines=lines,
        position=back.id,
        contract=back.contract,
        ends=f"price {back.id}",
    )
