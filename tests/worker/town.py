"""The loopback market and Pushover, and a worker among them that may die and be started again."""

from __future__ import annotations

import abc
import functools
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from engine import Engine
from events import SECOND, AlertKind, AlertOutcome, Closed, Opened, Outcome, Withdrawn
from record.folder import record_path, records
from record.lines import Header
from record.reader import Record, read
from review import verify
from rules import Rules
from sim.demo import START_S
from sim.push_account import Message
from sim.pushover import LoopbackPushover
from sim.server import LoopbackMarket
from tests.stage import KEY, TOKEN, USER, market, session
from utils import ScaledClock


class Town(abc.ABC):
    """What surrounds the worker; how it is started and ended is for those who know where it runs."""

    def __init__(
        self, folder: Path, vendor: LoopbackMarket, pushover: LoopbackPushover, clock: ScaledClock
    ) -> None:
        self.folder = folder
        self.vendor = vendor
        self.pushover = pushover
        self.clock = clock

    @abc.abstractmethod
    async def start(self, death: tuple[str, str] = ("", ""), **changes: Any) -> None:
        """Start the worker with changed settings; ``death`` says at which moment of which push it dies."""

    @abc.abstractmethod
    async def kill(self) -> None:
        """End the worker as a power cut would."""

    @abc.abstractmethod
    async def died(self) -> None:
        """Wait until the worker has come to its death."""

    @abc.abstractmethod
    async def ended(self) -> int:
        """Wait until the worker ends by itself; returns its exit status."""

    @abc.abstractmethod
    async def stop(self) -> int:
        """Ask the worker to stop; returns its exit status."""

    @abc.abstractmethod
    async def until(self, holds: Callable[[], Any], seconds: float, what: str) -> None:
        """Wait until something holds, at most that many market seconds."""

    @abc.abstractmethod
    def texts(self) -> list[str]:
        """What each worker has printed."""

    @abc.abstractmethod
    async def close(self) -> None:
        """End whatever still runs."""

    def said(self) -> str:
        """Everything that every worker has printed."""
        return "\n--- restart ---\n".join(self.texts())

    def pushes(self, word: str) -> list[Message]:
        """The accepted pushes with a word in their title."""
        return [message for message in self.pushover.messages if word in message.title]

    def record(self) -> Record:
        """The session's record as it is now."""
        return read(record_path(self.folder / "data", session().date))


@asynccontextmanager
async def opened_town(
    kind: Callable[[Path, LoopbackMarket, LoopbackPushover, ScaledClock], Town],
    folder: Path,
    clock: ScaledClock,
) -> AsyncIterator[Any]:
    """A town of one kind, whose workers are ended with it."""
    async with (
        LoopbackMarket(market(), clock, KEY) as vendor,
        LoopbackPushover(clock, TOKEN, USER) as pushover,
    ):
        place = kind(folder, vendor, pushover, clock)
        try:
            yield place
        finally:
            await place.close()


def begin(start_s: float) -> int:
    """The time (µs) so many seconds after the open."""
    return session().open + round(start_s * SECOND)


def folded(record: Record) -> Engine:
    """The engine that a start makes of a record."""
    headers = [line for line in record.lines if isinstance(line, Header)]
    engine = Engine(Rules(), headers[-1].session)
    for entry in record.entries:
        engine.restore(entry.now, entry.event, entry.decisions)
    return engine


def decisions_of(record: Record, kind: type) -> list[Any]:
    return [
        decision for entry in record.entries for decision in entry.decisions if isinstance(decision, kind)
    ]


def check(place: Town) -> None:
    """What must hold whenever the worker was killed: one position, one SELL, nothing told twice unmarked."""
    for path in records(place.folder / "data"):
        verify.check(path)  # raises at the first decision that is not derived again
    record = place.record()
    opened, closed = decisions_of(record, Opened), decisions_of(record, Closed)
    withdrawn = {decision.id for decision in decisions_of(record, Withdrawn)}
    told = [decision for decision in opened if decision.id not in withdrawn]
    assert [decision.id for decision in closed if decision.id not in withdrawn] == [d.id for d in told], (
        place.said()
    )
    for decision in told:
        sells = [m for m in place.pushes("SELL") if m.text.endswith(f"#{decision.id}")]
        assert sells, f"no SELL for {decision.id}\n{place.said()}"
        unmarked = [message for message in sells if "Repeat of" not in message.text]
        assert len(unmarked) <= 1, place.said()
    buys = Counter(message.text[-7:] for message in place.pushes("BUY") if "Repeat of" not in message.text)
    assert all(count == 1 for count in buys.values()), place.said()
    assert set(buys) <= {f"#{decision.id}" for decision in opened}
    accepted: set[tuple[AlertKind, str]] = set()
    for entry in record.entries:
        if isinstance(entry.event, AlertOutcome) and entry.event.outcome is Outcome.ACCEPTED:
            assert (entry.event.kind, entry.event.id) not in accepted or entry.event.kind not in (
                AlertKind.BUY,
                AlertKind.SELL,
            ), "an alert with a recorded outcome was sent again"
            accepted.add((entry.event.kind, entry.event.id))


STORY_ENDS_S = START_S + 330
"""Seconds after the open when the market's one rally is long over: who was down for all of it had no entry."""


async def to_the_end(place: Town) -> None:
    """Let the story come to its SELL, or to its end when there was no entry; stop, and check it."""
    end = begin(STORY_ENDS_S)

    @functools.cache
    def has_entry() -> bool:
        """Whether there was an entry: asked once, after the rally, when no more can come."""
        return bool(decisions_of(place.record(), Opened))

    def is_over() -> bool:
        return bool(place.pushes("SELL")) or (place.clock.now() > end and not has_entry())

    await place.until(is_over, 600, "SELL")
    await place.clock.sleep(6)
    assert await place.stop() == 0, place.said()
    check(place)


async def die(place: Town, moment: str, push: str) -> None:
    """Let the worker come to its death, and start it again."""
    await place.start(death=(moment, push))
    await place.died()
    await place.start()


async def killed_at_random(place: Town, source: random.Random) -> None:
    """Start the worker, and kill it once or twice at moments that are drawn, unless its SELL has come before."""
    await place.start()
    for _ in range(source.choice((1, 1, 2))):
        await place.until(lambda: True, 1, "running")
        await place.clock.sleep(source.uniform(20, 200))
        if place.pushes("SELL"):
            break
        await place.kill()
        await place.start()
