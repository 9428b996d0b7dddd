"""Keeps one market connected. Both feeds share this."""

from __future__ import annotations

import asyncio
import random

from events import SECOND, FeedCause
from feeds.arrivals import Arrivals, Link
from feeds.outlet import apart
from feeds.pacing import Pacing
from feeds.vendor import PING_TIMEOUT_S, STEP_TIMEOUT_S, Early, Lost, Stream, Streams

STALL_CHECK_S = 5.0
"""Seconds, by the clock, between checks of a silent feed."""

REFUSAL_LASTS_US = 300 * SECOND
"""A refusal that does not look like the vendor's counts as one only after it has lasted this long: until then a proxy or a
front may have failed."""


class MarketFeed:
    """Keeps one market connected, at the pace of `Pacing`. A subclass defines what a connection is used for.

    ``step_s`` limits each step of connecting, in real seconds. ``early`` is called with bars from ahead of our clock.
    """

    def __init__(
        self,
        link: Link,
        streams: Streams,
        arrivals: Arrivals,
        rng: random.Random,
        *,
        step_s: float = STEP_TIMEOUT_S,
        early: Early | None = None,
    ) -> None:
        self._clock = link.clock
        self._rules = link.rules
        self._link = link
        self._streams = streams
        self._arrivals = arrivals
        self._step_s = step_s
        self._early = early
        self._pacing = Pacing(rng)
        self._forced: asyncio.Future[FeedCause] | None = None
        self._pings_tell = True
        """Whether an unanswered ping means anything. It does not if data kept coming while one was unanswered."""
        self._logged_in = False
        """Whether the vendor has accepted the key at a login."""
        self._doubted_since: int | None = None
        """Since when (µs) every handshake was refused by something that does not look like the vendor; None: it was not."""

    async def _serve(self, stream: Stream) -> None:
        """Uses an open connection until it is lost. Raises Lost, possibly in a group."""
        raise NotImplementedError

    def _lose(self, lost: Lost, delay: float) -> None:
        """Handles a connection that is over or failed to open. The next attempt is ``delay`` seconds away."""
        raise NotImplementedError

    async def _stay_connected(self) -> None:
        while True:
            self._pacing.attempt(self._clock.now())
            delay = await apart(self._connect_once())
            await self._clock.sleep(delay)

    async def _connect_once(self) -> float:
        """Opens one connection and uses it to its end. Returns the seconds to wait before the next."""
        stream = self._streams.make(self._early)
        ended: list[Lost] = []
        try:
            try:
                await stream.open()
                self._logged_in = True
                self._pacing.opened(self._clock.now())
                self._forced = asyncio.get_running_loop().create_future()
                await self._serve(stream)
            except* Lost as group:
                ended.extend(_leaves(group))
            lost = ended[0]
            self._classify_refusal(lost)
            delay = self._pacing.delay(self._clock.now(), lost.cause, lost.retry_after)
            self._lose(lost, delay)
            return delay
        finally:
            self._forced = None
            await stream.close()

    def _classify_refusal(self, lost: Lost) -> None:
        """Turns a refusal that is not the vendor's into a lost connection, until it has lasted `REFUSAL_LASTS_US`."""
        now = self._clock.now()
        if not lost.is_doubtful:
            self._doubted_since = None
            return
        if self._doubted_since is None:
            self._doubted_since = now
        if now - self._doubted_since < REFUSAL_LASTS_US:
            lost.cause = FeedCause.DROPPED

    async def _is_alive(self, stream: Stream) -> bool:
        """Pings the connection. Returns False if it is dead, True if it is alive or nothing can be told.

        If data keeps coming while a ping is unanswered, this server does not answer pings. From then on only silence and
        REST count, until a ping is answered again.
        """
        data_at, asked_at = self._arrivals.data_at, self._clock.now()
        is_answered = await stream.alive()
        if self._arrivals.was_away(asked_at, PING_TIMEOUT_S * self._clock.speed):
            return True  # the answer may have come and be unread
        if is_answered:
            self._pings_tell = True
        elif self._arrivals.data_at != data_at:
            self._pings_tell = False
        else:
            return not self._pings_tell
        return True

    async def _await_reopening(self) -> None:
        """Raises Lost once `reopen` is called."""
        assert self._forced is not None, "there is a connection"
        cause = await self._forced
        raise Lost(cause, f"reopened: {cause}")

    def reopen(self, cause: FeedCause) -> None:
        """Gives up the connection for ``cause``, so that a new one is opened. Does nothing without a connection."""
        if self._forced is not None and not self._forced.done():
            self._forced.set_result(cause)


def _leaves(group: BaseExceptionGroup[Lost]) -> list[Lost]:
    found: list[Lost] = []
    for error in group.exceptions:
        found.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return found
