"""The sessions of the book in words and for machines: a row each, and their sums. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from book.rows import DayRow
from config import Following
from events import SECOND
from followed import DELAYS_S, dollars_text
from review.report import wrapped
from review.sums import DRAWS, LEAST_DAYS, Sum, day_dollars, summed
from utils import clock_text, plural_s, span_text


class Range(NamedTuple):
    """Dates in ISO form, both included; what is left open begins or ends with the book."""

    first: str = ""
    last: str = "9999"


class Asked(NamedTuple):
    """What the days are told by: the folder of the data, the range, delay and fee."""

    folder: Path
    dates: Range
    following: Following
    now: int

    @property
    def delays_s(self) -> list[int]:
        """Returns the delays that are told."""
        return sorted({*DELAYS_S, self.following.follow_delay_seconds})


def lines(days: Sequence[DayRow], asked: Asked) -> list[str]:
    """Returns the sessions as a table, and their sums."""
    if not days:
        return ["No session in the book for these dates."]
    delays, fee = asked.delays_s, asked.following.fee_per_contract
    own = asked.following.follow_delay_seconds
    found = [*wrapped(headline(days, asked)), ""]
    heads = "".join(f"{f'{delay} s':>9}" for delay in delays)
    found.append(f"{'':10}{'seen':>8}{'blind':>7}{'signals':>8}{'entries':>8}{heads}  nearest miss")
    for day in days:
        results = "".join(f"{day_text(day, delay, fee):>9}" for delay in delays)
        miss = "" if day.miss_at is None else f"  {clock_text(day.miss_at)} {day.miss_condition}"
        found.append(
            f"{day.date}{span_text(day.seen_s * SECOND):>8}{span_text(day.blind_s * SECOND):>7}"
            f"{day.signals:>8,}{day.entries:>8}{results}{miss}"
        )
    found += [
        "",
        *wrapped(
            f"Followed by hand, one contract each, less ${fee:.2f} a side (FEE_PER_CONTRACT), by seconds after each push "
            "(yours: FOLLOW_DELAY_SECONDS):"
        ),
    ]
    for delay in delays:
        found.append(f"  {sum_text(summed(days, delay, fee)) + (' ← yours' if delay == own else '')}")
    found += ["", *wrapped(caveat(days))]
    return found


def headline(days: Sequence[DayRow], asked: Asked) -> str:
    """Returns the days in a line: their number, their span, and the sum at the owner's delay."""
    total = summed(days, asked.following.follow_delay_seconds, asked.following.fee_per_contract)
    span = days[0].date if len(days) == 1 else f"{days[0].date} to {days[-1].date}"
    market = simulated_text(days)
    return f"{market and f'{market}. '}{len(days)} session{plural_s(len(days))}, {span}. {sum_text(total)}."


def simulated_text(days: Sequence[DayRow]) -> str:
    """Returns that the market was simulated, and on how many of the days if not on all; empty if on none."""
    count = sum(day.simulated for day in days)
    if not count:
        return ""
    return "Simulated market" if count == len(days) else f"Simulated market on {count} of {len(days)} days"


def day_text(day: DayRow, delay_s: int, fee: float) -> str:
    """Returns what a day's trades brought at a delay; a dash if none was taken."""
    found = day_dollars(day, delay_s, fee)
    return dollars_text(sum(found), 0) if found else "—"


def sum_text(total: Sum) -> str:
    """Returns a sum in words: ``15 s: 9 trades, 4 up, 5 down, −$31; mean −$3.44 (95%: −$9.10 to +$2.20, n 9)``."""
    text = f"{total.delay_s} s: {total.trades} trade{plural_s(total.trades)}"
    if total.mean is not None:
        text += f", {total.up} up, {total.down} down, {dollars_text(total.dollars, 0)}; mean {dollars_text(total.mean)} (n {total.trades}"
        if total.interval is not None:
            low, high = map(dollars_text, total.interval)
            text += f", 95%: {low} to {high}"
        text += ")"
    left_out = [f"{count} {fate}" for fate, count in total.fates.items()]
    return "; ".join([text, *left_out])


def caveat(days: Sequence[DayRow]) -> str:
    """Returns what the sums are worth."""
    return (
        f"The interval is that of the mean over {DRAWS:,} resamples of {len(days)} day{plural_s(len(days))}; there is none "
        f"below {LEAST_DAYS} days with a trade. While it holds zero, these days do not show that the alerts are worth "
        "anything, nor that they are not."
    )


def as_json(days: Sequence[DayRow], notes: Sequence[str], asked: Asked) -> str:
    """Returns the same for machines."""
    fee = asked.following.fee_per_contract
    totals = [summed(days, delay, fee) for delay in asked.delays_s]
    return json.dumps(
        {
            "days": [_day_data(day, asked) for day in days],
            "sums": [
                {**total._asdict(), "fates": {str(fate): count for fate, count in total.fates.items()}}
                for total in totals
            ],
            "fee_per_side": fee,
            "own_delay_s": asked.following.follow_delay_seconds,
            "notes": list(notes),
        },
        indent=1,
        ensure_ascii=False,
        allow_nan=False,
    )


def _day_data(day: DayRow, asked: Asked) -> dict[str, Any]:
    data = {name: getattr(day, name) for name in day.__struct_fields__ if name != "trades"}
    fee = asked.following.fee_per_contract
    data["dollars"] = {str(delay): round(sum(day_dollars(day, delay, fee)), 2) for delay in asked.delays_s}
    data["trades"] = [
        {
            **{name: getattr(trade, name) for name in trade.__struct_fields__ if name != "followed"},
            "followed": {
                str(delay): {"fate": order.fate, "paid": order.paid, "got": order.got}
                for delay, order in sorted(trade.followed.items())
            },
        }
        for trade in day.trades
    ]
    return data
