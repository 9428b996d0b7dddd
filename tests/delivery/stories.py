"""What the tests of alerts and their delivery share: one BUY and SELL, and a running sender with its service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

from msgspec.structs import replace
from pydantic import SecretStr
from structlog.testing import capture_logs

from alerts import alert_for
from config import Settings
from delivery.sender import Sender
from events import (
    SECOND,
    AlertKind,
    AlertOutcome,
    Closed,
    Event,
    ExitReason,
    FeedAlarmed,
    FeedCause,
    Hold,
    HoldReason,
    Opened,
    Outcome,
    Session,
)
from messages import notices
from messages.alert import Alert
from rules import Rules
from sim.pushover import LoopbackPushover
from tests.patience import PatientClock
from utils import ScaledClock

TOKEN = "t0kenCANARYt0kenCANARYt0kenCAN"


USER = "us3rCANARYus3rCANARYus3rCANARY"


SECOND_SECRET = "elsewhere"


DAY = 1_759_377_600 * SECOND
"""2025-10-02 00:00 in New York."""


CALL = "O:IWM251002C00215000"


ID = "7f3a91"


RULES = Rules()


SESSION = Session(date="2025-10-02", open=DAY + 34_200 * SECOND, close=DAY + 57_600 * SECOND)


def time_of(text: str) -> int:
    """µs of UTC of a New York time on the test's day."""
    hours, minutes, seconds = map(int, text.split(":"))
    return DAY + (hours * 3600 + minutes * 60 + seconds) * SECOND


DECIDED = time_of("10:40:52")


TIME_STOP = time_of("15:55:00")


OPENED = Opened(
    id=ID,
    contract=CALL,
    strike=215_000,
    expiry="2025-10-02",
    price=215.34,
    vwap=215.12,
    momentum=0.045,
    volume_z=1.8,
    delta=0.42,
    iv=0.285,
    in_range=True,
    mid=14_000,
    bid=13_850,
    ask=14_150,
    bid_size=35,
    ask_size=40,
    entry=14_500,
    stop=12_325,
    pay_limit=15_200,
    pay_until=DECIDED + 30 * SECOND,
    time_stop=TIME_STOP,
    entry_number=1,
    considered=14,
    fallen=(),
    cost_percent=2.1,
)


CLOSED = Closed(
    id=ID,
    contract=CALL,
    reason=ExitReason.HARD_GIVEBACK,
    price=214.89,
    vwap=214.95,
    entry=12_200,
    opened_at=DECIDED,
    peak=21_000,
    mark=14_500,
    mark_at=time_of("10:44:03"),
    bid=14_300,
    bid_size=35,
    limit_percent=30.0,
    time_stop=TIME_STOP,
)


CLOSED_AT = time_of("10:44:04")


def shown(alert: Alert | None) -> str:
    assert alert is not None
    return f"{alert.title}\n\n{alert.message}"


ALARM = FeedAlarmed(cause=FeedCause.DROPPED, since=time_of("10:41:22"), position=None, untold=0)


def system_pushes(position: str | None) -> list[Alert]:
    """Every push that is not a decision, for an owner with and without a position."""
    since = time_of("10:38:42")
    pushes = [
        notices.record_off(DECIDED, RULES, since=since, reason="no space left", position=position),
        notices.record_on(DECIDED, RULES, since=since, position=position),
        notices.cap_reached(DECIDED, RULES, entries=5, position=position),
        notices.clock_doubt(
            DECIDED,
            RULES,
            since=since,
            detail="this machine's clock is slow",
            session=SESSION,
            position=position,
        ),
        notices.market_closed(DECIDED, RULES, session=SESSION, position=position),
    ]
    if position:
        pushes += [
            notices.watching_again(
                DECIDED, RULES, position=position, contract=CALL, since=since, time_stop=TIME_STOP
            ),
            notices.unwatched(
                DECIDED, RULES, position=position, contract=CALL, stop=12_325, time_stop=TIME_STOP
            ),
        ]
    return pushes


START = time_of("10:40:00")


def buy(now: int = DECIDED, position: str = ID, **changes: Any) -> Alert:
    """A BUY decided at ``now``."""
    opened = replace(OPENED, id=position, pay_until=now + 30 * SECOND, **changes)
    alert = alert_for(now, opened, RULES)
    assert alert is not None
    return alert


def sell(now: int = DECIDED, position: str = ID) -> Alert:
    """A SELL decided at ``now``."""
    alert = alert_for(now, replace(CLOSED, id=position, mark_at=now, opened_at=now), RULES)
    assert alert is not None
    return alert


def system(now: int, cause: FeedCause = FeedCause.STALL, position: str | None = None) -> Alert:
    """A "feed blind" decided at ``now``."""
    alert = alert_for(now, replace(ALARM, cause=cause, since=now, position=position), RULES)
    assert alert is not None
    return alert


class Story:
    """A sender, a loopback Pushover, and what they said."""

    def __init__(self, clock: ScaledClock, pushover: LoopbackPushover, settings: Settings) -> None:
        self.clock = clock
        self.pushover = pushover
        self.facts: list[Event] = []
        self.asks: dict[str, int] = {}
        self.logs: list[Any] = []
        self.sender = Sender(settings, clock, self.facts.append, self.asks.get)

    @property
    def outcomes(self) -> list[tuple[AlertKind, Outcome, int]]:
        """What became of each alert at the push service, but for what came of its receipt."""
        return [
            (f.kind, f.outcome, f.attempts)
            for f in self.facts
            if isinstance(f, AlertOutcome)
            and not f.channel
            and f.outcome not in (Outcome.ACKNOWLEDGED, Outcome.EXPIRED)
        ]

    @property
    def holds(self) -> list[tuple[HoldReason, bool]]:
        return [(fact.reason, fact.on) for fact in self.facts if isinstance(fact, Hold)]

    @property
    def titles(self) -> list[str]:
        """The kind that each title names, without what stands behind it for the lock screen."""
        return [message.title.rpartition("— ")[2].partition(" ")[0] for message in self.pushover.messages]

    @property
    def attempts(self) -> int:
        return len(self.pushover.asked("messages.json"))

    def logged(self, event: str) -> list[Any]:
        return [entry for entry in self.logs if entry["event"] == event]

    def now(self) -> int:
        return self.clock.now()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition, at most 8 real seconds."""
        async with asyncio.timeout(8):
            while not condition():  # noqa: ASYNC110  conditions are of a server's making
                await asyncio.sleep(0.002)

    async def told(self, count: int = 1) -> Self:
        """Wait for that many outcomes."""
        await self.until(lambda: len(self.outcomes) >= count)
        return self

    async def ready(self) -> Self:
        """Wait until the questions of the start are answered."""
        await self.until(lambda: self.pushover.asked("validate.json") and self.pushover.asked("limits.json"))
        return self


def settings_for(pushover: LoopbackPushover, **changes: Any) -> Settings:
    return Settings(
        polygon_api_key=SecretStr("polygonCANARY"),
        pushover_token=SecretStr(TOKEN),
        pushover_user_key=SecretStr(USER),
        pushover_url=pushover.url,
        **changes,
    )


@asynccontextmanager
async def story(
    *answers: str, speed: float = 50.0, second_channel: bool = False, **changes: Any
) -> AsyncIterator[Story]:
    """A running sender. Whatever is logged must hold no secret."""
    clock = PatientClock(START, speed)
    async with LoopbackPushover(clock, TOKEN, USER) as pushover:
        if second_channel:
            changes["second_channel_url"] = SecretStr(pushover.elsewhere_url)
        told = Story(clock, pushover, settings_for(pushover, **changes))
        pushover.answers.extend(answers)
        with capture_logs() as told.logs:
            running = asyncio.create_task(told.sender.run())
            try:
                yield told
            finally:
                running.cancel()
                await asyncio.wait({running})
        assert running.cancelled(), running
        for secret in (TOKEN, USER, "token=", "http://", *([SECOND_SECRET] if second_channel else [])):
            assert secret not in repr(told.logs)
            assert secret not in repr(told.facts)
        assert pushover.connections_most <= 2 + second_channel
        assert all(entry["text"] for entry in told.logs)
