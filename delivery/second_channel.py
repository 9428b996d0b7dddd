"""The second channel: an address that takes, as text, what Pushover does not take."""

from __future__ import annotations

import httpx
from pydantic import SecretStr

from delivery.exchange import Caller, Failed

CHANNEL = "second channel"
"""Under this name the outcomes of the second channel stand in the record."""

BODY_MAX = 4096
"""Bytes of its answer that are read: only the status counts."""


class SecondChannel:
    """Posts texts to `SECOND_CHANNEL_URL`. Nothing here raises for what the other side does."""

    name = CHANNEL
    setting = "SECOND_CHANNEL_URL"

    def __init__(self, url: SecretStr, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._caller = Caller(url.get_secret_value(), transport, body_max=BODY_MAX)

    @property
    def is_set(self) -> bool:
        """Whether there is one."""
        return bool(self._caller.url)

    async def post(self, text: str, limit_s: float | None = None) -> str:
        """Post a text, within ``limit_s`` real seconds. Returns why it was not taken; empty when it was.

        Only a 2xx is a success: a redirect or an error page is not. The body is not looked at.
        """
        try:
            reply = await self._caller.ask("POST", content=text, limit_s=limit_s)
        except Failed as failed:
            return str(failed)
        return "" if reply.is_success else f"status {reply.status}"

    async def status(self, limit_s: float) -> int | str:
        """Returns its server's status, or in words why there is none. HEAD posts nothing there."""
        try:
            return (await self._caller.ask("HEAD", limit_s=limit_s)).status
        except Failed as failed:
            return str(failed)

    async def close(self) -> None:
        """Close its connection."""
        await self._caller.close()
