"""The sender: takes alerts over and never waits, while its tasks deliver them.

Deciding is not delivering: `Sender.submit` comes back at once. Two lanes (`lane`) make attempts (`attempt`), each is
followed up (`follow_up`) until the alert is settled (`settling`); what the service does not take goes to the side
channels (`beside`), and what is due besides is asked (`questions`). All of them work on one `Shared`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import structlog

from config import Settings
from delivery.account import Account
from delivery.acknowledgements import Acknowledgements
from delivery.attempt import Attempter
from delivery.beside import UNANSWERED_S, Beside
from delivery.channel import Channel, SideChannel
from delivery.exchange import EXCHANGE_S
from delivery.follow_up import FollowUp
from delivery.holds import Holds
from delivery.lane import Lane
from delivery.pending import DUPLICATE_S, Recent
from delivery.pushover import Look, Pushover
from delivery.questions import Questions
from delivery.receipts import Receipt
from delivery.second_channel import SecondChannel
from delivery.settling import Settling
from delivery.shared import Shared
from delivery.stop import Stop, log_left
from events import SECOND, AlertKind, AlertOutcome, Event, HoldReason, Outcome
from messages.alert import Alert, named, text_at
from utils import Clock

log = structlog.get_logger("alerts")


def push_channel(
    settings: Settings, transport: httpx.AsyncBaseTransport | None, *, exchange_s: float = EXCHANGE_S
) -> Channel:
    """The push service that alerts go to. ``exchange_s`` is real seconds for one exchange with it."""
    token, user = settings.pushover_token, settings.pushover_user_key
    look = Look(settings.title_detail, settings.buy_sound, settings.sell_sound)
    return Pushover(settings.pushover_url, token, user, transport, exchange_s=exchange_s, look=look)


def side_channels(settings: Settings, transport: httpx.AsyncBaseTransport | None) -> tuple[SideChannel, ...]:
    """Where SELLs and safety pushes go that the push service does not take."""
    return (SecondChannel(settings.second_channel_url, transport),)


class Sender:
    """Delivers alerts: `submit` takes one, `run` is its task, `drain` waits for what is pending.

    ``report`` is given an `AlertOutcome` for every alert, and `Hold` when pushes are refused or too many. ``ask_of``
    answers a contract's newest ask in units of an option price, None when there is none.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        report: Callable[[Event], None],
        ask_of: Callable[[str], int | None],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        shared = self._shared = Shared(clock, report, ask_of)
        channel = self._channel = push_channel(settings, transport)
        beside = self._beside = Beside(shared, side_channels(settings, transport))
        holds = self._holds = Holds(shared, settings.push_cap_count, settings.push_cap_seconds)
        account = self._account = Account(shared, holds)
        settling = self._settling = Settling(shared, account, beside)
        awaited = self._acknowledgements = Acknowledgements(shared, channel, beside)
        follow_up = FollowUp(
            shared, account=account, holds=holds, settling=settling, beside=beside, acknowledgements=awaited
        )
        questions = self._questions = Questions(shared, channel, account, holds, awaited)
        attempter = Attempter(
            shared,
            channel=channel,
            account=account,
            settling=settling,
            follow_up=follow_up,
            questions=questions,
        )
        self._lanes = {urgent: Lane(shared, urgent, attempter.attempt) for urgent in (True, False)}
        self._stop = Stop(shared, account, beside)
        self._recent = Recent()

    @property
    def gave_up(self) -> Callable[[str], None]:
        """Called with a line when a SELL or safety push is given up for good."""
        return self._shared.gave_up

    @gave_up.setter
    def gave_up(self, call: Callable[[str], None]) -> None:
        self._shared.gave_up = call

    @property
    def healthy(self) -> bool:
        """Whether the last push or question was answered well; False until the first one was."""
        return self._account.is_healthy

    @property
    def holds(self) -> frozenset[HoldReason]:
        """What holds entries here at present. It is reported once: an engine that begins later must be told."""
        return self._holds.reasons

    def trouble(self, now: int) -> str:
        """What keeps alerts from being told at ``now`` (µs), in words; empty when nothing does."""
        entries = self._shared.outbox.entries
        if any(e.alert.urgent and now - e.taken_at > UNANSWERED_S * SECOND for e in entries):
            return "a SELL or safety push is not told"
        if any(now - e.due > UNANSWERED_S * SECOND for e in entries):
            return "the sender is stuck"
        return ""

    @property
    def pending(self) -> list[Alert]:
        """What is still to be told, the most important first."""
        return [entry.alert for entry in sorted(self._shared.outbox.entries, key=lambda e: e.alert.rank)]

    @property
    def awaits_acknowledgement(self) -> bool:
        """Whether an emergency push may still be acknowledged."""
        return self._acknowledgements.are_awaited

    def in_session(self, on: bool) -> None:
        """Keep the connection warm (``on``) or not."""
        self._questions.in_session = on

    def submit(
        self,
        alert: Alert,
        written: asyncio.Future[bool] | None = None,
    ) -> None:
        """Take an alert over. Never waits; what cannot be taken is logged and reported.

        ``written`` becomes true when the alert's decision is on the disk, false when it cannot be put there: a BUY
        is then not sent. The first attempt waits for it, but not for long.
        """
        now = self._shared.clock.now()
        if self._recent.is_duplicate(alert, now):
            log.warning(
                "alert_duplicate",
                text=f"⏭️ Alert dropped, the same was sent less than {DUPLICATE_S} s ago: {alert.title}",
                kind=alert.kind.value,
                id=alert.id,
            )
            return
        entry = self._shared.outbox.add(alert, now, written)
        if alert.kind is AlertKind.SELL:
            self._settling.settle_buy_of(entry)
        self._settling.line_up(entry)
        self._settling.shed()
        self._account.judge_hold()
        self._shared.wake(alert.urgent)

    def leave(self, alert: Alert) -> None:
        """Name a SELL whose time is over before this start could tell it: an earlier one may have."""
        log.critical("alert_left", text=f"🛑 Alert never delivered: {alert.title}", id=alert.id)
        self._shared.gave_up(f"never told: {named(alert)}")
        outcome = AlertOutcome(kind=alert.kind, id=alert.id, outcome=Outcome.UNSENT, attempts=0)
        self._beside.post(outcome, alert.title, text_at(alert, self._shared.clock.now(), repeat=True))

    def ask_for(self, receipt: Receipt) -> None:
        """Go on asking for a receipt that an earlier start has left."""
        self._acknowledgements.add(receipt)

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._lanes[True].run(), name="alerts-urgent")
                tasks.create_task(self._lanes[False].run(), name="alerts-normal")
                tasks.create_task(self._questions.run(), name="alerts-housekeeping")
                tasks.create_task(self._beside.run(), name="alerts-overdue")
        finally:
            self._shared.has_ended = True
            self._shared.changed.set()
            await self._beside.cancel()
            await asyncio.gather(self._channel.close(), self._beside.close())

    async def drain(self, seconds: float) -> list[Alert]:
        """Wait until all is told, at most ``seconds`` (real: the host's patience is), while `run` still runs.

        Returns what is left, the most important first, as soon as no attempt for it falls into that time, or `run` has
        ended.
        """
        await self._stop.drain(seconds)
        left = self.pending
        log_left(left)
        return left
