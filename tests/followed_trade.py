"""A BUY and its SELL, as decisions, for the tests of what following them comes to."""

from __future__ import annotations

from msgspec.structs import replace

from events import AlertKind, AlertOutcome, Closed, ExitReason, Opened, Outcome
from tests.builders import CALL, at
from tests.builders import dollars as price

NAME = "7f3a91"


def opened_at(second: float, **changes: object) -> Opened:
    """A BUY at $1.41 (mid $1.40, bid $1.39, ask $1.41), to be paid up to $1.48."""
    made = Opened(
        id=NAME,
        contract=CALL,
        strike=215_000,
        expiry="2025-10-02",
        price=215.34,
        vwap=215.12,
        momentum=0.045,
        volume_z=1.8,
        delta=0.42,
        iv=0.285,
        in_range=True,
        mid=price(1.40),
        bid=price(1.39),
        ask=price(1.41),
        bid_size=35,
        ask_size=40,
        entry=price(1.41),
        stop=price(1.1985),
        pay_limit=price(1.48),
        pay_until=at(second + 30),
        time_stop=at(23_100),
        entry_number=1,
        considered=14,
        fallen=(),
        cost_percent=2.1,
    )
    return replace(made, **changes)


def closed_at(mark: float | None, bid: float | None) -> Closed:
    """The SELL of `opened_at`."""
    return Closed(
        id=NAME,
        contract=CALL,
        reason=ExitReason.STOP_LOSS,
        price=214.89,
        vwap=214.95,
        entry=price(1.41),
        opened_at=at(100),
        peak=price(1.60),
        mark=None if mark is None else price(mark),
        mark_at=at(200),
        bid=None if bid is None else price(bid),
        bid_size=35,
        limit_percent=15.0,
        time_stop=at(23_100),
    )


def outcome(kind: AlertKind, became: Outcome, *, channel: str = "") -> AlertOutcome:
    """What became of the push of either."""
    return AlertOutcome(kind=kind, id=NAME, outcome=became, attempts=1, channel=channel)
