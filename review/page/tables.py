"""The page's tables and the parts that they are made of: plain HTML, which needs no script.

Whatever comes from a record is escaped where it enters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import alerts
from events import Condition
from followed import DELAYS_S, Fate, Result, dollars_text
from quote_history import OLDEST_S
from review import fills, funnel
from review.page.data import evaluated_second, seconds_after_open
from review.study import Study
from utils import clock_text, option_price, signed_percent, span_text, strike_text
from wording import condition_name


def condition_cell(condition: Condition, benchmark: str) -> str:
    """A condition's name in full, and the one that the report and the trace use, as HTML."""
    return f"{escape(condition_name(condition, benchmark))} <code>{condition}</code>"


# --- Parts of a page ---------------------------------------------------------------------------------


def table(
    caption: str,
    heads: Sequence[str],
    rows: Iterable[str],
    numbers: Iterable[int] = (),
    *,
    is_wide: bool = False,
) -> str:
    """A table. ``heads`` are plain text, ``rows`` finished rows; ``numbers`` says which columns are on the right.

    A wide one is not squeezed on a phone: it moves sideways, its first column stays.
    """
    right = set(numbers)
    cells = "".join(
        f'<th scope="col"{_right(place in right)}>{escape(head)}</th>' for place, head in enumerate(heads)
    )
    return (
        f'<p class="note">{escape(caption)}.</p>'
        f'<div class="scroll{" wide" * is_wide}" tabindex="0" role="group" aria-label="{escape(caption)}">'
        f'<table aria-label="{escape(caption)}"><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _right(is_number: bool) -> str:
    return ' class="n"' if is_number else ""


def row(cells: Iterable[str], numbers: Iterable[int] = ()) -> str:
    """A row of finished cells; the first names it."""
    right = set(numbers)
    found = [
        f'<th scope="row">{cell}</th>' if place == 0 else f"<td{_right(place in right)}>{cell}</td>"
        for place, cell in enumerate(cells)
    ]
    return f"<tr>{''.join(found)}</tr>"


def moment(study: Study, at: int, shown: int | None = None) -> str:
    """A time of day that leads to its second in the chart, or to another that is to be ``shown``."""
    second = seconds_after_open(study, at if shown is None else shown)
    return f'<a href="#session" data-second="{second:g}">{clock_text(at)}</a>'


def key(*items: tuple[str, str, str]) -> str:
    """What colours and marks mean: (class of the sample, its style variable, words)."""
    return f'<ul class="key">{"".join(f"<li><i{_sample(kind, name)}></i>{escape(text)}</li>" for kind, name, text in items)}</ul>'


def _sample(kind: str, name: str) -> str:
    look = {"": f"background:var(--{name})"}.get(kind, f"border-color:var(--{name})" if name else "")
    return (f' class="{kind}"' if kind else "") + (f' style="{look}"' if look else "")


def result(value: float | None) -> str:
    """A result in percent, coloured."""
    if value is None:
        return "n/a"
    return f'<span class="{"loss" if value < 0 else "gain"}">{signed_percent(value)}</span>'


def trades_section(study: Study) -> str:
    trades = study.trades.all
    if not trades:
        return '<section id="trades"><h2>Trades</h2><p class="note">No BUY was announced.</p></section>'
    charts = "".join(_trade_figure(study, trade) for trade in trades if study.marks.get(trade.opened.id))
    return (
        '<section id="trades"><h2>Trades</h2>'
        '<p class="note">The option while its position was open: its mark, and the levels that sell.</p>'
        + key(
            ("rule", "price", "Mark"),
            ("rule", "peak", "Peak"),
            ("rule", "stop", "Stop"),
            ("dash", "hard", "Hard giveback"),
            ("dot", "tight", "Giveback while below VWAP"),
        )
        + f'<div class="trades">{charts}</div>{_trades_table(study)}{_fills_table(study)}</section>'
    )


def _trade_figure(study: Study, trade: fills.Trade) -> str:
    opened, closed = trade.opened, trade.closed
    end = "still open" if trade.closed_at is None else clock_text(trade.closed_at)
    end = "withdrawn, nobody was told" if trade.is_withdrawn else end
    label = (
        f"The option's mark from {clock_text(trade.opened_at)}, entry {option_price(opened.entry)}, {end}"
        + ("" if closed is None else f", peak {option_price(closed.peak)}, last {option_price(closed.mark)}")
    )
    name = escape(opened.id)
    return (
        f"<figure><h3>{escape(strike_text(opened.strike))}c {moment(study, trade.opened_at, evaluated_second(study, trade.opened_at))} "
        f"→ {escape(end)} {result(trade.told_percent) if closed is not None else ''}"
        f"<small>#{name} {escape(opened.contract)}</small></h3>"
        f'<div class="chart" id="trade-{name}"><div role="img" aria-label="{escape(label)}"></div></div>'
        f'<figcaption class="line" id="told-{name}"></figcaption></figure>'
    )


def _trades_table(study: Study) -> str:
    numbers = (3, 4, 5, 6, 7)
    rows = [row(_trade_cells(study, trade), numbers) for trade in study.trades.all]
    caption = (
        "As announced: the mark against the entry price. Ask to bid: what one contract would really have paid"
    )
    heads = ("Trade", "Bought", "Sold", "Told", "Ask to bid", "A contract", "Peak", "Held", "Reason")
    return table(caption, heads, rows, numbers, is_wide=True)


def _trade_cells(study: Study, trade: fills.Trade) -> tuple[str, ...]:
    opened, closed, closed_at = trade.opened, trade.closed, trade.closed_at
    head = (
        f"#{escape(opened.id)}<small>{escape(strike_text(opened.strike))}c</small>",
        f"{moment(study, trade.opened_at, evaluated_second(study, trade.opened_at))}<small>{option_price(opened.entry)}</small>",
    )
    if trade.is_withdrawn:
        detail = study.withdrawn.get(opened.id, "")
        reason = f"withdrawn, nobody was told<small>{escape(detail)}</small>"
        return (*head, *[""] * 6, reason)
    if closed is None or closed_at is None:
        return (*head, *[""] * 6, "still open")
    dollars = fills.dollars(trade)
    return (
        *head,
        f"{moment(study, closed_at)}<small>{option_price(closed.mark)}</small>",
        result(trade.told_percent),
        result(trade.crossed_percent),
        "n/a" if dollars is None else dollars_text(dollars),
        option_price(closed.peak),
        span_text(closed_at - trade.opened_at),
        escape(alerts.reason_text(closed, study.rules_at(closed_at))),
    )


def _fills_table(study: Study) -> str:
    """What following each push by hand, some seconds late, would have paid."""
    told = study.trades.told
    if not told:
        return ""
    columns = [study.trades.followed(delay) for delay in DELAYS_S]
    numbers = range(1, len(columns) + 1)
    rows = [
        row((f"#{escape(made[0].opened.id)}", *map(_fill, made)), numbers)
        for made in zip(*(column.every for column in columns), strict=True)
    ]
    means = [
        fills.MISSING if column.mean_percent is None else result(column.mean_percent) for column in columns
    ]
    rows.append(row(("Mean", *means), numbers))
    every = [fill for column in columns for fill in column.every]
    notes = ["* above what the BUY said to pay at most"] * any(fill.fate is Fate.OVER_LIMIT for fill in every)
    if any(fill.paid is None or fill.got is None for fill in every):
        notes.append(f"{fills.MISSING} no quote was recorded in the {OLDEST_S} s before, or still open")
    return table(
        "Followed by hand, in at the ask and out at the bid, so many seconds after each push",
        ("Trade", *(f"{delay} s" for delay in DELAYS_S)),
        rows,
        numbers,
        is_wide=True,
    ) + (f'<p class="note">{escape("; ".join(notes))}.</p>' if notes else "")


def _fill(fill: Result) -> str:
    is_over = fill.fate is Fate.OVER_LIMIT
    paid = fills.MISSING if fill.paid is None else option_price(fill.paid) + "*" * is_over
    got = fills.MISSING if fill.got is None else option_price(fill.got)
    return f"{'' if fill.percent is None else result(fill.percent)}<small>{paid} → {got}</small>"


ROW_NAMES = {
    "session": "Seconds of the session",
    "with a bar": "with a bar",
    "evaluated": "evaluated as they came",
    "not blind": "not blind",
    "warm": "after the warm-up",
    "fired": "BUY",
}


LEAST_BAR_PERCENT = 0.5
"""What is left at all is seen."""


def funnel_section(study: Study) -> str:
    """The funnel, and how often each condition failed."""
    steps = funnel.funnel(study)
    idle = [step.name for step in steps if step.kind is funnel.RowKind.GATE and not step.lost]
    numbers = (1, 2, 3)
    shown = table(
        "Each row counts what is left of the row before; its bar is that share",
        ("Seconds", "Left", "Of before", "Of all"),
        [row(_funnel_cells(study, step), numbers) for step in steps if step.name not in idle],
        numbers,
    )
    note = f'<p class="note">Gates that stopped no signal: {escape(", ".join(idle))}.</p>' if idle else ""
    return f'<section id="funnel"><h2>Funnel</h2>{shown}{note}{_failing_table(study)}</section>'


def _funnel_cells(study: Study, step: funnel.Row) -> tuple[str, ...]:
    name = escape(ROW_NAMES.get(step.name, step.name))
    if step.kind is funnel.RowKind.CONDITION:
        name = condition_cell(Condition(step.name), study.rules.benchmark)
    elif step.kind is funnel.RowKind.GATE:
        name = f"not stopped by {name}"
    left_out = " (left out)" * step.is_left_out
    width = max(step.of_before, LEAST_BAR_PERCENT) if step.left else 0.0
    bar = f'<span class="bar {step.kind.value}" style="width:{width:.1f}%"></span>'
    return f"{name}{left_out}{bar}", f"{step.left:,}", _share(step.of_before), _share(step.of_all)


def _share(percent: float) -> str:
    """A share that may be tiny."""
    return f"{percent:.1f}%" if percent >= 1 or not percent else f"{percent:.2g}%"


def _failing_table(study: Study) -> str:
    found = funnel.failing(study)
    rows = [
        row(
            (
                condition_cell(item.condition, study.rules.benchmark),
                *(
                    ("left out", "", "")
                    if item.is_left_out
                    else (f"{item.failed:,}", f"{item.alone:,}", f"{item.alone_open:,}")
                ),
            ),
            (1, 2, 3),
        )
        for item in found
    ]
    count = found[0].of if found else 0
    caption = f"How often each condition failed, of {count:,} seconds neither blind nor in the warm-up"
    return table(caption, ("Condition", "Failed", "Alone", "Alone, gate open"), rows, (1, 2, 3))


def misses_section(study: Study, missed: Sequence[funnel.Miss]) -> str:
    followed = funnel.followed_text(study)
    if not missed:
        none = "No second failed at one condition alone while the gate was open"
        none += f"; {followed}" if followed else ""
        return f'<section id="misses"><h2>Nearest misses</h2><p class="note">{escape(none)}.</p></section>'
    rows = [
        row(
            (
                moment(study, miss.nearest.evaluation.start),
                f"{condition_cell(miss.condition, study.rules.benchmark)}<small>{escape(miss.text)}</small>",
                span_text(miss.end - miss.start),
            ),
            (2,),
        )
        for miss in missed
    ]
    caption = "The gate open, and all conditions but one" + (f"; {followed}" if followed else "")
    shown = table(caption, ("Time", "Failed", "Lasted"), rows, (2,))
    return f'<section id="misses"><h2>Nearest misses</h2>{shown}</section>'


def gaps_section(study: Study) -> str:
    spans = [(span.start, span.end, f"Blind: {span.cause}") for span in study.blind]
    spans += [(span.start, span.end, f"Not running: {span.cause}") for span in study.down]
    spans += [(span.start, span.end, f"Entries held: {span.reason}") for span in study.held]
    if not spans:
        return '<section id="gaps"><h2>Gaps</h2><p class="note">Never blind, never held, never down.</p></section>'
    rows = [
        row((moment(study, start), clock_text(end), span_text(end - start), escape(text)), (2,))
        for start, end, text in sorted(spans)
    ]
    shown = table("When no entry was possible", ("From", "Until", "Length", "Cause"), rows, (2,))
    return f'<section id="gaps"><h2>Gaps</h2>{shown}</section>'


def declined_section(study: Study) -> str:
    if not study.fallen:
        return ""
    rows = [row((escape(rule.value), f"{count:,}"), (1,)) for rule, count in study.fallen.most_common()]
    shown = table("Contracts that fell to each rule, over all signals", ("Rule", "Contracts"), rows, (1,))
    return f'<section id="declined"><h2>Declined contracts</h2>{shown}</section>'
