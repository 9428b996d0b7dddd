"""The tables of the days' page: results by delay, by hour of the BUY and by reason of the SELL, and the days."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from html import escape

from msgspec.structs import replace

import utils
from book.rows import DayRow, TradeRow
from events import SECOND, ExitReason
from followed import dollars_text
from review.days_page.parts import Told, amount, day_title, fates_text, swing, unbroken
from review.days_report import day_text
from review.page.parts import note, section
from review.sums import Sum, day_dollars
from utils import clock_text, span_text

NOT_CLOSED = "no SELL recorded"

GROUPS_NOTE = (
    "Groups of a few trades differ by chance alone, and among several groups one always looks best: "
    "read each mean with its n."
)


def delays_section(told: Told) -> str:
    """Returns the sums at each delay, with the interval of their means."""
    totals = {delay: told.sum(told.days, delay, with_interval=True) for delay in told.asked.delays_s}
    rows = {_delay_name(told, delay): total for delay, total in totals.items()}
    return section("delays", "By seconds after each push", _sums("Delay", rows))


def _delay_name(told: Told, delay: int) -> str:
    return f"{delay} s" + (
        ", yours" if delay == told.own_s else ", the pushes' own prices" if not delay else ""
    )


def hours_section(told: Told) -> str:
    """Returns results by the hour of the BUY, New York, quiet hours too."""
    traded = {_hour(trade) for day in told.days for trade in day.trades}
    hours = sorted({*range(utils.OPEN.hour, utils.CLOSE.hour), *traded})
    rows = _grouped(told, [_hour_name(hour) for hour in hours], lambda trade: _hour_name(_hour(trade)))
    return section("hours", "By hour of the BUY, New York", _at(told), _sums("Hour", rows))


def _hour(trade: TradeRow) -> int:
    return utils.new_york(trade.opened_at).hour


def _hour_name(hour: int) -> str:
    start = f"{utils.OPEN:%H:%M}" if hour == utils.OPEN.hour else f"{hour:02d}:00"
    return f"{start}–{hour + 1:02d}:00"


def reasons_section(told: Told) -> str:
    """Returns results by the reason of the SELL: first those that today's rules know, in their order."""
    found = {_reason(trade) for day in told.days for trade in day.trades}
    known = [str(reason) for reason in ExitReason if reason in found]
    others = sorted(found - set(known) - {NOT_CLOSED})
    names = [*known, *others, *([NOT_CLOSED] if NOT_CLOSED in found else [])]
    rows = _grouped(told, names, _reason)
    return section("reasons", "By reason of the SELL", _at(told), _sums("Reason", rows), note(GROUPS_NOTE))


def _reason(trade: TradeRow) -> str:
    return trade.reason or NOT_CLOSED


def _at(told: Told) -> str:
    return note(
        f"Followed {told.own_s} s after each push, one contract each, after fees. Trades that could not be followed are counted below the bar."
    )


def _grouped(told: Told, names: Sequence[str], name_of: Callable[[TradeRow], str]) -> dict[str, Sum]:
    """Returns the sum of each group's trades at the owner's delay."""
    return {
        name: told.sum(
            [
                replace(day, trades=tuple(trade for trade in day.trades if name_of(trade) == name))
                for day in told.days
            ],
            told.own_s,
        )
        for name in names
    }


def _sums(what: str, rows: Mapping[str, Sum]) -> str:
    """Returns sums as a table with bars."""
    largest = max((abs(total.dollars) for total in rows.values()), default=0.0)
    heads = "".join(f'<th scope="col" class="n">{head}</th>' for head in ("n", "up", "down", "sum", "mean"))
    body = "".join(_sum_row(name, total, largest) for name, total in rows.items())
    return f'<table class="sums"><thead><tr><th scope="col">{what}</th>{heads}</tr></thead><tbody>{body}</tbody></table>'


def _sum_row(name: str, total: Sum, largest: float) -> str:
    fates = fates_text(total)
    left_out = f"<small>{escape(fates)}</small>" if fates else ""
    interval = ""
    if total.interval is not None:
        low, high = map(dollars_text, total.interval)
        interval = f"<small>{unbroken(f'95%: {low} to {high}')}</small>"
    counts = "".join(f'<td class="n">{count or "—"}</td>' for count in (total.trades, total.up, total.down))
    return (
        f'<tr><th scope="row">{escape(name)}{swing(total.dollars, largest)}{left_out}</th>{counts}'
        f'<td class="n">{amount(total.dollars if total.trades else None)}</td>'
        f'<td class="n">{amount(total.mean, 2)}{interval}</td></tr>'
    )


# --- The days ----------------------------------------------------------------------------------------


def days_section(told: Told) -> str:
    """Returns a row for each session, the oldest first."""
    heads = [("Date", "day"), ("seen", "n"), ("blind", "n"), ("signals", "n"), ("entries", "n")]
    heads += [(f"{delay} s", f"n {_delay_look(told, delay)}") for delay in told.asked.delays_s]
    heads.append(("Nearest miss", "miss"))
    cells = "".join(f'<th scope="col" class="{look}">{name}</th>' for name, look in heads)
    body = "".join(_day_row(told, day) for day in told.days)
    links = ""
    if told.pages:
        links = (
            f" A date links to the day's page; {len(told.pages)} of {len(told.days)} have one in this folder."
        )
    return section(
        "days",
        "The days",
        note(f"Seconds after each push, dollars of one contract, after fees.{links}"),
        f'<table class="days"><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>',
    )


def _delay_look(told: Told, delay: int) -> str:
    """Returns what becomes of a delay's column where there is little room."""
    return "own" if delay == told.own_s else "other" if delay else "zero"


def _day_row(told: Told, day: DayRow) -> str:
    weekday = f"{date.fromisoformat(day.date):%a}"
    name = told.linked(day, f'<span class="w">{escape(day.date)}</span>')
    facts = [
        ("seen", span_text(day.seen_s * SECOND)),
        ("blind", span_text(day.blind_s * SECOND) if day.blind_s else "—"),
        ("signals", f"{day.signals:,}"),
        ("entries", f"{day.entries:,}"),
    ]
    cells = [f'<td class="n fact" data-head="{head}">{text}</td>' for head, text in facts]
    for delay in told.asked.delays_s:
        count = len(day_dollars(day, delay, told.fee))
        number = f"<small>n {count}</small>" if count else ""
        cells.append(
            f'<td class="n {_delay_look(told, delay)}" data-head="{delay} s">'
            f'<span class="w">{number}{day_text(day, delay, told.fee)}</span></td>'
        )
    miss = (
        "" if day.miss_at is None else f"{clock_text(day.miss_at)} {escape(day.miss or day.miss_condition)}"
    )
    cells.append(f'<td class="miss">{miss}</td>')
    return (
        f'<tr title="{escape(day_title(told, day))}"><th scope="row" class="day">{name} <small>{weekday}{", simulated" * day.simulated}</small></th>'
        f"{''.join(cells)}</tr>"
    )
