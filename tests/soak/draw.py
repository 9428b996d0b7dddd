"""What a soak does to the worker, drawn from its seed before it begins: one fault every 30 s of the market's time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from events import SECOND, Session
from sim import push_faults
from sim.demo import DAY
from sim.episodes import Episode
from sim.faults import FAULTS
from tests.soak.clock import Night, Step, Times, seconds
from utils import session_on
from worker.records import RECORD_OPEN_S

EVERY_S = 30
"""Market seconds from one fault to the next."""

CALM_S = 240
"""Market seconds at the end of a run without a fault: what was kept back until then is told."""

BEFORE_OPEN_S = 420
"""A day begins so long before its open: two minutes before the worker connects."""

AFTER_CLOSE_S = RECORD_OPEN_S + 120
"""A day ends so long after its close: the worker has let go of its record by then, and sleeps."""

SHORT_BEGINS_S = 900
"""A run of minutes begins so long after the open; no entry is made in the first 600 s."""

RALLY_EVERY_S, RALLY_AT_S, RALLY_S, FALL_S = 720, 1_140, 130, 240
"""The market rallies so often, first so long after the open, for so long, and then falls for so long: in s."""


class Kind(StrEnum):
    """What a fault is done to."""

    MARKET = "market"
    PUSH = "push"
    PUSH_DOWN = "push service down"
    KILL = "SIGKILL and restart"
    TERMINATE = "SIGTERM and restart"
    STOP = "SIGSTOP, SIGCONT"
    CLOCK = "wall clock stepped"
    DISK = "no room for the record"


SHARES = {Kind.MARKET: 70, Kind.PUSH: 18, Kind.PUSH_DOWN: 3, Kind.STOP: 5, Kind.CLOCK: 2, Kind.DISK: 2}
"""Out of 100 faults. Deaths are placed apart: memory that grows can be seen only in a process that lives."""

SELDOM = frozenset(
    {
        "refuse_auth",
        "max_connections_at_auth",
        "evict",
        "late",
        "one_silent",
        "rest_401",
        "rest_403",
        "no_quotes",
    }
)
"""After these the worker waits for minutes, as it must. They are drawn a fifth as often, for a day to have trades."""

SPENT = ("429", "429 2100")
"""Answers that say that the month's quota is spent. The worker believes it, and asks again after ten minutes."""

STATUSES = (429, 500, 502, 503)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: when it begins (µs of the days so far), and for how many market seconds it lasts, where it lasts."""

    at: int
    kind: Kind
    name: str
    seconds: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Day:
    """A day of a soak: from when to when it is played, µs of UTC."""

    session: Session
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole run."""

    seed: int
    days: tuple[Day, ...]
    nights: tuple[Night, ...]
    faults: tuple[Fault, ...]

    @property
    def awake(self) -> int:
        """How long it is without its nights, µs."""
        return sum(day.end - day.begin for day in self.days)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps of the worker's wall clock."""
        found = [fault for fault in self.faults if fault.kind is Kind.CLOCK]
        return tuple(
            Step(fault.at, fault.at + seconds(fault.seconds), seconds(fault.options["by"])) for fault in found
        )

    @property
    def deaths(self) -> int:
        """How often the worker's process is ended."""
        return sum(fault.kind in (Kind.KILL, Kind.TERMINATE) for fault in self.faults)

    def times(self, speed: float) -> Times:
        """The clock's, without its origin."""
        return Times(self.days[0].begin, speed, self.nights)


def episodes(source: random.Random) -> Sequence[Episode]:
    """A day whose market rallies now and then, and falls after it."""
    found = [Episode(0, RALLY_AT_S, "calm")]
    for begin in range(RALLY_AT_S, 23_400 - RALLY_EVERY_S, RALLY_EVERY_S):
        rally, fall = RALLY_S + source.randrange(30), FALL_S + source.randrange(120)
        found += [
            Episode(begin, rally, "surge"),
            Episode(begin + rally, fall, "fade"),
            Episode(begin + rally + fall, RALLY_EVERY_S - rally - fall, "calm"),
        ]
    return found


def plan(seed: int, days: int, minutes: float = 0.0) -> Plan:
    """Draws a run of so many whole days, or of some minutes of one."""
    source = random.Random(seed)
    found = [_short(minutes)] if minutes else _days(days)
    nights, faults, awake = list[Night](), list[Fault](), 0
    for number, day in enumerate(found):
        first = awake + max(0, day.session.open - day.begin) + seconds(EVERY_S)
        last = awake + min(day.end, day.session.close) - day.begin - seconds(CALM_S)
        moments = range(first, last, seconds(EVERY_S))
        drawn = [_drawn(source, at) for at in moments]
        if number in (0, len(found) - 1):
            _place_deaths(source, drawn, few=bool(minutes))
        faults += drawn
        awake += day.end - day.begin
        if number + 1 < len(found):
            nights.append(Night(awake, found[number + 1].begin - day.end))
    return Plan(seed, tuple(found), tuple(nights), tuple(faults))


def _short(minutes: float) -> Day:
    session = session_on(DAY)
    assert session is not None
    begin = session.open + SHORT_BEGINS_S * SECOND
    return Day(session, begin, min(session.close, begin + seconds(minutes * 60)))


def _days(count: int) -> list[Day]:
    found: list[Day] = []
    day: date = DAY
    while len(found) < count:
        if (session := session_on(day)) is not None:
            found.append(
                Day(
                    session,
                    session.open - BEFORE_OPEN_S * SECOND,
                    session.close + AFTER_CLOSE_S * SECOND,
                )
            )
        day += timedelta(days=1)
    return found


def _place_deaths(source: random.Random, drawn: list[Fault], *, few: bool) -> None:
    """Puts a few deaths in the place of other faults, hours apart, or a third of a short run: the first day's and the last's."""
    kinds = (Kind.KILL, Kind.TERMINATE) if few else (Kind.KILL, Kind.TERMINATE, Kind.KILL)
    share = len(drawn) / (len(kinds) + 1)
    for number, kind in enumerate(kinds, start=1):
        index = round(share * (number + source.uniform(-0.2, 0.2)))
        if index < len(drawn):
            drawn[index] = Fault(drawn[index].at, kind, kind.value)


def _drawn(source: random.Random, at: int) -> Fault:
    kind = source.choices(list(SHARES), list(SHARES.values()))[0]
    match kind:
        case Kind.MARKET:
            return _of_market(source, at)
        case Kind.PUSH:
            slow = source.choice(("", "", "slow "))
            weights = [1 if name in SPENT else 10 for name in push_faults.FAULTS]
            name = source.choices(push_faults.FAULTS, weights)[0]
            return Fault(at, kind, slow + name, source.uniform(30, 180))
        case Kind.PUSH_DOWN:
            return Fault(at, kind, kind.value, source.uniform(10, 90))
        case Kind.STOP:
            return Fault(at, kind, kind.value, source.uniform(2, 60))
        case Kind.CLOCK:
            by = source.choice((-1, 1)) * source.choice((0.5, 2.0, 5.0, 60.0)) * source.uniform(0.5, 1)
            return Fault(at, kind, kind.value, source.uniform(30, 240), {"by": by})
        case _:
            return Fault(at, kind, kind.value, source.uniform(5, 45))


def _of_market(source: random.Random, at: int) -> Fault:
    weights = [1 if name in SELDOM else 5 for name in FAULTS]
    name = source.choices(list(FAULTS), weights)[0]
    options: dict[str, Any] = {}
    spec = FAULTS[name]
    if "feed" in spec.options:
        options["feed"] = source.choice(("stocks", "options"))
    if "stage" in spec.options:
        options["stage"] = source.choice(("now", "open", "auth", "subscribe"))
    if "status" in spec.options:
        options["status"] = source.choice(STATUSES)
    if "path" in spec.options:
        options["path"] = source.choice(("", "/v2/aggs", "/v3/snapshot"))
    if "real_seconds" in spec.options:
        options["real_seconds"] = 2.0
    return Fault(at, Kind.MARKET, name, source.uniform(5, 90) if spec.lasting else 0.0, options)
