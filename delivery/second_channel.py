"""The second channel: an address that gets, as text, what Pushover does not accept.

`SECOND_CHANNEL_URL` may name several. This is one of http:// or https://, which gets a POST; all others are Apprise's
(`delivery.apprise_channel`).
"""

from __future__ import annotations

from collections.abc import Sequence

import httpx
from pydantic import SecretStr

from delivery.exchange import Caller, Failed

CHANNEL = "second channel"
"""The channel's name in its outcomes in the record; of several, that of the first."""

SETTING = "SECOND_CHANNEL_URL"

BODY_MAX = 4096
"""How much of its answer is read, bytes: only the status counts."""


def labels(addresses: Sequence[str]) -> list[str]:
    """Returns what to call each address beside the first, such as `` (tgram)``, `` (tgram 2)``; empty for the first.

    Only the scheme is named: the rest of an address is a secret.
    """
    schemes = [address.partition("://")[0].lower() for address in addresses]
    counts = [schemes[:number].count(scheme) for number, scheme in enumerate(schemes, 1)]
    named = [
        f" ({scheme} {count})" if count > 1 else f" ({scheme})"
        for scheme, count in zip(schemes, counts, strict=True)
    ]
    return [label if place else "" for place, label in enumerate(named)]


class SecondChannel:
    """Posts texts to one address. Nothing here raises for a fault of the other side."""

    def __init__(
        self,
        url: SecretStr,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        name: str = CHANNEL,
        setting: str = SETTING,
    ) -> None:
        self.name = name
        self.setting = setting
        self._caller = Caller(url.get_secret_value(), transport, body_max=BODY_MAX)

    @property
    def is_set(self) -> bool:
        """Returns whether the owner has set an address."""
        return bool(self._caller.url)

    async def post(self, title: str, text: str, limit_s: float | None = None) -> str:
        """Posts a text below its title within ``limit_s`` real seconds (None: its own limit). Returns why that failed; empty if it did not.

        Only a 2xx is a success: a redirect or an error page is not. The body does not matter.
        """
        try:
            reply = await self._caller.request("POST", content=f"{title}\n\n{text}", limit_s=limit_s)
        except Failed as failed:
            return str(failed)
        return "" if reply.is_success else f"status {reply.status}"

    async def fault(self, limit_s: float | None = None) -> str:
        """Returns nothing: the setting was checked when it was read."""
        return ""

    async def status(self, limit_s: float) -> int | str:
        """Returns its server's HTTP status; or, in words, why there is none. Sends HEAD, which posts nothing."""
        try:
            return (await self._caller.request("HEAD", limit_s=limit_s)).status
        except Failed as failed:
            return str(failed)

    async def close(self) -> None:
        """Closes its connection."""
        await self._caller.close()
