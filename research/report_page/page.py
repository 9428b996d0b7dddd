"""The report as one HTML file that asks the network for nothing, and whose policy forbids it to.

The script that draws and the charting library stand inside, named by their hashes, so that no text of a file could ever
run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from config import VERSION
from research.judge_report import percent, ratio
from research.report_page.evidence import (
    field_section,
    figures_section,
    ledger_section,
    published_section,
    quality_section,
    walk_section,
)
from research.report_page.groups import Group
from research.report_page.months import calendar_section
from research.report_page.parts import Mean, chart, shares
from research.report_page.told import Told
from research.report_page.trades import (
    attribution_section,
    chart_means,
    delay_groups,
    delays_section,
    group_sections,
    has_means,
    parts_of,
    signals_section,
)
from research.statistics.intervals import BAND_DRAWS
from research.statistics.verdict import LEAST_SESSIONS, Verdict
from research.statistics.walk_forward import WalkForward
from review.days_page.page import STYLES
from review.page import colours
from review.page.library import library, script
from review.page.page import day_of, policy
from review.page.parts import note, section
from review.places import BadArgument, check_own, write_own

HERE = Path(__file__).parent

PAGE_BEGINS = '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="generator" content="IWM-5-VWAP research">'
"""What every report begins with; the pages of days begin otherwise."""


def check(path: Path) -> None:
    """Raises Unusable or BadArgument if a report may not be written to ``path``, before the wait for it."""
    library()
    if day_of(path) is not None:
        raise BadArgument(f"--html {path}: is the name of one day's page; use another, such as report.html")
    check_own(path, "--html", PAGE_BEGINS.encode())


def write(told: Told, path: Path) -> None:
    """Writes the report. Raises Unusable without the charting library, or if the file cannot be written."""
    write_own(path, "--html", PAGE_BEGINS, render(told, library()))


def render(told: Told, charting: str) -> str:
    """Returns the whole file, with the charting library's script in it."""
    style = "\n".join(
        [colours.style(), *(path.read_text(encoding="utf-8") for path in (*STYLES, HERE / "page.css"))]
    )
    own = script(HERE / "page.js")
    means = _means(told)
    data = json.dumps(_charts(told, means), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return "\n".join(
        [
            PAGE_BEGINS,
            f'<meta http-equiv="Content-Security-Policy" content="{policy(charting, own)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{escape(('Simulated market: ' if told.is_simulated else '') + told.heading)}</title>",
            f"<style>{style}</style>",
            "</head>",
            "<body>",
            *_sections(told, means),
            f'<script type="application/json" id="data">{data}</script>',
            f"<script>{charting}</script>",
            f"<script>{own}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


class _Means(NamedTuple):
    """What sections and charts of a backtest both show."""

    delays: Sequence[Group]
    parts: Sequence[Mean]


def _means(told: Told) -> _Means:
    found = told.backtest
    return _Means((), ()) if found is None else _Means(delay_groups(found), parts_of(found))


def _sections(told: Told, means: _Means) -> list[str]:
    body = [_header(told), _equity_section(told), group_sections(told)]
    if (found := told.backtest) is not None:
        body.append(delays_section(found, means.delays))
        body.append(
            f'<div class="pair">{attribution_section(found, means.parts)}{signals_section(found)}</div>'
        )
    body += [calendar_section(told), figures_section(told)]
    if _has_field(told):
        body.append(field_section(told.judged))
    if (walked := _walked(told)) is not None:
        body.append(walk_section(walked, told.judged))
    return [*body, ledger_section(told), quality_section(told), published_section(told), _footer()]


LEAST_TRIALS = 3
"""Fewer dots have no direction."""


def _has_field(told: Told) -> bool:
    """Returns whether there are trials enough, and sessions for both halves of them."""
    sessions, trials = told.judged.record.columns.shape
    return told.tells_rates and trials >= LEAST_TRIALS and sessions >= 2 * LEAST_SESSIONS


def _walked(told: Told) -> WalkForward | None:
    return told.judged.walk_forward if told.tells_rates else None


def _charts(told: Told, means: _Means) -> Any:
    """Returns the charts that stand in the sections, as JSON."""
    # Only here: the library of the charts is there for pages alone, and takes a second to load.
    from research.report_page import charts  # noqa: PLC0415

    plots = [charts.equity(told.days, told.results, with_band=told.tells_rates)]
    if has_means(means.delays):
        plots.append(charts.means("delays-chart", chart_means(means.delays), charts.PERCENT))
    if means.parts:
        plots.append(charts.means("attribution-chart", means.parts, charts.DOLLARS))
    if _has_field(told):
        columns = told.judged.record.columns
        middle = len(columns) // 2
        before, after = columns[:middle].mean(axis=0), columns[middle:].mean(axis=0)
        plots.append(charts.field(before, after, told.judged.record.names, told.judged.chosen))
    if (walked := _walked(told)) is not None:
        plots.append(charts.walk(walked.results, walked.mean_chosen_on))
    return charts.document(plots)


def _header(told: Told) -> str:
    """Returns the verdict first, then what was judged and why it is that verdict."""
    badge = '<p class="simulated">Simulated market</p>' if told.is_simulated else ""
    why = ""
    if told.tells_rates:
        begins = "Stands on" if told.judged.verdict in (Verdict.WINS, Verdict.LOSES) else "In the way of more"
        why = note(f"{begins}: {'; '.join(told.judged.reasons)}.")
    return (
        f'<header>{badge}<h1>{escape(told.heading)}</h1><p class="quiet">{escape(told.subject)}</p>{why}{_facts(told)}</header>'
        '<p class="failed" id="failed" hidden></p>'
    )


def _facts(told: Told) -> str:
    figures, sure = told.judged.figures, told.judged.intervals
    facts = [
        ("Sessions", f"{figures.sessions}", f"{figures.with_result} with a result"),
        ("Total, equal stakes", percent(figures.total, 1), f"n {figures.sessions} sessions"),
    ]
    if told.backtest is not None:
        asked = told.backtest.asked
        trades = told.backtest.trades[asked.delay_s]
        facts.insert(1, (f"Trades, {asked.delay_s} s late", f"{trades.taken}", f"of {trades.told} BUYs"))
    made = [(escape(name), escape(value), escape(more)) for name, value, more in facts]
    if told.tells_rates:
        made.append(("Mean a day", percent(figures.mean, 3), shares(sure.mean, 3)))
        if figures.sharpe is not None and sure.sharpe is not None:
            low, high = map(ratio, sure.sharpe)
            made.append(("Sharpe ratio a year", ratio(figures.sharpe), f"95%: {low} to {high}"))
        if (luck := told.judged.deflated) is not None:
            made.append(("Deflated Sharpe ratio", f"{luck.dsr:.2f}", f"{luck.trials} tried; wins needs 0.95"))
    items = (f"<div><dt>{name}</dt><dd>{value}<small>{more}</small></dd></div>" for name, value, more in made)
    return f'<dl class="facts">{"".join(items)}</dl>'


def _equity_section(told: Told) -> str:
    words = f"The running sum over {len(told.days)} sessions, equal stakes, after costs"
    if told.tells_rates:
        words += f"; shaded: where 95% of {BAND_DRAWS:,} histories run that are drawn from the same days"
    return section("equity", "Session by session", chart("equity-chart", words))


def _footer() -> str:
    text = f"By version {VERSION}. It tells what was, and how sure that is. Past results do not predict future ones."
    return f'<footer class="note">{escape(text)}</footer>'
