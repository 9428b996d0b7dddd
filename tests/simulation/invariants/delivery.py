"""I3 delivery: each alert is told, in time, once, or marked as a repeat."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.simulation.books import Books, Told
from tests.simulation.faults import Kind
from tests.simulation.invariants.durable import line_of
from tests.simulation.invariants.violation import Violation
from tests.simulation.sent import SECOND
from tests.simulation.story import LifeEnd

FRESH_S = 30.0
"""How long a BUY may be acted on."""

CLOCK_SLOW = 1 / 0.9
"""The worker's clock may run at 0.9 of its rate while it gives back what it was ahead."""

PROMPT_S = 3.0
"""Within this an alert is accepted when nothing stands in its way: a round trip takes 0.2 s."""

CALM_S = 130.0
"""So long after a trouble everything that it led to is over: the service is asked each 60 s whether it takes pushes."""

HEALED_S = 130.0
"""A SELL that a trouble kept back is tried at least so often, counting that question."""

LATE_S = 25.0
"""A push that goes out so long after its decision says that it is late: 5 s, and the 20 s that an attempt's connection and
the disk may take after its text was made."""

DISTURBS = frozenset(
    {
        *(
            Kind.UNREACHABLE,
            Kind.NO_NAME,
            Kind.LATENCY,
            Kind.CHOPPED,
            Kind.SUSPEND,
            Kind.LOOP_LAG,
            Kind.BURST,
        ),
        *(
            Kind.GIANT_FRAME,
            Kind.KILL,
            Kind.TERMINATE,
            Kind.CRASH,
            Kind.SECOND_COPY,
            Kind.CLOCK_STEP,
            Kind.CLOCK_DRIFT,
        ),
        *(
            Kind.WRITE_FAILS,
            Kind.SYNC_FAILS,
            Kind.SYNC_SLOW,
            Kind.SHORT_WRITE,
            Kind.FOLDER_GONE,
            Kind.READ_ONLY,
        ),
        *(
            Kind.FILE_REPLACED,
            Kind.PUSH_DOWN,
            Kind.PUSH_ANSWER,
            Kind.PUSH_LOST,
            Kind.PUSH_CUT,
            Kind.PUSH_HANG,
        ),
        *(Kind.PUSH_SLOW,),
    }
)
"""What may keep an alert from being told at once."""


def sells_arrive(books: Books) -> Iterator[Violation]:
    """A SELL is told at once when nothing disturbs it, and in any case once what disturbs it is over."""
    for line, decision in books.decisions("closed"):
        if line.life < 0 or was_never_bought(books, decision["id"]):
            continue
        accepted = _accepted(books, "sell", decision["id"])
        first = min(accepted, default=None)
        begun = line.at - round(CALM_S * SECOND)
        end = line.at + round(PROMPT_S * SECOND)
        calm = not books.troubled(DISTURBS, begun, end) and not books.died(begun, end)
        if calm and (first is None or first > end):
            yield Violation(
                "I3",
                line.at,
                f"SELL #{decision['id']} told within {PROMPT_S:g} s, as nothing disturbs it",
                "none" if first is None else f"{(first - line.at) / SECOND:.1f} s",
            )
            continue
        due = max(line.at, books.story.healed_at) + round(HEALED_S * SECOND)
        if (
            first is None
            and due <= books.story.stopped_at
            and not books.died(due, books.story.stopped_at - 1)
        ):
            yield Violation("I3", due, f"SELL #{decision['id']} told once the faults are over", "none")
        elif first is None and not _is_named_as_left(books, decision["id"]):
            yield Violation(
                "I3", books.story.ended_at, f"SELL #{decision['id']} named as not told", "no word of it"
            )


def was_never_bought(books: Books, position: str) -> bool:
    """Whether the phone never had the BUY, and the worker knew: then there is no SELL."""
    ended = {line.event["outcome"] for line in books.outcomes("buy", position)}
    return not _accepted(books, "buy", position) and bool(ended & {"refused", "unsent"})


def _accepted(books: Books, kind: str, position: str) -> list[int]:
    return [
        each.push.accepted_at
        for each in books.told
        if each.kind == kind and each.position == position and each.push.accepted_at is not None
    ]


def _is_named_as_left(books: Books, position: str) -> bool:
    """Whether the end of the last process named the SELL as not delivered, or it was killed and could not."""
    last = books.story.lives[-1]
    if last.end is not LifeEnd.STOPPED:
        return True
    return any("SELL" in line.text for line in books.story.lines if line.at >= books.story.stopped_at)


def buys_are_fresh(books: Books) -> Iterator[Violation]:
    """A BUY goes out while it is fresh, never after its SELL, and once; after a lost answer it is not repeated."""
    sold: dict[str, int] = {}
    for each in books.told:
        if each.kind == "sell":
            sold.setdefault(each.position, each.at)
    for each in books.told:
        if each.kind != "buy" or each.position not in books.opened:
            continue
        line, _ = books.opened[each.position]
        if not line.at:
            continue
        limit = FRESH_S * CLOCK_SLOW * SECOND + books.paused(line.at, each.at) + SECOND / 2
        if each.at - line.at > limit:
            yield Violation(
                "I3",
                each.at,
                f"BUY #{each.position} within {FRESH_S:g} s",
                f"{(each.at - line.at) / SECOND:.1f} s",
            )
        if sold.get(each.position, each.at) < each.at:
            yield Violation("I3", each.at, f"no BUY #{each.position} after its SELL", "one")


def duplicates_are_marked(books: Books) -> Iterator[Violation]:
    """What may be on the phone already is marked as a repeat, and what cannot be is not."""
    attempts: dict[tuple[str, str], list[Told]] = defaultdict(list)
    for each in books.told:
        if each.kind in ("buy", "sell"):
            attempts[each.kind, each.position].append(each)
    for (kind, position), made in attempts.items():
        for number, each in enumerate(made):
            before = made[:number]
            there = [earlier for earlier in before if earlier.push.accepted_at is not None]
            if there and each.push.accepted_at is not None and not each.is_repeat:
                yield Violation("I3", each.at, f"a second {kind} #{position} marked as a repeat", "no mark")
            if any(
                _is_known_to_be_there(earlier, each.at) and earlier.push.life == each.push.life
                for earlier in there
            ):
                yield Violation(
                    "I3", each.at, f"{kind} #{position} once, as its first was answered", "another"
                )
            if each.is_repeat and not _may_be_there(books, before, each):
                yield Violation(
                    "I3", each.at, f"no mark on {kind} #{position}: no earlier one can have arrived", "a mark"
                )
            if kind == "buy" and any(_is_lost(e, each) for e in before):
                yield Violation(
                    "I3", each.at, f"BUY #{position} not repeated after a lost answer", "a repeat"
                )


def _is_known_to_be_there(told: Told, at: int) -> bool:
    """Whether the worker had read by then that the service took it."""
    push = told.push
    return push.status == 200 and push.answer_arrived_at is not None and push.answer_arrived_at < at


def _may_be_there(books: Books, before: list[Told], told: Told) -> bool:
    """Whether an earlier attempt may have arrived, as far as the process can know that makes another one."""
    began = next((life.began_at for life in books.story.lives if life.number == told.push.life), 0)
    line = line_of(books, told)
    if line is not None and line.at < began:
        return True  # decided before this process, which cannot know what became of it
    unknown = [
        each for each in books.told if not each.kind and each.at < told.at
    ]  # cut before its text was there
    return bool(unknown) or any(
        each.push.answer_arrived_at is None or not 400 <= each.push.status < 500 for each in before
    )


def _is_lost(earlier: Told, told: Told) -> bool:
    """Whether an attempt of the same process went out whole, and no answer came."""
    push = earlier.push
    return push.life == told.push.life and push.arrived_at is not None and push.answer_arrived_at is None


def late_is_said(books: Books) -> Iterator[Violation]:
    """An alert that goes out long after its decision says so."""
    for each in books.told:
        line = line_of(books, each) if each.kind in ("buy", "sell") else None
        if line is None or not line.at or each.late_s is not None:
            continue
        waited = each.at - line.at - books.paused(line.at, each.at)
        if waited > LATE_S * SECOND * CLOCK_SLOW:
            yield Violation(
                "I3",
                each.at,
                f"{each.kind} #{each.position} marked as late",
                f"no mark, {waited / SECOND:.0f} s later",
            )


def outcomes_are_known(books: Books) -> Iterator[Violation]:
    """Each BUY has an outcome in the record soon after, unless its process ended before."""
    for position, (line, _) in books.opened.items():
        if line.life < 0:
            continue
        due = (
            line.at
            + round((FRESH_S * CLOCK_SLOW + 60) * SECOND)
            + books.paused(line.at, books.story.ended_at)
        )
        if (
            due < books.story.stopped_at
            and not books.died(line.at, due)
            and not books.outcomes("buy", position)
        ):
            yield Violation("I3", due, f"what became of BUY #{position} in the record", "nothing")
