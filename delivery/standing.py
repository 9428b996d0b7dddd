"""Our standing with the push service: whether it accepts pushes, and the next request to find out. Pure.

`MOODS` lists what each piece of news makes of what is known. The functions below decide which news an answer is.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from delivery.answers import Answer, Result
from events import SECOND

PROBE_S = 60
"""Seconds between two requests whether pushes are accepted again."""

QUOTA_PROBE_S = 600
"""Seconds between two requests whether there is quota again, before the announced reset."""

RESET_MOST_S = 32 * 86_400
"""How far ahead a reset may be. The quota is monthly, and the longest month with a day of tolerance has 32 days."""


class Mood(StrEnum):
    """What is known about the service."""

    UNKNOWN = "not asked yet"
    TAKEN = "pushes are taken"
    REFUSED = "pushes are refused"
    SPENT = "the quota is used up"


class News(StrEnum):
    """What an answer tells about our standing."""

    REFUSAL = "a push or a question is refused"
    NO_QUOTA = "the quota is used up"
    QUOTA_LEFT = "the quota no longer stands in the way, or nobody can say that it does"
    USER_GOOD = "token and user are good"


MOODS: Mapping[tuple[Mood, News], Mood] = {
    **{(mood, News.REFUSAL): Mood.REFUSED for mood in (Mood.UNKNOWN, Mood.TAKEN, Mood.REFUSED)},
    (Mood.SPENT, News.REFUSAL): Mood.SPENT,  # the quota's reset is still ahead
    **{(mood, News.NO_QUOTA): Mood.SPENT for mood in Mood},
    # Requested only while the quota is used up. The next request is whether the user is good.
    (Mood.SPENT, News.QUOTA_LEFT): Mood.REFUSED,
    **{(mood, News.USER_GOOD): Mood.TAKEN for mood in (Mood.UNKNOWN, Mood.TAKEN, Mood.REFUSED)},
}
"""Every change of mood. A pair that is not in the table is a programming error, and raises KeyError."""


class Question(StrEnum):
    """The requests that find out whether pushes are accepted."""

    USER = "users/validate"
    QUOTA = "apps/limits"


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Our standing. Times are µs. ``ask_at`` is when to request ``question``; None while that is not necessary.

    ``refused_at`` is the latest refusal: the answer to a request made before it does not lift it. ``reset`` is when the
    quota is reset, in Unix seconds (None: unknown, or not plausible).
    """

    mood: Mood = Mood.UNKNOWN
    question: Question = Question.USER
    ask_at: int | None = 0
    refused_at: int = -1
    reset: int | None = None

    @property
    def takes_nothing(self) -> bool:
        """Returns whether no push can arrive."""
        return self.mood in (Mood.REFUSED, Mood.SPENT)


def refused(standing: Standing, answer: Answer, now: int) -> Standing:
    """Returns the standing after a push or request was refused at ``now`` (µs)."""
    if answer.is_spent:
        return spent(standing, answer, now)
    mood = MOODS[standing.mood, News.REFUSAL]
    if mood is Mood.SPENT:
        return msgspec.structs.replace(standing, refused_at=now)
    return msgspec.structs.replace(
        standing,
        mood=mood,
        question=Question.USER,
        ask_at=now + PROBE_S * SECOND,
        refused_at=now,
        reset=None,
    )


def spent(standing: Standing, answer: Answer, now: int) -> Standing:
    """Returns the standing after ``answer`` told at ``now`` (µs) that no push is left."""
    reset = believed(answer.reset, now)
    return msgspec.structs.replace(
        standing,
        mood=MOODS[standing.mood, News.NO_QUOTA],
        question=Question.QUOTA,
        ask_at=_quota_asked_at(reset, now),
        refused_at=now,
        reset=reset,
    )


def doubted(standing: Standing, now: int) -> Standing:
    """Returns the standing after another request failed at ``now`` (µs): requests at once whether pushes are accepted."""
    return standing if standing.ask_at is not None else msgspec.structs.replace(standing, ask_at=now)


def answered(standing: Standing, answer: Answer, asked_at: int, now: int) -> Standing:
    """Returns the standing after its request, made at ``asked_at`` (µs), was answered at ``now`` (µs)."""
    later = msgspec.structs.replace(standing, ask_at=now + PROBE_S * SECOND)
    if asked_at <= standing.refused_at:
        return later
    if standing.question is Question.QUOTA:
        return _told_quota(standing, answer, now)
    if answer.result is Result.OK:
        return msgspec.structs.replace(
            standing, mood=MOODS[standing.mood, News.USER_GOOD], ask_at=None, reset=None
        )
    return refused(standing, answer, now) if answer.result is Result.REFUSED else later


def _told_quota(standing: Standing, answer: Answer, now: int) -> Standing:
    """Returns the standing after a request for the quota. With quota left, the next request is whether the user is good."""
    if answer.result is Result.REFUSED:
        left = msgspec.structs.replace(standing, mood=MOODS[standing.mood, News.QUOTA_LEFT], reset=None)
        return refused(standing if answer.is_spent else left, answer, now)
    is_past = standing.reset is None or now >= standing.reset * SECOND
    if answer.result is not Result.OK:
        # A service that does not answer must not block pushes beyond the reset, or for over 10 minutes without one.
        is_known = standing.reset is not None
        later = msgspec.structs.replace(standing, ask_at=now + PROBE_S * SECOND)
        if not is_past or not (is_known or now >= standing.refused_at + QUOTA_PROBE_S * SECOND):
            return later
        return msgspec.structs.replace(
            later, mood=MOODS[standing.mood, News.QUOTA_LEFT], question=Question.USER, reset=None
        )
    if answer.remaining or (answer.remaining is None and is_past):  # if unknown, only a push can tell
        return msgspec.structs.replace(
            standing,
            mood=MOODS[standing.mood, News.QUOTA_LEFT],
            question=Question.USER,
            ask_at=now,
            reset=None,
        )
    reset = believed(answer.reset, now) or standing.reset
    return msgspec.structs.replace(standing, reset=reset, ask_at=_quota_asked_at(reset, now))


def believed(reset: int | None, now: int) -> int | None:
    """Returns a reset (Unix seconds) if it is plausible at ``now`` (µs); None for one over 32 days ahead."""
    return reset if reset is not None and reset * SECOND <= now + RESET_MOST_S * SECOND else None


def _quota_asked_at(reset: int | None, now: int) -> int:
    """Returns when to request the quota next (µs): at its reset, every 10 minutes before that, never within a minute."""
    at = now + QUOTA_PROBE_S * SECOND
    if reset is not None and reset * SECOND > now:
        at = min(at, reset * SECOND)
    return max(at, now + PROBE_S * SECOND)
