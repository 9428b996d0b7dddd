"""Brings the faults of a soak, each at its time, and taps the phone's emergency pushes as their owner would."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from events import SECOND
from record.folder import record_path
from sim.push_account import MONTHLY_QUOTA
from sim.pushover import LoopbackPushover
from sim.server import LoopbackMarket
from tests.soak.draw import Fault, Kind
from tests.soak.ground import Ground
from tests.soak.lives import Life, Lives

TAP_S = 20
"""Market seconds after which the owner taps an emergency push."""

LOOK_S = 5
"""Market seconds between two looks at the phone."""

RECENT = 50
"""So many of the last messages are looked at."""

QUOTA_BACK_S = 90
"""Market seconds after which a spent quota is full again."""


class Hand:
    """Does to the market, the push service and the worker what the plan says. ``vendor`` returns the day's market."""

    def __init__(
        self,
        ground: Ground,
        lives: Lives,
        pushover: LoopbackPushover,
        vendor: Callable[[], LoopbackMarket],
    ) -> None:
        self._ground, self._seen = ground, ground.seen
        self._lives, self._pushover, self._vendor = lives, pushover, vendor
        self._going_down = asyncio.Lock()

    async def tap(self) -> None:
        """Taps each emergency push, as its owner would, 20 s after the phone had it."""
        tapped: set[str] = set()
        while True:
            await self._ground.clock.sleep(LOOK_S)
            for message in self._pushover.messages[-RECENT:]:
                is_due = self._ground.clock.now() - message.at >= TAP_S * SECOND
                if message.receipt and message.receipt not in tapped and is_due:
                    tapped.add(message.receipt)
                    self._pushover.acknowledge(message.receipt)

    async def bring_all(self) -> None:
        """Brings every fault of the plan."""
        for fault in self._seen.plan.faults:
            if not await self._ground.until(fault.at):
                return
            self._seen.done.append(fault)
            self._bring(fault)
        self._vendor().faults.clear()  # what has hit nothing by now would disturb the calm end

    def _bring(self, fault: Fault) -> None:
        life = self._lives.now
        if fault.kind is not Kind.MARKET and (life is not None or fault.kind in (Kind.PUSH, Kind.PUSH_DOWN)):
            self._seen.fired[fault.kind.value] += 1
        match fault.kind:
            case Kind.MARKET:
                lasts = fault.seconds or None
                self._vendor().faults.add(fault.name, seconds=lasts, **fault.options)
            case Kind.PUSH:
                self._pushover.answers.append(fault.name)
                self._ground.spawn(self._take_back(fault))
                if "429" in fault.name:
                    self._ground.spawn(self._refill())
            case Kind.PUSH_DOWN:
                self._ground.spawn(self._push_down(fault))
            case Kind.KILL | Kind.TERMINATE if life is not None:
                life.signal(signal.SIGCONT)
                life.end(signal.SIGKILL if fault.kind is Kind.KILL else signal.SIGTERM)
            case Kind.STOP if life is not None:
                self._ground.spawn(self._stopped(fault, life))
            case Kind.DISK if life is not None:
                self._ground.spawn(self._full(fault, life))
            case _:  # the clock's steps are the worker's own, and nothing can be done to a process that is not there
                return

    async def _take_back(self, fault: Fault) -> None:
        """No push may have come: then the fault has hit nothing, and must not wait for the next SELL with all others."""
        await self._ground.clock.sleep(fault.seconds)
        if fault.name in self._pushover.answers:
            self._pushover.answers.remove(fault.name)
            self._seen.fired[Kind.PUSH.value] -= 1

    async def _refill(self) -> None:
        await self._ground.clock.sleep(QUOTA_BACK_S)
        self._pushover.remaining = MONTHLY_QUOTA

    async def _push_down(self, fault: Fault) -> None:
        async with self._going_down:  # one that is drawn meanwhile comes after it
            await self._pushover.down()
            await self._ground.clock.sleep(fault.seconds)
            await self._pushover.up()

    async def _stopped(self, fault: Fault, life: Life) -> None:
        began = self._ground.clock.now()
        life.signal(signal.SIGSTOP)
        await self._ground.clock.sleep(fault.seconds)
        life.signal(signal.SIGCONT)
        self._seen.stops.append((began, self._ground.clock.now()))

    async def _full(self, fault: Fault, life: Life) -> None:
        day = self._seen.plan.days[self._ground.day()].session
        record = record_path(self._seen.data, day.date)
        life.limit_files(record.stat().st_size if record.exists() else 0)
        await self._ground.clock.sleep(fault.seconds)
        life.limit_files(-1)
