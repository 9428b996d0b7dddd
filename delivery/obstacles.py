"""Says why an alert must not be sent (any more). Pure. Checked before an attempt is prepared, and before its first byte."""

from __future__ import annotations

import msgspec

from events import SECOND, AlertKind
from messages.alert import Alert, Priority
from utils import option_price

QUOTA_LOW = 200
"""With fewer pushes left this month, quiet and normal pushes are not sent."""


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """What decides whether an alert may be sent.

    ``ask`` is its contract's newest ask (option price units), ``remaining`` the pushes left; None: unknown.
    """

    is_unrecorded: bool = False
    """Whether its decision is known not to be on the disk."""
    is_sold: bool = False
    """Whether its position's SELL has been submitted."""
    is_buy_untold: bool = False
    """Whether the BUY that it ends was not delivered."""
    is_push_refused: bool = False
    """Whether no push can arrive, or a SELL is not delivered."""
    ask: int | None = None
    remaining: int | None = None


def obstacle(alert: Alert, now: int, given: Circumstances) -> str:
    """Returns why an alert must not be sent at ``now`` (µs), in words; empty if it may be."""
    if alert.kind is AlertKind.BUY:
        return _buy_obstacle(alert, now, given)
    if alert.kind is AlertKind.SELL:
        return "its BUY was never delivered" if given.is_buy_untold else ""
    if alert.urgent:
        return ""
    if given.is_push_refused:
        return "Pushover refuses our pushes"
    remaining = given.remaining
    if remaining is not None and remaining < QUOTA_LOW and alert.priority <= Priority.NORMAL:
        return f"only {remaining} pushes are left this month"
    return ""


def _buy_obstacle(alert: Alert, now: int, given: Circumstances) -> str:
    if given.is_unrecorded:
        return "its decision could not be recorded"
    if given.is_sold:
        return "its position has closed"
    if now >= alert.pay_until:
        return f"it is {(now - alert.decided_at) // SECOND} s old"
    if given.ask is not None and given.ask > alert.pay_limit:
        return f"the ask {option_price(given.ask)} has passed its limit {option_price(alert.pay_limit)}"
    if given.is_push_refused:
        return "Pushover refuses our pushes"
    return ""
