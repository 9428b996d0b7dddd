"""The page's trades: a chart of each, what they were told as, and what following them by hand would have brought."""

from __future__ import annotations

from html import escape

import alerts
from events import Closed
from followed import DELAYS_S, Fate, Result, dollars_text
from quote_history import OLDEST_S
from review import fills
from review.page.data import evaluated_second
from review.page.parts import legend, moment, note, result, section, table
from review.page.reading import position_words
from review.study import Study
from utils import clock_text, option_price, span_text, strike_text


def trades_section(study: Study) -> str:
    """Every position, those that nobody was told of too."""
    trades = study.trades.all
    if not trades:
        return section("trades", "Trades", note("No BUY was announced."))
    shown = [trade for trade in trades if study.marks.get(trade.opened.id)]
    charts = "".join(_trade_figure(study, trade) for trade in shown)
    return section(
        "trades",
        "Trades",
        note("The option while its position was open: its mark, and the levels that sell."),
        legend(
            ("rule", "mark", "Mark"),
            ("rule dashdot", "peak", "Peak"),
            ("rule", "stop", "Stop"),
            ("rule dash", "hard", "Hard giveback"),
            ("rule dot", "tight", "Giveback while below VWAP"),
        ),
        f'<template id="position-words">{position_words()}</template><div class="trades">{charts}</div>'
        if charts
        else "",
        _trades_table(study),
        _fills_table(study),
    )


def _by_hand(study: Study, trade: fills.Trade, delay_s: int | None = None) -> Result | None:
    """What following a trade by hand brought, at the owner's own delay unless another is given."""
    results = study.trades.followed(delay_s)
    return next((item for item in results.every if item.opened.id == trade.opened.id), None)


def _money(found: Result | None) -> str:
    """A result in dollars with its percentage, coloured; else why there is none."""
    if found is None:
        return ""
    if found.dollars is None:
        why = "<small>ask above Pay ≤</small>" if found.fate is Fate.OVER_LIMIT else ""
        return f"{escape(found.fate)}{why}"
    look = "loss" if found.dollars < 0 else "gain"
    return f'<span class="{look}">{dollars_text(found.dollars)}</span><small>{result(found.percent)}</small>'


def _ends(trade: fills.Trade) -> str:
    if trade.is_withdrawn:
        return "withdrawn, nobody was told"
    return "still open" if trade.closed_at is None else clock_text(trade.closed_at)


def _trade_figure(study: Study, trade: fills.Trade) -> str:
    opened, closed = trade.opened, trade.closed
    label = (
        f"The option's mark from {clock_text(trade.opened_at)}, entry {option_price(opened.entry)}, {_ends(trade)}"
        + ("" if closed is None else f", peak {option_price(closed.peak)}, last {option_price(closed.mark)}")
    )
    name = escape(opened.id)
    said = f"Entry {option_price(opened.entry)}"
    if closed is not None and trade.closed_at is not None:
        reason = alerts.reason_text(closed, study.rules_at(trade.closed_at))
        said += f"; {_sold_text(closed)}. Sold: {reason}"
    start = moment(study, trade.opened_at, evaluated_second(study, trade.opened_at))
    return (
        f"<figure><h3>{escape(strike_text(opened.strike))}c {start} → {escape(_ends(trade))} "
        f"<small>{escape(opened.contract)} #{name}</small></h3>"
        f'<p>{escape(said)}.</p><div class="chart" id="trade-{name}" role="img" aria-label="{escape(label)}"></div>'
        f'<figcaption id="told-{name}"></figcaption></figure>'
    )


def _sold_text(closed: Closed) -> str:
    """The two prices of a SELL: the mid that decided it, and what a market order would have got."""
    return f"mark at the SELL {option_price(closed.mark)}, bid {option_price(closed.bid)}"


def _trades_table(study: Study) -> str:
    delay = study.trades.following.follow_delay_seconds
    heads = (
        "Trade",
        "Bought",
        "Sold",
        f"By hand, {delay} s",
        "By hand, 0 s",
        "Told",
        "Peak",
        "Held",
        "Reason",
    )
    caption = (
        f"By hand: in at the ask and out at the bid, {delay} s after each push and at the decisions' own moments, one "
        f"contract, less ${study.trades.following.fee_per_contract:.2f} a side (yours: FOLLOW_DELAY_SECONDS, FEE_PER_CONTRACT). Told: the mark against the entry price"
    )
    return table(
        caption, heads, [_trade_cells(study, trade) for trade in study.trades.all], range(3, 8), is_wide=True
    )


def _trade_cells(study: Study, trade: fills.Trade) -> tuple[str, ...]:
    opened, closed, closed_at = trade.opened, trade.closed, trade.closed_at
    head = (
        f"#{escape(opened.id)}<small>{escape(strike_text(opened.strike))}c</small>",
        f"{moment(study, trade.opened_at, evaluated_second(study, trade.opened_at))}<small>{option_price(opened.entry)}</small>",
    )
    if trade.is_withdrawn:
        detail = study.withdrawn.get(opened.id, "")
        return (*head, *[""] * 6, f"withdrawn, nobody was told<small>{escape(detail)}</small>")
    by_hand = _money(_by_hand(study, trade))
    if closed is None or closed_at is None:
        return (*head, "", by_hand, *[""] * 4, "still open")
    return (
        *head,
        f"{moment(study, closed_at)}<small>{_sold_text(closed)}</small>",
        by_hand,
        _money(_by_hand(study, trade, 0)),
        result(trade.told_percent),
        option_price(closed.peak),
        span_text(closed_at - trade.opened_at),
        escape(alerts.reason_text(closed, study.rules_at(closed_at))),
    )


def _fills_table(study: Study) -> str:
    """What following each push by hand, some seconds late, would have paid."""
    if not study.trades.told:
        return ""
    columns = [study.trades.followed(delay) for delay in DELAYS_S]
    rows = [
        (f"#{escape(made[0].opened.id)}", *map(_fill, made))
        for made in zip(*(column.every for column in columns), strict=True)
    ]
    means = (
        fills.MISSING
        if column.mean_percent is None
        else f"{result(column.mean_percent)}<small>n {len(column.taken)}</small>"
        for column in columns
    )
    rows.append(("Mean", *means))
    every = [fill for column in columns for fill in column.every]
    notes = ["* not taken: the ask was above Pay ≤"] * any(fill.fate is Fate.OVER_LIMIT for fill in every)
    if any(fill.paid is None or fill.got is None for fill in every):
        notes.append(f"{fills.MISSING} no quote was recorded in the {OLDEST_S} s before, or still open")
    heads = ("Trade", *(f"{delay} s" for delay in DELAYS_S))
    caption = (
        "By hand at other delays, so many seconds after each push; percent of what was paid, fees included"
    )
    return table(caption, heads, rows, range(1, len(heads)), is_wide=True) + (
        note(f"{'; '.join(notes)}.") if notes else ""
    )


def _fill(fill: Result) -> str:
    paid = (
        fills.MISSING if fill.paid is None else option_price(fill.paid) + "*" * (fill.fate is Fate.OVER_LIMIT)
    )
    got = fills.MISSING if fill.got is None else option_price(fill.got)
    return f"{'' if fill.percent is None else result(fill.percent)}<small>{paid} → {got}</small>"
