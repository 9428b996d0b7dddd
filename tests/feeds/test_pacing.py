"""When a lost connection is made again."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import SECOND, FeedCause
from feeds.pacing import Pacing
from tests.wire import NOW


def test_the_wait_doubles_from_one_second_to_sixty_with_jitter() -> None:
    pacing = Pacing(random.Random(3))
    waits = [pacing.delay(NOW + 3600 * n * SECOND, FeedCause.DROPPED) for n in range(12)]
    for wait, longest in zip(waits, [2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60, 60], strict=True):
        assert max(1.0, longest / 2) <= wait <= longest
    assert len(set(waits)) == len(waits)


@pytest.mark.parametrize(
    ("lived_s", "has_data", "starts_anew"), [(59.9, True, False), (60, True, True), (3600, False, False)]
)
def test_only_a_connection_that_lived_with_data_starts_the_wait_anew(
    lived_s: float, has_data: bool, starts_anew: bool
) -> None:
    pacing = Pacing(random.Random(3))
    for _ in range(8):
        pacing.delay(NOW, FeedCause.DROPPED)
    pacing.attempt(NOW)
    pacing.opened(NOW)
    end = NOW + round(lived_s * SECOND)
    if has_data:
        pacing.data(end)
    assert (pacing.delay(end, FeedCause.STALL) <= 2) is starts_anew


def test_data_before_the_key_was_accepted_counts_for_nothing() -> None:
    pacing = Pacing(random.Random(3))
    pacing.opened(NOW)
    for _ in range(8):
        pacing.delay(NOW, FeedCause.DROPPED)
    pacing.attempt(NOW + 300 * SECOND)
    pacing.data(NOW + 301 * SECOND)
    assert pacing.delay(NOW + 301 * SECOND, FeedCause.DROPPED) > 2


def test_eviction_climbs_a_ladder_that_starts_anew_only_after_a_long_life() -> None:
    pacing = Pacing(random.Random(3))
    now = NOW
    waits = []
    for lived_s in (5, 70, 400, 5, 599, 600, 5):
        pacing.attempt(now)
        pacing.opened(now)
        now += lived_s * SECOND
        pacing.data(now)
        waits.append(pacing.delay(now, FeedCause.EVICTED))
        now += round(waits[-1] * SECOND)
    assert waits == [60, 120, 300, 300, 300, 60, 120]


def test_two_copies_do_not_take_the_connection_from_each_other_for_ever() -> None:
    """Each newcomer evicts the other: within ten minutes they connect at most six times."""
    copies = [Pacing(random.Random(1)), Pacing(random.Random(2))]
    connects = [(NOW, 0), (NOW + 30 * SECOND, 1)]
    while True:
        at, owner = connects[-1]
        other = copies[1 - owner]
        other.data(at)
        copies[owner].attempt(at)
        copies[owner].opened(at)
        again = at + round(other.delay(at, FeedCause.EVICTED) * SECOND)
        if again > NOW + 600 * SECOND:
            break
        connects.append((again, 1 - owner))
    assert len(connects) <= 6


def test_a_refusal_is_tried_again_every_five_minutes_and_a_429_as_it_says() -> None:
    pacing = Pacing(random.Random(3))
    assert [pacing.delay(NOW, FeedCause.REFUSED) for _ in range(3)] == [300, 300, 300]
    assert pacing.delay(NOW, FeedCause.DROPPED, retry_after=90.0) == 90


@given(
    st.integers(0, 2**32),
    st.lists(
        st.tuples(
            st.sampled_from([FeedCause.DROPPED, FeedCause.STALL, FeedCause.EVICTED, FeedCause.REFUSED]),
            st.sampled_from([0, 0, 1, 59, 61, 700]),
        ),
        max_size=60,
    ),
)
def test_never_more_than_twelve_connections_in_any_minute(seed: int, lives: list[Any]) -> None:
    pacing = Pacing(random.Random(seed))
    now, attempts = NOW, []
    for cause, lived_s in lives:
        attempts.append(now)
        pacing.attempt(now)
        pacing.opened(now)
        now += lived_s * SECOND
        pacing.data(now)
        # Rounded up: a sleep never ends early.
        now += math.ceil(pacing.delay(now, cause) * SECOND)
    assert all(later - early >= 60 * SECOND for early, later in zip(attempts, attempts[12:], strict=False))
