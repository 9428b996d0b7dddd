"""The newest quotes of the wanted contracts."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncGenerator, Callable

import msgspec
import structlog

from events import SECOND, FeedCause, Quote, Session
from feeds.chain import BATCHES_WAITING_MAX
from feeds.connection import MarketFeed
from feeds.massive.errors import RestError
from feeds.massive.rest import Rest
from feeds.massive.socket import Socket
from feeds.outlet import Outlet, iterate
from feeds.stocks import STALL_CHECK_S
from feeds.vendor import PING_TIMEOUT_S, STEP_TIMEOUT_S, Lost, StreamQuote
from rules import Rules
from utils import Clock

log = structlog.get_logger("polygon_client")


HAND_ON_S = 0.25
"""How often the held contract's newest quote is handed on, by the clock."""

HAND_ON_ALL_EVERY = 4
"""Every how many of those the other contracts' are."""

CONSULT_S = 1.0
"""How often it is asked which contracts are wanted, by the clock."""

QUOTES_REOPEN_S = 60.0
"""Silence of near-the-money quotes, which change several times a second, after which the socket is reopened once."""


class Wanted(msgspec.Struct, frozen=True):
    """Which contracts' quotes are wanted: those to stream, and the held one (streamed as well), if any."""

    contracts: frozenset[str] = frozenset()
    held: str | None = None

    @property
    def pairs(self) -> frozenset[str]:
        """What to subscribe to."""
        held = () if self.held is None else (self.held,)
        return frozenset(f"Q.{contract}" for contract in self.contracts.union(held))


class OptionsFeed(MarketFeed):
    """The newest quotes of the wanted contracts, at a bearable pace; polls of the held one where the stream is silent.

    Trouble here never ends the program and is no loss of the feed: ``streaming`` turns false, the chain is polled
    faster instead, and the log says so once.
    """

    def __init__(
        self,
        *,
        rest: Rest,
        ws_url: str,
        api_key: str,
        clock: Clock,
        rules: Rules,
        session: Session,
        rng: random.Random,
        wanted: Callable[[], Wanted],
        step_s: float = STEP_TIMEOUT_S,
    ) -> None:
        super().__init__(
            "options",
            rest=rest,
            ws_url=ws_url,
            api_key=api_key,
            clock=clock,
            rules=rules,
            session=session,
            rng=rng,
            step_s=step_s,
        )
        self._ask_wanted = wanted
        self._wanted = Wanted()
        self._outlet: Outlet[Quote] = Outlet()
        self._newest: dict[str, StreamQuote] = {}
        self._fresh: set[str] = set()
        self._handed_at: dict[str, int] = {}
        self._is_up = False
        self._silence_told = False
        self._lost_text = "not connected yet"
        self._lost_told = ""

    @property
    def streaming(self) -> bool:
        """Whether quotes come over the socket: connected, acknowledged and, in the session, not silent."""
        now = self._clock.now()
        if not self._is_up or not self._in_session(now):
            return self._is_up
        since = max(self._data_at, self._session.open, self._woke_at)
        return now - since < self._rules.stream_silence_seconds * SECOND

    def events(self) -> AsyncGenerator[list[Quote], None]:
        """The quotes, for ever, all that wait at once. Closing it closes the socket."""
        return iterate(self._outlet, self._run, "options feed")

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._consult())
            group.create_task(self._stay_connected())
            group.create_task(self._hand_on())
            group.create_task(self._confirm_held())
            group.create_task(self._tell())

    async def _consult(self) -> None:
        """Learn what is wanted, and forget what is not."""
        while True:
            self._wanted = wanted = self._ask_wanted()
            kept = wanted.contracts | {wanted.held}
            for contract in [contract for contract in self._newest if contract not in kept]:
                del self._newest[contract]
                self._fresh.discard(contract)
            self._handed_at = {c: at for c, at in self._handed_at.items() if c == wanted.held}
            if wanted.held is not None:
                self._handed_at.setdefault(wanted.held, self._clock.now())
            await self._clock.sleep(CONSULT_S)

    # One connection

    async def _serve(self, socket: Socket) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(socket))
            group.create_task(self._follow(socket))
            group.create_task(self._watch(socket))
            group.create_task(self._await_reopening())

    async def _read(self, socket: Socket) -> None:
        while True:
            for event in await socket.receive():
                if isinstance(event, StreamQuote):
                    self._take(event)
            if not self._is_up and socket.acknowledged and not socket.pending:
                self._go_up(socket)

    def _take(self, event: StreamQuote) -> None:
        contract = event.quote.contract
        known = self._newest.get(contract)
        if known is not None and (event.quote.at, event.sequence) <= (known.quote.at, known.sequence):
            return  # said before: neither news nor a sign of life
        now = self._clock.now()
        self._data_at = now
        self._silence_told = False
        self._pacing.data(now)
        self._newest[contract] = event
        self._fresh.add(contract)

    async def _follow(self, socket: Socket) -> None:
        """Subscribe to what is wanted and drop what is not, and judge what stays unanswered. Raises Lost."""
        asked: set[str] = set()
        loop = asyncio.get_running_loop()
        deadline = math.inf
        while True:
            new, old = self._wanted.pairs - asked, asked - self._wanted.pairs
            if old:
                await socket.unsubscribe(old)
            if new:
                await socket.subscribe(new)
                deadline = loop.time() + self._step_s
            asked = set(self._wanted.pairs)
            is_refused = socket.unauthorized > 0 and not socket.acknowledged
            if socket.pending and (is_refused or loop.time() >= deadline):
                self._judge_missing(socket)
            await self._clock.sleep(CONSULT_S)

    def _judge_missing(self, socket: Socket) -> None:
        """Some contract was not acknowledged. Raises Lost when nothing was, or when it is the held one."""
        flowing = {f"Q.{contract}" for contract in self._newest}
        socket.acknowledged |= socket.pending & flowing
        socket.pending -= flowing
        if not socket.acknowledged and socket.unauthorized:
            raise Lost(FeedCause.REFUSED, "not authorized: the plan does not include option quotes")
        if not socket.acknowledged or f"Q.{self._wanted.held}" in socket.pending:
            raise Lost(FeedCause.DROPPED, f"quotes were not acknowledged within {self._step_s:g} s")
        if socket.pending:
            missing = ", ".join(sorted(socket.pending))
            log.warning(
                "subscription_missing",
                text=f"⚠️ Options: {missing} not acknowledged; going on without",
                pairs=missing,
            )
            socket.pending.clear()
        if not self._is_up:
            self._go_up(socket)

    def _go_up(self, socket: Socket) -> None:
        self._is_up = True
        self._lost_told = ""
        self._acknowledged_at = self._clock.now()
        have, want = len(socket.acknowledged), len(self._wanted.pairs)
        log.info(
            "options_connected",
            text=f"🔌 Connected: options, {have} of {want} subscribed",
            subscribed=have,
            wanted=want,
        )

    async def _watch(self, socket: Socket) -> None:
        """A socket that is dead, or silent for long, is reopened; for silence once, until a quote has come."""
        await self._is_alive(socket)  # while quotes flow, to learn whether pings are answered at all
        while True:
            await self._nap(STALL_CHECK_S)
            now = self._clock.now()
            quiet_since = self._quiet_since()
            quiet = (now - quiet_since) / SECOND
            if not self._is_up or not self._in_session(now) or quiet < self._rules.stream_silence_seconds:
                continue
            if not await self._is_alive(socket) and self._quiet_since() == quiet_since:
                raise Lost(FeedCause.DROPPED, f"a ping was not answered within {PING_TIMEOUT_S:g} s")
            if quiet >= QUOTES_REOPEN_S and not self._silence_told and self._quiet_since() == quiet_since:
                self._silence_told = True
                raise Lost(FeedCause.DROPPED, f"no quote for {quiet:.0f} s")

    def _lose(self, lost: Lost, delay: float) -> None:
        self._is_up = False
        self._lost_text = lost.text
        # A refusal is repeated every few minutes all day: once is enough.
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

    # What is handed on

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
                self._handed_at[self._wanted.held] = now
            self._outlet.put(*quotes)

    async def _confirm_held(self) -> None:
        """Ask REST for the held contract's quote when none was handed on for a while, and go on while none comes."""
        told = ""
        while True:
            await self._clock.sleep(CONSULT_S)
            held = self._wanted.held
            handed_at = self._handed_at.get(held or "")
            if held is None or handed_at is None:
                continue
            now = self._clock.now()
            limit = self._rules.quote_confirm_seconds if self.streaming else 0
            if not self._in_session(now) or now - handed_at < limit * SECOND:
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
            pace = (
                self._rules.chain_poll_seconds if self.streaming else self._rules.chain_fallback_poll_seconds
            )
            wait = max(pace, (error.retry_after or 0.0) if error is not None else 0.0)
            await self._clock.sleep(max(0.0, wait - CONSULT_S))

    async def _confirm(self, held: str) -> RestError | None:
        try:
            quote = await self._rest.contract(self._rules.symbol, held)
        except RestError as error:
            return error
        self._outlet.put(quote)
        return None

    async def _tell(self) -> None:
        """Say once that the chain is polled instead, and once that the quotes are back."""
        is_told = False
        fine_at = self._clock.now()
        while True:
            await self._nap(CONSULT_S)
            now = self._clock.now()
            if not self._in_session(now) or not self._wanted.pairs:
                fine_at = now
                continue
            if self.streaming:
                fine_at = now
                if is_told:
                    is_told = False
                    log.info(
                        "quotes_streaming",
                        text=f"✓ Option quotes stream again: chain polled every {self._rules.chain_poll_seconds:g} s",
                    )
                continue
            # A connection that is just being made, or made again, is not worth a line.
            since = self._quiet_since() if self._is_up else fine_at
            if not is_told and now - since > self._rules.stream_silence_seconds * SECOND:
                is_told = True
                why = "silent" if self._is_up else self._lost_text
                log.warning(
                    "quotes_polled",
                    text=f"⚠️ Option quotes do not stream ({why}): chain polled every "
                    f"{self._rules.chain_fallback_poll_seconds:g} s instead",
                    reason=why,
                )
