"""Asks Pushover about token, user and quota, and sends one test push when asked to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import utils
from checks.check import PUSH, Check, Severity
from checks.questions import NO_CONNECTION, TEST_TITLE, Inquiry, unreached
from delivery.answers import TOO_MANY, Answer, Result
from delivery.obstacles import QUOTA_LOW
from delivery.sender import Sender, push_channel
from events import SECOND, AlertKind, AlertOutcome, Event, Outcome
from messages.alert import Alert, Priority

TEST_TEXT = (
    "Sent by diagnose.py at {at} ET, as loud as a BUY. Alerts arrive like this one.\nYou: nothing to do."
)


class Push:
    """The questions about push."""

    def __init__(self, inquiry: Inquiry) -> None:
        self._inquiry = inquiry
        self._channel = push_channel(inquiry.settings, inquiry.transport, exchange_s=inquiry.exchange_s)

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()

    async def ask(self) -> list[Check]:
        """Asks about user and quota side by side. With --send-test, sends a test afterwards if neither fails."""
        limited = self._inquiry.limited
        user, quota = await asyncio.gather(
            limited(PUSH, "user", self._ask_user), limited(PUSH, "quota", self._ask_quota)
        )
        found = user + quota
        if not self._inquiry.asked.send_test:
            return found
        if any(check.severity is Severity.FAIL for check in found):
            return [*found, Check(PUSH, Severity.FAIL, "test push: not sent", "see the lines above")]
        return found + await limited(PUSH, "test push", self._send_test)

    async def _ask_user(self) -> Check:
        """Checks token and user key, and names the devices."""
        return user_line("user", await self._channel.validate(), self._inquiry)

    async def _ask_quota(self) -> Check:
        """Checks how many pushes are left this month."""
        answer = await self._channel.limits()
        if answer.result is not Result.OK:
            return _failure("quota", answer, self._inquiry)
        if answer.remaining is None:
            return Check(PUSH, Severity.WARNING, "quota: not told")
        reset = "" if answer.reset is None else f" until {utils.day_text(answer.reset * SECOND)}"
        found = f"quota: {answer.remaining} of {answer.limit} pushes left{reset}"
        if answer.remaining == 0:
            return Check(
                PUSH, Severity.FAIL, found, "no alert can arrive until then: buy more at pushover.net"
            )
        if answer.remaining < QUOTA_LOW:
            return Check(PUSH, Severity.WARNING, found, "they may not last: buy more at pushover.net")
        return Check(PUSH, Severity.OK, found)

    async def _send_test(self) -> Check:
        """Sends one real push, as loud as a BUY, through the worker's own sender."""
        outcomes: list[AlertOutcome] = []

        def report(event: Event) -> None:
            if isinstance(event, AlertOutcome):
                outcomes.append(event)

        settings, now = self._inquiry.settings, self._inquiry.clock.now()
        alert = Alert(
            # The kind only matters for ranking and duplicates; this sender sends nothing else.
            kind=AlertKind.ARMED,
            id="test",
            title=TEST_TITLE.format(symbol=settings.rules.symbol),
            message=TEST_TEXT.format(at=utils.clock_text(now)),
            decided_at=now,
            priority=Priority.HIGH,
        )
        sender = Sender(settings, self._inquiry.clock, report, lambda contract: None, self._inquiry.transport)
        running = asyncio.create_task(sender.run(), name="test push")
        try:
            sender.submit(alert)
            await sender.drain(self._inquiry.patience_s)
        finally:
            running.cancel()
            await asyncio.wait({running})
        return _outcome_line(outcomes, (self._inquiry.clock.now() - now) / SECOND)


def user_line(subject: str, answer: Answer, inquiry: Inquiry) -> Check:
    """Returns the line about token and user, which calls them ``subject``, from the answer to `Channel.validate`."""
    if answer.result is not Result.OK:
        return _failure(subject, answer, inquiry)
    if not answer.devices:
        do = "install the Pushover app, or make sure that the group has members"
        return Check(PUSH, Severity.WARNING, f"{subject}: valid, but no device is registered", do)
    return Check(PUSH, Severity.OK, f"{subject}: valid; devices: {', '.join(answer.devices)}")


def refused_key(answer: Answer) -> str | None:
    """Returns the setting whose key Pushover refuses; None if it refuses neither."""
    if answer.result is not Result.REFUSED or answer.status == TOO_MANY:
        return None
    return "PUSHOVER_USER_KEY" if "user" in " ".join(answer.errors) else "PUSHOVER_TOKEN"


def _failure(subject: str, answer: Answer, inquiry: Inquiry) -> Check:
    """Returns the failing line for a question that Pushover refused or left unanswered."""
    if answer.status == TOO_MANY:
        do = "the month's pushes are used up, or there were too many requests at once: see pushover.net"
        return Check(PUSH, Severity.FAIL, f"{subject}: refused, {answer.reason}", do)
    if (wrong := refused_key(answer)) is not None:
        return Check(
            PUSH, Severity.FAIL, f"{subject}: refused, {answer.reason}", f"check {wrong} at pushover.net"
        )
    text = f"{subject}: {answer.reason}"
    if answer.reason.startswith(NO_CONNECTION):
        text = unreached(subject, inquiry.settings.pushover_url, answer.reason)
    return Check(PUSH, Severity.FAIL, text, inquiry.network_advice("PUSHOVER_URL"))


def _outcome_line(outcomes: Sequence[AlertOutcome], seconds: float) -> Check:
    """Returns the line about the test push."""
    if not outcomes:
        text = f"test push: not accepted within {seconds:.0f} s"
        return Check(PUSH, Severity.FAIL, text, "check this machine's network, then Pushover's status page")
    outcome = outcomes[0]
    if outcome.outcome is Outcome.ACCEPTED:
        text = f"test push: accepted after {seconds:.2f} s"
        return Check(PUSH, Severity.OK, f"{text}; it should have sounded on the phone by now")
    if outcome.outcome is Outcome.LOST:
        text = f"test push: sent, but the answer was lost ({outcome.detail})"
        return Check(PUSH, Severity.WARNING, text, "check whether it has arrived, then run this again")
    text = f"test push: {outcome.outcome}, {outcome.detail}"
    do = "check this machine's network, then Pushover's status page"
    if outcome.outcome is Outcome.REFUSED:
        do = "check PUSHOVER_TOKEN and PUSHOVER_USER_KEY at pushover.net"
    return Check(PUSH, Severity.FAIL, text, do)
