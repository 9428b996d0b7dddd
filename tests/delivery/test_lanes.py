"""Which alert goes first, which waits for none, and which is withdrawn before it goes."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from delivery.pending import OUTBOX_MAX
from delivery.sender import Sender
from events import SECOND, AlertKind, AlertOutcome, Event, FeedCause, Outcome
from messages import notices
from sim.pushover import LoopbackPushover
from tests.delivery.stories import CALL, ID, RULES, START, TOKEN, USER, buy, sell, settings_for, story, system
from utils import ScaledClock


async def test_sell_does_not_wait_behind_a_buy() -> None:
    async with story("slow", speed=20) as s:
        await s.ready()
        s.pushover.slow_s = 10
        s.sender.submit(buy(s.now()))
        await s.until(lambda: not s.pushover.answers)
        s.sender.submit(sell(s.now(), "aaaaaa"))
        await s.told(2)
        assert s.titles == ["SELL", "BUY"]


async def test_most_important_goes_first() -> None:
    async with story() as s:
        s.sender.submit(system(s.now(), position=ID))
        s.sender.submit(sell(s.now()))
        await s.told(2)
        assert [kind for kind, _, _ in s.outcomes] == [AlertKind.SELL, AlertKind.FEED_BLIND]


async def test_sell_does_not_wait_behind_another_sells_retry() -> None:
    async with story("500", speed=100) as s:
        s.sender.submit(sell(s.now(), "aaaaaa"))
        await s.until(lambda: s.logged("alert_attempt_failed"))
        s.sender.submit(sell(s.now(), "bbbbbb"))
        await s.told(2)
        first, second = s.pushover.messages
        assert first.text.endswith("#bbbbbb")
        assert second.text.endswith("#aaaaaa")


async def test_question_gives_way_to_an_alert() -> None:
    async with story("slow", speed=20) as s:
        s.pushover.question_s = 10_000
        s.pushover.slow_s = 6
        await s.clock.sleep(3)
        s.sender.submit(buy(s.now()))
        await s.until(lambda: not s.pushover.answers)
        s.sender.submit(sell(s.now(), "aaaaaa"))
        await s.told(2)
        assert s.titles == ["SELL", "BUY"]
        s.pushover.question_s = 0
        await s.until(lambda: s.pushover.asked("limits.json"))


async def test_alerts_and_questions_share_two_connections() -> None:
    async with story("slow", "slow") as s:
        await s.ready()
        s.sender.in_session(on=True)
        for round_number in range(3):
            s.sender.submit(buy(s.now(), f"b{round_number}"))
            s.sender.submit(sell(s.now(), f"s{round_number}"))
            await s.told(2 * round_number + 2)
        assert len(s.pushover.messages) == 6


async def test_buy_is_withdrawn_by_age() -> None:
    async with story(speed=20) as s:
        alert = buy(s.now() - 31 * SECOND)
        s.sender.submit(alert)
        await s.told()
        assert s.outcomes == [(AlertKind.BUY, Outcome.UNSENT, 0)]
        assert s.logged("alert_not_sent")[0]["reason"] == "it is 31 s old"
        assert s.attempts == 0


async def test_buy_is_withdrawn_by_its_ask() -> None:
    async with story() as s:
        s.asks[CALL] = 15_200
        s.sender.submit(buy(s.now(), "aaaaaa"))
        await s.told()
        s.asks[CALL] = 15_300
        s.sender.submit(buy(s.now(), "bbbbbb"))
        await s.told(2)
        assert [outcome for _, outcome, _ in s.outcomes] == [Outcome.ACCEPTED, Outcome.UNSENT]
        assert s.logged("alert_not_sent")[0]["reason"] == "the ask $1.53 has passed its limit $1.52"


async def test_buy_and_its_sell_cancel_each_other_before_an_attempt_arrives() -> None:
    async with story("500") as s:
        s.sender.submit(buy(s.now()))
        await s.until(lambda: s.logged("alert_attempt_failed"))
        s.sender.submit(sell(s.now()))
        await s.told(2)
        assert s.outcomes == [
            (AlertKind.BUY, Outcome.UNSENT, 1),
            (AlertKind.SELL, Outcome.UNSENT, 0),
        ]
        await s.clock.sleep(15)
        assert s.attempts == 1


async def test_sell_goes_at_once_while_its_buy_is_in_flight() -> None:
    async with story("slow") as s:
        await s.ready()
        s.sender.submit(buy(s.now()))
        await s.until(lambda: not s.pushover.answers)
        s.sender.submit(sell(s.now()))
        await s.told(2)
        assert s.outcomes == [
            (AlertKind.SELL, Outcome.ACCEPTED, 1),
            (AlertKind.BUY, Outcome.ACCEPTED, 1),
        ]


@pytest.mark.parametrize(("answer", "outcome"), [("slow 400", Outcome.REFUSED), ("slow 500", Outcome.UNSENT)])
async def test_buy_that_comes_to_nothing_after_its_sell(answer: str, outcome: Outcome) -> None:
    async with story(answer) as s:
        await s.ready()
        s.pushover.slow_s = 10
        s.sender.submit(buy(s.now()))
        await s.until(lambda: not s.pushover.answers)
        s.sender.submit(sell(s.now()))
        await s.told(2)
        assert s.outcomes == [(AlertKind.SELL, Outcome.ACCEPTED, 1), (AlertKind.BUY, outcome, 1)]
        assert bool(s.logged("buy_refused_after_sell")) is (outcome is Outcome.REFUSED)


async def test_sell_is_dropped_when_its_buy_comes_to_nothing_meanwhile() -> None:
    async with story("slow 500", "500", speed=20) as s:
        await s.ready()
        s.pushover.slow_s = 3
        s.sender.submit(buy(s.now()))
        await s.until(lambda: not s.pushover.asked("messages.json") and len(s.pushover.answers) == 1)
        s.sender.submit(sell(s.now()))
        await s.told(2)
        assert s.outcomes == [(AlertKind.BUY, Outcome.UNSENT, 1), (AlertKind.SELL, Outcome.UNSENT, 1)]
        assert s.titles == []


async def test_duplicates_within_a_minute_are_dropped() -> None:
    async with story(speed=200) as s:
        s.sender.submit(system(s.now()))
        s.sender.submit(system(s.now()))
        s.sender.submit(system(s.now(), FeedCause.LAG))
        s.sender.submit(replace(system(s.now()), repeat=True))
        await s.told(3)
        assert len(s.logged("alert_duplicate")) == 1
        assert len(s.pushover.messages) == 3
        await s.clock.sleep(61)
        s.sender.submit(system(s.now()))
        await s.told(4)
        assert len(s.pushover.messages) == 4


async def test_repeated_buy_is_marked_and_never_called_unsent() -> None:
    async with story(speed=20) as s:
        s.sender.submit(replace(buy(s.now()), repeat=True))
        await s.told()
        assert "Repeat of #7f3a91" in s.pushover.messages[0].text
        s.asks[CALL] = 99_999
        s.sender.submit(replace(buy(s.now(), "aaaaaa"), repeat=True))
        await s.told(2)
        assert s.outcomes[1] == (AlertKind.BUY, Outcome.LOST, 0)
        s.asks.clear()
        s.pushover.answers.append("400")
        s.sender.submit(replace(buy(s.now(), "bbbbbb"), repeat=True))
        await s.told(3)
        assert s.outcomes[2] == (AlertKind.BUY, Outcome.LOST, 1)
        s.sender.submit(sell(s.now(), "bbbbbb"))
        await s.told(4)
        assert s.outcomes[3] == (AlertKind.SELL, Outcome.ACCEPTED, 1)


async def test_overflow_drops_the_least_important_and_never_a_sell() -> None:
    clock = ScaledClock(START, 1.0)
    facts: list[Event] = []
    async with LoopbackPushover(clock, TOKEN, USER) as pushover:
        sender = Sender(settings_for(pushover), clock, facts.append, lambda _: None)
        with capture_logs() as logs:
            sender.submit(notices.evening(START, RULES, date="2025-10-02", summary=["quiet"]))
            sender.submit(buy(START, "b00000"))
            sender.submit(system(START, position=ID))
            for number in range(OUTBOX_MAX + 2):
                sender.submit(sell(START, f"{number:06d}"))
        kinds = [fact.kind for fact in facts if isinstance(fact, AlertOutcome)]
        assert kinds == [AlertKind.EVENING, AlertKind.BUY, AlertKind.FEED_BLIND]
        assert [entry["event"] for entry in logs] == ["outbox_full"] * 3
        assert len(sender.pending) == OUTBOX_MAX + 2
