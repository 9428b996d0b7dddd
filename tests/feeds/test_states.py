"""The table of the stocks feed's connection: every transition, every pair that is not in it, and what each one tells."""

from __future__ import annotations

import datetime
import itertools
import random
from collections.abc import Sequence

import pytest

from events import FeedCause, FeedLost, FeedRestored, Hold, HoldReason, Session
from feeds.arrivals import Link
from feeds.backfill import StocksEvent
from feeds.states import HELD, TRANSITIONS, FeedState, FeedTurn, is_news, turn_of
from feeds.stocks import StocksFeed
from feeds.vendor import Early, Lost, Stream
from rules import Rules
from tests.virtual import VirtualClock
from utils import session_on

NEW, UP, LOST, EVICTED, REFUSED, KEY_REFUSED, KEY_REFUSED_EVICTED = FeedState
PAIRS = list(itertools.product(FeedState, FeedTurn))

LEADS_TO = {
    FeedTurn.WENT_UP: dict.fromkeys(set(FeedState) - {UP}, UP),
    FeedTurn.LOST: {
        **{state: state for state in FeedState},
        NEW: LOST,
        UP: LOST,
    },
    FeedTurn.EVICTED: {
        **dict.fromkeys((NEW, UP, LOST, EVICTED, REFUSED), EVICTED),
        **dict.fromkeys((KEY_REFUSED, KEY_REFUSED_EVICTED), KEY_REFUSED_EVICTED),
    },
    FeedTurn.REFUSED: {
        **dict.fromkeys((NEW, UP, LOST, EVICTED, REFUSED), REFUSED),
        **dict.fromkeys((KEY_REFUSED, KEY_REFUSED_EVICTED), KEY_REFUSED),
    },
    FeedTurn.KEY_REFUSED: dict.fromkeys(FeedState, KEY_REFUSED),
}
"""The same table, by what happens."""


@pytest.mark.parametrize(("state", "turn"), PAIRS, ids=lambda part: part.name)
def test_every_pair_leads_where_it_should_or_is_refused(state: FeedState, turn: FeedTurn) -> None:
    if state in LEADS_TO[turn]:
        assert TRANSITIONS[state][turn] is LEADS_TO[turn][state]
    else:
        assert (state, turn) == (UP, FeedTurn.WENT_UP)
        with pytest.raises(KeyError):
            TRANSITIONS[state][turn]


@pytest.mark.parametrize(
    ("before", "after", "is_told"),
    [
        (NEW, LOST, True),
        (NEW, KEY_REFUSED, True),
        (UP, LOST, True),
        (UP, EVICTED, True),
        (LOST, LOST, False),
        (LOST, EVICTED, True),
        (LOST, REFUSED, True),
        (EVICTED, EVICTED, False),
        (EVICTED, REFUSED, True),
        (REFUSED, EVICTED, True),
        (REFUSED, REFUSED, False),
        # A refusal was told; that it is the key's now holds entries, and is no other loss.
        (REFUSED, KEY_REFUSED, False),
        (KEY_REFUSED, KEY_REFUSED, False),
        (KEY_REFUSED, KEY_REFUSED_EVICTED, True),
        (KEY_REFUSED_EVICTED, KEY_REFUSED_EVICTED, False),
        (KEY_REFUSED_EVICTED, KEY_REFUSED, True),
    ],
)
def test_a_loss_is_told_when_it_is_the_first_or_graver(
    before: FeedState, after: FeedState, is_told: bool
) -> None:
    assert is_news(before, after) is is_told


@pytest.mark.parametrize("cause", FeedCause)
def test_every_cause_is_a_turn(cause: FeedCause) -> None:
    special = {
        FeedCause.EVICTED: (FeedTurn.EVICTED, FeedTurn.EVICTED),
        FeedCause.REFUSED: (FeedTurn.REFUSED, FeedTurn.KEY_REFUSED),
    }
    expected = special.get(cause, (FeedTurn.LOST, FeedTurn.LOST))
    assert (turn_of(cause, is_key=False), turn_of(cause, is_key=True)) == expected


class NoVendor:
    """Answers nothing, and makes no connection."""

    def make(self, early: Early | None) -> Stream:
        raise AssertionError("no connection is wanted")


class Told(StocksFeed):
    """A feed that is only told how its connection fares."""

    def fare(self, turn: FeedTurn) -> list[StocksEvent]:
        """What it says when this happens."""
        if turn is FeedTurn.WENT_UP:
            before = self._change(turn)
            said: list[StocksEvent] = [FeedRestored()]
            return [*said, Hold(reason=HoldReason.KEY_REFUSED, on=False)] if before in HELD else said
        cause = {FeedTurn.LOST: FeedCause.DROPPED, FeedTurn.EVICTED: FeedCause.EVICTED}.get(
            turn, FeedCause.REFUSED
        )
        self._lose(Lost(cause, "", is_key=turn is FeedTurn.KEY_REFUSED), 1.0)
        said, self._outlet._waiting, self._outlet.batches = self._outlet._waiting, [], 0
        return said


class Reference:
    """The rules as they were before there was a table: five loose flags."""

    def __init__(self) -> None:
        self.is_up = self.is_held = False
        self.told: FeedCause | None = None

    def fare(self, turn: FeedTurn) -> list[StocksEvent]:
        """What must be said when this happens."""
        if turn is FeedTurn.WENT_UP:
            self.is_up, self.told = True, None
            was_held, self.is_held = self.is_held, False
            said: list[StocksEvent] = [FeedRestored()]
            return [*said, Hold(reason=HoldReason.KEY_REFUSED, on=False)] if was_held else said
        was_up, self.is_up = self.is_up, False
        cause = {
            FeedTurn.LOST: FeedCause.DROPPED if was_up else FeedCause.NOT_CONNECTED,
            FeedTurn.EVICTED: FeedCause.EVICTED,
        }.get(turn, FeedCause.REFUSED)
        said = []
        is_news = cause in (FeedCause.EVICTED, FeedCause.REFUSED) and cause is not self.told
        if was_up or self.told is None or is_news:
            self.told = cause
            said.append(FeedLost(cause=cause))
        if turn is FeedTurn.KEY_REFUSED and not self.is_held:
            self.is_held = True
            said.append(Hold(reason=HoldReason.KEY_REFUSED, on=True))
        return said


def session() -> Session:
    made = session_on(datetime.date(2025, 10, 2))
    assert made is not None
    return made


def make_feed() -> Told:
    clock = VirtualClock(session().open)
    link = Link(data=None, clock=clock, rules=Rules(), session=session())  # type: ignore[arg-type]
    return Told(link, NoVendor(), random.Random(1), position_open=lambda: True)


def test_any_course_of_events_says_what_loose_flags_said() -> None:
    for turns in itertools.product(FeedTurn, repeat=5):
        assert_same(turns)


def assert_same(turns: Sequence[FeedTurn]) -> None:
    feed, reference = make_feed(), Reference()
    for turn in turns:
        if turn is FeedTurn.WENT_UP and reference.is_up:
            return
        assert feed.fare(turn) == reference.fare(turn), turns
