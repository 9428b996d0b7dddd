"""What goes to the side channels, what their failures say, and that there may be several."""

from __future__ import annotations

import asyncio

from pydantic import SecretStr
from structlog.testing import capture_logs

from delivery.beside import Beside
from delivery.sender import Sender
from delivery.shared import Shared
from events import AlertKind, AlertOutcome, Event, FeedCause, Outcome
from sim.pushover import LoopbackPushover
from tests.delivery.stories import ID, START, TOKEN, USER, Story, buy, sell, settings_for, story, system
from tests.patience import PatientClock


class Kept:
    """A side channel that keeps what it is given."""

    setting = "CHANNEL_URL"

    def __init__(self, name: str, failure: str = "", is_set: bool = True) -> None:
        self.name = name
        self.is_set = is_set
        self.texts: list[str] = []
        self._failure = failure

    async def post(self, title: str, text: str, limit_s: float | None = None) -> str:
        del limit_s
        self.texts.append(f"{title}\n\n{text}")
        return self._failure

    async def fault(self, limit_s: float | None = None) -> str:
        del limit_s
        return self._failure

    async def status(self, limit_s: float) -> int | str:
        del limit_s
        return self._failure or 200

    async def close(self) -> None:
        self.texts.append("closed")


async def test_every_side_channel_with_an_address_is_told_under_its_own_name() -> None:
    facts: list[Event] = []
    shared = Shared(PatientClock(START, 1000), facts.append, lambda _: None)
    third, unset = Kept("third channel", failure="status 500"), Kept("fourth channel", is_set=False)
    beside = Beside(shared, [good := Kept("second channel"), third, unset])
    with capture_logs() as logs:
        assert beside.tell(shared.outbox.add(sell(START), START))
        assert not beside.tell_rest(), "what is told is told once"
        while beside.is_busy:
            await shared.changed.wait()
            shared.changed.clear()
    await beside.close()
    assert [fact for fact in facts if isinstance(fact, AlertOutcome)] == [
        AlertOutcome(
            kind=AlertKind.SELL, id=ID, outcome=Outcome.ACCEPTED, attempts=1, channel="second channel"
        ),
        AlertOutcome(
            kind=AlertKind.SELL,
            id=ID,
            outcome=Outcome.UNSENT,
            attempts=3,
            detail="status 500",
            channel="third channel",
        ),
    ]
    assert (len(good.texts), len(third.texts), unset.texts) == (2, 4, ["closed"])
    said = [line["text"].partition(":")[0] for line in logs]
    assert said == ["✓ Alert sent to the second channel", "🛑 Third channel failed as well"]


async def test_second_channel_is_for_sells_and_safety_only() -> None:
    async with story("400", second_channel=True) as s:
        s.sender.submit(buy(s.now()))
        await s.told()
        await s.clock.sleep(5)
        assert s.pushover.texts == []


async def test_second_channel_failure_names_no_address() -> None:
    async with story("400", second_channel=True) as s:
        await s.ready()
        s.sender.submit(system(s.now(), FeedCause.EVICTED))
        await s.until(lambda: s.logged("second_channel_sent"))
        assert s.pushover.texts[0].startswith(
            "⚠️ IWM: feed taken by another copy\n\nAnother copy took our connection"
        )
    clock = PatientClock(START, 50)
    facts: list[Event] = []
    async with LoopbackPushover(clock, TOKEN, USER) as pushover:
        pushover.answers.append("400")
        settings = settings_for(pushover, second_channel_url=SecretStr("http://127.0.0.1:9/CANARYtopic"))
        sender = Sender(settings, clock, facts.append, lambda _: None)
        with capture_logs() as logs:
            running = asyncio.create_task(sender.run())
            sender.submit(sell(START))
            await Story(clock, pushover, settings).until(
                lambda: any(entry["event"] == "second_channel_failed" for entry in logs)
            )
            running.cancel()
            await asyncio.wait({running})
        assert "CANARY" not in repr(logs)
