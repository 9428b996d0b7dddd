"""Makes an attempt: ready while the disk works, checked once more before its first byte, sent, followed up."""

from __future__ import annotations

import structlog

from delivery import outbox
from delivery.account import Account
from delivery.channel import Channel
from delivery.follow_up import FollowUp
from delivery.obstacles import Circumstances, obstacle
from delivery.outbox import Phase, Turn
from delivery.pending import Pending
from delivery.questions import Questions
from delivery.settling import Settling
from delivery.shared import Shared
from errors import OurError
from events import AlertKind
from messages.alert import text_at

log = structlog.get_logger("alerts")

WRITTEN_REAL_S = 1.0
"""Real seconds that an alert waits for its decision to be on the disk: a slow disk must not cost the alert."""

HELD_REAL_S = 0.1
"""Real seconds of that on a connection: in more, the service may close it, and the alert would be lost with it."""


class Withheld(OurError):
    """An attempt is not sent after all. ``obstacle`` says why; empty when there is nothing to say."""

    def __init__(self, obstacle: str = "") -> None:
        super().__init__(obstacle)
        self.obstacle = obstacle


class Attempter:
    """Makes one attempt for an alert. The two lanes share it."""

    def __init__(
        self,
        shared: Shared,
        *,
        channel: Channel,
        account: Account,
        settling: Settling,
        follow_up: FollowUp,
        questions: Questions,
    ) -> None:
        self._shared = shared
        self._channel = channel
        self._account = account
        self._settling = settling
        self._follow_up = follow_up
        self._questions = questions

    async def attempt(self, entry: Pending) -> None:
        """Make one attempt. The last look at what stands in its way is before its first byte."""
        if entry.phase is Phase.HELD_UP:
            await self._await_disk(entry)
            if entry.is_settled:
                return
        now = self._shared.clock.now()
        if reason := self._obstacle(entry, now):
            self._settling.withdraw(entry, reason)
            return
        if outbox.is_over(entry.life, now):
            self._settling.give_up(entry, "its time is over, and pushes are not taken")
            return
        try:
            await self._send(entry, now)
        except Withheld as withheld:
            self._questions.warm_again()
            if withheld.obstacle:
                self._settling.withdraw(entry, withheld.obstacle)

    async def _send(self, entry: Pending, now: int) -> None:
        """Make an attempt ready as of ``now`` (µs), send it, and follow it up. Raises Withheld when it may not go."""
        self._questions.make_room()
        entry.turn(Turn.BEGIN)
        text = text_at(entry.alert, now, entry.may_have_arrived)
        answer = await self._channel.push(entry.alert, text, now, lambda: self._clear(entry))
        self._account.record(answer)
        if entry.is_settled:
            return  # while it could not be connected
        now = self._shared.clock.now()
        if not entry.is_in_flight:
            self._begin(entry, now)  # it was an attempt although it never got as far as the first byte
        self._follow_up.follow(entry, answer, outbox.step(entry.life, answer.result, now))

    async def _clear(self, entry: Pending) -> None:
        """Return when an attempt may go out; raise Withheld when it may not.

        From the obstacles to `_begin` nothing is awaited, so that nothing changes in between.
        """
        is_known = await entry.written_within(HELD_REAL_S)
        if entry.is_settled:
            raise Withheld  # while it waited
        if not is_known:
            entry.turn(Turn.DISK_SLOW)
            raise Withheld  # it waits on without a connection
        now = self._shared.clock.now()
        if reason := self._obstacle(entry, now):
            raise Withheld(reason)
        self._begin(entry, now)

    def _begin(self, entry: Pending, now: int) -> None:
        self._shared.outbox.begin(entry, now)
        entry.begun_at = self._shared.steady()

    async def _await_disk(self, entry: Pending) -> None:
        """Wait on until it is known whether the decision is on the disk, but not for long."""
        is_known = await entry.written_within(WRITTEN_REAL_S - HELD_REAL_S)
        if not is_known:
            entry.written = None
            log.warning(
                "record_slow", text=f"⚠️ The record is not on the disk after {WRITTEN_REAL_S:g} s: sending"
            )
        if not entry.is_settled:
            entry.turn(Turn.DISK_AWAITED)

    def _obstacle(self, entry: Pending, now: int) -> str:
        """Why an alert is not to be sent (any more); empty when it is."""
        alert, is_buy = entry.alert, entry.alert.kind is AlertKind.BUY
        given = Circumstances(
            is_unrecorded=entry.is_unrecorded,
            is_sold=self._shared.outbox.sold(alert.position),
            is_buy_untold=not is_buy and self._settling.is_buy_untold(entry),
            is_push_refused=self._account.is_push_refused,
            ask=self._shared.ask_of(alert.contract) if is_buy else None,
            remaining=self._account.remaining,
        )
        return obstacle(alert, now, given)
