"""I10 silence is loud: for as long as the worker cannot do its job, the phone or the dead-man's switch says so."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from tests.simulation.books import Books
from tests.simulation.invariants.delivery import was_never_bought
from tests.simulation.invariants.violation import Violation
from tests.simulation.sent import SECOND
from tests.simulation.story import DiskAction

LIMIT_S = 180.0
"""Within this somebody is told."""

LAST_BEAT_S = 75.0
"""Beats come each minute while all was well a second ago. What ends that has to be noticed first: a price that is too old (61
s), three dates that disagree, a record that is looked at each minute. A beat after this says that all is well."""

FRESH_BAR_S = 17.0
"""A bar that arrives later than this after its end is too late to act on: 15 s, and the 2 s that the vendor holds it."""

BACK_S = 130
"""The longest pause between two attempts to connect is 60 s; one may just have failed, and the next may be cut, too."""

DOUBT_US = 3 * SECOND
"""A clock that is off by more is doubted."""

ALARMS = (
    "feed blind",
    "another copy",
    "refused",
    "no price",
    "record",
    "unwatched",
    "clock",
    "closed",
    "SELL",
    "missing",
)
"""What the titles of pushes about trouble hold."""


def silence_is_loud(books: Books) -> Iterator[Violation]:
    """Each span in the session in which the worker could not work is told within three minutes."""
    spans = (*_unwatched(books), *_blind(books), *_mute(books), *_astray(books), *_unrecorded(books))
    for what, since, end in spans:
        begin = max(since, books.open)
        due = begin + round(LIMIT_S * SECOND)
        if due > min(end, books.close):
            continue
        told = any(
            each.push.accepted_at is not None
            and begin - 60 * SECOND <= each.push.accepted_at <= due
            and any(word in each.push.text.get("title", "") for word in ALARMS)
            for each in books.told
        )
        beats = [
            beat.at
            for beat in books.story.beats
            if not beat.word and 200 <= beat.status < 300 and begin + LAST_BEAT_S * SECOND < beat.at <= due
        ]
        if beats and not told:
            yield Violation(
                "I10",
                due,
                f"a word within 180 s of the beginning of: {what}",
                f"no push, and a heartbeat {(beats[0] - begin) / SECOND:.0f} s into it",
            )


def comes_back(books: Books) -> Iterator[Violation]:
    """When the faults are over, bars of the traded symbol come again as soon as the pauses between connections allow."""
    symbol, healed = str(books.rules.get("symbol", "")), books.story.healed_at
    waits = [
        seconds * SECOND + frame.arrived_at
        for frame in books.story.frames
        for status, seconds in (("max_connections", 300), ("auth_failed", 300))
        if frame.arrived_at is not None
        and frame.arrived_at <= healed
        and f'"{status}"' in str(frame.payload)[:300]
    ]
    due = max([healed, *waits]) + BACK_S * SECOND
    if due > min(books.story.stopped_at, books.close) or books.died(healed - 60 * SECOND, due):
        return
    seen = [bar for bar in books.market.live.get(symbol, []) if due - BACK_S * SECOND <= bar.at <= due]
    if not seen:
        yield Violation("I10", due, f"bars of {symbol} again {BACK_S} s after the faults", "none")


Span = tuple[str, int, int]


def _unwatched(books: Books) -> Iterator[Span]:
    """Spans without a process."""
    until = books.story.began_at
    for life in sorted(books.story.lives, key=lambda life: life.began_at):
        if life.status == 4:
            continue  # a second copy
        if life.began_at > until:
            yield "no process", until, life.began_at
        until = max(until, life.ended_at or books.story.ended_at)


def _blind(books: Books) -> Iterator[Span]:
    """Spans without a bar of the traded symbol to act on. What arrives while no process runs reaches nobody."""
    symbol = str(books.rules.get("symbol", ""))
    seen = [
        bar.at
        for bar in books.market.live.get(symbol, [])
        if bar.plain and 0 <= bar.at - bar.end <= FRESH_BAR_S * SECOND and books.life_at(bar.at) is not None
    ]
    moments = [books.story.began_at, *seen, books.story.ended_at]
    for begin, end in itertools.pairwise(moments):
        yield f"no bar of {symbol}", begin, end


def _mute(books: Books) -> Iterator[Span]:
    """Spans in which a SELL is decided and not told."""
    for line, decision in books.decisions("closed"):
        if was_never_bought(books, decision["id"]):
            continue
        accepted = [
            each.push.accepted_at
            for each in books.told
            if each.kind == "sell" and each.position == decision["id"] and each.push.accepted_at is not None
        ]
        ended = [each.at for each in books.outcomes("sell", decision["id"])]
        yield f"SELL #{decision['id']} untold", line.at, min([*accepted, *ended, books.story.ended_at])


def _astray(books: Books) -> Iterator[Span]:
    """Spans in which the worker's clock is off."""
    changes = [*books.story.clock]
    begin: int | None = None
    for change in changes:
        if abs(change.ahead) > DOUBT_US and begin is None:
            begin = change.at
        elif abs(change.ahead) <= DOUBT_US and begin is not None:
            yield "a clock that is off", begin, change.at
            begin = None
    if begin is not None:
        yield "a clock that is off", begin, books.story.ended_at


def _unrecorded(books: Books) -> Iterator[Span]:
    """Spans in which writes to the record fail."""
    begin: int | None = None
    for event in books.story.disk:
        if event.action is not DiskAction.WRITE:
            continue
        if event.error and begin is None:
            begin = event.at
        elif not event.error and event.data and begin is not None:
            yield "a record that cannot be written", begin, event.at
            begin = None
    if begin is not None:
        yield "a record that cannot be written", begin, books.story.ended_at
