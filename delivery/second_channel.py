"""The second channel: an address that gets, as text, what Pushover does not accept."""

from __future__ import annotations

import httpx
from pydantic import SecretStr

from delivery.exchange import Caller, Failed

CHANNEL = "second channel"
"""The channel's name in its outcomes in the record."""

BODY_MAX = 4096
"""How much of its answer is read, bytes: only the status counts."""


class SecondChannel:
    """Posts texts to `SECOND_CHANNEL_URL`. Nothing here raises for a fault of the other side."""

    name = CHANNEL
    setting = "SECOND_CHANNEL_URL"

    def __init__(self, url: SecretStr, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._caller = Caller(url.get_secret_value(), transport, body_max=BODY_MAX)

    @property
    def is_set(self) -> bool:
        """Returns whether the owner has set an address."""
        return bool(self._caller.url)

    async def post(self, text: str, limit_s: float | None = None) -> str:
        """Posts a text within ``limit_s`` real seconds (None: its own limit). Returns why that failed; empty if it did not.

        Only a 2xx is a success: a redirect or an error page is not. The body does not matter.
        """
        try:
            reply = await self._caller.request("POST", content=text, limit_s=limit_s)
        except Failed as failed:
            return str(failed)
        return "" if reply.is_success else f"status {reply.status}"

    async def status(self, limit_s: float) -> int | str:
        """Returns its server's HTTP status; or, in words, why there is none. Sends HEAD, which posts nothing."""
        try:
            return (await self._caller.request("HEAD", limit_s=limit_s)).status
        except Failed as failed:
            return str(failed)

    async def close(self) -> None:
        """Closes its connection."""
        await self._caller.close()
