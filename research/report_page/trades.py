"""What a backtest's trades come to: by group, by delay, and taken apart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from html import escape
from typing import Any

from followed import dollars_text
from research.backtest.greeks import Attribution
from research.backtest.report import Backtest
from research.backtest.session import HORIZONS, SessionResult
from research.report_page.groups import (
    WEEKDAYS,
    Group,
    Item,
    delta_of,
    grouped,
    hour_of,
    hours,
    items_of,
    reason_of,
    reasons,
    spread_of,
    spreads,
    summed,
    weekday_of,
)
from research.report_page.parts import Mean, between, chart, sums_table
from research.report_page.told import Told
from research.statistics.intervals import Interval, ratio_by_day
from research.statistics.verdict import LEAST_SESSIONS, LEAST_TRADES
from review.page.parts import note, section

GROUPS_NOTE = (
    f"The sum is of equal stakes. A mean needs {LEAST_TRADES} trades on {LEAST_SESSIONS} sessions of the group, and comes with its "
    "95% interval over drawn days. Among several groups one always looks best: nothing here is a reason to choose it."
)


def group_sections(told: Told) -> str:
    """Returns results by the hour of the BUY, weekday, reason of the SELL, delta and spread; of a track record by weekday."""
    found = told.backtest
    if found is None:
        items = [
            Item(day.isoformat(), weekday_of(day), float(result))
            for day, result in zip(told.days, told.results, strict=True)
            if result
        ]
        parts = [("weekday", "By weekday (n: days with a result)", "Day", grouped(items, WEEKDAYS))]
    else:
        parts = _of_trades(found.sessions, found.asked.delay_s)
    made = "".join(section(name, heading, sums_table(what, groups)) for name, heading, what, groups in parts)
    return f'<div class="pair">{made}{section("groups", "How to read these", note(GROUPS_NOTE))}</div>'


def _of_trades(sessions: Sequence[SessionResult], delay_s: int) -> list[tuple[str, str, str, list[Group]]]:
    def by(name: Any) -> list[Item]:
        return items_of(sessions, delay_s, name)

    weekdays = [
        Item(session.date, weekday_of(date.fromisoformat(session.date)), trade.orders[delay_s].result)
        for session in sessions
        for trade in session.trades
    ]
    deltas = by(delta_of)
    return [
        ("hours", "By hour of the BUY, New York", "Hour", grouped(by(hour_of), hours())),
        ("weekday", "By weekday", "Day", grouped(weekdays, WEEKDAYS)),
        ("reasons", "By reason of the SELL", "Reason", grouped(by(reason_of), reasons(sessions))),
        ("deltas", "By delta at the BUY", "Delta", grouped(deltas, sorted({item.group for item in deltas}))),
        ("spreads", "By spread at the BUY, % of the mid", "Spread", grouped(by(spread_of), spreads())),
    ]


# --- Delays ------------------------------------------------------------------------------------------


AT_MID = "at mid"


def delay_groups(found: Backtest) -> list[Group]:
    """Returns what the trades come to from mid to mid, without costs, and at each delay."""
    mids = [Item(day.date, "", trade.mid_result) for day in found.sessions for trade in day.trades]
    orders = [
        summed(f"{delay} s", items_of(found.sessions, delay, lambda trade: "")) for delay in found.trades
    ]
    return [summed(AT_MID, mids), *orders]


def delays_section(found: Backtest, groups: Sequence[Group]) -> str:
    """Returns the curve over the delays, the signal layer and the option at mid beside it."""
    curve = (
        chart(
            "delays-chart", "Mean of a trade with its 95% interval: at mid, and by seconds from push to order"
        )
        if has_means(groups)
        else ""
    )
    fates = "; ".join(
        f"{figures.delay_s} s: " + ", ".join(f"{count} {fate}" for fate, count in figures.fates.items())
        for figures in found.trades.values()
        if figures.fates
    )
    return section(
        "delays",
        "By seconds after each push",
        curve,
        sums_table("Delay", groups),
        note(
            "In at the ask, out at the bid, fees included. A BUY whose ask has passed its “Pay ≤” by then is not taken."
        ),
        note(f"Left out at {fates}.") if fates else "",
    )


def has_means(groups: Sequence[Group]) -> bool:
    """Returns whether every group has a mean with an interval."""
    return bool(groups) and all(group.interval is not None for group in groups)


def chart_means(groups: Sequence[Group]) -> list[Mean]:
    """Returns the means that a chart shows."""
    return [
        Mean(group.name, group.mean, group.interval, group.taken)
        for group in groups
        if group.mean is not None and group.interval is not None
    ]


# --- The symbol after a signal -----------------------------------------------------------------------


def signals_section(found: Backtest) -> str:
    """Returns how the symbol moved after signals, beside every second with open gates; means where there are enough."""
    if not found.tells_rates:
        count = sum(session.signals for session in found.sessions)
        return section(
            "signals",
            "The symbol after a signal",
            note(f"{count:,} signals: too few sessions or trades for means."),
        )
    rows = "".join(_signal_row(found, name) for name in HORIZONS)
    return section(
        "signals",
        "The symbol after a signal",
        '<table class="sums"><thead><tr><th scope="col">After</th><th scope="col" class="n">signals</th>'
        '<th scope="col" class="n">mean, bp</th><th scope="col" class="n">all open seconds</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>",
        note(
            "Basis points. All open seconds: every second at which the gates were open, signal or not. An alert is worth "
            "something if its own mean lies above theirs by more than its interval."
        ),
    )


def _signal_row(found: Backtest, name: str) -> str:
    own = [session.signal_moves[name] for session in found.sessions]
    usual = [session.usual_moves[name] for session in found.sessions]
    cells = [
        _points([(sum(moves), len(moves)) for moves in own]),
        _points([(count * mean, count) for count, mean in usual]),
    ]
    number = sum(map(len, own))
    return (
        f'<tr><th scope="row">{escape(name)}</th><td class="n">{number:,}</td><td class="n">{cells[0]}</td>'
        f'<td class="n">{cells[1]}<small>n {sum(count for count, _ in usual):,}</small></td></tr>'
    )


def _points(days: Sequence[tuple[float, int]]) -> str:
    count, interval = sum(number for _, number in days), ratio_by_day(days)
    if not count or interval is None:
        return "—"
    low, mean, high = (
        ("−" if value < 0 else "+") + f"{abs(value):.2f}"
        for value in (interval.low, sum(total for total, _ in days) / count, interval.high)
    )
    return f"{mean}{between(low, high)}"


# --- Taken apart -------------------------------------------------------------------------------------


def parts_of(found: Backtest) -> list[Mean]:
    """Returns the parts of a trade's result at the pushes' own prices, means with intervals; none where there are too few."""
    by_day = [
        [trade.attribution for trade in session.trades if trade.attribution is not None]
        for session in found.sessions
    ]
    every = [part for day in by_day for part in day]
    made: list[Mean] = []
    for name in Attribution._fields:
        sums = [(sum(getattr(part, name) for part in day), len(day)) for day in by_day]
        interval: Interval | None = ratio_by_day(sums)
        if found.tells_rates and interval is not None:
            made.append(Mean(name, sum(total for total, _ in sums) / len(every), interval, len(every)))
    return made


def attribution_section(found: Backtest, parts: Sequence[Mean]) -> str:
    """Returns a trade's result taken apart by Black–Scholes between its two mids, and what the orders cost."""
    every = [
        trade.attribution
        for session in found.sessions
        for trade in session.trades
        if trade.attribution is not None
    ]
    count = len(every)
    rows = "".join(
        f'<tr><th scope="row">{name}</th><td class="n">{dollars_text(sum(getattr(part, name) for part in every))}</td>'
        f'<td class="n">{_mean_text(parts, name)}</td></tr>'
        for name in Attribution._fields
    )
    picture = (
        chart("attribution-chart", f"Mean of {count} trades, dollars of one contract, with 95% intervals")
        if parts
        else ""
    )
    return section(
        "attribution",
        "What moved the option",
        picture,
        '<table class="sums"><thead><tr><th scope="col">Part</th>'
        f'<th scope="col" class="n">sum of {count}</th><th scope="col" class="n">mean</th></tr></thead><tbody>{rows}</tbody></table>',
        note(
            "Dollars of one contract, from the mid at the BUY to the mid at the SELL, by Black–Scholes at the BUY; then the spread "
            "and the fees at the pushes' own prices. The rest is what first and second derivatives do not explain."
        ),
    )


def _mean_text(parts: Sequence[Mean], name: str) -> str:
    found = next((part for part in parts if part.name == name), None)
    if found is None:
        return "—"
    low, high = map(dollars_text, found.interval)
    return f"{dollars_text(found.value)}{between(low, high)}"
