"""Keeps one market connected: what both feeds share."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from events import SECOND, FeedCause, Session
from feeds.massive.bad_input import BadInput, scrubber
from feeds.massive.numbers import ahead_us
from feeds.massive.rest import Rest
from feeds.massive.socket import Socket
from feeds.massive.wire import FrameDecoder
from feeds.outlet import apart
from feeds.pacing import Pacing
from feeds.vendor import PING_TIMEOUT_S, Lost
from rules import Rules
from utils import Clock

REFUSAL_LASTS_US = 300 * SECOND
"""A refusal that does not look like the vendor's counts as one when it lasts this long."""

AWAY_S = 5.0
"""What takes so many seconds of the clock longer than it can was interrupted: the process was stopped, the machine slept."""


class MarketFeed:
    """Keeps one market connected, at the pace of `Pacing`. What a connection is for is its subclass's business."""

    def __init__(
        self,
        market: str,
        *,
        rest: Rest,
        ws_url: str,
        api_key: str,
        clock: Clock,
        rules: Rules,
        session: Session,
        rng: random.Random,
        step_s: float,
        early: Callable[[int, str, int], None] | None = None,
    ) -> None:
        self.bad = BadInput(f"the {market} socket", clock, scrubber(api_key))
        self._market = market
        self._rest = rest
        self._ws_url = ws_url
        self._api_key = api_key
        self._clock = clock
        self._rules = rules
        self._session = session
        self._step_s = step_s
        self._decoder = FrameDecoder(self.bad, ahead_us(rules), early)
        self._pacing = Pacing(rng)
        self._forced: asyncio.Future[FeedCause] | None = None
        self._data_at = 0
        """When data last came that was new, µs: a repeat is no sign of life."""
        self._pings_tell = True
        """Whether an unanswered ping says anything: not where data went on coming while one was unanswered."""
        self._logged_in = False
        """Whether the vendor has taken the key at a login."""
        self._doubted_since: int | None = None
        """Since when every handshake was refused by something that does not look like the vendor, µs."""
        self._acknowledged_at = 0
        """When the subscriptions were last acknowledged, µs."""
        self._woke_at = 0
        """When the program last went on after it had not run, or its clock had stepped forward, µs."""

    async def _nap(self, seconds: float) -> None:
        """Sleep for so long by the clock, and note when it was much longer: see `_was_away`."""
        asked_at = self._clock.now()
        await self._clock.sleep(seconds)
        self._was_away(asked_at, seconds)

    def _was_away(self, since: int, at_most: float) -> bool:
        """Whether what began at ``since`` (µs) and takes ``at_most`` seconds of the clock took so much longer that the
        program did not run meanwhile, or its clock stepped forward.

        What has come in that time may still lie unread: from now on silence is counted anew.
        """
        now = self._clock.now()
        if now - since < (at_most + AWAY_S) * SECOND:
            return False
        self._woke_at = now
        return True

    async def _serve(self, socket: Socket) -> None:
        """Use an open connection until it is lost. Raises Lost, maybe in a group."""
        raise NotImplementedError

    def _lose(self, lost: Lost, delay: float) -> None:
        """A connection is over, or did not come about; the next attempt is ``delay`` seconds away."""
        raise NotImplementedError

    async def _stay_connected(self) -> None:
        while True:
            self._pacing.attempt(self._clock.now())
            delay = await apart(self._connect_once())
            await self._clock.sleep(delay)

    async def _connect_once(self) -> float:
        """One connection from its beginning to its end. Returns how long to wait before the next, s."""
        socket = Socket(
            self._market,
            ws_url=self._ws_url,
            api_key=self._api_key,
            clock=self._clock,
            decoder=self._decoder,
            step_s=self._step_s,
        )
        ended: list[Lost] = []
        try:
            try:
                await socket.open()
                self._logged_in = True
                self._pacing.opened(self._clock.now())
                self._forced = asyncio.get_running_loop().create_future()
                await self._serve(socket)
            except* Lost as group:
                ended.extend(_leaves(group))
            lost = ended[0]
            self._judge_refusal(lost)
            delay = self._pacing.delay(self._clock.now(), lost.cause, lost.retry_after)
            self._lose(lost, delay)
            return delay
        finally:
            self._forced = None
            await socket.close()

    def _judge_refusal(self, lost: Lost) -> None:
        """Take a refusal by a stranger for a lost connection, until it has lasted."""
        now = self._clock.now()
        if not lost.is_doubtful:
            self._doubted_since = None
            return
        if self._doubted_since is None:
            self._doubted_since = now
        if now - self._doubted_since < REFUSAL_LASTS_US:
            lost.cause = FeedCause.DROPPED

    async def _is_alive(self, socket: Socket) -> bool:
        """Whether nothing says that the connection is dead.

        Where data goes on coming while a ping is unanswered, this server does not answer pings: from then on only
        silence and REST judge it, until a ping is answered again.
        """
        data_at, asked_at = self._data_at, self._clock.now()
        is_answered = await socket.alive()
        if self._was_away(asked_at, PING_TIMEOUT_S * self._clock.speed):
            return True  # the answer may lie unread
        if is_answered:
            self._pings_tell = True
        elif self._data_at != data_at:
            self._pings_tell = False
        else:
            return not self._pings_tell
        return True

    async def _await_reopening(self) -> None:
        """End the connection when somebody asks for it."""
        assert self._forced is not None, "there is a connection"
        cause = await self._forced
        raise Lost(cause, f"reopened: {cause}")

    def reopen(self, cause: FeedCause) -> None:
        """Give the connection up for ``cause`` and open another. Without a connection, nothing happens."""
        if self._forced is not None and not self._forced.done():
            self._forced.set_result(cause)

    def _in_session(self, now: int) -> bool:
        return self._session.open <= now < self._session.close

    def _quiet_since(self) -> int:
        """Since when nothing new has come that should have, µs."""
        return max(self._data_at, self._session.open, self._acknowledged_at, self._woke_at)


def _leaves(group: BaseExceptionGroup[Lost]) -> list[Lost]:
    found: list[Lost] = []
    for error in group.exceptions:
        found.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return found
