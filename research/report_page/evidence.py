"""What the verdict stands on: the figures, walking forward, the ledger, the data, and what others have published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

import utils
from research.backtest.report import Backtest, caveats, hits_text
from research.backtest.session import SessionResult
from research.history.store import Source, State
from research.judge_report import Row, caveat, choice_rows, day_rows, luck_rows, percent, ratio
from research.judgement import Judgement
from research.report_page.parts import between, chart, rows_table, shares
from research.report_page.published import TABLE, Published, mean_interval, sharpe_interval
from research.report_page.told import Told
from research.statistics.intervals import Interval
from research.statistics.walk_forward import CHOOSE_ON, RUN_FOR, WalkForward
from review.page.parts import note, section, table
from utils import plural_s

NAMED = 12
"""Rows of the ledger and of the data that are shown; the others are counted."""


# --- Figures -----------------------------------------------------------------------------------------


def figures_section(told: Told) -> str:
    """Returns the figures of the days, and of luck and choosing where there are enough."""
    judged = told.judged
    parts: list[tuple[str, list[Row]]] = [("Its days", day_rows(judged))]
    if told.backtest is not None and told.tells_rates:
        parts.append(("Its trades", trade_rows(told.backtest)))
    if told.tells_rates:
        parts += [("Luck", luck_rows(judged)), ("Choosing", choice_rows(judged))]
    tables = "".join(f"<h3>{name}</h3>{rows_table(name, rows)}" for name, rows in parts if rows)
    return section("figures", "The figures", tables, note(_what_they_are_worth(told)))


def trade_rows(found: Backtest) -> list[Row]:
    """Returns what the trades come to at the headline's delay."""
    trades = found.trades[found.asked.delay_s]
    rows = [
        (f"trades taken, {trades.delay_s} s late", f"{trades.taken} of {trades.told}"),
        ("did not lose", hits_text(trades)),
        ("longest losing streak", f"{trades.losing_streak} trades"),
    ]
    if trades.profit_factor is not None and trades.payoff is not None:
        rows.append(
            (
                "profit factor, payoff ratio",
                f"{trades.profit_factor:.2f}, {trades.payoff:.2f} (n {trades.taken})",
            )
        )
    return rows


def _what_they_are_worth(told: Told) -> str:
    if told.backtest is None or not told.tells_rates:
        return caveat(told.judged)
    return caveat(told.judged).partition(" The count of ")[0] + " Past results do not predict future ones."


def walk_section(found: WalkForward, judged: Judgement) -> str:
    """Returns what choosing again and again would have brought."""
    names = Counter(judged.record.names[column] for column in found.choices)
    chosen = ", ".join(f"{name} {count}×" for name, count in names.most_common(NAMED))
    words = (
        f"The running sum of {len(found.results)} sessions, each run by the best of the {CHOOSE_ON} before; "
        "dashed: what the choices had seen, had it gone on"
    )
    text = (
        f"Chosen on {CHOOSE_ON} sessions, run for {RUN_FOR}, {len(found.choices)} times: {chosen}. The choices had seen "
        f"{percent(found.mean_chosen_on, 3)} a day, and the {len(found.results)} sessions after them brought {percent(found.mean, 3)}."
    )
    return section("walk", "Choosing again and again", chart("walk-chart", words), note(text))


def field_section(judged: Judgement) -> str:
    """Returns the whole field of trials, not its top: how each did before and after the middle."""
    sessions, count = judged.record.columns.shape
    words = (
        f"Each of {count} trials, a dot: its mean day in the first {sessions // 2} sessions, and in the {sessions - sessions // 2} "
        f"after them; larger: {judged.name}"
    )
    text = (
        "If the first half told anything about the second, the dots would rise from left to right. A cloud without a direction "
        "says that the best of them was the luckiest."
    )
    return section(
        "field", "Every trial, before and after the middle", chart("field-chart", words), note(text)
    )


# --- The ledger --------------------------------------------------------------------------------------


def ledger_section(told: Told) -> str:
    """Returns how much was tried, and when the vault was opened."""
    found = told.backtest
    if found is None:
        luck, seen = told.judged.deflated, len(told.judged.record.names)
        tried = seen if luck is None else luck.trials
        text = f"{seen} trial{plural_s(seen)} in the file; the figures count {tried} (--trials). Settings that were tried and are not counted make luck look like skill."
        return section("ledger", "What was tried", note(text))
    asked, count = found.asked, len(told.entries)
    shown = told.entries[-NAMED:]
    rows = [
        [
            escape(entry.rules),
            utils.new_york_date(entry.first_at),
            escape(entry.command),
            f"{entry.sessions:,}",
        ]
        for entry in shown
    ]
    older = f" The newest {len(shown)} are shown." if len(shown) < count else ""
    sealed = f" {asked.sealed} newer sessions are sealed." if asked.sealed else ""
    return section(
        "ledger",
        "What was tried",
        note(f"{count} set{plural_s(count)} of rules on this span, counted for good.{older}"),
        table(
            "Sets of rules by their hash, the newest last",
            ("Rules", "first run", "by", "sessions"),
            rows,
            [3],
        ),
        note(f"{_openings(found)}{sealed}"),
    )


def _openings(found: Backtest) -> str:
    openings = found.asked.openings
    if not openings:
        return "The vault was never opened."
    times = ", ".join(
        f"{utils.new_york_date(opening.at)} ({opening.sessions} sessions, rules {opening.rules})"
        for opening in openings[-NAMED:]
    )
    return f"The vault was opened {len(openings)} time{plural_s(len(openings))}: {times}."


# --- The data ----------------------------------------------------------------------------------------


def quality_section(told: Told) -> str:
    """Returns how much of the data is there, and every session with something to say."""
    found = told.backtest
    if found is None:
        notes = told.judged.record.notes or ("Nothing odd in the file.",)
        return section("quality", "The data", *(note(text) for text in notes))
    states = Counter(source.state for source in told.sources)
    kinds = Counter(f"{source.kind}" for source in told.sources if source.state is State.WHOLE)
    rows = [*_left_out(told.sources, found), *_doubtful(found.sessions)]
    count = f"{len(told.sources)} session{plural_s(len(told.sources))}"
    text = (
        f"{count}: {', '.join(f'{number} {state}' for state, number in states.items())}; from "
        f"{', '.join(f'{kind} {number}' for kind, number in kinds.items())}."
    )
    doubts = (
        table(
            "Sessions that are left out, or lack something", ("Session", "what"), rows[:NAMED], is_wide=True
        )
        if rows
        else note("Of no session that was run is a quote missing that the rules looked at.")
    )
    more = note(f"And {len(rows) - NAMED} more (python -m research data).") if len(rows) > NAMED else ""
    return section(
        "quality", "The data", note(text), note(_seconds(found)), doubts, more, *map(note, caveats(found))
    )


def _left_out(sources: Sequence[Source], found: Backtest) -> list[list[str]]:
    why = dict(found.asked.left_out)
    return [
        [source.date, f"left out: {escape(why[source.date])}"] for source in sources if source.date in why
    ]


def _doubtful(sessions: Sequence[SessionResult]) -> list[list[str]]:
    rows: list[list[str]] = []
    for session in sessions:
        said = []
        if session.missing_blocks:
            said.append(f"{session.missing_blocks} block{plural_s(session.missing_blocks)} of quotes missing")
        if session.differing:
            said.append(f"{session.differing} facts decided otherwise than live")
        if said:
            rows.append([session.date, "; ".join(said)])
    return rows


def _seconds(found: Backtest) -> str:
    names = list(found.sessions[0].missing_seconds)
    means = (
        f"{name} {sum(session.missing_seconds.get(name, 0) for session in found.sessions) / len(found.sessions):,.0f}"
        for name in names
    )
    return f"Seconds of a session without a bar, mean of {len(found.sessions)}: {', '.join(means)}. Nothing is filled in."


# --- What others have published ----------------------------------------------------------------------


def published_section(told: Told) -> str:
    """Returns published results, below ours."""
    rows = [_ours(told), *map(_published, TABLE)]
    heads = ("What", "span, n", "Sharpe a year", "mean a session", "costs")
    return section(
        "published",
        "Beside what others have published",
        note(
            "Intervals of the published ratios are ours, from ratio and length alone, for independent normal days (Lo, 2002): the "
            "true ones are wider. Published results are those that were worth publishing."
        ),
        f'<div class="published">{table("This report stands first", heads, rows, [2, 3], is_wide=True)}</div>',
    )


def _ours(told: Told) -> list[str]:
    figures, sure, days = told.judged.figures, told.judged.intervals, told.days
    market = "Simulated market: t" if told.is_simulated else "T"
    sharpe = mean = "<small>too few for a rate</small>"
    if told.tells_rates:
        sharpe = "—" if figures.sharpe is None else f"{ratio(figures.sharpe)}{_ratios(sure.sharpe)}"
        mean = f"{percent(figures.mean, 3)} of the stake{shares(sure.mean, 3)}"
    costs = "given after costs"
    if (found := told.backtest) is not None:
        costs = f"ask in, bid out, {found.asked.delay_s} s late, ${found.asked.fee:.2f} a side"
    return [
        f"<b>{market}his report</b>",
        f"{days[0]} to {days[-1]}<small>n {figures.sessions} sessions, {told.judged.evidence.trades} trades</small>",
        sharpe,
        mean,
        costs,
    ]


def _ratios(interval: Interval | None) -> str:
    return "" if interval is None else between(*map(ratio, interval))


def _published(found: Published) -> list[str]:
    sharpe = mean = "—"
    if found.sharpe is not None:
        sharpe = f"{ratio(found.sharpe)}{_ratios(sharpe_interval(found.sharpe, found.sessions))}"
    if found.mean is not None:
        sure = "" if found.sharpe is None else _means(found.mean, found.sharpe, found.sessions)
        mean = f"{_of_spot(found.mean)} of spot{sure}"
    return [
        f'{escape(found.what)}<small class="source">{escape(found.source)}, {escape(found.address.removeprefix("https://"))}</small>',
        f"{escape(found.span)}<small>n {found.sessions:,} sessions</small><small>{escape(found.also)}</small>",
        sharpe,
        mean,
        f'{escape(found.costs)}<small class="faults">{escape(found.faults)}.</small>',
    ]


def _means(mean: float, sharpe: float, sessions: int) -> str:
    return between(*map(_of_spot, mean_interval(mean, sharpe, sessions)))


def _of_spot(value: float) -> str:
    return ("−" if value < 0 else "+") + f"{abs(value):.4f}%"
