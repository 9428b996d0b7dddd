"""Asks the outside watch (HEARTBEAT_URL) and every side channel (SECOND_CHANNEL_URL) for an answer."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence

import utils
from checks.check import OUTSIDE, Check, Severity
from checks.questions import TEST_TITLE, Inquiry
from delivery.channel import SideChannel
from delivery.exchange import Caller, Failed
from worker.heartbeat import BODY_MAX, fault_of

HTTP_FAULT = 500

HTTP_UNKNOWN = frozenset({401, 403, 404, 410})
"""Statuses that a wrong or outdated address answers with."""

COMPARE = "compare it with the address that its service shows"

SIDE_TEST_TEXT = (
    "Sent by diagnose.py at {at} ET. SELLs that Pushover does not accept arrive here.\nYou: nothing to do."
)


class Outside:
    """The questions about what watches from outside, and about ``channels``. Skips an address that is not set."""

    def __init__(self, inquiry: Inquiry, channels: Sequence[SideChannel]) -> None:
        self._inquiry = inquiry
        self._channels = channels

    async def ask(self) -> list[Check]:
        """Asks all addresses side by side."""
        limited, heartbeat = self._inquiry.limited, self._inquiry.settings.heartbeat_url
        lines = await asyncio.gather(
            limited(OUTSIDE, "HEARTBEAT_URL", lambda: self._beat(heartbeat.get_secret_value())),
            *(
                limited(OUTSIDE, channel.setting, functools.partial(self._try, channel))
                for channel in self._channels
            ),
        )
        return [check for group in lines for check in group]

    async def check_addresses(self) -> list[Check]:
        """Checks each side channel's address without contacting anybody."""
        lines = await asyncio.gather(
            *(
                self._inquiry.limited(OUTSIDE, channel.setting, functools.partial(self._spelling, channel))
                for channel in self._channels
            )
        )
        return [check for group in lines for check in group]

    async def _beat(self, url: str) -> Check | None:
        """Sends one beat, as the worker does every minute. Returns None if no address is set: `checks.settings` warns of that."""
        if not url:
            return None
        caller = Caller(url, self._inquiry.transport, limit_s=self._inquiry.patience_s, body_max=BODY_MAX)
        try:
            reply = await caller.request("GET")
        except Failed as failed:
            do = "check this machine's network, and HEARTBEAT_URL"
            return Check(OUTSIDE, Severity.FAIL, f"HEARTBEAT_URL: {failed}", do)
        finally:
            await caller.close()
        fault = fault_of(reply)
        if fault:
            return Check(OUTSIDE, Severity.FAIL, f"HEARTBEAT_URL: {fault}", COMPARE)
        text = f"HEARTBEAT_URL: answered {reply.status}, and has counted this as a beat"
        return Check(OUTSIDE, Severity.OK, text)

    async def _try(self, channel: SideChannel) -> Check | None:
        """Posts a test to a side channel with --send-test; otherwise only checks that its server answers."""
        try:
            if not channel.is_set:
                return None
            return await (self._post_test(channel) if self._inquiry.asked.send_test else self._knock(channel))
        finally:
            await channel.close()

    async def _post_test(self, channel: SideChannel) -> Check:
        """Posts one test, as the worker posts a SELL that Pushover does not take."""
        title = TEST_TITLE.format(symbol=self._inquiry.settings.rules.symbol)
        text = SIDE_TEST_TEXT.format(at=utils.clock_text(self._inquiry.clock.now()))
        failure = await channel.post(title, text, self._inquiry.patience_s)
        if failure:
            # Without a status nobody has answered, or Apprise does not say what was answered.
            do = COMPARE if failure.startswith("status ") else f"check this machine's network, then {COMPARE}"
            return Check(OUTSIDE, Severity.FAIL, f"{channel.setting}: test not accepted, {failure}", do)
        return Check(
            OUTSIDE, Severity.OK, f"{channel.setting}: test accepted; it should have arrived there by now"
        )

    async def _spelling(self, channel: SideChannel) -> Check | None:
        """Checks that a side channel's address can be used."""
        try:
            if not channel.is_set:
                return None
            if fault := await channel.fault(self._inquiry.patience_s):
                return Check(OUTSIDE, Severity.FAIL, f"{channel.setting}: {fault}", COMPARE)
            return Check(OUTSIDE, Severity.OK, f"{channel.setting}: its address can be used")
        finally:
            await channel.close()

    async def _knock(self, channel: SideChannel) -> Check:
        """Checks that a side channel's server answers."""
        if fault := await channel.fault(self._inquiry.patience_s):
            return Check(OUTSIDE, Severity.FAIL, f"{channel.setting}: {fault}", COMPARE)
        status = await channel.status(self._inquiry.patience_s)
        if status is None:
            text = f"{channel.setting}: not tested; --send-test sends one test there"
            return Check(OUTSIDE, Severity.OK, text)
        if isinstance(status, str):
            do = f"check this machine's network, and {channel.setting}"
            return Check(OUTSIDE, Severity.FAIL, f"{channel.setting}: {status}", do)
        text = f"{channel.setting}: its server answers ({status}); nothing was posted, so more is unknown"
        if status >= HTTP_FAULT or status in HTTP_UNKNOWN:
            return Check(OUTSIDE, Severity.WARNING, text, COMPARE)
        return Check(OUTSIDE, Severity.OK, text)
