"""A short session with a BUY and a SELL on virtual time, in which every step on the disk and on the wire is counted.

At one of these steps the program may be killed, lose its power, or be refused by its disk. It is the worker from its record to its
pushes (`Records`, `LiveSession`, `Sender`); the feed is a list of facts, and the push service a transport that remembers.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs

import httpx

from delivery.sender import Sender
from events import SECOND, Bar, Covered, Event, FeedRestored, Tick
from feeds.exchange import ClockJudge
from pictures.process import drawn_apart
from record.disk import DiskFile
from record.folder import record_path
from record.reader import Reader
from tests.builders import OPEN, SESSION, quote
from tests.surge import QUICK, quick, sold
from tests.virtual_loop import LoopClock, inline
from tests.worker.test_session import settings
from utils import KeptClock
from worker.context import Context
from worker.inbox import Inbox
from worker.pictures import Pictures
from worker.records import Records
from worker.start import StartEvent
from worker.starts import Starts

BEGIN_S = 85
"""When the first start is, seconds after the open: shortly before the surge. What was before is filled in."""

AFTER_S = 45
"""How long the story goes on after the moment of the SELL, so that a later start has it to tell, too."""

RESTART_S = 3
"""How long after its death the program is started again."""

NET_S = 0.05
"""How long a request takes to the service, and its answer back."""

SETTLED_S = 120.0
"""How long whoever has lived to the end waits for what is still to be delivered."""


class Killed(BaseException):
    """The program is dead: no handler of its own may take this for a failure that it can live with."""


class Moments:
    """Counts the steps of a program. ``strike`` is called with the name of the one at which something happens to it, and, if that
    ``lasts``, of every later one.
    """

    def __init__(self, place: int, strike: Callable[[str], None], *, lasts: bool = False) -> None:
        self._place = place
        self._strike = strike
        self._lasts = lasts
        self.names: list[str] = []
        self.is_dead = False
        """Whether nothing reaches the disk or a wire any more."""

    def step(self, name: str) -> None:
        """One more step."""
        if self.is_dead:
            return
        self.names.append(name)
        at = len(self.names) - 1
        if at == self._place or (self._lasts and at > self._place >= 0):
            self._strike(name)


def _nothing(name: str) -> None:
    """Nothing happens at a step."""


class CountedFile(DiskFile):
    """A record's file whose writes and syncs are steps. It knows how much of it is on the disk."""

    def __init__(self, path: Path, is_new: bool, moments: Moments, made: list[CountedFile]) -> None:
        moments.step("open")
        super().__init__(path, is_new)
        self._moments = moments
        self.synced = 0 if is_new else self.size()
        made.append(self)

    def write(self, data: bytes) -> int:
        """Writes, unless the program is dead; half of it, if it dies in between."""
        self._moments.step("write")
        if self._moments.is_dead:
            return len(data)
        half = len(data) // 2
        try:
            self._moments.step("write, half done")
        except BaseException:
            super().write(data[:half])
            raise
        return super().write(data)

    def truncate(self, size: int) -> None:
        """Cuts, unless the program is dead."""
        self._moments.step("truncate")
        if not self._moments.is_dead:
            super().truncate(size)

    def sync(self) -> None:
        """Syncs, unless the program is dead."""
        self._moments.step("fsync")
        if not self._moments.is_dead:
            super().sync()
            self.synced = self.size()
            self._moments.step("fsync done")

    def lose_power(self) -> None:
        """Loses what is not on the disk."""
        os.ftruncate(self._descriptor, min(self.synced, self.size()))


class Phone(httpx.AsyncBaseTransport):
    """The push service and the phone: every push that it has accepted, whoever sent it."""

    def __init__(self) -> None:
        self.messages: list[dict[str, str]] = []
        self.moments = Moments(-1, _nothing)
        """Whose steps the stages of a push are: nobody's, or a program's that may die at one."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answers a request; each stage of a push is a step."""
        moments = self.moments
        if moments.is_dead:
            raise httpx.ConnectError("the program is dead", request=request)
        if not request.url.path.endswith("messages.json"):
            return httpx.Response(
                200, json={"status": 1, "devices": ["phone"], "limit": 10_000, "remaining": 9_000}
            )
        moments.step("send")
        await asyncio.sleep(NET_S)
        moments.step("under way")
        if not moments.is_dead:
            self.messages.append(
                {name: value[0] for name, value in parse_qs(request.content.decode()).items()}
            )
        moments.step("accepted, not answered")
        await asyncio.sleep(NET_S)
        moments.step("answered")
        receipt = {"receipt": "r" * 30} if self.messages[-1].get("priority") == "2" else {}
        return httpx.Response(200, json={"status": 1, "request": "1", **receipt})

    def pushes(self, word: str) -> list[dict[str, str]]:
        """Returns the accepted pushes with a word in their title."""
        return [message for message in self.messages if word in message["title"]]


@functools.cache
def story() -> tuple[tuple[int, Event], ...]:
    """The facts of a session: a calm, a surge with its BUY, a falling quote with its SELL, and the same price from then on."""
    told, second = sold(quick())
    facts = [(now, event) for now, event, _ in told.log]
    for later in range(second + 1, second + AFTER_S):
        facts += [(OPEN + later * SECOND, quote(later, 0.50, 0.52)), (OPEN + later * SECOND, Tick())]
    return tuple(facts)


def facts_from(now: int) -> list[tuple[int, Event]]:
    """What a feed brings to a start at ``now`` (µs): the seconds before as a backfill, and the rest when it happens."""
    before: list[tuple[int, Event]] = [(now, FeedRestored())]
    for at, event in story():
        if at <= now and isinstance(event, Bar):
            values = {name: getattr(event, name) for name in event.__struct_fields__}
            before.append((now, Bar(**{**values, "backfilled": True})))
    before += [(now, Covered(symbol=symbol, start=OPEN, end=now)) for symbol in ("IWM", "SPY")]
    later = [fact for fact in story() if fact[0] > now]
    if len(later) < AFTER_S:  # the story is over: the price goes on as it was
        for second in range((now - OPEN) // SECOND + 1, (now - OPEN) // SECOND + AFTER_S):
            later += [(OPEN + second * SECOND, quote(second, 0.50, 0.52)), (OPEN + second * SECOND, Tick())]
    return [*before, *later]


class Life:
    """One start of the program, from its record on, to the story's end or its death."""

    def __init__(self, folder: Path, clock: KeptClock, phone: Phone, moments: Moments) -> None:
        self.moments = moments
        self.files: list[CountedFile] = []
        self._clock = clock
        chosen = settings(folder, daily_summary=False, pictures=False, **QUICK)
        inbox = Inbox()
        sender = Sender(chosen, clock, inbox.put_now, lambda _: None, phone, threads=inline)
        self._context = Context(
            settings=chosen, rules=chosen.rules, clock=clock, random_source=random.Random(1), opener=self._open, threads=inline,
            transport=phone, dial=None, inbox=inbox, sender=sender, pictures=Pictures(sender, clock, drawn_apart, is_on=False),
            starts=Starts(folder, clock, inline),
        )  # fmt: skip
        self._records = Records(self._context, ClockJudge(clock, chosen.rules.clock_doubt_seconds))

    def _open(self, path: Path, is_new: bool = True) -> CountedFile:
        return CountedFile(path, is_new, self.moments, self.files)

    async def live(self) -> None:
        """Lives to the end of the story, and until everything is delivered."""
        context, records = self._context, self._records
        sending = asyncio.create_task(context.sender.run())
        context.advance(StartEvent.MAY_ASK)
        context.sender.in_session(True)
        left = await records.own(SESSION)
        past = None if left is None else Reader(left.path)
        live = await records.open(SESSION, records.rules_for(left), past)
        live.sync()
        if past is not None:
            live.resume(self._clock.now(), past)
        feeding = asyncio.create_task(self._feed())
        end = max(story()[-1][0], self._clock.now())
        while True:
            event = await context.inbox.get_within(self._clock.sleep(1.0))
            if event is not None:
                live.handle(self._clock.now(), event)
                continue
            if (
                feeding.done() and not context.sender.pending
            ) or self._clock.now() > end + SETTLED_S * SECOND:
                break
            live.handle(self._clock.now(), Tick())
        sending.cancel()
        records.record_rest()
        await records.close()

    async def _feed(self) -> None:
        for at, event in facts_from(self._clock.now()):
            if (wait := at - self._clock.now()) > 0:
                await self._clock.sleep(wait / SECOND)
            self._context.inbox.put_now(event)

    async def bury(self) -> None:
        """Ends what is left of it, as the kernel would: its tasks and its files."""
        own = asyncio.current_task()
        left = [task for task in asyncio.all_tasks() if task is not own]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for file in self.files:
            with suppress(OSError):
                file.close()


def shown(folder: Path, phone: Phone) -> str:
    """Returns the pushes and the record's last lines, for a failure."""
    path = record_path(folder, SESSION.date)
    lines = path.read_bytes().decode(errors="replace").splitlines()[-4:] if path.exists() else ["no record"]
    return "\n".join(
        [*(json.dumps(message)[:300] for message in phone.messages), *(line[:300] for line in lines)]
    )


def begun() -> LoopClock:
    """Returns a clock that begins shortly before the surge."""
    return LoopClock(OPEN + BEGIN_S * SECOND)
