"""The simulated options socket's data: a contract's quote whenever it has changed."""

from __future__ import annotations

from collections.abc import Iterator

from events import SECOND
from sim.account import MarketAccount
from sim.connection import Connection
from sim.faults import happens
from sim.frames import Frames
from sim.quoter import QUOTE_STEP_US
from sim.wire import FRAME_EVENTS, Event, quote_event


class QuoteStream:
    """Streams quotes to ``connections``, the open ones of the options cluster, every ``step_us``."""

    def __init__(
        self,
        account: MarketAccount,
        connections: list[Connection],
        frames: Frames,
        step_us: int = QUOTE_STEP_US,
    ) -> None:
        self._step_us = step_us
        self._account = account
        self._connections, self._frames = connections, frames

    async def play(self) -> None:
        """Sends, at every step, the quotes that have changed."""
        clock = self._account.clock
        while True:
            now = clock.now()
            await clock.sleep((self._step_us - now % self._step_us) / SECOND)
            at = clock.now()
            for connection in tuple(self._connections):
                changed = list(self._changed(connection, at))
                for begin in range(0, len(changed), FRAME_EVENTS):
                    await self._frames.send(connection, changed[begin : begin + FRAME_EVENTS])

    def _changed(self, connection: Connection, at: int) -> Iterator[Event]:
        """The quotes that a connection has asked for and not seen as they are at ``at`` (µs)."""
        for pair in sorted(connection.pairs):
            channel, _, contract = pair.partition(".")
            quote = self._account.market.quote(contract, at) if channel == "Q" else None
            if quote is None or self._account.faults.take("contract_gone", contract=contract):
                continue
            shown = (quote.bid, quote.ask, quote.bid_size, quote.ask_size)
            if connection.quotes.get(contract) != shown:
                connection.quotes[contract] = shown
                event = quote_event(quote)
                if fault := self._account.faults.take("absurd_quotes"):
                    event |= {side: round(event[side] * fault["factor"], 4) for side in ("bp", "ap")}
                if (fault := self._account.faults.find("zero_bids")) and happens(
                    fault["share"], int(self._account.market.strike(contract)), at
                ):
                    self._account.faults.use(fault)
                    event |= {"bp": 0, "bs": 0}
                yield event
