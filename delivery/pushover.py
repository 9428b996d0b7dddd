"""Pushover over HTTP: one method for each request, and the fields of its forms. The API: https://pushover.net/api."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlencode

import httpx
from pydantic import SecretStr

from delivery.answers import Answer, Result, read_answer, scrubbed
from delivery.channel import Cleared
from delivery.exchange import EXCHANGE_S, close_client, exchange, failure_words, failures, make_client
from delivery.first_byte import FirstByte
from delivery.receipts import EMERGENCY_EXPIRE_S
from events import SECOND, AlertKind
from messages.alert import Alert, Priority, full_title

CONNECTIONS_MAX = 2
"""Connections at a time: Pushover allows two (https://pushover.net/api#friendly)."""

EMERGENCY_RETRY_S = 30
"""Seconds between the repeats of an emergency push: the least that Pushover allows
(https://pushover.net/api#priority)."""

NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""Failures before the first byte: the request has certainly not arrived."""

PRIORITIES: Mapping[Priority, str] = {
    Priority.QUIET: "-1",
    Priority.NORMAL: "0",
    Priority.HIGH: "1",
    Priority.EMERGENCY: "2",
}
"""Pushover's numbers."""


MESSAGES = "/1/messages.json"


class Look(NamedTuple):
    """How alerts appear on the phone. A sound is one of Pushover's names; empty means the phone's own sound."""

    title_detail: bool = True
    buy_sound: str = ""
    sell_sound: str = ""


PLAIN = Look()


def fields_of(alert: Alert, text: str, now: int, look: Look) -> dict[str, str]:
    """Returns the form of a message that goes out at ``now`` (µs) with ``text``, without token and user."""
    sounds = {AlertKind.BUY: look.buy_sound, AlertKind.SELL: look.sell_sound}
    fields = {
        "title": full_title(alert, now) if look.title_detail else alert.title,
        "message": text,
        "timestamp": str(alert.decided_at // SECOND),
        "priority": PRIORITIES[alert.priority],
    }
    if sound := sounds.get(alert.kind, ""):
        fields["sound"] = sound
    if alert.kind is AlertKind.BUY:
        # Pushover deletes a BUY from the phone at the time stop.
        fields["ttl"] = str(max(1, (alert.time_stop - now) // SECOND))
    if alert.priority is Priority.EMERGENCY:
        fields |= {"retry": str(EMERGENCY_RETRY_S), "expire": str(EMERGENCY_EXPIRE_S)}
    return fields


class Pushover:
    """The push service over HTTP: one method for each request. No method raises for a failed exchange.

    ``exchange_s`` is real seconds for a whole exchange.
    """

    def __init__(
        self,
        url: str,
        token: SecretStr,
        user: SecretStr,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        exchange_s: float = EXCHANGE_S,
        look: Look = PLAIN,
    ) -> None:
        self._look = look
        self._exchange_s = exchange_s
        self._token = token
        self._user = user
        self._url = url
        self._transport = transport
        self._is_gated = False
        """Whether the transport, as httpcore does, asks before the first byte: the last request has shown it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @functools.cached_property
    def _client(self) -> httpx.AsyncClient:
        """The httpx client, made at the first request: its import takes 40 ms, and the feed comes first."""
        return make_client(self._url, CONNECTIONS_MAX, self._transport)

    @functools.cached_property
    def _blank(self) -> httpx.Request:
        """A message's request without its content, so that URL and headers are built once and not for each alert."""
        blank = self._client.build_request("POST", MESSAGES, data={"title": ""})
        del blank.headers["Content-Length"]
        return blank

    async def close(self) -> None:
        """Closes its connections, if any was opened."""
        if "_client" in self.__dict__:
            await close_client(self._client)

    def message(self, fields: Mapping[str, str]) -> httpx.Request:
        """Returns the request that posts one message. Adds token and user. Raises one of `failures`."""
        blank = self._blank
        return httpx.Request(
            blank.method,
            blank.url,
            headers=blank.headers,
            content=urlencode({**self._keys(), **fields}),
            extensions=dict(blank.extensions),
        )

    async def push(self, alert: Alert, text: str, now: int, cleared: Cleared, picture: bytes = b"") -> Answer:
        """Pushes one alert, like `post`, with ``text`` as of ``now`` (µs). A PNG goes with it as Pushover's ``attachment``."""
        fields = fields_of(alert, text, now, self._look)
        if not picture:
            return await self.post(fields, cleared)
        try:
            request = self._client.build_request(
                "POST",
                MESSAGES,
                data={**self._keys(), **fields},
                files={"attachment": ("picture.png", picture, "image/png")},
            )
            request.read()  # the form in one piece: a few 100 kB
        except failures() as error:
            return Answer(result=Result.FAILED, reason=failure_words(error))
        return await self.send(request, cleared)

    async def post(self, fields: Mapping[str, str], cleared: Cleared | None = None) -> Answer:
        """Posts one message, like `send`. Returns FAILED if the request cannot even be built."""
        try:
            request = self.message(fields)
        except failures() as error:
            return Answer(result=Result.FAILED, reason=failure_words(error))
        return await self.send(request, cleared)

    async def validate(self) -> Answer:
        """Requests whether token and user are good. `Answer.devices` names the user's devices."""
        return await self._exchange("POST", "/1/users/validate.json", self._keys())

    async def limits(self) -> Answer:
        """Requests the quota."""
        return await self._exchange("GET", "/1/apps/limits.json")

    async def receipt(self, receipt: str) -> Answer:
        """Requests whether an emergency push was acknowledged. ``receipt`` has passed `is_receipt`. At most every 5 s."""
        return await self._exchange("GET", f"/1/receipts/{receipt}.json")

    def _keys(self) -> dict[str, str]:
        return {"token": self._token.get_secret_value(), "user": self._user.get_secret_value()}

    async def _exchange(self, method: str, path: str, form: dict[str, str] | None = None) -> Answer:
        # The token of a GET must be in the URL, so no URL and no text of an httpx error is ever logged.
        parameters = None if form else {"token": self._token.get_secret_value()}
        try:
            request = self._client.build_request(method, path, data=form, params=parameters)
        except failures() as error:
            return Answer(result=Result.FAILED, reason=failure_words(error))
        return await self.send(request)

    async def send(self, request: httpx.Request, cleared: Cleared | None = None) -> Answer:
        """Sends a request, such as one from `message`, and returns the answer.

        Does everything but write the first byte before ``cleared`` returns. The exchange's time starts then. Raises what
        ``cleared`` raises, in which case nothing was sent.
        """
        try:
            async with asyncio.timeout(self._exchange_s) as limit:
                gate = FirstByte(cleared, limit, self._exchange_s)
                request.extensions["trace"] = gate.trace
                if not self._is_gated:
                    await gate.open()
                reply = await exchange(self._client, request)
                self._is_gated = gate.was_asked
        except failures() as error:
            # httpcore traces the event before the first byte. Another transport need not, so assume that it was sent.
            began = gate.is_open and (gate.was_asked or self._transport is not None)
            result = Result.LOST if began and not isinstance(error, NEVER_SENT) else Result.FAILED
            return Answer(result=result, reason=failure_words(error))
        body = reply.body if reply.is_whole else b""
        keys = tuple(self._keys().values())
        return read_answer(reply.status, reply.headers, body, lambda text: scrubbed(text, keys))
