"""The sender: accepts alerts without waiting, and delivers them in tasks of its own.

Deciding is not delivering: `Sender.submit` returns at once. Two lanes (`lane`) make attempts (`attempt`); each attempt is
followed up (`follow_up`) until the alert is settled (`settling`). What the service does not accept goes to the side
channels (`beside`). `questions` makes all other requests. All of them share one `Shared`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import structlog
from pydantic import SecretStr

from config import Settings
from delivery.account import Account
from delivery.acknowledgements import Acknowledgements
from delivery.apprise_channel import AppriseChannel
from delivery.attempt import Attempter
from delivery.beside import UNANSWERED_S, Beside
from delivery.channel import Channel, SideChannel
from delivery.exchange import EXCHANGE_S
from delivery.follow_up import FollowUp
from delivery.holds import Holds
from delivery.lane import Lane
from delivery.pending import DUPLICATE_S, Recent
from delivery.pictures import Pictures
from delivery.pushover import Look, Pushover
from delivery.questions import Questions
from delivery.receipts import Receipt
from delivery.second_channel import CHANNEL, SETTING, SecondChannel, labels
from delivery.settling import Settling
from delivery.shared import Shared
from delivery.stop import Stop, log_left
from events import SECOND, AlertKind, AlertOutcome, Event, HoldReason, Outcome
from messages.alert import Alert, named, text_at
from settings.types import service_of, split_addresses
from threads import DaemonThread, Threads
from utils import Clock

log = structlog.get_logger("alerts")


def push_channel(
    settings: Settings, transport: httpx.AsyncBaseTransport | None, *, exchange_s: float = EXCHANGE_S
) -> Channel:
    """Returns the push service that alerts go to. ``exchange_s`` is real seconds for one exchange with it."""
    token, user = settings.pushover_token, settings.pushover_user_key
    look = Look(settings.title_detail, settings.buy_sound, settings.sell_sound)
    return Pushover(settings.pushover_url, token, user, transport, exchange_s=exchange_s, look=look)


def side_channels(
    settings: Settings, transport: httpx.AsyncBaseTransport | None, threads: Threads = DaemonThread
) -> tuple[SideChannel, ...]:
    """Returns the channels that get the SELLs and safety pushes that the push service does not accept.

    ``threads`` are for what Apprise sends.
    """
    addresses = split_addresses(settings.second_channel_url.get_secret_value())
    made: list[SideChannel] = []
    for address, label in zip(addresses, labels(addresses), strict=True):
        secret, name, setting = SecretStr(address), CHANNEL + label, SETTING + label
        if service_of(address):
            made.append(AppriseChannel(secret, threads, name=name, setting=setting))
        else:
            made.append(SecondChannel(secret, transport, name=name, setting=setting))
    return tuple(made)


class Sender:
    """Delivers alerts: `submit` accepts one, `run` delivers them, `drain` waits for those that are pending.

    It calls ``report`` with an `AlertOutcome` for every alert, and with a `Hold` when it holds or releases entries.
    ``ask_of`` returns a contract's newest ask in option price units, or None. ``threads`` are for side channels that block.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        report: Callable[[Event], None],
        ask_of: Callable[[str], int | None],
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        threads: Threads = DaemonThread,
    ) -> None:
        shared = self._shared = Shared(clock, report, ask_of)
        channel = self._channel = push_channel(settings, transport)
        beside = self._beside = Beside(shared, side_channels(settings, transport, threads))
        holds = self._holds = Holds(shared, settings.push_cap_count, settings.push_cap_seconds)
        account = self._account = Account(shared, holds)
        settling = self._settling = Settling(shared, account, beside)
        awaited = self._acknowledgements = Acknowledgements(shared, channel, beside)
        follow_up = FollowUp(
            shared, account=account, holds=holds, settling=settling, beside=beside, acknowledgements=awaited
        )
        questions = self._questions = Questions(shared, channel, account, holds, awaited)
        pictures = self._pictures = Pictures(
            shared, channel=channel, account=account, holds=holds, questions=questions, submit=self.submit
        )
        attempter = Attempter(
            shared,
            channel=channel,
            account=account,
            settling=settling,
            follow_up=follow_up,
            questions=questions,
            pictures=pictures,
        )
        self._lanes = {urgent: Lane(shared, urgent, attempter.attempt) for urgent in (True, False)}
        self._stop = Stop(shared, account, beside)
        self._recent = Recent()

    @property
    def gave_up(self) -> Callable[[str], None]:
        """The function that gets a line when a SELL or safety push is given up for good."""
        return self._shared.gave_up

    @gave_up.setter
    def gave_up(self, call: Callable[[str], None]) -> None:
        self._shared.gave_up = call

    @property
    def healthy(self) -> bool:
        """Returns whether the last push or request succeeded; False before the first."""
        return self._account.is_healthy

    @property
    def holds(self) -> frozenset[HoldReason]:
        """Returns what holds entries at present. Each was reported only once, so a later engine must read them here."""
        return self._holds.reasons

    def trouble(self, now: int) -> str:
        """Returns what keeps alerts from being delivered at ``now`` (µs), in words; empty if nothing does."""
        entries = self._shared.outbox.entries
        if any(e.alert.urgent and now - e.taken_at > UNANSWERED_S * SECOND for e in entries):
            return "a SELL or safety push is not told"
        if any(now - e.due > UNANSWERED_S * SECOND for e in entries):
            return "the sender is stuck"
        return ""

    @property
    def pending(self) -> list[Alert]:
        """Returns the alerts that are still to be delivered, the most important first. Pictures are left out."""
        waiting = [*(entry.alert for entry in self._shared.outbox.entries), *self._pictures.texts]
        return sorted(waiting, key=lambda alert: alert.rank)

    @property
    def awaits_acknowledgement(self) -> bool:
        """Returns whether an emergency push may still be acknowledged."""
        return self._acknowledgements.are_awaited

    def in_session(self, on: bool) -> None:
        """Keeps the connection open from now on (``on``), or no longer."""
        self._questions.in_session = on

    def submit(
        self,
        alert: Alert,
        written: asyncio.Future[bool] | None = None,
    ) -> None:
        """Accepts an alert for delivery. Never waits. Logs an alert that it drops.

        ``written`` becomes True once the alert's decision is on the disk, False if it cannot be written: a BUY is then not
        sent. The first attempt waits for it, at most a second.
        """
        now = self._shared.clock.now()
        if self._recent.is_duplicate(alert, now):
            log.warning(
                "alert_duplicate",
                text=f"⏭️ Alert dropped: the same one was sent less than {DUPLICATE_S} s ago: {alert.title}",
                kind=alert.kind.value,
                id=alert.id,
            )
            return
        entry = self._shared.outbox.add(alert, now, written)
        if alert.kind is AlertKind.SELL:
            self._settling.settle_buy_of(entry)
        self._settling.line_up(entry)
        self._settling.shed()
        self._account.update_hold()
        self._shared.wake(alert.urgent)

    def show(self, alert: Alert, png: bytes) -> None:
        """Accepts a picture, which is sent with ``alert`` once no other alert is in the way. Never waits."""
        self._pictures.add(alert, png)

    def leave(self, alert: Alert) -> None:
        """Reports a SELL whose time was over before this start could send it. An earlier start may have sent it."""
        log.critical("alert_left", text=f"🛑 Alert never delivered: {alert.title}", id=alert.id)
        self._shared.gave_up(f"never delivered: {named(alert)}")
        outcome = AlertOutcome(kind=alert.kind, id=alert.id, outcome=Outcome.UNSENT, attempts=0)
        self._beside.post(outcome, alert.title, text_at(alert, self._shared.clock.now(), repeat=True))

    def poll(self, receipt: Receipt) -> None:
        """Polls a receipt that an earlier start left."""
        self._acknowledgements.add(receipt)

    async def run(self) -> None:
        """Delivers until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._beside.check(), name="alerts-addresses")
                tasks.create_task(self._lanes[True].run(), name="alerts-urgent")
                tasks.create_task(self._lanes[False].run(), name="alerts-normal")
                tasks.create_task(self._questions.run(), name="alerts-housekeeping")
                tasks.create_task(self._beside.run(), name="alerts-overdue")
                tasks.create_task(self._pictures.run(), name="alerts-pictures")
        finally:
            self._shared.has_ended = True
            self._shared.changed.set()
            await self._beside.cancel()
            await asyncio.gather(self._channel.close(), self._beside.close())

    async def drain(self, seconds: float) -> list[Alert]:
        """Waits until everything is delivered, at most ``seconds`` (real, like the host's patience), while `run` still runs.

        Returns earlier if no attempt falls into that time, or if `run` has ended. Returns the alerts that are left, the
        most important first.
        """
        self._pictures.stop()
        await self._stop.drain(seconds)
        left = self.pending
        log_left(left)
        return left
