"""Polls today's option chain during the session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

import structlog

from events import SECOND, Chain
from feeds.arrivals import Link
from feeds.outlet import BATCHES_WAITING_MAX, Outlet, iterate
from feeds.vendor import NoAnswer

log = structlog.get_logger("polygon_client")

REFUSED_POLL_S = 60.0
"""Seconds, by the clock, between polls that the vendor refuses."""

LIMITED_POLL_S = 10.0
"""Seconds to wait after too many requests, if the vendor names no time."""


class ChainPoller:
    """Polls today's chain during the session. Iterate `events` once.

    ``spot`` returns the newest share price in dollars, or None. ``streaming`` returns whether quotes come over the
    socket; without them it polls faster. ``has_rows`` is whether an earlier start of this session had a chain with calls.
    """

    def __init__(
        self,
        link: Link,
        *,
        spot: Callable[[], float | None],
        streaming: Callable[[], bool],
        has_rows: bool = False,
    ) -> None:
        self._link = link
        self._clock = link.clock
        self._rules = link.rules
        self._session = link.session
        self._spot = spot
        self._streaming = streaming
        self._outlet: Outlet[Chain] = Outlet()
        self._failures = 0
        self._told = ""
        self._has_rows = has_rows
        """Whether an answer in this session had calls."""

    def events(self) -> AsyncGenerator[list[Chain], None]:
        """Yields the chain of each poll, several at once if they waited. Yields nothing after the close."""
        return iterate(self._outlet, self._run, "chain poller")

    async def _run(self) -> None:
        while (left := self._session.open - self._clock.now()) > 0:
            await self._clock.sleep(left / SECOND)
        await self._poll()
        await asyncio.Event().wait()

    async def _poll(self) -> None:
        while self._link.in_session(self._clock.now()):
            began_at = self._clock.now()
            wait = await self._poll_once()
            not_before = self._clock.now() + round(wait * SECOND)
            # Read the pace every second, so that polls speed up as soon as the stream falls silent.
            while (left := max(not_before, began_at + round(self._pace() * SECOND)) - self._clock.now()) > 0:
                await self._clock.sleep(min(1.0, left / SECOND))

    def _pace(self) -> float:
        rules = self._rules
        return rules.chain_poll_seconds if self._streaming() else rules.chain_fallback_poll_seconds

    async def _poll_once(self) -> float:
        """Polls once. Returns the least number of seconds to wait afterwards."""
        rules = self._rules
        if self._outlet.batches >= BATCHES_WAITING_MAX:
            return 0.0
        try:
            chain = await self._link.data.chain(
                rules.symbol, self._session.date, self._spot(), rules.chain_spot_percent
            )
        except NoAnswer as error:
            return self._fail(error)
        if self._has_rows and not chain.rows:
            # Calls do not vanish during a session: keep the last good chain, whose age will end the entries.
            self._failures += 1
            self._tell_empty("⚠️ The chain came back empty after good ones: still using the last good one")
            return 0.0
        if self._failures:
            log.info(
                "chain_polled_again",
                text=f"✓ Chain polls work again ({self._failures} failed)",
                failures=self._failures,
            )
        self._failures, self._has_rows = 0, bool(chain.rows)
        if chain.rows:
            self._told = ""
        else:
            self._tell_empty(f"⚠️ The chain is empty: no {rules.symbol} calls expire on {self._session.date}")
        self._outlet.put(chain)
        return 0.0

    def _fail(self, error: NoAnswer) -> float:
        self._failures += 1
        if str(error) != self._told:
            self._told = str(error)
            log.warning(
                "chain_poll_failed",
                text=f"⚠️ Chain poll failed, still using the last good one: {error}",
                reason=self._told,
                kind=error.kind,
            )
        if error.is_limited:
            return error.retry_after if error.retry_after is not None else LIMITED_POLL_S
        return REFUSED_POLL_S if error.is_lasting else 0.0

    def _tell_empty(self, text: str) -> None:
        """Logs ``text`` if it differs from what was logged last: not at every poll."""
        if self._told != text:
            self._told = text
            log.warning("chain_empty", text=text, expiry=self._session.date)
