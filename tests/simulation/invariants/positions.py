"""I2 no orphan: each BUY on the phone has a position, and each position its SELL. I7 one voice."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from tests.simulation.books import Books
from tests.simulation.faults import Kind
from tests.simulation.invariants.violation import Violation
from tests.simulation.record_lines import Decision, Line
from tests.simulation.sent import OPTION_UNIT, SECOND
from tests.simulation.story import LifeEnd

DISK = frozenset(
    {
        *(Kind.WRITE_FAILS, Kind.SYNC_FAILS, Kind.SYNC_SLOW, Kind.SHORT_WRITE, Kind.FOLDER_GONE),
        *(Kind.READ_ONLY, Kind.FILE_REPLACED),
    }
)


def no_orphan(books: Books) -> Iterator[Violation]:
    """Each BUY on the phone has a position, and each position ends with one SELL, or is open in the record at the end."""
    opened = books.opened
    closed: dict[str, list[Line]] = defaultdict(list)
    for line, decision in books.decisions("closed"):
        closed[decision["id"]].append(line)
    withdrawn = {decision["id"]: line for line, decision in books.decisions("withdrawn")}
    bought = {
        each.position for each in books.told if each.kind == "buy" and each.push.accepted_at is not None
    }
    for each in books.told:
        known = opened if each.kind == "buy" else closed if each.kind == "sell" else None
        if known is not None and each.position not in known and not _record_was_lost(books, each.at):
            yield Violation(
                "I2", each.at, f"a position for {each.kind} #{each.position}", "none in the record"
            )
    for position, lines in closed.items():
        if len(lines) > 1:
            yield Violation("I2", lines[1].at, f"one SELL of #{position}", f"{len(lines)} decided")
        if position not in opened:
            yield Violation("I2", lines[0].at, f"a BUY before SELL #{position}", "none in the record")
    for position, line in withdrawn.items():
        if position in bought:
            yield Violation(
                "I2", line.at, f"position #{position} kept: its BUY is on the phone", "it was withdrawn"
            )
    for position in opened:
        if position not in closed and position not in withdrawn:
            yield from _left_open(books, position)


def _record_was_lost(books: Books, at: int) -> bool:
    """Whether a fault had taken the record away in its last minute before a process ended: nothing can bring it back."""
    return books.troubled(DISK, 0, at)


def _left_open(books: Books, position: str) -> Iterator[Violation]:
    last = books.story.lives[-1] if books.story.lives else None
    if last is None or last.end is not LifeEnd.STOPPED or last.status != 0:
        return  # the next start goes on with it
    if _record_was_lost(books, books.story.ended_at):
        return
    if books.settings.get("on_shutdown", "close") == "close":
        yield Violation(
            "I2", books.story.ended_at, f"position #{position} closed at the stop", "it was left open"
        )
    elif not any("unwatched" in each.push.text.get("title", "") for each in books.told):
        yield Violation(
            "I2", books.story.ended_at, f"position #{position} named as unwatched", "no push says so"
        )


def one_at_a_time(books: Books) -> Iterator[Violation]:
    """No BUY while a position is open, and none in the cooldown after one."""
    open_id, rests_until = "", 0
    cooldown = int(books.rules.get("entry_cooldown_seconds", 300)) * SECOND
    for line, decision in books.decisions("opened", "closed", "withdrawn"):
        if decision["type"] == "opened":
            if open_id:
                yield Violation("I2", line.at, f"no BUY while #{open_id} is open", f"#{decision['id']}")
            if line.now < rests_until:
                early = (rests_until - line.now) / SECOND
                yield Violation(
                    "I11", line.at, "no BUY in the cooldown", f"#{decision['id']}, {early:.1f} s early"
                )
            open_id = decision["id"]
        else:
            if decision["type"] == "closed":
                rests_until = line.now + cooldown
            open_id = ""


def texts_agree(books: Books) -> Iterator[Violation]:
    """A push says what was decided: contract, prices, position."""
    decisions = {
        ("buy" if decision["type"] == "opened" else "sell", decision["id"]): decision
        for _, decision in books.decisions("opened", "closed")
    }
    for each in books.told:
        decision = decisions.get((each.kind, each.position))
        if decision is None:
            continue
        message = each.push.text["message"]
        for what, pattern, wanted in _said(each.kind, decision):
            found = re.search(pattern, message)
            if found is None or found[1] not in wanted:
                seen = "nothing of it" if found is None else found[1]
                yield Violation("I2", each.at, f"{what} {wanted[0]} in {each.kind} #{each.position}", seen)


def _said(kind: str, decision: Decision) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """What a push must say: in words, where, and how."""
    yield "contract", r"📊 (O:\S+)", (decision["contract"],)
    price = decision["price"]
    yield "price", r"\w+ \$?([\d.,]+|n/a) \| VWAP", ("n/a",) if price is None else (f"{price:,.2f}",)
    if kind == "buy":
        yield "entry", r"Entry ~\$([\d.,]+)", _cents(decision["entry"])
        yield "pay limit", r"Pay ≤ \$([\d.,]+)", _cents(decision["pay_limit"])
    else:
        yield "entry", r"Entry \$([\d.,]+)", _cents(decision["entry"])
        yield "mark", r"→ Now \$?([\d.,]+|n/a)", _cents(decision["mark"])


def _cents(units: int | None) -> tuple[str, ...]:
    if units is None:
        return ("n/a",)
    dollars = units / OPTION_UNIT
    return f"{dollars:,.2f}", f"{dollars:,.3f}", f"{dollars:,.4f}"


def one_voice(books: Books) -> Iterator[Violation]:
    """While one process is at work, another neither tells the phone anything nor takes its connection."""
    lives = sorted(books.story.lives, key=lambda life: life.began_at)
    for number, life in enumerate(lives):
        until = books.story.ended_at if life.ended_at is None else life.ended_at
        for other in lives[number + 1 :]:
            if other.began_at >= until:
                continue
            spoke = [each.at for each in books.told if each.push.life == other.number and each.at < until]
            dialled = [
                dial.at
                for dial in books.story.dials
                if dial.life == other.number and dial.at < until and dial.place in ("stocks", "options")
            ]
            for what, moments in (("push", spoke), ("connection to the feed", dialled)):
                if moments:
                    yield Violation(
                        "I7",
                        moments[0],
                        "one voice",
                        f"a {what} of a second process while the first was at work",
                    )
