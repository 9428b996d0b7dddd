"""Pictures on their way: after every alert, never before one, and their text in any case."""

from __future__ import annotations

import asyncio
import functools

import pytest
from pydantic import SecretStr

from delivery.answers import Result
from delivery.pictures import WAITING_MAX
from delivery.pushover import Pushover
from delivery.questions import KEEP_WARM_S
from events import SECOND, AlertKind, HoldReason, Outcome
from messages import notices
from messages.alert import PICTURE_LATEST_S, Alert
from pictures.draw import draw
from tests.delivery.stories import ID, RULES, START, TOKEN, USER, Story, buy, sell, story
from tests.pictures.made import trade


@functools.cache
def png() -> bytes:
    return draw(trade())


@pytest.fixture(scope="module", autouse=True)
def drawn() -> None:
    """The picture is drawn before any story's clock goes, and not while pytest collects."""
    png()


def picture(now: int, position: str = ID) -> Alert:
    return notices.picture(
        now, RULES, cause=position, title=f"trade #{position}", lines=["held 3m12s."], position=position
    )


def evening(now: int) -> Alert:
    return notices.evening(now, RULES, date="2025-10-02", summary=["9 trades"])


async def went_on(s: Story, seconds: float) -> None:
    await s.clock.sleep(seconds)


async def test_a_picture_is_sent_quietly_with_its_text() -> None:
    async with story() as s:
        await s.ready()
        s.sender.show(picture(s.now()), png())
        await s.told()
        (message,) = s.pushover.messages
        assert message.picture == png()
        assert message.title == f"🖼️ IWM: trade #{ID}"
        assert message.text == f"held 3m12s.\n#{ID}"
        assert message.fields["priority"] == "-1"
        assert s.outcomes == [(AlertKind.PICTURE, Outcome.ACCEPTED, 1)]
        assert s.sender.pending == []


async def test_no_alert_waits_for_a_picture_that_is_slow_to_upload() -> None:
    async with story(speed=20) as s:
        await s.ready()
        s.pushover.slow_s = 9
        s.pushover.picture_answers.extend(["slow", "ok"])
        s.sender.show(picture(s.now()), png())
        await s.until(lambda: not s.pushover.picture_answers or len(s.pushover.picture_answers) == 1)
        began = s.now()
        s.sender.submit(buy(s.now()))
        await s.told()
        assert s.outcomes == [(AlertKind.BUY, Outcome.ACCEPTED, 1)]
        assert s.now() - began < 4 * SECOND
        await s.told(2)
        assert [bool(message.picture) for message in s.pushover.messages] == [False, True]


async def test_a_picture_gives_its_connection_to_a_second_alert_and_comes_later() -> None:
    async with story("slow", speed=20) as s:
        await s.ready()
        s.pushover.slow_s = 6
        s.pushover.picture_answers.extend(["slow", "ok"])
        s.sender.show(picture(s.now(), "cccccc"), png())
        await s.until(lambda: len(s.pushover.picture_answers) == 1)
        s.sender.submit(buy(s.now()))
        await s.until(lambda: not s.pushover.answers)
        s.sender.submit(sell(s.now(), "aaaaaa"))
        await s.told(3)
        kinds = [kind for kind, _, _ in s.outcomes]
        assert kinds == [AlertKind.SELL, AlertKind.BUY, AlertKind.PICTURE]
        assert s.outcomes[-1] == (AlertKind.PICTURE, Outcome.ACCEPTED, 2)
        assert "Repeat of" in s.pushover.messages[-1].text  # what was cut off may have arrived


async def test_while_an_alert_is_due_no_picture_begins() -> None:
    async with story("slow", speed=20) as s:
        await s.ready()
        s.pushover.slow_s = 5
        s.sender.submit(buy(s.now()))
        await s.until(lambda: not s.pushover.answers)
        s.sender.show(picture(s.now()), png())
        await s.told(2)
        assert [kind for kind, _, _ in s.outcomes] == [AlertKind.BUY, AlertKind.PICTURE]


async def test_the_other_connection_is_warm_while_a_picture_is_uploaded() -> None:
    async with story(speed=20) as s:
        s.sender.in_session(on=True)
        await s.ready()
        s.pushover.slow_s = 9
        s.pushover.picture_answers.append("slow")
        asked = len(s.pushover.asked("limits.json"))
        s.sender.show(picture(s.now()), png())
        began = s.now()
        await s.until(lambda: len(s.pushover.asked("limits.json")) > asked)
        assert s.now() - began < KEEP_WARM_S * SECOND / 4
        s.sender.submit(buy(s.now()))
        await s.told()
        post = s.pushover.asked("messages.json")[0]
        assert post.peer == s.pushover.asked("limits.json")[-1].peer


@pytest.mark.parametrize(
    ("answers", "outcome", "attempts"),
    [
        (["400"], Outcome.REFUSED, 1),
        (["413"], Outcome.ACCEPTED, 2),  # a proxy's: passing, as far as anybody knows
        (["413", "413"], Outcome.UNSENT, 2),
        (["500", "500", "ok"], Outcome.UNSENT, 2),
        (["cut"], Outcome.LOST, 1),
        (["lost"], Outcome.LOST, 1),
    ],
)
async def test_a_picture_that_fails_is_tried_twice_at_most_and_holds_nothing(
    answers: list[str], outcome: Outcome, attempts: int
) -> None:
    async with story(speed=200) as s:
        await s.ready()
        s.pushover.picture_answers.extend(answers)
        s.sender.show(picture(s.now()), png())
        await s.told()
        assert s.outcomes == [(AlertKind.PICTURE, outcome, attempts)]
        assert s.holds == []
        assert s.sender.healthy
        await went_on(s, 30)
        assert len(s.outcomes) == 1
        s.sender.submit(buy(s.now()))
        await s.told(2)
        assert s.outcomes[-1] == (AlertKind.BUY, Outcome.ACCEPTED, 1)


async def test_a_picture_that_finds_no_quota_left_is_not_tried_again_and_the_next_question_holds_entries() -> (
    None
):
    """The quota is used up for every push, so entries are held before a BUY has to find out."""
    async with story(speed=200) as s:
        await s.ready()
        s.pushover.picture_answers.append("429")
        s.sender.show(picture(s.now()), png())
        await s.until(lambda: s.holds == [(HoldReason.PUSH_REFUSED, True)])
        assert s.outcomes == [(AlertKind.PICTURE, Outcome.REFUSED, 1)]


async def test_a_picture_that_is_too_large_is_refused_in_the_vendors_words() -> None:
    async with story() as s:
        await s.ready()
        s.sender.show(picture(s.now()), png() + bytes(5_300_000))
        await s.told()
        (line,) = s.logged("picture_not_sent")
        assert "attachment is too large (5" in line["text"]
        assert line["reason"].startswith("400: ")


async def test_what_is_no_image_is_refused() -> None:
    async with story() as s:
        await s.ready()
        s.sender.show(picture(s.now()), b"<html>")
        await s.told()
        assert s.outcomes == [(AlertKind.PICTURE, Outcome.REFUSED, 1)]


async def test_the_evening_comes_with_its_picture() -> None:
    async with story() as s:
        await s.ready()
        s.sender.show(evening(s.now()), png())
        assert [alert.kind for alert in s.sender.pending] == [AlertKind.EVENING]
        await s.told()
        (message,) = s.pushover.messages
        assert (message.text, message.picture) == ("9 trades", png())
        assert s.outcomes == [(AlertKind.EVENING, Outcome.ACCEPTED, 1)]


@pytest.mark.parametrize(
    ("answer", "is_marked"),
    [("400", False), ("413", False), ("500", False), ("504", True), ("lost", True), ("cut", True)],
)
async def test_the_evening_is_told_without_its_picture_when_that_fails(answer: str, is_marked: bool) -> None:
    async with story(speed=200) as s:
        await s.ready()
        s.pushover.picture_answers.append(answer)
        s.sender.show(evening(s.now()), png())
        await s.told()
        last = s.pushover.messages[-1]
        assert last.text.startswith("9 trades")
        assert not last.picture
        assert ("Repeat of" in last.text) is is_marked
        assert s.outcomes == [(AlertKind.EVENING, Outcome.ACCEPTED, 1)]
        assert s.logged("picture_not_sent")[0]["text"].startswith("🖼️ Sent without its picture: 🌙")


async def test_a_stop_cuts_a_picture_off_and_tells_the_evening_without_it() -> None:
    async with story(speed=20) as s:
        await s.ready()
        s.pushover.slow_s = 100
        s.pushover.picture_answers.append("slow")
        s.sender.show(evening(s.now()), png())
        await s.until(lambda: not s.pushover.picture_answers)
        async with asyncio.timeout(5):
            assert await s.sender.drain(4.0) == []
        assert s.outcomes == [(AlertKind.EVENING, Outcome.ACCEPTED, 1)]
        assert "Repeat of" in s.pushover.messages[-1].text


async def test_a_stop_does_not_wait_for_pictures() -> None:
    async with story(speed=20) as s:
        await s.ready()
        s.pushover.slow_s = 100
        s.pushover.picture_answers.append("slow")
        s.sender.show(picture(s.now()), png())
        s.sender.show(picture(s.now(), "aaaaaa"), png())
        await s.until(lambda: not s.pushover.picture_answers)
        async with asyncio.timeout(2):
            assert await s.sender.drain(10.0) == []
        # The one under way may have arrived; the other is the next start's.
        assert s.outcomes == [(AlertKind.PICTURE, Outcome.LOST, 1)]
        s.sender.show(picture(s.now(), "bbbbbb"), png())
        s.sender.show(evening(s.now()), png())
        await s.told(2)
        assert s.outcomes[1:] == [(AlertKind.EVENING, Outcome.ACCEPTED, 1)]


async def test_an_old_picture_is_not_sent() -> None:
    async with story() as s:
        await s.ready()
        s.sender.show(picture(s.now() - PICTURE_LATEST_S * SECOND), png())
        await s.told()
        assert s.outcomes == [(AlertKind.PICTURE, Outcome.UNSENT, 0)]
        assert s.attempts == 0


async def test_while_pushes_are_refused_no_picture_is_sent() -> None:
    async with story("400", speed=20) as s:
        await s.ready()
        s.pushover.user_valid = False
        s.sender.submit(buy(s.now()))
        await s.told()
        s.sender.show(picture(s.now()), png())
        await s.told(2)
        assert s.outcomes[-1] == (AlertKind.PICTURE, Outcome.UNSENT, 0)


async def test_pictures_do_not_count_for_the_cap_but_the_evening_does() -> None:
    async with story(push_cap_count=2, push_cap_seconds=600) as s:
        await s.ready()
        for number in range(3):
            s.sender.show(picture(s.now(), f"{number:06}"), png())
        await s.told(3)
        assert s.holds == []
        s.sender.show(evening(s.now()), png())
        s.sender.submit(buy(s.now()))
        await s.told(5)
        assert s.holds == [(HoldReason.PUSH_CAP, True)]


async def test_too_many_pictures_make_room() -> None:
    async with story("slow", speed=20) as s:
        await s.ready()
        s.pushover.slow_s = 8
        s.sender.submit(buy(s.now()))
        await s.until(lambda: not s.pushover.answers)
        for number in range(WAITING_MAX + 1):
            s.sender.show(picture(s.now(), f"{number:06}"), png())
        await s.told(WAITING_MAX + 2)
        assert s.logged("picture_not_sent")[0]["id"] == "000000"
        assert len(s.pushover.messages) == WAITING_MAX + 1


async def test_a_text_does_not_wait_long_for_the_connection() -> None:
    async with story(speed=200) as s:
        await s.ready()
        s.pushover.question_s = 10_000  # a question that is never answered takes the connection
        s.sender.in_session(on=True)
        await s.clock.sleep(KEEP_WARM_S + 5)
        s.sender.show(evening(s.now()), png())
        await s.told()
        assert s.outcomes == [(AlertKind.EVENING, Outcome.ACCEPTED, 1)]


async def test_an_address_that_cannot_be_used_is_a_failure_and_no_crash() -> None:
    async def begin() -> None:
        pytest.fail("nothing is sent")

    async with Pushover("http://[::1", SecretStr(TOKEN), SecretStr(USER)) as service:
        answer = await service.push(picture(START), "text", START, begin, png())
    assert (answer.result, answer.status) == (Result.FAILED, 0)
    assert TOKEN not in answer.reason
