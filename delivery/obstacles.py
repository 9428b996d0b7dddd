"""Why an alert is not sent, or no longer. Pure: asked before an attempt is made ready, and before its first byte."""

from __future__ import annotations

import msgspec

from events import SECOND, AlertKind
from messages.alert import Alert, Priority
from utils import option_price

QUOTA_LOW = 200
"""Pushes left in the month below which only what matters is sent."""


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """What an alert depends on. ``ask`` is its contract's newest ask, ``remaining`` the pushes left; None: not known."""

    is_unrecorded: bool = False
    """Whether its decision is known not to be on the disk."""
    is_sold: bool = False
    """Whether its position's SELL has been submitted."""
    is_buy_untold: bool = False
    """Whether nobody was told of the BUY that it ends."""
    is_push_refused: bool = False
    """Whether no push can arrive, or a SELL is untold."""
    ask: int | None = None
    remaining: int | None = None


def obstacle(alert: Alert, now: int, given: Circumstances) -> str:
    """Why an alert is not to be sent at ``now`` (µs), in words; empty when it is."""
    if alert.kind is AlertKind.BUY:
        return _buy_obstacle(alert, now, given)
    if alert.kind is AlertKind.SELL:
        return "nobody was told of the BUY" if given.is_buy_untold else ""
    if alert.urgent:
        return ""
    if given.is_push_refused:
        return "the push service refuses our pushes"
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
        return "the push service refuses our pushes"
    return ""
