"""The stocks connection as the facts have it: every transition, and what is remembered of it."""

from __future__ import annotations

import pytest

from events import FeedCause, FeedLost, FeedRestored
from link import LINK, LinkEvent, LinkState, StocksLink

NEVER, DOWN, UP = LinkState
LOST, RESTORED = LinkEvent


@pytest.mark.parametrize(
    ("state", "event", "after"),
    [
        (NEVER, LOST, DOWN),
        (NEVER, RESTORED, UP),
        (DOWN, LOST, DOWN),
        (DOWN, RESTORED, UP),
        (UP, LOST, DOWN),
        (UP, RESTORED, UP),
    ],
)
def test_every_fact_leads_from_every_state_to_one(
    state: LinkState, event: LinkEvent, after: LinkState
) -> None:
    assert LINK[state, event] is after
    link = StocksLink()
    link.state = state
    if event is LOST:
        link.lose(7, FeedLost(cause=FeedCause.DROPPED))
    else:
        link.restore(7, FeedRestored())
    assert link.state is after
    assert link.is_up is (after is UP)


def test_the_table_has_every_pair_and_no_other() -> None:
    assert set(LINK) == {(state, event) for state in LinkState for event in LinkEvent}


def test_the_time_without_a_connection_counts_from_the_first_loss() -> None:
    link = StocksLink()
    assert (link.lost.cause, link.lost_at) == (FeedCause.NOT_CONNECTED, None)
    link.wait_from(3)
    link.wait_from(4)
    assert link.lost_at == 3
    link.lose(5, FeedLost(cause=FeedCause.DROPPED))
    assert (link.lost_at, link.lost.cause) == (3, FeedCause.DROPPED)
    link.restore(6, FeedRestored(gaps_tell=False))
    link.wait_from(7)
    assert link.is_up and (link.restored_at, link.gaps_tell) == (6, False)
    link.lose(8, FeedLost(cause=FeedCause.EVICTED))
    link.lose(9, FeedLost(cause=FeedCause.REFUSED))
    assert (link.lost_at, link.lost.cause) == (8, FeedCause.REFUSED)
