"""What is asked besides alerts: whether pushes are taken, how many are left, who has acknowledged, and what that holds."""

from __future__ import annotations

from itertools import pairwise

from events import SECOND, AlertKind, FeedCause, HoldReason, Outcome
from tests.delivery.stories import CALL, ID, buy, sell, story, system


async def test_bad_user_is_found_at_the_start() -> None:
    async with story(speed=200) as s:
        s.pushover.user_valid = False
        await s.until(lambda: s.holds)
        assert s.holds == [(HoldReason.PUSH_REFUSED, True)]
        assert s.sender.holds == {HoldReason.PUSH_REFUSED}
        assert not s.pushover.asked("messages.json")
        s.pushover.user_valid = True
        await s.until(lambda: len(s.holds) == 2)
        assert s.holds[1] == (HoldReason.PUSH_REFUSED, False)
        assert s.sender.holds == set()


async def test_quota_used_up_holds_until_its_reset() -> None:
    async with story("429", speed=100) as s:
        await s.ready()
        reset = s.pushover.reset = s.now() // SECOND + 65
        s.sender.submit(buy(s.now()))
        await s.told()
        assert s.outcomes == [(AlertKind.BUY, Outcome.REFUSED, 1)]
        assert s.holds == [(HoldReason.PUSH_REFUSED, True)]
        assert s.logged("quota_used_up")[0]["reset"] == reset
        validated = len(s.pushover.asked("validate.json"))
        await s.until(lambda: s.now() // SECOND >= reset - 5)
        assert len(s.pushover.asked("validate.json")) == validated
        assert len(s.holds) == 1
        s.pushover.remaining = 10_000
        await s.until(lambda: len(s.holds) == 2)
        assert s.now() // SECOND >= reset
        assert s.attempts == 1


async def test_quota_stays_used_up_though_another_push_is_refused() -> None:
    async with story("429", "400", speed=200) as s:
        await s.ready()
        reset = s.pushover.reset = s.now() // SECOND + 100
        s.sender.submit(buy(s.now()))
        await s.told()
        s.sender.submit(sell(s.now(), "aaaaaa"))
        await s.until(lambda: len(s.holds) == 2)
        assert s.now() // SECOND >= reset
        assert s.outcomes[1] == (AlertKind.SELL, Outcome.ACCEPTED, 2)


async def test_quota_used_up_without_a_reset_holds_until_there_is_quota() -> None:
    async with story("429", speed=2000) as s:
        await s.ready()
        s.pushover.reset = None
        s.sender.submit(sell(s.now()))
        await s.until(lambda: s.holds)
        assert s.logged("sell_refused")
        assert s.holds == [(HoldReason.PUSH_REFUSED, True)]
        asked = len(s.pushover.asked("limits.json"))
        await s.until(lambda: len(s.pushover.asked("limits.json")) >= asked + 2)
        assert len(s.holds) == 1
        s.pushover.remaining = 1
        await s.until(lambda: len(s.holds) == 2)
        assert s.holds[1] == (HoldReason.PUSH_REFUSED, False)


async def test_health_comes_back_without_an_alert() -> None:
    async with story(speed=200) as s:
        await s.ready()
        await s.until(lambda: s.sender.healthy)
        await s.pushover.down()
        s.sender.submit(buy(s.now()))
        await s.until(lambda: s.logged("alert_attempt_failed"))
        assert not s.sender.healthy
        s.asks[CALL] = 99_999
        await s.told()
        await s.pushover.up()
        await s.until(lambda: s.sender.healthy)
        assert s.attempts == 0


async def test_push_cap_holds_entries_until_its_span_has_emptied() -> None:
    async with story(speed=200, push_cap_count=3, push_cap_seconds=60) as s:
        for number in range(3):
            s.sender.submit(sell(s.now(), f"00000{number}"))
        await s.told(3)
        assert s.holds == [(HoldReason.PUSH_CAP, True)]
        s.sender.submit(sell(s.now(), "aaaaaa"))
        await s.told(4)
        await s.until(lambda: len(s.holds) == 2)
        assert s.holds[1] == (HoldReason.PUSH_CAP, False)
        assert len(s.pushover.messages) == 4
        assert s.now() - s.pushover.messages[1].at >= 60 * SECOND


async def test_connection_is_kept_warm_in_session_only() -> None:
    async with story(speed=400) as s:
        await s.ready()
        await s.clock.sleep(100)
        asked = len(s.pushover.asked("limits.json"))
        assert asked == 1
        s.sender.in_session(on=True)
        await s.until(lambda: len(s.pushover.asked("limits.json")) >= asked + 3)
        await s.clock.sleep(20)
        s.sender.submit(buy(s.now()))
        await s.told()
        assert len(set(s.pushover.peers)) == 1
        times = [seen.at for seen in s.pushover.asked("limits.json")][asked:]
        assert all(later - earlier >= 30 * SECOND for earlier, later in pairwise(times))


async def test_quiet_pushes_are_not_sent_on_the_last_of_the_quota() -> None:
    async with story() as s:
        s.pushover.remaining = 150
        await s.until(lambda: s.logged("quota_low"))
        s.sender.submit(system(s.now(), FeedCause.LAG))
        await s.told()
        assert s.outcomes == [(AlertKind.FEED_BLIND, Outcome.UNSENT, 0)]
        assert s.logged("alert_not_sent")[0]["reason"] == "only 150 pushes are left this month"
        s.sender.submit(system(s.now(), FeedCause.STALL, position=ID))
        s.sender.submit(sell(s.now()))
        s.sender.submit(buy(s.now(), "aaaaaa"))
        await s.told(4)
        assert {outcome for _, outcome, _ in s.outcomes[1:]} == {Outcome.ACCEPTED}
        assert len(s.logged("quota_low")) == 1


async def test_receipt_is_asked_until_acknowledged() -> None:
    async with story(speed=400) as s:
        s.sender.submit(sell(s.now()))
        await s.told()
        receipt = s.pushover.messages[0].receipt
        path = f"{receipt}.json"
        await s.until(lambda: len(s.pushover.asked(path)) == 2)
        s.pushover.acknowledge(receipt)
        await s.until(lambda: s.logged("sell_acknowledged"))
        asked = [seen.at for seen in s.pushover.asked(path)]
        assert all(later - earlier >= 15 * SECOND for earlier, later in pairwise(asked))
        await s.clock.sleep(70)
        assert len(s.pushover.asked(path)) == len(asked)


async def test_unacknowledged_sell_is_warned_of_once_and_ends() -> None:
    async with story(speed=2000) as s:
        s.sender.submit(sell(s.now()))
        await s.told()
        await s.until(lambda: s.logged("sell_never_acknowledged"))
        assert len(s.logged("sell_unacknowledged")) == 1
