"""Makes an attempt: prepares it while the disk works, checks it once more before its first byte, sends and follows it up."""

from __future__ import annotations

import structlog

from delivery import outbox
from delivery.account import Account
from delivery.channel import Channel
from delivery.follow_up import FollowUp
from delivery.obstacles import Circumstances, obstacle
from delivery.outbox import Phase, Turn
from delivery.pending import Pending
from delivery.pictures import Pictures
from delivery.questions import Questions
from delivery.settling import Settling
from delivery.shared import Shared
from errors import OurError
from events import AlertKind
from messages.alert import text_at

log = structlog.get_logger("alerts")

WRITTEN_REAL_S = 1.0
"""Real seconds that an alert waits at most for its decision to be on the disk: a slow disk must not cost the alert."""

HELD_REAL_S = 0.1
"""Real seconds of that during which a connection is held open. Longer, the service may close it, and the alert would be
lost with it."""


class Withheld(OurError):
    """An attempt is not sent after all. ``obstacle`` says why; it is empty if the alert is only waiting."""

    def __init__(self, obstacle: str = "") -> None:
        super().__init__(obstacle)
        self.obstacle = obstacle


class Attempter:
    """Makes single attempts to send alerts. The two lanes share it."""

    def __init__(
        self,
        shared: Shared,
        *,
        channel: Channel,
        account: Account,
        settling: Settling,
        follow_up: FollowUp,
        questions: Questions,
        pictures: Pictures,
    ) -> None:
        self._shared = shared
        self._channel = channel
        self._account = account
        self._settling = settling
        self._follow_up = follow_up
        self._questions = questions
        self._pictures = pictures

    async def attempt(self, entry: Pending) -> None:
        """Makes one attempt. The last check for obstacles is just before its first byte."""
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
        """Prepares an attempt as of ``now`` (µs), sends it, and follows it up. Raises Withheld if it must not go."""
        self._pictures.make_room()
        self._questions.make_room()
        entry.turn(Turn.BEGIN)
        text = text_at(entry.alert, now, entry.may_have_arrived)
        answer = await self._channel.push(entry.alert, text, now, lambda: self._clear(entry))
        self._account.record(answer)
        if entry.is_settled:
            return  # it was settled while no connection could be made
        now = self._shared.clock.now()
        if not entry.is_in_flight:
            self._begin(entry, now)  # failing before the first byte counts as an attempt, too
        self._follow_up.follow(entry, answer, outbox.step(entry.life, answer.result, now))

    async def _clear(self, entry: Pending) -> None:
        """Returns once an attempt may go out. Raises Withheld if it must not.

        Between the check for obstacles and `_begin` nothing is awaited, so nothing changes in between.
        """
        is_known = await entry.written_within(HELD_REAL_S)
        if entry.is_settled:
            raise Withheld  # it was settled while it waited
        if not is_known:
            entry.turn(Turn.DISK_SLOW)
            raise Withheld  # it goes on waiting, without a connection
        now = self._shared.clock.now()
        if reason := self._obstacle(entry, now):
            raise Withheld(reason)
        self._begin(entry, now)

    def _begin(self, entry: Pending, now: int) -> None:
        self._shared.outbox.begin(entry, now)
        entry.begun_at = self._shared.steady()

    async def _await_disk(self, entry: Pending) -> None:
        """Waits for the rest of `WRITTEN_REAL_S` until it is known whether the decision is on the disk."""
        is_known = await entry.written_within(WRITTEN_REAL_S - HELD_REAL_S)
        if not is_known:
            entry.written = None
            log.warning(
                "record_slow",
                text=f"⚠️ The record is not on disk after {WRITTEN_REAL_S:g} s: sending the alert anyway",
            )
        if not entry.is_settled:
            entry.turn(Turn.DISK_AWAITED)

    def _obstacle(self, entry: Pending, now: int) -> str:
        """Returns why an alert must not be sent (any more); empty if it may be."""
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
