"""The stages of the worker's start, as a table. Pure; the worker's tasks wait for its stages.

Two things happen independently: what an earlier start left is settled, and the stocks feed is connected. If the start is
during a session, nothing else is requested from the vendors before the feed is connected: that would delay the feed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Stage(StrEnum):
    """How far the start has come."""

    BEGUN = "begun"
    """Nothing is settled, and only the stocks feed may contact the vendor."""

    ASKING = "asking"
    """Not settled yet, but other requests are allowed: an alert may be undelivered, or no session is on."""

    FEED_FIRST = "feed first"
    """Settled. Other requests to the vendors wait for the stocks feed."""

    UNDER_WAY = "under way"
    """The start is over."""


class StartEvent(StrEnum):
    """What moves a start to its next stage."""

    MAY_ASK = "may ask"
    """Nothing waits for the feed any more: it is connected or late, no session is on, an alert is undelivered, or a stop."""

    SETTLED = "settled"
    """What earlier starts left is settled. From here on, sessions follow one another."""


TRANSITIONS: Mapping[tuple[Stage, StartEvent], Stage] = {
    (Stage.BEGUN, StartEvent.MAY_ASK): Stage.ASKING,
    (Stage.BEGUN, StartEvent.SETTLED): Stage.FEED_FIRST,
    (Stage.ASKING, StartEvent.MAY_ASK): Stage.ASKING,
    (Stage.ASKING, StartEvent.SETTLED): Stage.UNDER_WAY,
    (Stage.FEED_FIRST, StartEvent.MAY_ASK): Stage.UNDER_WAY,
    (Stage.UNDER_WAY, StartEvent.MAY_ASK): Stage.UNDER_WAY,
}
"""Every transition there is. A pair that is not in the table is a programming error, and raises KeyError: nothing is
settled twice."""

MAY_ASK = frozenset({Stage.ASKING, Stage.UNDER_WAY})
"""Stages that allow any request to the vendors."""

IS_SETTLED = frozenset({Stage.FEED_FIRST, Stage.UNDER_WAY})
"""Stages in which nothing of an earlier start is left to settle."""


def after(stage: Stage, event: StartEvent) -> Stage:
    """Returns the stage that follows. Raises KeyError for an event that cannot happen in ``stage``."""
    return TRANSITIONS[stage, event]
