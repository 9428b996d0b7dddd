"""A side channel through Apprise: a chat, a push service, e-mail. Each send runs in a thread of its own."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable

from pydantic import SecretStr

from delivery import apprise_library
from threads import Threads

LIMIT_S = 15.0
"""Real seconds for one send: more than `apprise_library.SOCKET_S` for a connection and as much for an answer."""

AT_WORK_MAX = 8
"""Sends to one address that may be at work at once. One whose server never answers cannot be ended, only left."""


class AppriseChannel:
    """Sends texts to one address of Apprise. Nothing here raises for what the other side does."""

    is_set = True

    def __init__(self, address: SecretStr, threads: Threads, *, name: str, setting: str) -> None:
        self.name = name
        self.setting = setting
        self._address = address
        self._threads = threads
        self._at_work: set[asyncio.Future[str]] = set()

    async def post(self, title: str, text: str, limit_s: float | None = None) -> str:
        """Sends a text, within ``limit_s`` real seconds. Returns why it was not taken; empty if it was.

        A send that takes longer is left to itself, so it may still arrive.
        """
        address = self._address.get_secret_value()
        return await self._run(functools.partial(apprise_library.send, address, title, text), limit_s)

    async def fault(self, limit_s: float | None = None) -> str:
        """Returns what is wrong with the address, without asking anyone; empty if nothing is. Loads Apprise."""
        return await self._run(
            functools.partial(apprise_library.fault, self._address.get_secret_value()), limit_s
        )

    async def status(self, limit_s: float) -> None:
        """Returns None: Apprise cannot ask a service anything without sending a text."""

    async def close(self) -> None:
        """Does nothing: each send closes its own connection."""

    async def _run(self, action: Callable[[], str], limit_s: float | None) -> str:
        """Returns what ``action`` returns, or in words why it has not."""
        if len(self._at_work) >= AT_WORK_MAX:
            return f"{AT_WORK_MAX} earlier sends have not ended"
        try:
            thread = self._threads("apprise")
        except RuntimeError as error:  # the machine has no thread left now: the next attempt may get one
            return str(error)
        ended = thread.submit(action)
        thread.last()
        self._at_work.add(ended)
        ended.add_done_callback(self._at_work.discard)
        try:
            async with asyncio.timeout(LIMIT_S if limit_s is None else limit_s):
                # Shielded: a send that takes too long counts as at work until it ends.
                return await asyncio.shield(ended)
        except TimeoutError:
            return "no answer in time"
