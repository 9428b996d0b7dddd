"""A BUY and its SELL, as decisions, for the tests of what following them comes to."""

from __future__ import annotations

from msgspec.structs import replace

from events import AlertKind, AlertOutcome, Closed, ExitReason, Opened, Outcome
from tests.builders import at
from tests.builders import dollars as price
from tests.delivery.stories import CLOSED, OPENED

NAME = OPENED.id


def opened_at(second: float, **changes: object) -> Opened:
    """A BUY at $1.41 (mid $1.40, bid $1.39, ask $1.41), to be paid up to $1.48."""
    made = replace(
        OPENED,
        mid=price(1.40),
        bid=price(1.39),
        ask=price(1.41),
        entry=price(1.41),
        stop=price(1.1985),
        pay_limit=price(1.48),
        pay_until=at(second + 30),
    )
    return replace(made, **changes)


def closed_at(mark: float | None, bid: float | None) -> Closed:
    """The SELL of `opened_at`."""
    return replace(
        CLOSED,
        reason=ExitReason.STOP_LOSS,
        entry=price(1.41),
        opened_at=at(100),
        peak=price(1.60),
        mark=None if mark is None else price(mark),
        mark_at=at(200),
        bid=None if bid is None else price(bid),
        limit_percent=15.0,
    )


def outcome(kind: AlertKind, became: Outcome, *, channel: str = "") -> AlertOutcome:
    """What became of the push of either."""
    return AlertOutcome(kind=kind, id=NAME, outcome=became, attempts=1, channel=channel)
