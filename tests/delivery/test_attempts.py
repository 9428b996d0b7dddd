"""What each answer leads to: delivery against a loopback Pushover over real sockets, on a fast clock."""

from __future__ import annotations

from itertools import pairwise

from msgspec.structs import replace

from events import SECOND, AlertKind, FeedCause, HoldReason, Outcome
from messages import notices
from tests.delivery.stories import CALL, ID, RULES, TIME_STOP, buy, sell, story, system


async def test_buy_is_sent_with_all_its_fields() -> None:
    async with story(speed=1) as s:
        alert = buy(s.now())
        s.sender.submit(alert)
        await s.told()
        (message,) = s.pushover.messages
        assert message.text == alert.message
        ttl = int(message.fields.pop("ttl"))
        assert 0 <= (TIME_STOP - alert.decided_at) // SECOND - ttl <= 30
        assert message.fields == {
            "title": "🔥 IWM 0DTE CALL — BUY 215c ≤ $1.52 (30 s)",
            "message": alert.message,
            "timestamp": str(alert.decided_at // SECOND),
            "priority": "1",
        }
        assert s.outcomes == [(AlertKind.BUY, Outcome.ACCEPTED, 1)]
        (sent,) = s.logged("alert_sent")
        assert sent["text"].startswith("✓ Alert sent: 🔥 IWM 0DTE CALL — BUY (")
        assert sent["text"].endswith(" s)")
        assert s.sender.healthy


async def test_the_bare_title_and_the_sounds_are_settings() -> None:
    async with story(title_detail=False, buy_sound="cashregister", sell_sound="siren") as s:
        s.sender.submit(buy(s.now()))
        s.sender.submit(sell(s.now(), "aaaaaa"))
        s.sender.submit(system(s.now(), FeedCause.EVICTED))
        await s.told(3)
        looks = {(message.title, message.fields.get("sound")) for message in s.pushover.messages}
        assert {("🔥 IWM 0DTE CALL — BUY", "cashregister"), ("🚪 IWM 0DTE CALL — SELL", "siren")} < looks
        assert None in {sound for _, sound in looks}


async def test_sell_is_an_emergency() -> None:
    async with story() as s:
        s.sender.submit(sell(s.now()))
        await s.told()
        fields = s.pushover.messages[0].fields
        assert (fields["priority"], fields["retry"], fields["expire"]) == ("2", "30", "1500")
        assert "ttl" not in fields


async def test_server_errors_are_tried_again_and_give_one_message() -> None:
    async with story("500", "500", speed=20) as s:
        started = s.now()
        s.sender.submit(buy(started))
        await s.told()
        assert s.outcomes == [(AlertKind.BUY, Outcome.ACCEPTED, 3)]
        assert s.titles == ["BUY"]
        first, second, third = [seen.at for seen in s.pushover.asked("messages.json")]
        assert second - first >= 5 * SECOND
        assert third - second >= 10 * SECOND
        late = s.pushover.messages[0].text.splitlines()[-2]
        word, seconds, unit = late.split()
        assert (word, unit) == ("Late", "s")
        assert int(seconds) >= 15
        assert "Repeat" not in s.pushover.messages[0].text


async def test_buy_gives_up_after_three_attempts() -> None:
    async with story(*["500"] * 5, speed=40) as s:
        s.sender.submit(buy(s.now()))
        await s.told()
        assert s.outcomes == [(AlertKind.BUY, Outcome.UNSENT, 3)]
        assert s.attempts == 3
        # The position never was: its SELL goes to nobody.
        s.sender.submit(sell(s.now()))
        await s.told(2)
        assert s.outcomes[1] == (AlertKind.SELL, Outcome.UNSENT, 0)
        assert s.attempts == 3
        assert "its BUY was never delivered" in s.logged("alert_not_sent")[0]["text"]


async def test_refused_is_never_sent_again_and_holds_until_the_user_is_good() -> None:
    async with story("400", speed=200) as s:
        await s.ready()
        s.sender.submit(buy(s.now()))
        await s.told()
        assert s.outcomes == [(AlertKind.BUY, Outcome.REFUSED, 1)]
        assert s.holds == [(HoldReason.PUSH_REFUSED, True)]
        assert not s.sender.healthy
        (refused,) = s.logged("alert_refused")
        assert refused["errors"] == ("this message was refused by request",)
        held_at = s.now()
        await s.until(lambda: len(s.holds) == 2)
        assert s.holds[1] == (HoldReason.PUSH_REFUSED, False)
        assert s.now() - held_at > 50 * SECOND
        assert s.attempts == 1
        assert s.sender.healthy


async def test_sell_of_a_refused_buy_is_not_sent() -> None:
    async with story("400") as s:
        s.sender.submit(buy(s.now()))
        await s.told()
        s.sender.submit(sell(s.now()))
        await s.told(2)
        assert s.outcomes[1] == (AlertKind.SELL, Outcome.UNSENT, 0)
        assert s.attempts == 1


async def test_refused_sell_is_critical() -> None:
    async with story("400", second_channel=True, speed=200) as s:
        s.sender.submit(sell(s.now()))
        await s.until(lambda: s.logged("second_channel_sent"))
        assert s.logged("sell_refused")[0]["log_level"] == "critical"
        (text,) = s.pushover.texts
        assert text.startswith("🚪 IWM 0DTE CALL — SELL\n\nReason: Giveback")
        assert text.endswith(f"\n#{ID}")
        await s.told()
        assert s.outcomes == [(AlertKind.SELL, Outcome.ACCEPTED, 2)]


async def test_nothing_but_sells_is_tried_while_refused() -> None:
    async with story("400", "ok") as s:
        await s.ready()
        s.sender.submit(system(s.now()))
        await s.told()
        s.sender.submit(system(s.now(), FeedCause.LAG))
        s.sender.submit(buy(s.now()))
        await s.told(3)
        assert s.attempts == 1
        assert {outcome for _, outcome, _ in s.outcomes[1:]} == {Outcome.UNSENT}
        s.sender.submit(sell(s.now(), "aaaaaa"))
        await s.told(4)
        assert s.outcomes[3] == (AlertKind.SELL, Outcome.ACCEPTED, 1)


async def test_lost_unwatched_is_repeated_and_marked() -> None:
    async with story("cut", speed=100) as s:
        alert = notices.unwatched(
            s.now(), RULES, position=ID, contract=CALL, stop=12_325, time_stop=TIME_STOP
        )
        s.sender.submit(alert)
        await s.told()
        assert s.outcomes == [(AlertKind.UNWATCHED, Outcome.ACCEPTED, 2)]
        assert "\nRepeat of #7f3a91\n#7f3a91" in s.pushover.messages[0].text


async def test_sell_that_is_lost_again_and_again_ends_as_lost() -> None:
    async with story(*["cut"] * 20, speed=400) as s:
        now = s.now()
        s.sender.submit(replace(sell(now), give_up_at=now + 200 * SECOND))
        await s.told()
        ((kind, outcome, attempts),) = s.outcomes
        assert (kind, outcome, attempts) == (AlertKind.SELL, Outcome.LOST, s.attempts)
        assert s.logged("could_not_deliver")


async def test_what_is_in_flight_at_a_cancellation_is_still_pending() -> None:
    async with story("slow", speed=20) as s:
        s.sender.submit(buy(s.now()))
        await s.until(lambda: not s.pushover.answers)
    assert [alert.kind for alert in s.sender.pending] == [AlertKind.BUY]
    assert s.outcomes == []


async def test_lost_buy_is_not_repeated_and_counts_as_told() -> None:
    async with story("lost") as s:
        s.sender.submit(buy(s.now()))
        await s.told()
        assert s.outcomes == [(AlertKind.BUY, Outcome.LOST, 1)]
        s.sender.submit(sell(s.now()))
        await s.told(2)
        assert s.titles == ["BUY", "SELL"]
        assert s.attempts == 2
        assert s.holds == []


async def test_lost_sell_is_repeated_once_and_marked() -> None:
    async with story("lost", speed=100) as s:
        s.sender.submit(sell(s.now()))
        await s.told()
        assert s.outcomes == [(AlertKind.SELL, Outcome.ACCEPTED, 2)]
        first, second = s.pushover.messages
        assert "Repeat of" not in first.text
        assert second.text.splitlines()[-2:] == ["Repeat of #7f3a91", "#7f3a91"]


async def test_mark_stays_when_a_lost_answer_is_followed_by_an_error() -> None:
    async with story("lost", "500", speed=100) as s:
        s.sender.submit(sell(s.now()))
        await s.told()
        assert s.outcomes == [(AlertKind.SELL, Outcome.ACCEPTED, 3)]
        assert "Repeat of #7f3a91" in s.pushover.messages[1].text


async def test_sell_that_may_have_arrived_is_repeated_though_its_buy_was_refused() -> None:
    async with story("slow 400", "cut", speed=20) as s:
        await s.ready()
        s.pushover.slow_s = 3
        s.sender.submit(buy(s.now()))
        await s.until(lambda: len(s.pushover.answers) == 1)
        s.sender.submit(sell(s.now()))
        await s.told(2)
        assert s.outcomes == [(AlertKind.BUY, Outcome.REFUSED, 1), (AlertKind.SELL, Outcome.ACCEPTED, 2)]


async def test_lost_system_push_counts_as_told() -> None:
    async with story("cut") as s:
        s.sender.submit(system(s.now(), position=ID))
        await s.told()
        assert s.outcomes == [(AlertKind.FEED_BLIND, Outcome.LOST, 1)]


async def test_answer_that_is_none_is_a_lost_one() -> None:
    async with story("html", speed=100) as s:
        s.sender.submit(sell(s.now()))
        await s.told()
        assert "Repeat of #7f3a91" in s.pushover.messages[1].text
        assert s.outcomes == [(AlertKind.SELL, Outcome.ACCEPTED, 2)]


async def test_no_connection_is_tried_again_without_a_mark() -> None:
    async with story(speed=100) as s:
        await s.ready()
        await s.pushover.down()
        s.sender.submit(sell(s.now()))
        await s.until(lambda: s.logged("alert_attempt_failed"))
        assert not s.sender.healthy
        await s.pushover.up()
        await s.told()
        assert s.outcomes[0][:2] == (AlertKind.SELL, Outcome.ACCEPTED)
        assert s.outcomes[0][2] >= 2
        assert "Repeat" not in s.pushover.messages[0].text
        await s.until(lambda: s.sender.healthy)


async def test_sell_outlives_its_three_attempts() -> None:
    async with story(*["500"] * 5, speed=200, second_channel=True) as s:
        s.sender.submit(sell(s.now()))
        await s.told()
        assert s.outcomes == [(AlertKind.SELL, Outcome.ACCEPTED, 6)]
        times = [seen.at for seen in s.pushover.asked("messages.json")]
        assert all(later - earlier >= 30 * SECOND for earlier, later in pairwise(times[2:]))
        await s.until(lambda: s.pushover.texts)
        assert len(s.pushover.texts) == 1
        assert "Late" in s.pushover.messages[0].text


async def test_sell_that_cannot_be_delivered_says_so() -> None:
    async with story(*["500"] * 20, speed=400) as s:
        give_up_at = s.now() + 200 * SECOND
        s.sender.submit(replace(sell(s.now()), give_up_at=give_up_at))
        await s.told()
        ((kind, outcome, attempts),) = s.outcomes
        assert (kind, outcome, attempts) == (AlertKind.SELL, Outcome.UNSENT, s.attempts)
        assert 4 <= attempts <= 10
        (critical,) = s.logged("could_not_deliver")
        assert critical["log_level"] == "critical"
        assert critical["text"].startswith(f"🛑 Could not deliver after {attempts} attempts: 🚪")
