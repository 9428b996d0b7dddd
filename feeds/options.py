"""The newest quotes of the wanted contracts."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncGenerator, Callable

import msgspec
import structlog

from events import SECOND, FeedCause, Quote
from feeds.arrivals import Arrivals, Link
from feeds.connection import STALL_CHECK_S, MarketFeed
from feeds.outlet import BATCHES_WAITING_MAX, Outlet, iterate
from feeds.vendor import PING_TIMEOUT_S, STEP_TIMEOUT_S, Lost, NoAnswer, Stream, StreamQuote, Streams

log = structlog.get_logger("polygon_client")

HAND_ON_S = 0.25
"""Seconds, by the clock, between two quotes of the held contract that are passed on: only the newest one is."""

HAND_ON_ALL_EVERY = 4
"""The other contracts' quotes are passed on with every fourth of these: once a second."""

CONSULT_S = 1.0
"""Seconds, by the clock, between checks of which contracts are wanted."""

QUOTES_REOPEN_S = 60.0
"""Seconds of silence after which the socket is reopened once. Quotes near the money change several times a second."""


class Wanted(msgspec.Struct, frozen=True):
    """Which contracts' quotes are wanted: those to stream, and the held one, if any, which is streamed, too."""

    contracts: frozenset[str] = frozenset()
    held: str | None = None

    @property
    def pairs(self) -> frozenset[str]:
        """Returns the pairs to subscribe to."""
        held = () if self.held is None else (self.held,)
        return frozenset(f"Q.{contract}" for contract in self.contracts.union(held))


class Confirmation:
    """Requests the held contract's quote over REST if none was passed on for a while.

    A socket sends a quote only when it changes, so silence may mean an unchanged quote or a dead stream.
    """

    def __init__(self, link: Link, outlet: Outlet[Quote], streaming: Callable[[], bool]) -> None:
        self._link = link
        self._outlet = outlet
        self._streaming = streaming
        self._held: str | None = None
        self._handed_at = 0
        """When a quote of the held contract was last passed on, or when it became the held one, µs."""

    def want(self, held: str | None, now: int) -> None:
        """Makes ``held`` the contract to confirm from now on; None for no contract."""
        if held != self._held:
            self._held, self._handed_at = held, now

    def handed_on(self, now: int) -> None:
        """Records that a quote of the held contract was passed on at ``now`` (µs)."""
        self._handed_at = now

    async def run(self) -> None:
        """Requests the quote whenever none was passed on for `QUOTE_CONFIRM_SECONDS`; at once if nothing streams."""
        told = ""
        clock, rules = self._link.clock, self._link.rules
        while True:
            await clock.sleep(CONSULT_S)
            held = self._held
            if held is None:
                continue
            now = clock.now()
            limit = rules.quote_confirm_seconds if self._streaming() else 0
            if not self._link.in_session(now) or now - self._handed_at < limit * SECOND:
                continue
            error = await self._confirm(held)
            if error is not None and str(error) != told:
                log.warning(
                    "confirm_failed",
                    text=f"⚠️ {held}: its quote could not be confirmed: {error}",
                    contract=held,
                    reason=str(error),
                )
            told = str(error) if error is not None else ""
            pace = rules.chain_poll_seconds if self._streaming() else rules.chain_fallback_poll_seconds
            wait = max(pace, (error.retry_after or 0.0) if error is not None else 0.0)
            await clock.sleep(max(0.0, wait - CONSULT_S))

    async def _confirm(self, held: str) -> NoAnswer | None:
        try:
            quote = await self._link.data.contract(self._link.rules.symbol, held)
        except NoAnswer as error:
            return error
        self._outlet.put(quote)
        return None


class OptionsFeed(MarketFeed):
    """The newest quotes of the wanted contracts, at most one of each per step; polls of the held one if they do not stream.

    Failures here never end the program and do not count as a lost feed: ``streaming`` becomes False, the chain is polled
    faster instead, and the log says so once.
    """

    def __init__(
        self,
        link: Link,
        streams: Streams,
        rng: random.Random,
        *,
        wanted: Callable[[], Wanted],
        step_s: float = STEP_TIMEOUT_S,
    ) -> None:
        super().__init__(link, streams, Arrivals(link), rng, step_s=step_s)
        self._wanted_now = wanted
        self._wanted = Wanted()
        self._outlet: Outlet[Quote] = Outlet()
        self._newest: dict[str, StreamQuote] = {}
        self._fresh: set[str] = set()
        self._confirmation = Confirmation(link, self._outlet, lambda: self.streaming)
        self._is_up = False
        self._silence_told = False
        self._lost_text = "not connected yet"
        self._lost_told = ""

    @property
    def streaming(self) -> bool:
        """Returns whether quotes come over the socket: connected, acknowledged and, during the session, not silent."""
        now = self._clock.now()
        if not self._is_up or not self._link.in_session(now):
            return self._is_up
        since = max(self._arrivals.data_at, self._link.session.open, self._arrivals.woke_at)
        return now - since < self._rules.stream_silence_seconds * SECOND

    def events(self) -> AsyncGenerator[list[Quote], None]:
        """Yields quotes, all that wait at once. Never ends by itself; closing it closes the socket."""
        return iterate(self._outlet, self._run, "options feed")

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._consult())
            group.create_task(self._stay_connected())
            group.create_task(self._hand_on())
            group.create_task(self._confirmation.run())
            group.create_task(self._tell())

    async def _consult(self) -> None:
        """Updates every second which contracts are wanted, and drops the quotes of the others."""
        while True:
            self._wanted = wanted = self._wanted_now()
            kept = wanted.contracts | {wanted.held}
            for contract in [contract for contract in self._newest if contract not in kept]:
                del self._newest[contract]
                self._fresh.discard(contract)
            self._confirmation.want(wanted.held, self._clock.now())
            await self._clock.sleep(CONSULT_S)

    # One connection

    async def _serve(self, stream: Stream) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(stream))
            group.create_task(self._follow(stream))
            group.create_task(self._watch(stream))
            group.create_task(self._await_reopening())

    async def _read(self, stream: Stream) -> None:
        while True:
            for event in await stream.receive():
                if isinstance(event, StreamQuote):
                    self._record(event)
            if not self._is_up and stream.acknowledged and not stream.pending:
                self._go_up(stream)

    def _record(self, event: StreamQuote) -> None:
        contract = event.quote.contract
        known = self._newest.get(contract)
        if known is not None and (event.quote.at, event.sequence) <= (known.quote.at, known.sequence):
            return  # a repeat: neither news nor a sign of life
        now = self._clock.now()
        self._arrivals.data_at = now
        self._silence_told = False
        self._pacing.data(now)
        self._newest[contract] = event
        self._fresh.add(contract)

    async def _follow(self, stream: Stream) -> None:
        """Subscribes to what is wanted, unsubscribes from what is not, and checks for missing answers. Raises Lost."""
        asked: set[str] = set()
        loop = asyncio.get_running_loop()
        deadline = math.inf
        while True:
            new, old = self._wanted.pairs - asked, asked - self._wanted.pairs
            if old:
                await stream.unsubscribe(old)
            if new:
                await stream.subscribe(new)
                deadline = loop.time() + self._step_s
            asked = set(self._wanted.pairs)
            is_refused = stream.unauthorized > 0 and not stream.acknowledged
            if stream.pending and (is_refused or loop.time() >= deadline):
                self._check_missing(stream)
            await self._clock.sleep(CONSULT_S)

    def _check_missing(self, stream: Stream) -> None:
        """Handles contracts that were not acknowledged. Raises Lost if none was, or if the held one was not."""
        flowing = {f"Q.{contract}" for contract in self._newest}
        stream.acknowledged |= stream.pending & flowing
        stream.pending -= flowing
        if not stream.acknowledged and stream.unauthorized:
            raise Lost(FeedCause.REFUSED, "not authorized: the plan does not include option quotes")
        if not stream.acknowledged or f"Q.{self._wanted.held}" in stream.pending:
            raise Lost(FeedCause.DROPPED, f"quotes were not acknowledged within {self._step_s:g} s")
        if stream.pending:
            missing = ", ".join(sorted(stream.pending))
            log.warning(
                "subscription_missing",
                text=f"⚠️ Options: {missing} not acknowledged; continuing without it",
                pairs=missing,
            )
            stream.pending.clear()
        if not self._is_up:
            self._go_up(stream)

    def _go_up(self, stream: Stream) -> None:
        self._is_up = True
        self._lost_told = ""
        self._arrivals.acknowledged_at = self._clock.now()
        have, want = len(stream.acknowledged), len(self._wanted.pairs)
        log.info(
            "options_connected",
            text=f"🔌 Connected: options, {have} of {want} subscribed",
            subscribed=have,
            wanted=want,
        )

    async def _watch(self, stream: Stream) -> None:
        """Raises Lost for a socket that is dead or silent for long; for silence only once, until a quote has come."""
        await self._is_alive(stream)  # while quotes flow: tells whether this server answers pings at all
        while True:
            await self._arrivals.nap(STALL_CHECK_S)
            now = self._clock.now()
            quiet_since = self._arrivals.quiet_since()
            quiet = (now - quiet_since) / SECOND
            if (
                not self._is_up
                or not self._link.in_session(now)
                or quiet < self._rules.stream_silence_seconds
            ):
                continue
            if not await self._is_alive(stream) and self._arrivals.quiet_since() == quiet_since:
                raise Lost(FeedCause.DROPPED, f"a ping was not answered within {PING_TIMEOUT_S:g} s")
            if (
                quiet >= QUOTES_REOPEN_S
                and not self._silence_told
                and self._arrivals.quiet_since() == quiet_since
            ):
                self._silence_told = True
                raise Lost(FeedCause.DROPPED, f"no quote for {quiet:.0f} s")

    def _lose(self, lost: Lost, delay: float) -> None:
        self._is_up = False
        self._lost_text = lost.text
        # A refusal repeats every five minutes all day, so log it only once.
        if lost.cause is FeedCause.REFUSED and lost.text == self._lost_told:
            return
        self._lost_told = lost.text
        log.warning(
            "options_lost",
            text=f"🔌 Disconnected: options, {lost.text}; next attempt in {delay:.0f} s",
            cause=lost.cause,
            reason=lost.text,
            delay_s=round(delay, 1),
        )

    # What is passed on

    async def _hand_on(self) -> None:
        beat = 0
        while True:
            await self._clock.sleep(HAND_ON_S)
            beat += 1
            due = self._fresh if beat % HAND_ON_ALL_EVERY == 0 else self._fresh & {self._wanted.held}
            if not due or self._outlet.batches >= BATCHES_WAITING_MAX:
                continue
            quotes = [self._newest[contract].quote for contract in sorted(due)]
            self._fresh -= due
            now = self._clock.now()
            if self._wanted.held in due:
                self._confirmation.handed_on(now)
            self._outlet.put(*quotes)

    async def _tell(self) -> None:
        """Logs once that the chain is polled instead, and once that quotes stream again."""
        is_told = False
        fine_at = self._clock.now()
        while True:
            await self._arrivals.nap(CONSULT_S)
            now = self._clock.now()
            if not self._link.in_session(now) or not self._wanted.pairs:
                fine_at = now
                continue
            if self.streaming:
                fine_at = now
                if is_told:
                    is_told = False
                    log.info(
                        "quotes_streaming",
                        text=f"✓ Option quotes are streaming again: polling the chain every {self._rules.chain_poll_seconds:g} s",
                    )
                continue
            # Do not log a connection that is only just being opened or reopened.
            since = self._arrivals.quiet_since() if self._is_up else fine_at
            if not is_told and now - since > self._rules.stream_silence_seconds * SECOND:
                is_told = True
                why = "silent" if self._is_up else self._lost_text
                log.warning(
                    "quotes_polled",
                    text=f"⚠️ Option quotes are not streaming ({why}): polling the chain every "
                    f"{self._rules.chain_fallback_poll_seconds:g} s instead",
                    reason=why,
                )
