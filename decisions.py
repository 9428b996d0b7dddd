"""Builds decisions from what led to them. Pure: each function fills in every field that explains the decision later."""

from __future__ import annotations

import hashlib

from contract_selector import Refused, Selected, pay_limit
from events import (
    SECOND,
    AlertKind,
    AlertOutcome,
    Closed,
    Declined,
    Evaluation,
    ExitReason,
    MarkBack,
    MarkLost,
    Opened,
    Outcome,
    Withdrawn,
)
from risk_manager import Position
from rules import Rules

ID_DIGITS = 6
"""Hex digits of a position's id: the first of the SHA-256 of date, contract and time. 16 million ids are enough for a day."""


def declined(evaluation: Evaluation, vwap: float, momentum: float, refused: Refused) -> Declined:
    """Returns the decision not to buy although every condition is met.

    ``vwap`` is the short VWAP in dollars, ``momentum`` in percent per second.
    """
    return Declined(
        reason=refused.reason,
        hold=evaluation.hold,
        price=evaluation.price,
        vwap=vwap,
        momentum=momentum,
        volume_z=evaluation.volume_z,
        considered=refused.considered,
        fallen=refused.fallen,
        doubted=refused.doubted,
    )


def opened(
    rules: Rules, evaluation: Evaluation, call: Selected, *, now: int, date: str, time_stop: int, number: int
) -> Opened:
    """Returns the decision to buy ``call`` at ``now`` (µs), on an evaluation with a VWAP and a momentum.

    ``date`` is the session's, ``time_stop`` the latest time to sell (µs), ``number`` counts the day's entries from 1.
    """
    assert evaluation.vwap_1m is not None and evaluation.momentum is not None
    row, price = call.row, call.price
    name = f"{date}|{row.contract}|{now}"
    return Opened(
        id=hashlib.sha256(name.encode()).hexdigest()[:ID_DIGITS],
        contract=row.contract,
        strike=row.strike,
        expiry=date,
        price=evaluation.price,
        vwap=evaluation.vwap_1m,
        momentum=evaluation.momentum,
        volume_z=evaluation.volume_z,
        delta=call.delta,
        iv=call.iv,
        in_range=call.in_range,
        mid=price.mid,
        bid=price.bid,
        ask=price.ask,
        bid_size=price.bid_size,
        ask_size=price.ask_size,
        entry=call.entry,
        stop=call.stop,
        pay_limit=pay_limit(call.entry, rules),
        pay_until=now + rules.pay_limit_seconds * SECOND,
        time_stop=time_stop,
        entry_number=number,
        considered=call.considered,
        fallen=call.fallen,
        cost_percent=call.cost_percent,
        doubted=call.doubted,
    )


def withdrawn(last: Opened | None, event: AlertOutcome) -> Withdrawn | None:
    """Returns the withdrawal of the BUY ``last`` if ``event`` says that its push cannot have arrived, else None.

    If nobody was told to buy, nobody holds the contract, and the position must not count.
    """
    if last is None or event.kind is not AlertKind.BUY or event.id != last.id or event.channel:
        return None  # another channel's outcome says nothing about the push
    if event.outcome not in (Outcome.REFUSED, Outcome.UNSENT):
        return None
    return Withdrawn(id=last.id, contract=last.contract, detail=event.detail)


def mark_change(now: int, position: Position) -> MarkLost | MarkBack | None:
    """Returns the decision that the position's mark is lost at ``now`` (µs) or is back; None while nothing changes."""
    marks, held = position.marks, position.opened
    value = marks.usable.mid
    if not marks.lost and marks.is_missed(now):
        return MarkLost(id=held.id, contract=held.contract, since=marks.usable_at, mark=value)
    if marks.lost and not marks.is_lost(now):
        return MarkBack(id=held.id, contract=held.contract, since=marks.lost_since, mark=value)
    return None


def closed(
    rules: Rules, position: Position, reason: ExitReason, *, now: int, price: float | None, vwap: float | None
) -> Closed:
    """Returns the decision to sell a position for ``reason`` at ``now`` (µs).

    ``price`` and ``vwap`` are the share's in dollars; None if unknown or too old.
    """
    held, marks = position.opened, position.marks
    limits = {
        ExitReason.STOP_LOSS: rules.stop_loss_percent,
        ExitReason.HARD_GIVEBACK: rules.max_giveback_percent,
        ExitReason.VWAP_GIVEBACK: rules.tighten_giveback_percent,
    }
    return Closed(
        id=held.id,
        contract=held.contract,
        reason=reason,
        price=price,
        vwap=vwap,
        entry=held.entry,
        opened_at=position.opened_at,
        peak=position.peak,
        mark=marks.usable.mid,
        mark_at=marks.usable_at,
        bid=marks.usable.bid,
        bid_size=marks.usable.bid_size,
        limit_percent=limits.get(reason),
        time_stop=held.time_stop,
        late=now - held.time_stop if reason is ExitReason.TIME_STOP else 0,
    )
