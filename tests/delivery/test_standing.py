"""How we stand with the push service: what is asked when, and what ends a hold."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delivery import standing
from delivery.answers import Answer, Result
from delivery.standing import MOODS, Mood, News, Question, Standing, answered, refused
from events import SECOND

NOW = 1_759_416_000 * SECOND
DAY = 86_400

NO = Answer(result=Result.REFUSED, status=400)
GOOD = Answer(result=Result.OK, status=200)
NOTHING = Answer(result=Result.LOST)
TAKEN = Standing(mood=Mood.TAKEN, ask_at=None)


def spent(reset: int | None) -> Answer:
    return Answer(result=Result.REFUSED, status=429, is_spent=True, reset=reset)


def quota(remaining: int | None, reset: int | None = None) -> Answer:
    return Answer(result=Result.OK, status=200, remaining=remaining, reset=reset)


def at(seconds: float) -> int:
    return NOW + round(seconds * SECOND)


def test_the_first_question_is_due_at_once_and_holds_nothing() -> None:
    assert Standing().ask_at == 0
    assert not Standing().takes_nothing
    assert answered(Standing(), GOOD, NOW, at(1)) == TAKEN
    later = answered(Standing(), NOTHING, NOW, at(1))
    assert (later.mood, later.ask_at) == (Mood.UNKNOWN, at(61))


def test_a_refusal_holds_until_the_user_is_good_asked_every_60_seconds() -> None:
    now = refused(TAKEN, NO, NOW)
    assert (now.mood, now.question, now.ask_at) == (Mood.REFUSED, Question.USER, at(60))
    for result in (NO, NOTHING):
        still = answered(now, result, at(60), at(61))
        assert (still.mood, still.ask_at) == (Mood.REFUSED, at(121))
    assert answered(now, GOOD, at(60), at(61)).mood is Mood.TAKEN


def test_a_question_asked_before_the_refusal_says_nothing_about_it() -> None:
    now = refused(Standing(), NO, NOW)
    assert answered(now, GOOD, NOW, at(1)).mood is Mood.REFUSED
    assert answered(now, GOOD, NOW + 1, at(1)).mood is Mood.TAKEN


@pytest.mark.parametrize(
    ("reset_s", "asked_s", "believed"),
    [
        (300, 300, True),
        (599, 599, True),
        (601, 600, True),
        (30, 60, True),
        (-100, 600, True),
        (32 * DAY, 600, True),
        (32 * DAY + 1, 600, False),
    ],
)
def test_a_reset_is_believed_for_32_days_and_asked_about_every_10_minutes(
    reset_s: int, asked_s: int, believed: bool
) -> None:
    reset = NOW // SECOND + reset_s
    now = refused(TAKEN, spent(reset), NOW)
    assert (now.mood, now.question, now.ask_at) == (Mood.SPENT, Question.QUOTA, at(asked_s))
    assert now.reset == (reset if believed else None)


def test_quota_that_is_left_is_followed_by_the_question_for_the_user() -> None:
    now = refused(TAKEN, spent(None), NOW)
    still = answered(now, quota(0), at(600), at(601))
    assert (still.mood, still.ask_at) == (Mood.SPENT, at(1201))
    asked = answered(now, quota(1), at(600), at(601))
    assert (asked.mood, asked.question, asked.ask_at) == (Mood.REFUSED, Question.USER, at(601))
    assert answered(asked, GOOD, at(601), at(602)).mood is Mood.TAKEN


def test_quota_that_is_not_told_counts_once_its_reset_is_past() -> None:
    now = refused(TAKEN, spent(NOW // SECOND + 700), NOW)
    assert answered(now, quota(None), at(699), at(699.5)).mood is Mood.SPENT
    assert answered(now, quota(None), at(700), at(700)).question is Question.USER


@pytest.mark.parametrize(
    ("reset_s", "asked_s", "question"),
    [
        (700, 699, Question.QUOTA),
        (700, 700, Question.USER),
        (None, 599, Question.QUOTA),
        (None, 600, Question.USER),
    ],
)
def test_a_quota_that_nobody_tells_holds_no_longer_than_its_reset(
    reset_s: int | None, asked_s: int, question: Question
) -> None:
    now = refused(TAKEN, spent(None if reset_s is None else NOW // SECOND + reset_s), NOW)
    for result in (NOTHING, Answer(result=Result.FAILED), Answer(result=Result.UNCLEAR)):
        after = answered(now, result, at(asked_s), at(asked_s))
        assert (after.question, after.ask_at) == (question, at(asked_s + 60))
        assert after.takes_nothing


def test_another_refusal_does_not_shorten_a_used_up_quota() -> None:
    now = refused(refused(TAKEN, spent(NOW // SECOND + 500), NOW), NO, at(100))
    assert (now.mood, now.ask_at) == (Mood.SPENT, at(500))


def test_a_token_that_is_refused_while_the_quota_is_asked_for_is_asked_about_as_one() -> None:
    now = answered(refused(TAKEN, spent(None), NOW), NO, at(600), at(601))
    assert (now.mood, now.question, now.ask_at) == (Mood.REFUSED, Question.USER, at(661))


def test_a_question_that_is_refused_raises_the_one_for_the_user_and_holds_nothing_by_itself() -> None:
    asked = standing.doubted(TAKEN, NOW)
    assert (asked.mood, asked.question, asked.ask_at) == (Mood.TAKEN, Question.USER, NOW)
    assert answered(asked, GOOD, NOW, at(1)) == TAKEN
    assert answered(asked, NO, NOW, at(1)).mood is Mood.REFUSED
    held = refused(TAKEN, NO, NOW)
    assert standing.doubted(held, at(1)) == held


ANSWERS = st.sampled_from(
    [NO, GOOD, NOTHING, spent(None), spent(4_102_444_800), spent(1), quota(0), quota(5), quota(None, 1)]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.booleans(), ANSWERS), max_size=40))
def test_whatever_is_answered_something_is_asked_until_pushes_are_taken(
    told: list[tuple[bool, Answer]],
) -> None:
    now, stand = NOW, Standing()
    for is_push, answer in told:
        if is_push:
            if answer.result is Result.REFUSED:
                stand = refused(stand, answer, now)
        elif stand.ask_at is not None:
            now = max(now, stand.ask_at)
            stand = answered(stand, answer, now, now + SECOND)
        now += 2 * SECOND
        if stand.mood is Mood.TAKEN:
            assert stand.ask_at is None
        else:
            assert stand.ask_at is not None
            assert stand.ask_at <= now + standing.QUOTA_PROBE_S * SECOND


@pytest.mark.parametrize(
    ("mood", "news", "after"),
    [
        (Mood.UNKNOWN, News.REFUSAL, Mood.REFUSED),
        (Mood.TAKEN, News.REFUSAL, Mood.REFUSED),
        (Mood.REFUSED, News.REFUSAL, Mood.REFUSED),
        (Mood.SPENT, News.REFUSAL, Mood.SPENT),
        (Mood.UNKNOWN, News.NO_QUOTA, Mood.SPENT),
        (Mood.TAKEN, News.NO_QUOTA, Mood.SPENT),
        (Mood.REFUSED, News.NO_QUOTA, Mood.SPENT),
        (Mood.SPENT, News.NO_QUOTA, Mood.SPENT),
        (Mood.UNKNOWN, News.QUOTA_LEFT, None),
        (Mood.TAKEN, News.QUOTA_LEFT, None),
        (Mood.REFUSED, News.QUOTA_LEFT, None),
        (Mood.SPENT, News.QUOTA_LEFT, Mood.REFUSED),
        (Mood.UNKNOWN, News.USER_GOOD, Mood.TAKEN),
        (Mood.TAKEN, News.USER_GOOD, Mood.TAKEN),
        (Mood.REFUSED, News.USER_GOOD, Mood.TAKEN),
        (Mood.SPENT, News.USER_GOOD, None),
    ],
)
def test_each_pair_of_mood_and_news_leads_to_one_mood_or_raises(
    mood: Mood, news: News, after: Mood | None
) -> None:
    if after is not None:
        assert MOODS[mood, news] is after
        return
    with pytest.raises(KeyError):
        MOODS[mood, news]


def test_every_pair_of_mood_and_news_is_tried() -> None:
    assert len(MOODS) == 12
    assert len(Mood) * len(News) == 16
