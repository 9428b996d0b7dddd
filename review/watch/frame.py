"""Makes a frame: everything that is shown of a session at one moment, in values and words. Pure; it judges nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from contract_selector import level_below
from engine import Engine
from events import SECOND, Closed, Condition, DeclineReason, Evaluation, HoldReason, named_cause
from review.fills import change_percent
from review.keeper import ALIVE_S
from review.watch.recent import Recent, Said
from signals import Traded, traded_since
from utils import clock_text, minute_text, span_text
from wording import CONDITIONS, condition_name, short_name

PLOT_S = 1_200
"""How far back (s) the plot reaches."""

STRIP_S = 60
"""How far back (s) the strip of a condition reaches."""

OLD_S = 5
"""A record that is written every second and is older than this (s) is worth a look."""


class Mood(StrEnum):
    """What a text stands for; a terminal with colours shows it by one."""

    PLAIN = "plain"
    QUIET = "quiet"
    TITLE = "title"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    PRICE = "price"
    SHORT = "short"
    LONG = "long"


@dataclass(frozen=True, kw_only=True)
class Told:
    """A text and what it stands for."""

    text: str
    mood: Mood = Mood.PLAIN


@dataclass(frozen=True, kw_only=True)
class ConditionRow:
    """One condition at the last evaluation. ``is_met`` is None where the rules leave it out, or before any evaluation.

    ``strip`` has one entry for each second of the last minute, the oldest first: None without an evaluation.
    """

    condition: Condition
    name: str
    short: str
    is_met: bool | None
    value: str
    needed: str
    strip: tuple[bool | None, ...]


@dataclass(frozen=True, kw_only=True)
class OpenPosition:
    """The open position. Prices are option price units, times µs.

    ``mark`` is the newest usable mid, None once it is lost; ``mark_percent`` compares it with the entry, as the SELL does.
    ``bid_percent`` is what closing at the bid would bring.
    """

    id: str
    contract: str
    opened_at: int
    entry: int
    mark: int | None
    mark_age: int
    mark_percent: float | None
    bid: int
    bid_size: float
    bid_percent: float | None
    peak: int
    stop: int
    hard_level: int
    vwap_level: int
    time_stop: int


@dataclass(frozen=True, kw_only=True)
class Flat:
    """No position: the day's entries so far, at most how many (0: any number), and the last one that was closed."""

    entries: int
    entries_max: int
    last: Closed | None
    last_percent: float | None
    """Its mark against its entry."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What is shown at ``at`` (µs). ``points`` are the seconds of the last `PLOT_S` that have a bar."""

    at: int
    symbol: str
    date: str
    session: Told
    record: Told
    price: float | None
    price_age: int | None
    feed: Told
    lag: int | None
    """The median lag of the last bars, µs."""
    ages: tuple[tuple[str, int | None], ...]
    """How long ago (µs) each symbol's newest second ended; None without a bar."""
    gate: Told
    conditions: tuple[ConditionRow, ...]
    evaluated: Evaluation | None
    """The last evaluation; its second may be some time ago."""
    points: tuple[Traded, ...]
    position: OpenPosition | Flat
    said: tuple[Said, ...]
    """What happened, the newest last."""
    fault: str = ""
    """What keeps the record from being read on; empty if nothing does."""


def frame_of(recent: Recent, now: int, fault: str = "", *, is_plotted: bool = True) -> Frame:
    """Returns what is to be shown at ``now`` (µs), without the plot's points unless ``is_plotted``. When the session is over, that is its last moment in the record."""
    engine, session = recent.engine, recent.session
    at = min(recent.until, session.close) if now >= session.close else max(now, recent.until)
    signals, progress, rules = engine.signals, engine.feed.progress, engine.rules
    newest = {symbol: progress.newest(symbol) for symbol in rules.symbols}
    return Frame(
        at=at,
        symbol=rules.symbol,
        date=session.date,
        session=_session(recent, now),
        record=_record(recent, now),
        price=signals.price,
        price_age=signals.price_age(at),
        feed=_feed(recent, now, at),
        lag=progress.lag,
        ages=tuple(
            (symbol, None if start is None else max(0, at - start - SECOND))
            for symbol, start in newest.items()
        ),
        gate=_gate(recent, now),
        conditions=_conditions(recent, at),
        evaluated=engine.evaluation,
        points=tuple(traded_since(signals, at - PLOT_S * SECOND)) if is_plotted else (),
        position=_position(recent, at),
        said=tuple(recent.said),
        fault=fault,
    )


# --- Session, record, feed ---------------------------------------------------------------------------


def _session(recent: Recent, now: int) -> Told:
    session = recent.session
    hours = f"{minute_text(session.open)}–{minute_text(session.close)}"
    if now < session.open:
        return Told(text=f"opens at {minute_text(session.open)} in {span_text(session.open - now)}")
    if _is_cut_short(recent, now):
        what = "the program stopped at" if recent.is_stopped else "nothing recorded since"
        return Told(text=f"{what} {clock_text(recent.until)}", mood=Mood.WARN)
    if now >= session.close:
        return Told(text=f"session over ({hours})", mood=Mood.WARN)
    return Told(text=f"session {hours}, {span_text(session.close - now)} left")


def _is_cut_short(recent: Recent, now: int) -> bool:
    """Whether the session is over and its record ends before: what is shown is of that moment."""
    close = recent.session.close
    return now >= close > recent.until + ALIVE_S * SECOND


def _is_silent(recent: Recent, now: int) -> bool:
    """Whether the session goes on and nobody writes its record: what the engine knows is of the time before."""
    return now < recent.session.close and now - recent.until > ALIVE_S * SECOND


def _record(recent: Recent, now: int) -> Told:
    """Whether somebody writes the record: a worker that died tells nobody else."""
    age = now - recent.until
    if recent.differing:
        text = f"decides otherwise than recorded {recent.differing} times: python -m review verify"
        return Told(text=text, mood=Mood.BAD)
    if now >= recent.session.close:
        return Told(text=f"record ends at {clock_text(recent.until)}")
    if recent.is_stopped and age > OLD_S * SECOND:
        return Told(text=f"the program was stopped at {clock_text(recent.until)}", mood=Mood.BAD)
    if _is_silent(recent, now):
        text = f"nothing recorded for {span_text(age)}: is the program running?"
        return Told(text=text, mood=Mood.BAD)
    if age > OLD_S * SECOND:
        return Told(text=f"recorded {span_text(age)} ago", mood=Mood.WARN)
    return Told(text="recording", mood=Mood.GOOD)


def _feed(recent: Recent, now: int, at: int) -> Told:
    engine = recent.engine
    feed, session = engine.feed, engine.session
    if _is_silent(recent, now):
        return Told(text=f"not known since {clock_text(recent.until)}", mood=Mood.WARN)
    if feed.cause is not None:
        cause = named_cause(feed.cause, feed.symbol)
        return Told(text=f"blind for {span_text(at - feed.blind_since)}: {cause}", mood=Mood.BAD)
    if not session.open <= at < session.close:
        return Told(text="outside the session", mood=Mood.QUIET)
    if feed.absence is not None:
        return Told(text=f"no {engine.rules.benchmark}: no entries without it", mood=Mood.WARN)
    return Told(text="bars in time", mood=Mood.GOOD)


# --- Gate and conditions -----------------------------------------------------------------------------


def _gate(recent: Recent, now: int) -> Told:
    """The first closed gate, as at the last evaluation. The gates that need no bar stand first in their order, and are
    shown as they are now: while there are no bars there is no evaluation."""
    engine = recent.engine
    session, evaluation = engine.session, engine.evaluation
    if _is_silent(recent, now):
        return Told(text="Gate not known while nothing is recorded", mood=Mood.WARN)
    holds = sorted(engine.holds, key=list(HoldReason).index)
    reason: DeclineReason | None = None
    moment = recent.until if _is_cut_short(recent, now) else now
    if not session.open <= moment < session.close:
        reason = DeclineReason.SESSION_CLOSED
    elif holds:
        reason = DeclineReason.HELD
    elif engine.feed.is_blind:
        reason = DeclineReason.BLIND
    elif evaluation is None:
        return Told(text="Gate not known before the first bar", mood=Mood.QUIET)
    elif evaluation.gate is not None:
        reason = evaluation.gate
    if reason is None:
        return Told(text="Gate open", mood=Mood.GOOD)
    more = f" ({', '.join(holds)})" if reason is DeclineReason.HELD and holds else _until(engine, reason)
    return Told(text=f"Gate closed: {reason}{more}", mood=Mood.WARN)


def _until(engine: Engine, reason: DeclineReason) -> str:
    if reason is DeclineReason.WARM_UP:
        return f" until {minute_text(engine.session.open + engine.rules.warmup_seconds * SECOND)}"
    return f" until {clock_text(engine.book.rests_until)}" if reason is DeclineReason.COOLDOWN else ""


def _conditions(recent: Recent, at: int) -> tuple[ConditionRow, ...]:
    evaluation, rules = recent.engine.evaluation, recent.engine.rules
    newest = at // SECOND * SECOND - SECOND
    strips: list[tuple[bool | None, ...] | None] = [None] * STRIP_S
    for kept in reversed(recent.evaluations):
        behind = (newest - kept.start) // SECOND
        if behind >= STRIP_S:
            break
        strips[-1 - max(0, behind)] = kept.passes
    rows: list[ConditionRow] = []
    for index, condition in enumerate(Condition):
        words = CONDITIONS[condition]
        is_met, value, needed = None, "", ""
        if evaluation is not None:
            is_met = evaluation.passes[index]
            if words.briefly is None:
                value, needed = words.value(evaluation, rules), words.needed(evaluation, rules)
            else:
                value, needed = words.briefly(evaluation, rules)
            if is_met is None:
                needed = "left out"
        rows.append(
            ConditionRow(
                condition=condition,
                name=condition_name(condition, rules.benchmark),
                short=short_name(condition, rules.benchmark),
                is_met=is_met,
                value=value,
                needed=needed,
                strip=tuple(None if passes is None else passes[index] for passes in strips),
            )
        )
    return tuple(rows)


# --- Position ----------------------------------------------------------------------------------------


def _position(recent: Recent, at: int) -> OpenPosition | Flat:
    engine, rules = recent.engine, recent.engine.rules
    position = engine.position
    if position is None:
        last = recent.closed[-1] if recent.closed else None
        return Flat(
            entries=engine.book.entries,
            entries_max=rules.max_entries_per_day,
            last=last,
            last_percent=None if last is None else change_percent(last.mark, last.entry),
        )
    opened, marks = position.opened, position.marks
    mark = None if marks.is_lost(at) else marks.usable.mid
    return OpenPosition(
        id=opened.id,
        contract=opened.contract,
        opened_at=position.opened_at,
        entry=opened.entry,
        mark=mark,
        mark_age=max(0, at - marks.usable_at),
        mark_percent=change_percent(mark, opened.entry),
        bid=marks.usable.bid,
        bid_size=marks.usable.bid_size,
        bid_percent=None if mark is None else change_percent(marks.usable.bid, opened.entry),
        peak=position.peak,
        stop=opened.stop,
        hard_level=level_below(position.peak, rules.max_giveback_percent),
        vwap_level=level_below(position.peak, rules.tighten_giveback_percent),
        time_stop=opened.time_stop,
    )
