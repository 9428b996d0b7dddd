"""What a soak must not show. Judged by the phone's messages, the records, the files and the processes' ends."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from events import SECOND, AlertKind, AlertOutcome, Closed, Opened, Outcome, Withdrawn
from record.folder import record_path
from record.reader import Damage, Record, read
from sim.push_account import Message
from tests.soak import growth
from tests.soak.draw import Kind
from tests.soak.ground import Seen
from tests.soak.lives import ROOT, STOP_REAL_S
from tests.stage import KEY, TOKEN, USER
from worker.ending import EXIT_OK, EXIT_REFUSED

BUY_FRESH_S = 30.0
"""How old a BUY may be when it goes out, market seconds."""

ON_THE_WAY_REAL_S = 1.0
"""Real seconds that a push may take over loopback on a busy machine, beside those that this process was late."""

PUSH_SLOW_S = 5.0
"""Market seconds that a slow Pushover waits before it accepts a message that has gone out."""

UNTOLD = (Outcome.REFUSED, Outcome.UNSENT)
"""Ends of a SELL that was not delivered: the record and the log say so."""

RSS_GROWTH_MOST = 1.0
"""% a day."""

DESCRIPTORS_MOST, THREADS_MOST, TASKS_MOST = 64, 32, 64
SLACK = 2
"""The least count of an hour may be so much higher than that of an earlier one: a connection that lives for hours is no leak."""

LOG_MOST = 66 * 1024 * 1024
"""The log and five rotated ones of 10 MB, and what a rotation that failed adds, bytes."""

DAY_MOST = 64 * 1024 * 1024
"""A day's record, bytes."""

REFUSALS = ("refuse_auth", "rest_401", "rest_403")
"""Faults after which the worker may end at its start: the vendor refuses its key."""

VERIFY_REAL_S = 1_800
ID = re.compile(r"#([0-9a-f]{6})")


def violations(seen: Seen) -> Iterator[str]:
    """Yields everything that should not have happened, in words."""
    yield from _of_processes(seen)
    yield from _of_positions(seen)
    yield from _of_records(seen)
    yield from _of_resources(seen)
    yield from _of_files(seen)
    yield from _of_secrets(seen)


# --- Processes ---------------------------------------------------------------------------------------


def _of_processes(seen: Seen) -> Iterator[str]:
    refused = any(fault.name in REFUSALS for fault in seen.done)
    for life in seen.lives:
        if life.asked == "SIGTERM":
            if life.status != EXIT_OK:
                yield f"process {life.number}: exit status {life.status} after SIGTERM"
            if life.ended_s > STOP_REAL_S:
                yield f"process {life.number}: took {life.ended_s:.1f} s to stop"
        elif not life.asked and not (life.status == EXIT_REFUSED and refused):
            yield f"process {life.number}: ended by itself, exit status {life.status} (see {life.output.name})"


# --- Positions ---------------------------------------------------------------------------------------


def records(seen: Seen) -> Iterator[Record]:
    """The day's records that can be read."""
    for day in seen.plan.days:
        path = record_path(seen.data, day.session.date)
        for each in (path, path.with_name(path.name + ".gz")):
            if each.exists():
                try:
                    yield read(each)
                except Damage:
                    continue  # `_of_records` says so
                break


def told(seen: Seen, word: str) -> dict[str, list[Message]]:
    """The accepted messages of BUYs or SELLs by the position's id."""
    found: dict[str, list[Message]] = defaultdict(list)
    for message in seen.messages:
        last = message.text.rsplit("\n", 1)[-1] if f"CALL — {word}" in message.title else ""
        if name := ID.search(last):
            found[name[1]].append(message)
    return found


@dataclass(frozen=True, slots=True)
class Book:
    """What the records say of positions, by id: when each was opened and closed (µs), and those that need no SELL."""

    opened: dict[str, int]
    closed: dict[str, int]
    excused: set[str]


def book(seen: Seen) -> Book:
    """Reads the records."""
    made = Book({}, {}, set())
    for record in records(seen):
        for entry in record.entries:
            event = entry.event
            for decision in entry.decisions:
                if isinstance(decision, Opened):
                    made.opened[decision.id] = entry.now
                elif isinstance(decision, Closed):
                    made.closed.setdefault(decision.id, entry.now)
                elif isinstance(decision, Withdrawn):
                    made.excused.add(decision.id)
            if isinstance(event, AlertOutcome) and event.kind is AlertKind.SELL and event.outcome in UNTOLD:
                made.excused.add(event.id)
    return made


def _of_positions(seen: Seen) -> Iterator[str]:
    buys, sells, made = told(seen, "BUY"), told(seen, "SELL"), book(seen)
    log = "".join(_text(path) for path in sorted(seen.folder.glob("worker.log*")))
    for name in sorted(buys.keys() - made.opened.keys()):
        yield f"BUY #{name} is in no record"
    for name in sorted(sells.keys() - made.closed.keys()):
        yield f"SELL #{name} is in no record"
    is_cut = bool(seen.lives) and seen.lives[-1].asked == "SIGKILL"  # Ctrl-C before the next process started
    for name in sorted(buys.keys() - sells.keys() - made.excused):
        if not is_cut and not _is_named_untold(log, name):
            yield f"BUY #{name} has no SELL, and nothing says why"
    for word, found in (("BUY", buys), ("SELL", sells)):
        for name, messages in found.items():
            if len([each for each in messages if "Repeat of" not in each.text]) > 1:
                yield f"{word} #{name} came {len(messages)} times without a mark"
    for name in buys.keys() & sells.keys():
        if buys[name][-1].at > sells[name][0].at:
            yield f"BUY #{name} after its SELL"
    yield from _late_buys(seen, buys, made)


def _is_named_untold(log: str, name: str) -> bool:
    """Whether a line of the log says that the SELL was not delivered, or that nobody watches its position."""
    words = ("Could not deliver", "not sent", "never delivered", "nobody watches")
    return any(f"#{name}" in line and any(word in line for word in words) for line in log.splitlines())


def _late_buys(seen: Seen, buys: dict[str, list[Message]], made: Book) -> Iterator[str]:
    """A BUY goes out while it is fresh. What is added to that limit is time that it spent on the way, or stopped."""
    stepped = max((abs(step.ahead) for step in seen.plan.steps), default=0) / SECOND
    on_the_way = (ON_THE_WAY_REAL_S + seen.late_s) * seen.speed + PUSH_SLOW_S
    for name in buys.keys() & made.opened.keys():
        began, at = made.opened[name], buys[name][0].at
        stopped = sum(max(0, min(at, end) - max(began, begin)) for begin, end in seen.stops) / SECOND
        allowed = BUY_FRESH_S + stepped + on_the_way + stopped
        if (at - began) / SECOND > allowed:
            yield f"BUY #{name} {(at - began) / SECOND:.0f} s after its decision (allowed: {allowed:.0f} s)"


# --- Records, resources, files -----------------------------------------------------------------------


def _of_records(seen: Seen) -> Iterator[str]:
    """Asks the program's own proof about each day's record, by its command line."""
    for day in seen.plan.days:
        path = record_path(seen.data, day.session.date)
        packed = path.with_name(path.name + ".gz")
        found = next((each for each in (path, packed) if each.exists()), None)
        if found is None:
            if seen.awake > 600 * SECOND and day is seen.plan.days[0]:
                yield f"{day.session.date}: no record"
            continue
        asked = subprocess.run(
            [sys.executable, "-m", "review", "verify", str(found)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=VERIFY_REAL_S,
            check=False,
        )
        if asked.returncode:
            yield f"{found.name} does not verify: {asked.stdout.strip()} {asked.stderr.strip()}"


def _of_resources(seen: Seen) -> Iterator[str]:
    begins = [0, *(night.at for night in seen.plan.nights)]
    grown = growth.by_day(seen.samples, begins)
    if grown is not None and grown.is_over(RSS_GROWTH_MOST):
        yield f"memory grows by {grown.percent:.2f} ± {grown.error:.2f} % a day"
    for what, most, of in (
        ("descriptors", DESCRIPTORS_MOST, lambda sample: sample.descriptors),
        ("threads", THREADS_MOST, lambda sample: sample.threads),
    ):
        if seen.samples and (top := max(map(of, seen.samples))) > most:
            yield f"{top} {what} at once"
        for life, floor in growth.floors(seen.samples, of).items():
            if growth.rising(floor, SLACK):
                yield f"process {life}: the least {what} of each hour rise: {floor}"
    for each in seen.lives:
        tasks = [loop.tasks for loop in each.loops]
        quarter = len(tasks) // 4
        if tasks and max(tasks) > TASKS_MOST:
            yield f"process {each.number}: {max(tasks)} tasks at once"
        if quarter > 60 and min(tasks[-quarter:]) > min(tasks[quarter : 2 * quarter]) + SLACK:
            yield f"process {each.number}: its tasks rise: {min(tasks[quarter : 2 * quarter])} to {min(tasks[-quarter:])}"


def log_bytes(seen: Seen) -> int:
    """The size of the log and its rotated files."""
    return sum(path.stat().st_size for path in seen.folder.glob("worker.log*"))


def _of_files(seen: Seen) -> Iterator[str]:
    if (size := log_bytes(seen)) > LOG_MOST:
        yield f"the log has {size / 1e6:.0f} MB"
    if (count := len(list(seen.folder.glob("worker.log*")))) > 6:
        yield f"{count} log files"
    named = {day.session.date for day in seen.plan.days}
    last = seen.lives[-1].process.pid if seen.lives else 0
    for path in seen.data.rglob("*"):
        if path.is_file() and path.stat().st_size > DAY_MOST:
            yield f"{path.name} has {path.stat().st_size / 1e6:.0f} MB"
        if path.is_file() and path.parent.name == "sessions" and path.name[:10] not in named:
            yield f"a file that is no record was left: {path.name}"
        elif path.suffix == ".part" and f".{last}-" not in path.name:
            yield f"an earlier process has left what it had begun to write: {path.name}"


def _of_secrets(seen: Seen) -> Iterator[str]:
    for path in sorted(seen.folder.rglob("*")):
        if path.is_file():
            text = _text(path)
            for name, secret in (
                ("the vendor's key", KEY),
                ("the push token", TOKEN),
                ("the user key", USER),
            ):
                if secret in text:
                    yield f"{name} is in {path.relative_to(seen.folder)}"


def _text(path: Path) -> str:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8", "replace")


def brought(seen: Seen, kind: Kind) -> int:
    """How many faults of a kind were brought."""
    return sum(fault.kind is kind for fault in seen.done)
