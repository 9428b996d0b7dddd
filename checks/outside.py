"""Asks the outside watch (HEARTBEAT_URL) and the second channel (SECOND_CHANNEL_URL) for an answer."""

from __future__ import annotations

import asyncio

from pydantic import SecretStr

import utils
from checks.check import OUTSIDE, Check, Severity
from checks.questions import TEST_TITLE, Inquiry
from delivery.exchange import Caller, Failed, Reply
from delivery.second_channel import SecondChannel
from worker.heartbeat import BODY_MAX, fault_of

HTTP_FAULT = 500

HTTP_UNKNOWN = frozenset({401, 403, 404, 410})
"""Statuses that a wrong or outdated address answers with."""

COMPARE = "compare it with the address that its service shows"

SECOND_TEST_TEXT = (
    "Sent by diagnose.py at {at} ET. A SELL that Pushover does not take comes here.\nYou: nothing to do."
)


class Outside:
    """The questions about what watches from outside. Skips an address that is not set."""

    def __init__(self, inquiry: Inquiry) -> None:
        self._inquiry = inquiry

    async def ask(self) -> list[Check]:
        """Asks both addresses side by side."""
        settings = self._inquiry.settings
        heartbeat, second = settings.heartbeat_url, settings.second_channel_url
        lines = await asyncio.gather(
            self._inquiry.limited(OUTSIDE, "HEARTBEAT_URL", lambda: self._beat(heartbeat.get_secret_value())),
            self._inquiry.limited(OUTSIDE, "SECOND_CHANNEL_URL", lambda: self._second_channel(second)),
        )
        return [check for group in lines for check in group]

    async def _beat(self, url: str) -> Check | None:
        """Sends one beat, as the worker does every minute. Returns None if no address is set: `checks.settings` warns of that."""
        if not url:
            return None
        reply = await self._answer_of("GET", url)
        if isinstance(reply, str):
            do = "check this machine's network, and HEARTBEAT_URL"
            return Check(OUTSIDE, Severity.FAIL, f"HEARTBEAT_URL: {reply}", do)
        fault = fault_of(reply)
        if fault:
            return Check(OUTSIDE, Severity.FAIL, f"HEARTBEAT_URL: {fault}", COMPARE)
        text = f"HEARTBEAT_URL: answered {reply.status}, and has counted this as a beat"
        return Check(OUTSIDE, Severity.OK, text)

    async def _second_channel(self, url: SecretStr) -> Check | None:
        """Posts a test to the second channel with --send-test; otherwise only checks that its server answers."""
        if not url.get_secret_value():
            return None
        return await (
            self._post_test(url) if self._inquiry.asked.send_test else self._knock(url.get_secret_value())
        )

    async def _post_test(self, url: SecretStr) -> Check:
        """Posts one test, as the worker posts a SELL that Pushover does not take."""
        channel = SecondChannel(url, self._inquiry.transport)
        title = TEST_TITLE.format(symbol=self._inquiry.settings.rules.symbol)
        text = SECOND_TEST_TEXT.format(at=utils.clock_text(self._inquiry.clock.now()))
        try:
            failure = await channel.post(f"{title}\n\n{text}", self._inquiry.patience_s)
        finally:
            await channel.close()
        if failure:
            return Check(OUTSIDE, Severity.FAIL, f"SECOND_CHANNEL_URL: test not taken, {failure}", COMPARE)
        return Check(
            OUTSIDE, Severity.OK, "SECOND_CHANNEL_URL: test taken; it should have arrived there by now"
        )

    async def _knock(self, url: str) -> Check:
        """Checks that the second channel's server answers. HEAD posts nothing there."""
        reply = await self._answer_of("HEAD", url)
        if isinstance(reply, str):
            do = "check this machine's network, and SECOND_CHANNEL_URL"
            return Check(OUTSIDE, Severity.FAIL, f"SECOND_CHANNEL_URL: {reply}", do)
        text = f"SECOND_CHANNEL_URL: its server answers ({reply.status}); nothing was posted, so more is not known"
        if reply.status >= HTTP_FAULT or reply.status in HTTP_UNKNOWN:
            return Check(OUTSIDE, Severity.WARNING, text, COMPARE)
        return Check(OUTSIDE, Severity.OK, text)

    async def _answer_of(self, method: str, url: str) -> Reply | str:
        """Returns a server's answer, or in words why there is none. Never returns the error's own text: it may hold the address."""
        caller = Caller(url, self._inquiry.transport, limit_s=self._inquiry.patience_s, body_max=BODY_MAX)
        try:
            return await caller.ask(method)
        except Failed as failed:
            return str(failed)
        finally:
            await caller.close()
