"""Says in one plain sentence why a day had no entry, or which it had, and what the day lacked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date

from events import SECOND, DeclineReason, HoldReason
from followed import acted_text
from review import fills
from review.funnel import counted, failing, share, signals, stopped_by
from review.study import Seen, Study
from utils import clock_text, minute_text, plural_s, span_text
from wording import stop_text

HALF = 0.5

RULES_NAMED = 3

RUNAWAY = "The simulated price is built to run away: see the result at 0 s."

SIMULATED = "Simulated market. "
"""Begins the answer of a day that was played."""

HELD_TOLD_S = 60
"""The answer mentions holds from this length on: a busy machine causes some of a second or two."""


def day_text(study: Study) -> str:
    """Returns the session's day as people say it, such as ``2 Oct``."""
    day = date.fromisoformat(study.session.date)
    return f"{day.day} {day:%b}"


def answer(study: Study) -> str:
    """Returns why there was no entry, or which entries there were, and what else the day lacked.

    Begins with the words "Simulated market" if the market was one.
    """
    told = _answer(study)
    return f"{SIMULATED}{told}" if study.is_simulated else told


def ended_text(study: Study) -> str:
    """Returns where a record ends that does not reach the close, as a sentence; empty for one that does."""
    if study.until >= study.session.close:
        return ""
    if study.is_stopped:
        return f"The program stopped at {clock_text(study.until)}."
    return f"Nothing was recorded after {clock_text(study.until)}." if study.is_over else ""


def _answer(study: Study) -> str:
    if study.end <= study.session.open and not study.down:
        return f"The session of {day_text(study)} opens at {minute_text(study.session.open)} ET: there is nothing to report yet."
    if study.trades.told:
        first = _entries_text(study)
    else:
        so_far = "" if study.is_over else f" so far (until {clock_text(study.end)} ET)"
        first = f"No entry on {day_text(study)}{so_far}: {_obstacle(study)}."
    return " ".join([first, *_shortcomings(study, first)])


def _entries_text(study: Study) -> str:
    told, withdrawn = study.trades.told, len(study.withdrawn)
    so_far = "" if study.is_over else " so far"
    results = study.trades.followed()
    acted = acted_text(results, study.trades.followed(0))
    texts = [
        f"{len(told)} BUY{plural_s(len(told))} on {day_text(study)}{so_far}.",
        f"{acted[0].upper()}{acted[1:]}.",
    ]
    if study.is_simulated and not results.taken and results.delay_s and study.trades.followed(0).taken:
        texts.append(RUNAWAY)
    if len(told) == 1:
        texts.append(f"It was {_trade_text(told[0])}.")
    if withdrawn:
        were = "was" if withdrawn == 1 else "were"
        texts.append(f"{withdrawn} more {were} withdrawn; nobody was told.")
    return " ".join(texts)


def _trade_text(trade: fills.Trade) -> str:
    text = f"{trade.opened.contract} at {clock_text(trade.opened_at)}"
    if trade.closed is None or trade.closed_at is None:
        return text
    return f"{text}, sold {clock_text(trade.closed_at)} ({trade.closed.reason})"


def _obstacle(study: Study) -> str:
    """Returns the weightiest obstacle to an entry."""
    if study.withdrawn:
        name, detail = next(iter(study.withdrawn.items()))
        at = next(trade.opened_at for trade in study.trades.all if trade.opened.id == name)
        because = f" ({detail})" if detail else ""
        if len(study.withdrawn) == 1:
            return f"the BUY of {clock_text(at)} was withdrawn before it reached the phone{because}"
        return f"{len(study.withdrawn)} BUYs were withdrawn before they reached the phone, the first at {clock_text(at)}{because}"
    if any(span.reason is HoldReason.MARKET_CLOSED and span.end >= study.until for span in study.held):
        return "the exchange was closed, although the calendar has a session"
    if found := signals(study):
        return _stopped_text(study, found)
    span = max(1, study.end - study.session.open)
    if study.down_us >= span:
        return "the program was not running during the session"
    seeing = [row for row in study.seen if not row.is_blind]
    if not seeing and study.blind:
        when = "whenever the program ran" if study.down else "all day" if study.is_over else "all the time"
        return f"blind {when} ({_longest(study)})"
    if study.down_us > HALF * span:
        return f"the program was not running for {span_text(study.down_us)} of {span_text(span)}; {_unmet(study)}"
    if study.blind_us > HALF * span:
        return (
            f"blind for {span_text(study.blind_us)} of {span_text(span)} ({_longest(study)}); {_unmet(study)}"
        )
    return _unmet(study)


def _longest(study: Study) -> str:
    """Returns the cause of the longest blind spell."""
    return max(study.blind, key=lambda span: span.end - span.start).cause


def _unmet(study: Study) -> str:
    """Returns which conditions failed, given that no second met all of them."""
    if not study.seen:
        so_far = "" if study.is_over else " has"
        return f"no bar of {study.rules.symbol}{so_far} arrived" + (" yet" if so_far else "")
    if not counted(study):
        gates = {row.evaluation.gate for row in study.seen}
        warm_at = study.session.open + study.rules.warmup_seconds * SECOND
        if not study.is_over and study.end <= warm_at:
            return f"the warm-up lasts until {minute_text(warm_at)}, and no BUY comes before"
        if DeclineReason.BLIND not in gates:
            return f"nothing but the first {span_text(study.rules.warmup_seconds * SECOND)} after the open was recorded"
        return "every recorded second was blind or in the warm-up"
    found = sorted(failing(study), key=lambda item: -item.alone)
    alone = [f"{item.condition} alone failed in {item.alone:,}" for item in found if item.alone]
    if alone:
        return f"no second met all conditions; {', '.join(alone[:RULES_NAMED])}"
    worst = max(found, key=lambda item: item.failed)
    part = share(worst.failed, worst.of)
    return f"no second met all conditions, or all but one; {worst.condition} failed most, in {part:.0f}% of the seconds"


def _stopped_text(study: Study, found: Sequence[Seen]) -> str:
    """Returns how many signals led to no entry, and what stopped them."""
    causes = Counter((stopped_by(row), row.evaluation.hold) for row in found)
    number = f"{len(found)} signal{'' if len(found) == 1 else 's'}"
    texts = [
        (stop_text(gate, hold, study.rules, study.session, _fallen_text(study)), count)
        for (gate, hold), count in causes.most_common()
    ]
    if len(texts) == 1:
        return f"{number}, {'' if len(found) == 1 else 'all '}{texts[0][0]}"
    return f"{number}, " + ", ".join(f"{count} {text}" for text, count in texts)


def _fallen_text(study: Study) -> str:
    most = study.fallen.most_common(RULES_NAMED)
    return f" ({', '.join(f'{rule} {count}' for rule, count in most)})" if most else ""


def _shortcomings(study: Study, said: str) -> list[str]:
    """Returns how long it was blind, held or not running, unless ``said`` mentions it."""
    texts: list[str] = []
    if study.down and "not running" not in said:
        texts.append(f"It was not running for {span_text(study.down_us)} of the session.")
    if study.held_us >= HELD_TOLD_S * SECOND and "held" not in said:
        reasons = ", ".join(dict.fromkeys(span.reason for span in study.held))
        texts.append(f"Entries were held for {span_text(study.held_us)} ({reasons}).")
    if study.is_down_now:
        texts.append(f"Nothing has been recorded since {clock_text(study.until)} ET: is the program running?")
    if study.blind and "blind" not in said:
        spells = f" in {len(study.blind)} spells" if len(study.blind) > 1 else ""
        texts.append(f"It was blind for {span_text(study.blind_us)}{spells}.")
    return texts
