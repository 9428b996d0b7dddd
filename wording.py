"""The words for every condition, gate, decline and decision, once, for log, report and page.

It decides nothing. `alerts` holds the texts of pushes. Each condition has exactly one row, in `CONDITIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import utils
from events import (
    SECOND,
    Bar,
    Closed,
    Condition,
    ContractRule,
    Declined,
    DeclineReason,
    Evaluation,
    HoldReason,
    Opened,
    Session,
    Shortfall,
)
from rules import Rules

# --- Conditions --------------------------------------------------------------------------------------


class Wording(NamedTuple):
    """Every text about one condition. Names may contain the placeholders ``{benchmark}`` and ``{vwap}``."""

    name: str
    """Its name in full, as in docs/decides.md."""
    short: str
    """Its name on the page's chart: short enough for a phone's margin."""
    label: str
    """Its name in the log's line."""
    value: Callable[[Evaluation, Rules], str]
    """Its value in full."""
    needed: Callable[[Evaluation, Rules], str]
    """What it needs, in full."""
    missed: Callable[[Shortfall, str], str]
    """Its value, what it needed, and the distance in its own unit."""
    undefined: Callable[[Evaluation, str], str]
    """Why it has no value."""
    logged: Callable[[Evaluation, str], str | None] = lambda evaluation, benchmark: None
    """Its value in the log's line; None if the line shows none."""
    briefly: Callable[[Evaluation, Rules], tuple[str, str]] | None = None
    """Its value and what it needs, where there is little room; None if those in full are short."""
    limit: Callable[[Rules], str] = lambda rules: ""
    """The setting that its value is compared with; empty if there is none."""
    is_bare: bool = False
    """Whether the log's line shows its value instead of whether it is met, even if the rules leave it out."""


def lag_text(evaluation: Evaluation, benchmark: str) -> str:
    """Returns by how much the benchmark's change exceeds the symbol's, in percentage points, or which part is missing.

    ``no SPY`` means that its newest close is missing or too old. ``no SPY base`` means that its close at the start of the
    span is missing, as in the first minutes of a session.
    """
    change, benchmark_change = evaluation.roc5, evaluation.benchmark_roc5
    if benchmark_change is None:
        return f"no {benchmark} base" if evaluation.has_benchmark else f"no {benchmark}"
    return f"no {evaluation.symbol} base" if change is None else _signed(benchmark_change - change)


def _lag_value(evaluation: Evaluation, rules: Rules) -> str:
    if evaluation.roc5 is None or evaluation.benchmark_roc5 is None:
        return lag_text(evaluation, rules.benchmark)
    return f"{evaluation.benchmark_roc5 - evaluation.roc5:+.3f} points"


def _lag_missed(missed: Shortfall, benchmark: str) -> str:
    value, threshold = missed.value, missed.threshold
    return f"{benchmark} ahead by {value:.3f} points, allowed {threshold:.3f}: {_small(_distance(missed))} too far"


def _surge_logged(evaluation: Evaluation, _: str) -> str:
    return "Z n/a" if evaluation.volume_z is None else f"Z{utils.one_decimal(evaluation.volume_z)}"


def _surge_value(evaluation: Evaluation, _: Rules) -> str:
    z = evaluation.volume_z
    return f"{evaluation.volume:,.0f}" + ("" if z is None else f" (Z {z:.1f})")


def _surge_needed(evaluation: Evaluation, _: Rules) -> str:
    return "over n/a" if evaluation.volume_p95 is None else f"over {evaluation.volume_p95:,.0f}"


def _surge_missed(missed: Shortfall, _: str) -> str:
    short = _percent_of(_distance(missed), missed.threshold)
    return f"volume {missed.value:,.0f}, needed {missed.threshold:,.0f}: {short} short"


def _momentum_value(evaluation: Evaluation, _: Rules) -> str:
    return "n/a" if evaluation.momentum is None else f"{utils.momentum_text(evaluation.momentum)}%/s"


def _five_minute_missed(missed: Shortfall, _: str) -> str:
    if not missed.threshold:  # a threshold of 0 is that of the rise
        return f"5m VWAP {_rise_missed(missed)}"
    return _price_missed(missed, "5m VWAP")


def _rising_value(evaluation: Evaluation, _: Rules) -> str:
    change = evaluation.vwap_1m_change
    return f"{evaluation.vwap_rising_s} s" + ("" if change is None else f", {change:+.4f}%")


def _rising_missed(missed: Shortfall, _: str) -> str:
    if not missed.threshold:  # a threshold of 0 is that of the rise
        return f"VWAP {_rise_missed(missed)}"
    value, threshold = missed.value, missed.threshold
    return f"VWAP rising for {value:.0f} s, needed {threshold:.0f} s: {_distance(missed):.0f} s short"


def _ratio_value(evaluation: Evaluation, _: Rules) -> str:
    return "n/a" if evaluation.relative_volume is None else f"{evaluation.relative_volume:.2f}"


def _ratio_missed(missed: Shortfall, _: str) -> str:
    short = _percent_of(_distance(missed), missed.threshold)
    return f"relative volume {missed.value:.2f}, needed {missed.threshold:.2f}: {short} short"


def _price_missed(missed: Shortfall, what: str) -> str:
    value, threshold = missed.value, missed.threshold
    return (
        f"price ${value:,.3f}, needed above the {what} ${threshold:,.3f}: ${_small(_distance(missed))} short"
    )


def _rise_missed(missed: Shortfall) -> str:
    return f"{utils.signed_percent(missed.value, 4)}, needed a rise: {_small(_distance(missed), 4)}% short"


CONDITIONS: Mapping[Condition, Wording] = {
    Condition.ABOVE_VWAP: Wording(
        name="Above VWAP",
        short="VWAP",
        label="Price>{vwap}",
        value=lambda evaluation, rules: fine_price(evaluation.price),
        needed=lambda evaluation, rules: f"over {fine_price(evaluation.vwap_1m)}",
        missed=lambda missed, benchmark: _price_missed(missed, "VWAP"),
        undefined=lambda evaluation, benchmark: "no volume in its window",
    ),
    Condition.VWAP_RISING: Wording(
        name="VWAP rising",
        short="VWAP↑",
        label="VWAP↑",
        value=_rising_value,
        needed=lambda evaluation, rules: f"at least {rules.vwap_rising_seconds} s, and above itself then",
        briefly=lambda now, rules: (_rising_value(now, rules), f"≥ {rules.vwap_rising_seconds} s, and risen"),
        limit=lambda rules: str(rules.vwap_rising_seconds),
        missed=_rising_missed,
        undefined=lambda evaluation, benchmark: "no volume in its window",
    ),
    Condition.VOLUME_SURGE: Wording(
        name="Volume surge",
        short="Volume",
        label="Vol surge",
        logged=_surge_logged,
        value=_surge_value,
        needed=_surge_needed,
        missed=_surge_missed,
        undefined=lambda evaluation, benchmark: "too few bars in its window",
    ),
    Condition.MOMENTUM: Wording(
        name="Momentum",
        short="Momentum",
        label="Momentum",
        logged=lambda evaluation, benchmark: _momentum(evaluation.momentum),
        value=_momentum_value,
        needed=lambda evaluation, rules: "over 0",
        missed=lambda missed, benchmark: f"momentum {utils.momentum_text(missed.value)}%/s, needed above 0",
        undefined=lambda evaluation, benchmark: "too few bars in its window",
        is_bare=True,
    ),
    Condition.FIVE_MINUTE_VWAP: Wording(
        name="5-minute VWAP",
        short="5m VWAP",
        label="5m VWAP",
        logged=lambda evaluation, benchmark: utils.signed_percent(evaluation.vwap_5m_change, 3),
        value=lambda now, _: (
            f"{fine_price(now.price)}, 5m VWAP {utils.signed_percent(now.vwap_5m_change, 4)}"
        ),
        needed=lambda evaluation, rules: f"over {fine_price(evaluation.vwap_5m)}, and rising",
        briefly=lambda now, _: (
            f"{fine_price(now.price)} {utils.signed_percent(now.vwap_5m_change, 3)}",
            f"over {fine_price(now.vwap_5m)}, rising",
        ),
        missed=_five_minute_missed,
        undefined=lambda evaluation, benchmark: "no volume in its window",
    ),
    Condition.RELATIVE_VOLUME: Wording(
        name="Relative volume",
        short="RelVol",
        label="RelVol",
        logged=lambda evaluation, benchmark: utils.one_decimal(evaluation.relative_volume),
        value=_ratio_value,
        needed=lambda evaluation, rules: f"at least {rules.relative_volume_min:g}",
        limit=lambda rules: f"{rules.relative_volume_min:g}",
        missed=_ratio_missed,
        undefined=lambda evaluation, benchmark: "no volume in its window",
    ),
    Condition.SPY_LAG: Wording(
        name="{benchmark} lag",
        short="{benchmark} lag",
        label="{benchmark} lag",
        logged=lag_text,
        value=_lag_value,
        needed=lambda evaluation, rules: f"at most {rules.spy_iwm_lag_threshold:g}",
        limit=lambda rules: f"{rules.spy_iwm_lag_threshold:.2f}",
        missed=_lag_missed,
        undefined=lag_text,
    ),
}
"""The words for each condition, in the order of the log's line."""


def condition_name(condition: Condition, benchmark: str) -> str:
    """Returns a condition's name in full."""
    return CONDITIONS[condition].name.format(benchmark=benchmark).lstrip()


def short_name(condition: Condition, benchmark: str) -> str:
    """Returns a condition's name on a chart."""
    return CONDITIONS[condition].short.format(benchmark=benchmark).lstrip()


def label(condition: Condition, evaluation: Evaluation, benchmark: str) -> str:
    """Returns a condition's name in the log's line."""
    vwap = utils.share_price(evaluation.vwap_1m)
    return CONDITIONS[condition].label.format(benchmark=benchmark, vwap=vwap)


def conditions_line(evaluation: Evaluation, benchmark: str = "SPY") -> str:
    """Returns the second of the two lines of every minute: which conditions are met, with their values.

    Skips conditions that the rules leave out.
    """
    passes = evaluation.by_condition
    parts: list[str] = []
    for condition, words in CONDITIONS.items():
        name, value = label(condition, evaluation, benchmark), words.logged(evaluation, benchmark)
        if words.is_bare:
            parts.append(f"{name}={value}")
        elif passes[condition] is not None:
            parts.append(f"{name}={passes[condition]}" + ("" if value is None else f" ({value})"))
    return "📈 Signal conditions: " + ", ".join(parts)


def miss_text(missed: Shortfall, benchmark: str = "SPY") -> str:
    """Returns the value of the only condition that failed, what it needed, and the distance in its own unit."""
    return CONDITIONS[missed.condition].missed(missed, benchmark)


def undefined_text(condition: Condition, evaluation: Evaluation, benchmark: str) -> str:
    """Returns why a condition has no value."""
    return CONDITIONS[condition].undefined(evaluation, benchmark)


def fine_price(value: float | None) -> str:
    """Returns a share price to a tenth of a cent, because VWAPs differ by less than a cent; ``n/a`` without one."""
    return "n/a" if value is None else f"${value:,.3f}"


def _distance(missed: Shortfall) -> float:
    return abs(missed.threshold - missed.value)


def _small(value: float, decimals: int = 3) -> str:
    """Returns a distance, with more decimals if it would otherwise read as zero."""
    while value and not round(value, decimals):
        decimals += 1
    return f"{value:.{decimals}f}"


def _percent_of(part: float, whole: float) -> str:
    """Returns a share in percent: without decimals from 1% up, else with two significant digits."""
    percent = part / whole * 100 if whole else 0.0
    return f"{percent:.0f}%" if percent >= 1 else f"{percent:.2g}%"


# --- Gates -------------------------------------------------------------------------------------------


def gate_line(reason: DeclineReason, hold: HoldReason | None = None) -> str:
    """Returns the line about the closed gate. Names the hold if the gate is one."""
    return f"⏰ No entries allowed: {reason}" + (f" ({hold})" if hold is not None else "")


def stop_text(
    gate: DeclineReason | None, hold: HoldReason | None, rules: Rules, session: Session, fallen: str
) -> str:
    """Returns what stopped signals, to follow "11 signals, all". ``fallen`` is appended to "no contract passed"."""
    cutoff = session.close - rules.before_close(rules.no_entry_after) * SECOND
    texts: dict[DeclineReason | None, str] = {
        DeclineReason.SESSION_CLOSED: "outside the session, or as the program stopped",
        DeclineReason.HELD: "while entries were held" + (f" ({hold})" if hold else ""),
        DeclineReason.BLIND: "while the feed was blind",
        DeclineReason.WARM_UP: f"in the first {utils.span_text(rules.warmup_seconds * SECOND)} (warm-up)",
        DeclineReason.NOT_COVERED: "while a gap in the bars was not filled yet",
        DeclineReason.LATE_BAR: f"on bars more than {rules.entry_bar_seconds:g} s late",
        DeclineReason.POSITION_OPEN: "while a position was open",
        DeclineReason.COOLDOWN: "in the cooldown",
        DeclineReason.MAX_ENTRIES: f"after the day's {rules.max_entries_per_day} entries",
        DeclineReason.PAST_CUTOFF: f"after {utils.minute_text(cutoff)}",
        DeclineReason.CHAIN_TOO_OLD: "without an option chain (none, or too old)",
        DeclineReason.NO_CONTRACT: f"without a contract that passed the rules{fallen}",
        DeclineReason.QUOTE_TOO_OLD: f"without a quote of the last {rules.entry_quote_seconds:g} s",
        DeclineReason.STOP_TOO_NEAR: "with spreads so wide that a tick could have sold",
        None: "with every gate open",
    }
    return texts[gate]


# --- The lines of the session ------------------------------------------------------------------------


def feed_active_line(symbol: str, price: float | None, vwap: float | None, volume: float) -> str:
    """Returns the first of the two lines of every minute.

    ``vwap`` is the short VWAP in dollars, ``volume`` the session's shares so far.
    """
    return (
        f"📊 Data feed active: {symbol} {utils.share_price(price)}, "
        f"VWAP {utils.share_price(vwap)}, Vol {volume:,.0f}"
    )


def doubted_line(bar: Bar, percent: float, count: int) -> str:
    """Returns the line about a doubted price, ``percent`` away from its last closes, the day's ``count``-th."""
    return (
        f"🤨 {bar.symbol} {utils.share_price(bar.close)} at {utils.clock_text(bar.start)} is {percent:+.1f}% from its "
        f"last closes: set aside until something confirms it ({count} today)"
    )


def feed_quiet_line(symbol: str, price: float | None, age: int) -> str:
    """Returns the line that replaces `feed_active_line` if the newest price is old. ``age`` in µs."""
    return f"⏳ Data feed quiet: {symbol} {utils.share_price(price)} is {utils.span_text(age)} old"


def signal_line(evaluation: Evaluation) -> str:
    """Returns the line about a signal: every condition is met and every gate open."""
    return (
        f"🚀 MOMENTUM SIGNAL: {evaluation.symbol} {utils.share_price(evaluation.price)} > "
        f"VWAP {utils.share_price(evaluation.vwap_1m)} ({utils.signed_percent(evaluation.vwap_distance, 2)}), "
        f"Vol Z={utils.one_decimal(evaluation.volume_z)}, Momentum={_momentum(evaluation.momentum)}"
    )


def selection_line(decision: Opened | Declined) -> str:
    """Returns the line about the selection: the chosen contract, and how many failed each rule, most first."""
    winner = decision.contract if isinstance(decision, Opened) else "none"
    line = f"🎯 {winner} of {decision.considered}"
    if fallen := fallen_text(decision.fallen):
        line += f": {fallen}"
    if decision.doubted:
        line += f"; {decision.doubted} delta{'' if decision.doubted == 1 else 's'} doubted"
    if not isinstance(decision, Opened):
        return line
    stretched = "" if decision.in_range else f"Δ{decision.delta:.3f} nearest to the range, "
    return f"{line}; {stretched}cost {decision.cost_percent:.1f}%"


def entry_line(opened: Opened) -> str:
    """Returns the line about a BUY."""
    return f"🔥 ENTRY: {opened.contract} @ {utils.option_price(opened.entry)}"


def exit_line(closed: Closed, reason: str) -> str:
    """Returns the line about a SELL. ``reason`` is worded as in the alert. P&L compares the mark with the entry."""
    result = None if closed.mark is None else (closed.mark - closed.entry) / closed.entry * 100
    return (
        f"🚪 EXIT: {closed.contract} @ {utils.option_price(closed.mark)} (bid {utils.option_price(closed.bid)}), "
        f"entry {utils.option_price(closed.entry)}, peak {utils.option_price(closed.peak)}, {reason}, "
        f"P&L {utils.signed_percent(result)}"
    )


def fallen_text(counts: Sequence[tuple[ContractRule, int]]) -> str:
    """Returns how many contracts failed each rule, most first, such as ``spread 6, delta 5``; empty if none did."""
    return ", ".join(f"{rule} {count}" for rule, count in sorted(counts, key=lambda item: -item[1]) if count)


# --- Numbers -----------------------------------------------------------------------------------------


def _signed(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f}"


def _momentum(value: float | None) -> str:
    return "n/a" if value is None else utils.momentum_text(value)
