"""A backtest in words and for machines. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from statistics import mean
from typing import Any, NamedTuple

import msgspec
import numpy as np

from followed import DELAYS_S, dollars_text
from research.backtest.figures import TradeFigures, trade_figures
from research.backtest.greeks import Attribution
from research.backtest.session import HORIZONS, SessionResult
from research.judge_report import percent, ratio, span
from research.ledger import Opening
from research.statistics.days import Days, days
from research.statistics.deflated import Deflated, deflated
from research.statistics.intervals import Intervals, intervals
from research.statistics.verdict import LEAST_SESSIONS, LEAST_TRADES, Evidence, Verdict, reasons, verdict
from review.answer import SIMULATED
from review.report import wrapped
from utils import plural_s


class Asked(NamedTuple):
    """What was run, and what is known about it."""

    symbol: str
    digest: str
    settings: str
    """The rules that are set anew, in words; empty without any."""
    delay_s: int
    fee: float
    trials: int
    openings: Sequence[Opening]
    sealed: int
    """Sessions of the span that are in the vault, and were not run."""
    left_out: Sequence[tuple[str, str]]
    """Sessions that cannot be used, and why."""
    simulated: bool


class Backtest(NamedTuple):
    """The results of sessions, and their figures at the headline's delay."""

    asked: Asked
    sessions: Sequence[SessionResult]
    figures: Days
    intervals: Intervals
    deflated: Deflated | None
    trades: dict[int, TradeFigures]
    evidence: Evidence

    @property
    def verdict(self) -> Verdict:
        """What it is worth."""
        return verdict(self.evidence)

    @property
    def tells_rates(self) -> bool:
        """Whether there are enough sessions and trades for rates; else there are counts only."""
        return self.verdict is not Verdict.TOO_LITTLE


def summed(asked: Asked, sessions: Sequence[SessionResult]) -> Backtest:
    """Returns the figures of at least one session."""
    results = np.array([session.result(asked.delay_s) for session in sessions])
    figures, sure = days(results), intervals(results)
    trades = {delay: trade_figures(sessions, delay) for delay in DELAYS_S}
    luck = deflated(results[:, None], 0, max(1, asked.trials))
    evidence = Evidence(
        sessions=len(sessions),
        trades=trades[asked.delay_s].taken,
        trades_are_known=True,
        mean=sure.mean,
        dsr=None if luck is None else luck.dsr,
        pbo=None,
        best_day_share=figures.best_day_share,
    )
    return Backtest(asked, sessions, figures, sure, luck, trades, evidence)


# --- In words ----------------------------------------------------------------------------------------


def headline(found: Backtest) -> str:
    """Returns the verdict in one sentence, with its numbers and its interval where there are enough."""
    said = found.verdict.value[0].upper() + found.verdict.value[1:]
    asked, taken = found.asked, found.trades[found.asked.delay_s].taken
    market = SIMULATED if asked.simulated else ""
    counts = f"{len(found.sessions)} session{plural_s(len(found.sessions))}, {taken} trade{plural_s(taken)} taken {asked.delay_s} s after the push"
    if not found.tells_rates:
        return f"{market}{said}: {counts}; it takes {LEAST_SESSIONS} and {LEAST_TRADES}."
    return (
        f"{market}{said}: {percent(found.figures.mean, 3)} a day of what is staked "
        f"(95%: {span(found.intervals.mean)}, n {counts})."
    )


def lines(found: Backtest) -> list[str]:
    """Returns the report."""
    told = wrapped(headline(found))
    if found.verdict is Verdict.LUCK:
        told += wrapped(f"In the way of more: {'; '.join(reasons(found.evidence))}.")
    told += ["", *_heading(found)]
    told += ["", "1. Signal: the symbol after a signal, beside every second with open gates (basis points)"]
    told += _signal_lines(found)
    told += ["", "2. Option at mid, 3. as a person gets it: in at the ask, out at the bid, after each push"]
    told += _option_lines(found)
    told += _reason_lines(found)
    if found.tells_rates:
        told += _day_lines(found)
    return [*told, "", *(line for text in caveats(found) for line in wrapped(text))]


def _heading(found: Backtest) -> list[str]:
    asked, sessions = found.asked, found.sessions
    rules = f"rules {asked.digest}" + (f" ({asked.settings})" if asked.settings else "")
    text = (
        f"{asked.symbol}, {len(sessions)} session{plural_s(len(sessions))}, {sessions[0].date} to {sessions[-1].date}; {rules}; "
        f"${asked.fee:.2f} a contract and side. Tried on this span so far: {max(1, asked.trials)} set{plural_s(max(1, asked.trials))} of rules."
    )
    told = wrapped(text)
    if asked.sealed:
        told += wrapped(f"{asked.sealed} newer sessions are sealed (--open-vault shows them).")
    if asked.openings:
        told += wrapped(
            f"The vault was opened {len(asked.openings)} time{plural_s(len(asked.openings))} before."
        )
    told += _record_lines(sessions)
    for day, why in asked.left_out:
        told += wrapped(f"⚠️ {day} is left out: {why}")
    return told


def _record_lines(sessions: Sequence[SessionResult]) -> list[str]:
    """Returns which sessions are records of the live program, and whether they were decided like this."""
    recorded = [session for session in sessions if session.differing is not None]
    if not recorded:
        return []
    others = [session.date for session in recorded if session.differing]
    count = len(recorded)
    text = f"{count} session{plural_s(count)} {'is' if count == 1 else 'are'} the live program's own record{plural_s(count)}"
    if not others:
        return wrapped(f"{text}: every decision equals the recorded one.")
    some = ", ".join(others[:SHOWN]) + (" …" if len(others) > SHOWN else "")
    return wrapped(
        f"{text}: {len(others)} decided otherwise then ({some}), under other rules or an older version."
    )


SHOWN = 5
"""Dates that are named; the others are counted."""


def _signal_lines(found: Backtest) -> list[str]:
    count = sum(session.signals for session in found.sessions)
    told = [f"  {'':10}{'signals':>9}{'mean':>9}{'all open':>11}{'mean':>9}"]
    for name in HORIZONS:
        moves = [move for session in found.sessions for move in session.signal_moves[name]]
        usual = [session.usual_moves[name] for session in found.sessions]
        number = sum(each for each, _ in usual)
        all_mean = sum(each * value for each, value in usual) / number if number else 0.0
        told.append(
            f"  {name:<10}{len(moves):>9,}{_points(mean(moves)) if moves else '—':>9}"
            f"{number:>11,}{_points(all_mean) if number else '—':>9}"
        )
    return told if count else ["  no signal"]


def _points(value: float) -> str:
    return ("−" if round(value, 2) < 0 else "+") + f"{abs(value):.2f}"


def _option_lines(found: Backtest) -> list[str]:
    mids = [
        trade.mid_result
        for session in found.sessions
        for trade in session.trades
        if trade.mid_result is not None
    ]
    told = [
        f"  {'at mid':<10}{len(mids):>4} trades"
        + (f", mean {percent(mean(mids))}" if mids and found.tells_rates else "")
    ]
    for delay, figures in found.trades.items():
        text = f"  {f'{delay} s':<10}{figures.taken:>4} of {figures.told} taken"
        if figures.mean is not None and found.tells_rates:
            text += f", mean {percent(figures.mean)}, median {percent(figures.median or 0.0)}, hits {hits_text(figures)}"
        told.append(text + "".join(f"; {count} {fate}" for fate, count in figures.fates.items()))
    return told


def hits_text(figures: TradeFigures) -> str:
    """Returns the share of trades that did not lose, with both intervals."""
    if figures.hits is None:
        return "—"
    text = f"{100 * figures.hits:.0f}%"
    if figures.hits_by_day is not None and figures.hits_by_trade is not None:
        by_day, by_trade = (
            f"{100 * each.low:.0f}–{100 * each.high:.0f}%"
            for each in (figures.hits_by_day, figures.hits_by_trade)
        )
        text += f" (95% by days {by_day}, Wilson {by_trade})"
    return text


def _reason_lines(found: Backtest) -> list[str]:
    trades = [trade for session in found.sessions for trade in session.trades]
    if not trades:
        return []
    counts = Counter(trade.reason or "still open" for trade in trades)
    told = ["", "Exits: " + ", ".join(f"{count} {reason}" for reason, count in counts.most_common())]
    parts = [trade.attribution for trade in trades if trade.attribution is not None]
    if parts and found.tells_rates:
        names = Attribution._fields
        sums = (dollars_text(mean(getattr(part, name) for part in parts)) for name in names)
        text = ", ".join(f"{name} {value}" for name, value in zip(names, sums, strict=True))
        told += wrapped(
            f"A trade at the pushes' own prices, taken apart (mean of {len(parts)}, one contract): {text}."
        )
    return told


def _day_lines(found: Backtest) -> list[str]:
    figures, luck, trades = found.figures, found.deflated, found.trades[found.asked.delay_s]
    told = ["", f"Days, followed {found.asked.delay_s} s late"]
    told.append(
        f"  total {percent(figures.total)}, worst day {percent(figures.worst)}, deepest fall {percent(figures.drawdown)}"
    )
    if figures.sharpe is not None:
        told.append(
            f"  Sharpe ratio {ratio(figures.sharpe)} a year"
            + ("" if luck is None else f"; PSR {luck.psr:.3f}, DSR {luck.dsr:.3f} with {luck.trials} trials")
        )
    if trades.profit_factor is not None and trades.payoff is not None:
        told.append(
            f"  profit factor {trades.profit_factor:.2f}, payoff {trades.payoff:.2f}, longest losing streak {trades.losing_streak}"
        )
    return told


def caveats(found: Backtest) -> list[str]:
    """Returns what the figures are worth."""
    recorded = sum(session.differing is not None for session in found.sessions)
    told: list[str] = []
    if recorded < len(found.sessions):
        told.append(
            "History has no greeks and no open interest: delta and volatility come from the mid, and MIN_OPEN_INTEREST is "
            "left out. Its bars are the final ones."
        )
    if recorded:
        told.append("Records have the bars, chains and quotes that the live program got, when it got them.")
    told.append("Fills are quotes, not trades; one contract does not move the market.")
    missing = sum(bool(session.missing_blocks) for session in found.sessions)
    if missing:
        told.append(
            f"⚠️ {missing} session{plural_s(missing)} lack quotes that these rules look at: fetch them again under these rules."
        )
    return told


def as_json(found: Backtest) -> str:
    """Returns every number for machines."""
    asked = found.asked
    data: dict[str, Any] = {
        "verdict": found.verdict.value,
        "reasons": reasons(found.evidence),
        "enough_for_rates": found.tells_rates,
        **{name: value for name, value in asked._asdict().items() if name not in ("openings", "left_out")},
        "openings": [opening._asdict() for opening in asked.openings],
        "left_out": dict(asked.left_out),
        "days": found.figures._asdict(),
        "mean_interval": found.intervals.mean._asdict(),
        "deflated": None
        if found.deflated is None
        else {**found.deflated._asdict(), "dsr": found.deflated.dsr},
        "trades": {str(delay): _plain(figures) for delay, figures in found.trades.items()},
        "sessions": [msgspec.to_builtins(session, str_keys=True) for session in found.sessions],
    }
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)


def _plain(figures: TradeFigures) -> dict[str, Any]:
    plain = figures._asdict()
    for name in ("hits_by_day", "hits_by_trade"):
        plain[name] = plain[name] and plain[name]._asdict()
    return plain
