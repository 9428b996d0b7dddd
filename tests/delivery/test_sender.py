"""The sender against a loopback service that answers oddly: receipts, bodies, safety pushes, the cap."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from delivery.second_channel import CHANNEL
from events import SECOND, AlertKind, AlertOutcome, HoldReason, Opened, Outcome, Withdrawn
from record.folder import record_path
from record.lines import Entry
from record.reader import Reader
from tests.builders import SESSION
from tests.delivery.stories import ID, RULES, Story, sell, settings_for, story, system
from tests.worker.test_session import desk, until_entry
from worker.undelivered import Undelivered


def receipts_of(s: Story) -> list[AlertOutcome]:
    return [fact for fact in s.facts if isinstance(fact, AlertOutcome) and fact.receipt]


async def test_a_receipt_is_a_fact_and_who_acknowledged_it_when_is_one() -> None:
    async with story(speed=400) as s:
        s.sender.submit(sell(s.now()))
        await s.told()
        receipt = s.pushover.messages[0].receipt
        s.pushover.acknowledge(receipt, device="nightstand")
        await s.until(lambda: s.logged("sell_acknowledged"))
        accepted, acknowledged = receipts_of(s)
        assert (accepted.outcome, accepted.receipt) == (Outcome.ACCEPTED, receipt)
        assert (acknowledged.outcome, acknowledged.receipt) == (Outcome.ACKNOWLEDGED, receipt)
        assert acknowledged.detail.startswith("on nightstand at 1")
        assert acknowledged.detail.endswith(" ET")
        assert acknowledged.detail in s.logged("sell_acknowledged")[0]["text"]


async def test_a_device_with_an_odd_name_cannot_forge_a_line() -> None:
    async with story(speed=400) as s:
        s.sender.submit(sell(s.now()))
        await s.told()
        s.pushover.acknowledge(s.pushover.messages[0].receipt, device="a\n🔥 BUY\x1b[2J" + "x" * 999)
        await s.until(lambda: s.logged("sell_acknowledged"))
        text = s.logged("sell_acknowledged")[0]["text"]
        assert text.isprintable()
        assert len(text) < 400


async def test_a_receipt_that_cannot_be_one_is_not_asked_for() -> None:
    async with story("absurd receipt", speed=400) as s:
        s.sender.submit(sell(s.now()))
        await s.told()
        assert s.outcomes == [(AlertKind.SELL, Outcome.ACCEPTED, 1)]
        assert s.logged("receipt_unusable")
        await s.clock.sleep(100)
        assert not [seen for seen in s.pushover.requests if "receipts" in seen.path]
        assert receipts_of(s) == []


async def test_nobody_for_five_minutes_is_told_elsewhere_once() -> None:
    async with story(speed=2000, second_channel=True) as s:
        s.sender.submit(sell(s.now()))
        await s.told()
        accepted_at = s.pushover.messages[0].at
        await s.until(lambda: s.logged("second_channel_sent"))
        assert s.now() - accepted_at >= 300 * SECOND
        await s.until(lambda: s.logged("sell_never_acknowledged"))
        (text,) = s.pushover.texts
        assert text.startswith("⚠️ Not acknowledged for 5m")
        assert text.endswith(f"#{ID}")
        kinds = [(fact.outcome, fact.channel) for fact in receipts_of(s)]
        assert kinds == [
            (Outcome.ACCEPTED, ""),
            (Outcome.ACCEPTED, CHANNEL),
            (Outcome.EXPIRED, ""),
        ]


async def test_a_refused_question_does_not_end_the_asking() -> None:
    async with story(speed=400) as s:
        s.sender.submit(sell(s.now()))
        await s.told()
        receipt = s.pushover.messages[0].receipt
        known = s.pushover.receipts.pop(receipt)
        await s.until(lambda: len(s.pushover.asked(f"{receipt}.json")) == 2)
        s.pushover.receipts[receipt] = known
        s.pushover.acknowledge(receipt)
        await s.until(lambda: s.logged("sell_acknowledged"))
        assert not s.logged("sell_never_acknowledged")


@pytest.mark.parametrize("answer", ["endless", "gzip", "200 html", "200 empty", "200 status true", "204"])
async def test_a_2xx_that_is_not_pushovers_is_a_lost_answer(answer: str) -> None:
    async with story(answer, speed=100) as s:
        s.sender.submit(sell(s.now()))
        await s.told()
        assert s.outcomes == [(AlertKind.SELL, Outcome.ACCEPTED, 2)]
        assert "Repeat of #7f3a91" in s.pushover.messages[0].text
        await s.until(lambda: answer != "endless" or s.pushover.poured_out)


@pytest.mark.parametrize(
    "answer", ["302", "302 odd", "403 html", "407", "408", "429 passing", "200 status 0"]
)
async def test_what_definitely_was_not_accepted_is_tried_again_without_a_mark(answer: str) -> None:
    async with story(answer, speed=100) as s:
        s.sender.submit(sell(s.now()))
        await s.told()
        assert s.outcomes == [(AlertKind.SELL, Outcome.ACCEPTED, 2)]
        assert "Repeat" not in s.pushover.messages[0].text
        assert s.holds == []


async def test_a_reset_in_2100_is_asked_about_after_ten_minutes() -> None:
    async with story("429 2100", speed=2000) as s:
        s.sender.submit(sell(s.now()))
        await s.until(lambda: s.holds)
        held_at = s.now()
        assert s.logged("quota_used_up")[0]["reset"] is None
        s.pushover.remaining = 5
        await s.told()
        assert s.now() - held_at >= 590 * SECOND
        assert s.outcomes == [(AlertKind.SELL, Outcome.ACCEPTED, 2)]
        assert s.holds == [(HoldReason.PUSH_REFUSED, True), (HoldReason.PUSH_REFUSED, False)]


async def test_a_sell_that_waits_is_given_up_at_the_end_of_its_time_and_named() -> None:
    async with story("400", speed=400) as s:
        await s.ready()
        s.pushover.user_valid = False
        now = s.now()
        s.sender.submit(replace(sell(now), give_up_at=now + 150 * SECOND))
        await s.told()
        assert s.now() - now >= 150 * SECOND
        assert s.outcomes == [(AlertKind.SELL, Outcome.REFUSED, 1)]
        assert s.logged("could_not_deliver")[0]["log_level"] == "critical"
        assert s.attempts == 1


async def test_a_key_that_is_revoked_holds_entries_before_a_push_meets_it() -> None:
    async with story(speed=400) as s:
        await s.ready()
        s.sender.in_session(on=True)
        await s.until(lambda: s.sender.healthy)
        s.pushover.revoke()
        await s.until(lambda: s.holds)
        assert s.holds == [(HoldReason.PUSH_REFUSED, True)]
        assert s.attempts == 0


async def test_the_cap_holds_back_no_sell() -> None:
    async with story(speed=100, push_cap_count=1, push_cap_seconds=600) as s:
        s.sender.submit(system(s.now()))
        await s.told()
        assert s.holds == [(HoldReason.PUSH_CAP, True)]
        s.sender.submit(sell(s.now()))
        await s.told(2)
        assert s.outcomes[1] == (AlertKind.SELL, Outcome.ACCEPTED, 1)


# --- The record --------------------------------------------------------------------------------------


def outcome(kind: AlertKind, result: Outcome, **more: Any) -> AlertOutcome:
    return AlertOutcome(kind=kind, id=more.pop("id", ID), outcome=result, attempts=1, **more)


async def test_a_restart_goes_on_asking_for_a_receipt(tmp_path: Path) -> None:
    async with story(speed=400) as s:
        s.sender.submit(sell(s.now()))
        await s.told()
        receipt = s.pushover.messages[0].receipt
        fact = receipts_of(s)[0]
        pushover = s.pushover
        first = desk(tmp_path, [])
        first.begin(s.now(), None)
        first.handle(s.now(), fact)
        await first.end()
        again = Story(s.clock, pushover, settings_for(pushover))
        past = Reader(record_path(tmp_path, SESSION.date))
        second = desk(tmp_path, [], again.sender)
        second.begin(s.now(), past)
        second.resume(s.now(), past)
        await second.end()
        running = asyncio.create_task(again.sender.run())
        asked = len(pushover.asked(f"{receipt}.json"))
        pushover.acknowledge(receipt)
        await s.until(lambda: receipts_of(again))
        assert len(pushover.asked(f"{receipt}.json")) > asked
        assert [fact.outcome for fact in receipts_of(again)] == [Outcome.ACKNOWLEDGED]
        running.cancel()
        await asyncio.wait({running})


async def test_what_the_second_channel_took_is_still_owed_and_no_withdrawal(tmp_path: Path) -> None:
    one = desk(tmp_path, [])
    await until_entry(one)
    opened = one.engine.position
    assert opened is not None
    beside = outcome(AlertKind.BUY, Outcome.UNSENT, id=opened.opened.id, channel=CHANNEL)
    now = one.engine.session.open + 3600 * SECOND
    one.handle(now, beside)
    assert one.engine.position is not None
    await one.end()
    lines = [line for line in Reader(record_path(tmp_path, SESSION.date)) if isinstance(line, Entry)]
    assert not [d for line in lines for d in line.decisions if isinstance(d, Withdrawn)]
    owed = Undelivered()
    for line in lines:
        owed.record(line, RULES)
    assert [alert.kind for alert in owed.outstanding(2)] == [AlertKind.BUY]
    assert [d.id for line in lines for d in line.decisions if isinstance(d, Opened)] == [opened.opened.id]
