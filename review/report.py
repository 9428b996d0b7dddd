"""What a study shows, as text for a person and as one object for machines."""

from __future__ import annotations

import json
import shlex
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import utils
from events import SECOND
from followed import DELAYS_S
from review import funnel, what_if
from review.answer import answer, ended_text
from review.funnel import RowKind
from review.study import Study
from terminal import BOLD, YELLOW, is_coloured, painted
from utils import clock_text, span_text
from wording import condition_name

WIDTH = 100
"""Columns of the report."""

NAME_WIDTH = 34
"""Columns of a condition's name with its label."""

GAPS_SHOWN = 20


# --- The report --------------------------------------------------------------------------------------


def report(study: Study) -> list[str]:
    """The whole report but its first sentence, as lines."""
    blocks = [
        _heading(study),
        _funnel_lines(study),
        _failing_lines(study),
        _miss_lines(study),
        _gap_lines(study),
        _declined_lines(study),
        _trade_lines(study),
    ]
    return [line for block in blocks if block for line in ["", *block]]


def _heading(study: Study) -> list[str]:
    session = study.session
    hours = f"{utils.minute_text(session.open)}–{utils.minute_text(session.close)} ET"
    ended = ended_text(study).rstrip(".")
    if study.is_over:
        state = ended and f"; {ended[0].lower()}{ended[1:]}"
    elif study.is_down_now:
        state = f", in progress, but nothing has been recorded since {clock_text(study.until)}"
    else:
        state = f", in progress: until {clock_text(study.end)}"
    early = " (early close)" if session.early else ""
    digests = dict.fromkeys(study.digests)
    market = "Simulated market, session" if study.is_simulated else "Session"
    lines = wrapped(f"{market} {session.date}, {hours}{early}{state}; rules {', then '.join(digests)}")
    lines += [line for text in study.odd for line in wrapped(f"⚠️ {text}")]
    if study.torn and study.is_over:
        lines.append(
            f"The record's last line is incomplete ({study.torn} bytes): the program was killed while writing it."
        )
    if study.differing:
        lines += wrapped(
            f"⚠️ {study.differing} facts lead to other decisions in this version than they did then. What follows is what "
            "this version makes of them. `python -m review verify` names the first."
        )
    return lines


def printable(line: str) -> str:
    """A line without what a terminal would obey: a record holds texts of the vendors."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in line
    )


def print_lines(lines: Sequence[str], bold: range) -> None:
    """Prints the lines of a report. On a terminal that shows colours, those numbered ``bold`` are bold, warnings yellow."""
    shown = [*map(printable, lines)]
    if is_coloured(sys.stdout):
        for number, line in enumerate(shown):
            styles = (BOLD,) if number in bold else (YELLOW,) if line.startswith("⚠️") else ()
            shown[number] = painted(line, *styles)
    print(*shown, sep="\n")


def wrapped(text: str) -> list[str]:
    """A text in lines of the report's width."""
    return textwrap.wrap(printable(text), WIDTH, break_long_words=False, break_on_hyphens=False)


def _funnel_lines(study: Study) -> list[str]:
    rows = funnel.funnel(study)
    lines = [
        "How many seconds of the session passed each step",
        f"  {'':<26}{'left':>8}{'of before':>12}{'of all':>9}",
    ]
    for row in rows:
        if row.kind is RowKind.GATE and not row.lost:
            continue
        name = f"gate: {row.name}" if row.kind is RowKind.GATE else row.name
        note = "  switched off in the rules" if row.is_left_out else ""
        if row.kind is RowKind.GATE:
            note = f"  stopped {row.lost:,} signal{'' if row.lost == 1 else 's'}"
        lines.append(
            f"  {name:<26}{row.left:>8,}{row.of_before:>11.1f}%{_fine(row.of_all):>8}%{note}".rstrip()
        )
    silent = [row.name for row in rows if row.kind is RowKind.GATE and not row.lost]
    if silent:
        lines += [f"  {line}" for line in textwrap.wrap(f"Stopped none: {', '.join(silent)}.", WIDTH - 2)]
    return lines


def _fine(percent: float) -> str:
    """A share with as many decimals as a small one needs."""
    return f"{percent:.1f}" if percent >= 1 or percent == 0 else f"{percent:.2g}"


def _failing_lines(study: Study) -> list[str]:
    rows = funnel.failing(study)
    if not rows[0].of:
        return []
    lines = [
        f"How often each condition failed in the {rows[0].of:,} evaluated seconds after warm-up and not blind",
        f"  {'':<{NAME_WIDTH}}{'failed':>8}{'':>10}{'alone':>8}{'alone, every gate open':>25}",
    ]
    for row in rows:
        name = f"{row.condition:<18}{condition_name(row.condition, study.rules.benchmark)}"
        if row.is_left_out:
            lines.append(f"  {name:<{NAME_WIDTH}}switched off in the rules")
            continue
        percent = f"{funnel.share(row.failed, row.of):.1f}%"
        lines.append(
            f"  {name:<{NAME_WIDTH}}{row.failed:>8,}{percent:>10}{row.alone:>8,}{row.alone_open:>25,}"
        )
    return lines


def _miss_lines(study: Study) -> list[str]:
    found, followed = funnel.misses(study), funnel.followed_text(study)
    if not found:
        return wrapped(
            "Near misses (every gate open, exactly one condition not met): none"
            + (f"; {followed}." if followed else ".")
        )
    lines = wrapped(
        (
            f"The nearest of {len(found)} near misses (every gate open, exactly one condition not met"
            if len(found) > 1
            else "The only near miss (every gate open, exactly one condition not met"
        )
        + (f"; {followed})" if followed else ")")
    )
    for miss in found[: funnel.MISSES_SHOWN]:
        length = (miss.end - miss.start) // SECOND
        lasted = f"  ({length} s)" if length > 1 else ""
        lines.append(
            f"  {clock_text(miss.nearest.evaluation.start)}  {miss.condition:<17} {miss.text}{lasted}"
        )
    return lines


def _gap_lines(study: Study) -> list[str]:
    spans = [(span.start, span.end, f"not running: {span.cause}") for span in study.down]
    spans += [(span.start, span.end, f"blind: {span.cause}") for span in study.blind]
    spans += [(span.start, span.end, f"entries held: {span.reason}") for span in study.held]
    if not spans:
        return ["Gaps: none. The program ran, and the feed was never blind."]
    shown = sorted(sorted(spans, key=lambda span: span[0] - span[1])[:GAPS_SHOWN])
    lines = [
        "Gaps (a gap that has not ended is shown until the end of the record)"
        if len(spans) <= GAPS_SHOWN
        else f"The {GAPS_SHOWN} longest of {len(spans)} gaps"
    ]
    for start, end, cause in shown:
        lines.append(f"  {clock_text(start)}–{clock_text(end)}  {span_text(end - start):>6}  {cause}")
    return lines


def _declined_lines(study: Study) -> list[str]:
    if not study.fallen:
        return []
    most = ", ".join(f"{rule} {count:,}" for rule, count in study.fallen.most_common())
    return [
        "Rejected contracts, over all signals without a contract, by the first rule they failed",
        f"  {most}",
    ]


def _trade_lines(study: Study) -> list[str]:
    found = {result.trade.opened.id: result for result in what_if.results(study)}
    if not study.trades.all:
        return []
    lines = ["Entries (in at the BUY's ask, out at the SELL's bid, one contract)"]
    for trade in study.trades.all:
        opened = trade.opened
        head = f"  #{opened.id} {utils.strike_text(opened.strike):>5}c  {clock_text(trade.opened_at)}"
        if trade.is_withdrawn:
            lines += wrapped(
                f"{head}  withdrawn, nobody was told: {study.withdrawn.get(opened.id) or 'no reason'}"
            )
        else:
            reason = "" if trade.closed is None else f"  {trade.closed.reason}"
            lines.append(f"{head} → {what_if.cell(found[opened.id]):<44}{reason}".rstrip())
    if found:
        following = study.trades.following
        lines += wrapped(
            f"Acting {following.follow_delay_seconds} s after each push and ${following.fee_per_contract:.2f} a side are "
            "your settings FOLLOW_DELAY_SECONDS and FEE_PER_CONTRACT."
        )
        lines += [
            "What following each push a few seconds late would have paid:",
            f"  python -m review replay {shlex.quote(str(study.path))}",
        ]
    return lines


# --- The same for machines ---------------------------------------------------------------------------


def as_json(study: Study, extra: Mapping[str, Any]) -> str:
    """The report as one object."""
    return json.dumps(
        {
            "answer": answer(study),
            "session": study.session.date,
            "simulated": study.is_simulated,
            "until": utils.utc_iso(study.end),
            "in_progress": not study.is_over,
            "rules": study.digests[-1],
            "funnel": [
                {"kind": row.kind, "name": row.name, "left": row.left, "lost": row.lost}
                for row in funnel.funnel(study)
            ],
            "conditions": [
                {name: value for name, value in row._asdict().items() if name != "of"}
                for row in funnel.failing(study)
            ],
            "near_misses": [_miss_data(miss) for miss in funnel.misses(study)],
            "near_misses_before_a_buy": funnel.followed(study),
            "not_running": [_span(span.start, span.end, span.cause) for span in study.down],
            "blind": [_span(span.start, span.end, span.cause) for span in study.blind],
            "held": [_span(span.start, span.end, span.reason) for span in study.held],
            "declined": dict(study.declined),
            "contracts_fallen": dict(study.fallen),
            "followed": followed_data(study),
            "entries": [entry_data(result) for result in what_if.results(study)],
            "withdrawn": study.withdrawn,
            **extra,
        },
        indent=1,
        ensure_ascii=False,
        allow_nan=False,
    )


def followed_data(study: Study) -> list[dict[str, Any]]:
    """Returns what following the pushes by hand comes to, for machines: a row for each delay."""
    delays = sorted({*DELAYS_S, study.trades.following.follow_delay_seconds})
    return [
        {
            "delay_s": delay,
            "fee_per_side": study.trades.following.fee_per_contract,
            "taken": len(results.taken),
            "up": results.up,
            "down": results.down,
            "dollars": round(results.dollars, 2),
            "mean_percent": results.mean_percent,
            "fates": {result.opened.id: result.fate for result in results.every},
        }
        for delay, results in ((delay, study.trades.followed(delay)) for delay in delays)
    ]


def _miss_data(miss: funnel.Miss) -> dict[str, Any]:
    missed = miss.missed
    return {
        "start": utils.utc_iso(miss.start),
        "end": utils.utc_iso(miss.end),
        "nearest": utils.utc_iso(miss.nearest.evaluation.start),
        "condition": miss.condition,
        "value": None if missed is None else missed.value,
        "threshold": None if missed is None else missed.threshold,
        "ratio": None if missed is None else missed.ratio,
        "text": miss.text,
    }


def _span(start: int, end: int, cause: str) -> dict[str, str]:
    return {"start": utils.utc_iso(start), "end": utils.utc_iso(end), "cause": cause}


def entry_data(result: what_if.EntryResult) -> dict[str, Any]:
    """One entry for machines."""
    trade = result.trade
    return {
        "id": trade.opened.id,
        "contract": trade.opened.contract,
        "opened": utils.utc_iso(trade.opened_at),
        "closed": None if trade.closed_at is None else utils.utc_iso(trade.closed_at),
        "reason": None if trade.closed is None else trade.closed.reason,
        "ask_to_bid_percent": result.percent,
        "ask_to_bid_dollars": result.dollars,
        "priced": result.is_priced,
    }
