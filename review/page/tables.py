"""The page's tables of a day: the funnel, the nearest misses, the gaps, and the contracts that were turned down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from events import Condition
from review import funnel
from review.page.parts import condition_cell, moment, note, section, table
from review.study import Study
from utils import clock_text, span_text

ROW_NAMES = {
    "session": "Seconds of the session",
    "with a bar": "with a bar",
    "evaluated": "evaluated as they came",
    "not blind": "not blind",
    "warm": "after the warm-up",
    "fired": "BUY",
}


LEAST_BAR_PERCENT = 1.0
"""What is left at all is seen."""


def funnel_section(study: Study) -> str:
    """The funnel, and how often each condition failed."""
    steps = funnel.funnel(study)
    idle = [step.name for step in steps if step.kind is funnel.RowKind.GATE and not step.lost]
    decades = max(1, math.ceil(math.log10(max(1, steps[0].all))))
    rows = [_funnel_cells(study, step, decades) for step in steps if step.name not in idle]
    caption = (
        "Each row counts what is left of the row before. The bars are the share of all seconds on a log scale: each "
        "line is a tenth of the one to its right"
    )
    return section(
        "funnel",
        "Funnel",
        table(caption, ("Seconds", "Left", "Of before", "Of all"), rows, (1, 2, 3)),
        note(f"Gates that stopped no signal: {', '.join(idle)}.") if idle else "",
        _failing_table(study),
    )


def _funnel_cells(study: Study, step: funnel.Row, decades: int) -> tuple[str, ...]:
    name = escape(ROW_NAMES.get(step.name, step.name))
    if step.kind is funnel.RowKind.CONDITION:
        name = condition_cell(Condition(step.name), study.rules.benchmark)
    elif step.kind is funnel.RowKind.GATE:
        name = f"not stopped by {name}"
    left_out = " (left out)" * step.is_left_out
    bar = (
        f'<span class="scale" style="--decades:{decades}">'
        f'<span class="bar {step.kind.value}" style="width:{bar_percent(step.left, step.all, decades):.1f}%"></span></span>'
    )
    return f"{name}{left_out}{bar}", f"{step.left:,}", _share(step.of_before), _share(step.of_all)


def bar_percent(left: int, every: int, decades: int) -> float:
    """How long the bar of ``left`` of ``every`` seconds is, percent: all of it for all, a ``decades``-th less for a tenth."""
    if not left:
        return 0.0
    return max(LEAST_BAR_PERCENT, 100 * (1 + math.log10(left / every) / decades))


def _share(percent: float) -> str:
    """A share that may be tiny."""
    return f"{percent:.1f}%" if percent >= 1 or not percent else f"{percent:.2g}%"


def _failing_table(study: Study) -> str:
    found = funnel.failing(study)
    rows = [
        (
            condition_cell(item.condition, study.rules.benchmark),
            *(
                ("left out", "", "")
                if item.is_left_out
                else (f"{item.failed:,}", f"{item.alone:,}", f"{item.alone_open:,}")
            ),
        )
        for item in found
    ]
    count = found[0].of if found else 0
    caption = f"How often each condition failed, of {count:,} seconds neither blind nor in the warm-up"
    return table(caption, ("Condition", "Failed", "Alone", "Alone, gate open"), rows, (1, 2, 3))


def misses_section(study: Study, missed: Sequence[funnel.Miss]) -> str:
    """The near misses that are shown, the nearest first."""
    followed = funnel.followed_text(study)
    if not missed:
        none = "No second failed at one condition alone while the gate was open"
        return section("misses", "Nearest misses", note(f"{none}{f'; {followed}' if followed else ''}."))
    rows = [
        (
            moment(study, miss.nearest.evaluation.start),
            f"{condition_cell(miss.condition, study.rules.benchmark)}<small>{escape(miss.text)}</small>",
            span_text(miss.end - miss.start),
        )
        for miss in missed
    ]
    caption = "The gate open, and all conditions but one" + (f"; {followed}" if followed else "")
    return section("misses", "Nearest misses", table(caption, ("Time", "Failed", "Lasted"), rows, (2,)))


def gaps_section(study: Study) -> str:
    """When no entry was possible."""
    spans = [(span.start, span.end, f"Blind: {span.cause}") for span in study.blind]
    spans += [(span.start, span.end, f"Not running: {span.cause}") for span in study.down]
    spans += [(span.start, span.end, f"Entries held: {span.reason}") for span in study.held]
    if not spans:
        return section("gaps", "Gaps", note("Never blind, never held, never down."))
    rows = [
        (moment(study, start), clock_text(end), span_text(end - start), escape(text))
        for start, end, text in sorted(spans)
    ]
    shown = table("When no entry was possible", ("From", "Until", "Length", "Cause"), rows, (2,))
    return section("gaps", "Gaps", shown)


def declined_section(study: Study) -> str:
    """The contracts that fell to each rule; nothing without one."""
    if not study.fallen:
        return ""
    rows = [(escape(rule.value), f"{count:,}") for rule, count in study.fallen.most_common()]
    shown = table("Contracts that fell to each rule, over all signals", ("Rule", "Contracts"), rows, (1,))
    return section("declined", "Declined contracts", shown)
