"""I6 determinism, I8 bounded, I9 no secret."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from record.reader import Damage
from review import verify
from review.places import Unusable
from tests.simulation.books import Books
from tests.simulation.faults import Kind
from tests.simulation.invariants.violation import Violation
from tests.simulation.sent import SECOND
from tests.simulation.story import Place
from tests.stage import KEY, TOKEN, USER

DIALS_MOST, MINUTE_S = 12, 60.0
"""The most connections that one socket's reconnects make in any minute."""

PUSH_CONNECTIONS_MOST = 2
REST_CONNECTIONS_MOST = 8

APART_S = 5.0
"""The least seconds between two attempts for one alert: what the push service asks of its clients."""

FILE_MOST = 64 * 1024 * 1024
"""No file of ten minutes is larger, bytes; a whole session's record is."""

LOG_LINES_MOST = 2_000
"""The most lines of log in ten minutes."""

SLACK_US = SECOND // 20


WAITS = {"max_connections": 60, "auth_failed": 300}
"""The status with which the vendor ends a connection, and how long it is left alone then, s."""


# --- I6 ----------------------------------------------------------------------------------------------


def derived_again(books: Books) -> Iterator[Violation]:
    """Every decision of the record comes out the same when it is derived again from its facts.

    This asks `review verify`, which is the program's own proof, and needs a record that is whole.
    """
    story = books.story
    if not story.record.exists():
        return
    replaced = books.troubled(frozenset({Kind.FILE_REPLACED}), 0, story.ended_at)
    if replaced and not story.record.read_bytes().startswith(b'{"type":"header"'):
        return  # what the fault has laid there; nobody may touch it
    for at, why in books.damage:
        yield Violation("I6", at, "whole lines in the record", why)
    try:
        verify.check(story.record)
    except (verify.Difference, Damage, Unusable) as error:
        torn = isinstance(error, Damage) and "torn" in str(error) and _ended_badly(books)
        if not torn:
            yield Violation(
                "I6", story.ended_at, "a record whose decisions are derived again", str(error)[:300]
            )


def _ended_badly(books: Books) -> bool:
    return bool(books.story.lives) and books.story.lives[-1].status != 0


# --- I8 ----------------------------------------------------------------------------------------------


def connections_are_few(books: Books) -> Iterator[Violation]:
    """At most 12 attempts to connect in a minute for each socket, 2 connections to the push service, 8 to REST."""
    dials: dict[tuple[int, Place], list[int]] = defaultdict(list)
    for dial in books.story.dials:
        if dial.place in (Place.STOCKS, Place.OPTIONS):
            dials[dial.life, dial.place].append(dial.at)
    for (_, place), moments in dials.items():
        moments.sort()
        for first, last in zip(moments, moments[DIALS_MOST:], strict=False):
            if last - first < MINUTE_S * SECOND * _pace(books) - SLACK_US:
                yield Violation(
                    "I8", last, f"at most {DIALS_MOST} connections to {place} in a minute", "more"
                )
                break
    for place, most in ((Place.PUSH, PUSH_CONNECTIONS_MOST), (Place.REST, REST_CONNECTIONS_MOST)):
        for at, count in _at_once(books, place):
            if count > most:
                yield Violation("I8", at, f"at most {most} connections to {place}", str(count))
                break


def _at_once(books: Books, place: Place) -> Iterable[tuple[int, int]]:
    """When the number of open connections grew, and to how many, of each process."""
    for life in books.story.lives:
        steps: list[tuple[int, int]] = []
        for each in books.story.connections:
            if each.place is place and each.life == life.number:
                steps.append((each.opened_at, 1))
                if each.closed_at is not None:
                    steps.append((each.closed_at, -1))
        count = 0
        for at, step in sorted(steps):
            count += step
            yield at, count


def _pace(books: Books) -> float:
    """How much of a span passes while the worker's clock counts all of it: a clock that drifts may gain a tenth."""
    return 1 / 1.1 if books.troubled(frozenset({Kind.CLOCK_DRIFT}), 0, books.story.ended_at) else 1.0


def refusals_are_waited_out(books: Books) -> Iterator[Violation]:
    """After the vendor has ended a connection for another copy's sake, or refused the key, it is left alone for a while."""
    places = {each.number: (each.life, each.place) for each in books.story.connections}
    for frame in books.story.frames:
        wait = next(
            (seconds for status, seconds in WAITS.items() if f'"{status}"' in str(frame.payload)[:300]), 0
        )
        if not wait or frame.arrived_at is None or frame.connection not in places:
            continue
        life, place = places[frame.connection]
        again = [
            dial.at
            for dial in books.story.dials
            if dial.life == life and dial.place is place and frame.arrived_at < dial.at
        ]
        if again and min(again) - frame.arrived_at < wait * SECOND * _pace(books) - SLACK_US:
            yield Violation(
                "I8",
                min(again),
                f"{wait} s without a connection to {place} after it was ended by the vendor",
                f"one {(min(again) - frame.arrived_at) / SECOND:.1f} s later",
            )


def attempts_are_apart(books: Books) -> Iterator[Violation]:
    """Attempts for one alert are at least 5 s apart, in one process."""
    last: dict[tuple[int, str, str], int] = {}
    for each in books.told:
        if each.kind not in ("buy", "sell"):
            continue
        key = each.push.life, each.kind, each.position
        if key in last and each.at - last[key] < APART_S * SECOND * _pace(books) - SLACK_US:
            yield Violation(
                "I8",
                each.at,
                f"5 s between two attempts for {each.kind} #{each.position}",
                f"{(each.at - last[key]) / SECOND:.2f} s",
            )
        last[key] = each.at


def pushes_are_capped(books: Books) -> Iterator[Violation]:
    """No BUY is decided while the cap's number of pushes was accepted within the cap's time."""
    count, span = int(books.rules.get("push_cap_count", 0)), int(books.rules.get("push_cap_seconds", 0))
    if not count:
        return
    for line, decision in books.decisions("opened"):
        if line.life < 0:
            continue
        known = [
            each
            for each in books.told
            if each.push.life == line.life
            and each.kind not in ("", "sell")
            and each.push.status == 200
            and each.push.answer_arrived_at is not None
            and line.at - span * SECOND * 0.9 < each.push.answer_arrived_at < line.at - SECOND
        ]
        if len(known) >= count:
            yield Violation("I8", line.at, f"no BUY after {count} pushes in {span} s", f"#{decision['id']}")


def files_are_bounded(books: Books) -> Iterator[Violation]:
    """No file and no log grows beyond what the run can have to say."""
    story = books.story
    if story.is_whole_session:
        return
    for file in story.files:
        if file.size > FILE_MOST:
            yield Violation("I8", story.ended_at, f"{file.name} below {FILE_MOST:,} bytes", f"{file.size:,}")
    if len(story.lines) > LOG_LINES_MOST * max(1, len(story.lives)):
        yield Violation("I8", story.ended_at, f"at most {LOG_LINES_MOST} lines of log", str(len(story.lines)))


# --- I9 ----------------------------------------------------------------------------------------------

SECRETS = (KEY, TOKEN, USER)
"""The keys of a simulated worker: nothing else has such texts."""


def no_secret(books: Books) -> Iterator[Violation]:
    """No key in the log, a push, a beat, an address, or any file of the data folder."""
    story = books.story
    for at, where, text in (
        *((line.at, "a line of the log", line.text) for line in story.lines),
        *(
            (push.first_byte_at, "a push", "\n".join(text for _, text in push.fields))
            for push in story.pushes
        ),
        *((beat.at, "a heartbeat", beat.text) for beat in story.beats),
        *((asked.at, "an address", f"{asked.path} {asked.query}") for asked in story.questions),
        *((asked.at, "an address of the push service", asked.path) for asked in story.service_questions),
        *((life.began_at, "an exception", life.error) for life in story.lives),
    ):
        if any(secret in text for secret in SECRETS):
            yield Violation("I9", at, "no key outside of headers and forms", where)
    if not story.folder.is_dir():
        return
    for path in sorted(story.folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            if any(secret.encode() in data for secret in SECRETS):
                yield Violation("I9", story.ended_at, "no key in a file", path.name)
