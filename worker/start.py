"""How far the worker's start has come: a table of stages. Pure; the worker makes its tasks wait on it.

Two things move on their own: what an earlier start has left is settled, and the stocks feed is connected. Until it is, at a
start in mid-session, no other question is put to the vendors: it would keep the event loop from the feed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Stage(StrEnum):
    """Where the start is."""

    BEGUN = "begun"
    """Nothing is settled, and nothing but the feed may be asked for."""

    ASKING = "asking"
    """Not settled yet, but the vendors may be asked: an alert may be owed, or no session is on."""

    FEED_FIRST = "feed first"
    """Settled; the vendors' other questions wait for the stocks feed."""

    UNDER_WAY = "under way"
    """The start is over."""


class Step(StrEnum):
    """What moves a start on."""

    MAY_ASK = "may ask"
    """Nothing has to wait for the feed any more: it is connected or late, no session is on, an alert is owed, or a stop."""

    SETTLED = "settled"
    """What earlier starts have left is settled: sessions follow one another from here."""


TRANSITIONS: Mapping[tuple[Stage, Step], Stage] = {
    (Stage.BEGUN, Step.MAY_ASK): Stage.ASKING,
    (Stage.BEGUN, Step.SETTLED): Stage.FEED_FIRST,
    (Stage.ASKING, Step.MAY_ASK): Stage.ASKING,
    (Stage.ASKING, Step.SETTLED): Stage.UNDER_WAY,
    (Stage.FEED_FIRST, Step.MAY_ASK): Stage.UNDER_WAY,
    (Stage.UNDER_WAY, Step.MAY_ASK): Stage.UNDER_WAY,
}
"""Everything that may happen. What is not here is a fault of the program: nothing is settled twice."""

MAY_ASK = frozenset({Stage.ASKING, Stage.UNDER_WAY})
"""Stages in which every vendor may be asked."""

IS_SETTLED = frozenset({Stage.FEED_FIRST, Stage.UNDER_WAY})
"""Stages in which nothing of an earlier start is left to settle."""


def after(stage: Stage, step: Step) -> Stage:
    """Returns the stage that follows. Raises KeyError for a step that cannot come."""
    return TRANSITIONS[stage, step]
