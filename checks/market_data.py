"""Asks the vendor of the market data about key, clock, plan, contracts and sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import utils
from checks.check import MARKET, Check, Severity
from checks.plan import STOCKS_LAG_SECONDS, judge_bars, judge_chain, judge_contracts, nearest
from checks.questions import Inquiry
from checks.sessions import in_session, last_close
from checks.socket_trial import SocketTrial
from events import SECOND, Chain
from polygon_client import vendor_client

FIRST_BARS_SECONDS = 10
"""A socket may stay silent for so long after the open."""

BARS_WANTED = 5
"""Number of bars from which the lag is measured. With two symbols they arrive within a few seconds."""

QUOTES_WANTED = 20
"""Number of quotes from which the lag is measured."""


class MarketInquiry:
    """The questions about market data. Contracts and the options socket wait for the answers about chain and bars."""

    def __init__(self, inquiry: Inquiry) -> None:
        settings, clock = inquiry.settings, inquiry.clock
        self._inquiry = inquiry
        self._rules = settings.rules
        self._rest = vendor_client(
            settings.polygon_rest_url,
            settings.polygon_api_key.get_secret_value(),
            clock,
            inquiry.transport,
            deadline_s=inquiry.exchange_s,
            rules=settings.rules,
        )
        loop = asyncio.get_running_loop()
        self._chain: asyncio.Future[Chain | None] = loop.create_future()
        """The chain of the session; None if it is unknown."""
        self._spot: asyncio.Future[float | None] = loop.create_future()
        """The newest price of the symbol; None if it is unknown."""
        self._now = clock.now()
        self._session = utils.session_at(self._now)
        self._in_session = in_session(self._session, self._now)

    async def close(self) -> None:
        """Closes the connection."""
        await self._rest.aclose()

    def questions(self) -> tuple[Awaitable[list[Check]], ...]:
        """Returns the questions, the one about the key first, to be asked side by side."""
        limited = self._inquiry.limited
        return (
            limited(MARKET, "key", self._ask_key),
            limited(MARKET, "option chain", self._ask_chain),
            limited(MARKET, "stock bars", self._ask_bars),
            self._contracts(),
            self._sockets(),
        )

    async def _ask_key(self) -> Check:
        """Asks for the exchange's state: a cheap request that needs the key, and whose answer carries the vendor's time."""
        status = await self._rest.market_status()
        found = f"key: accepted; the exchange says {status}"
        if self._in_session and status != "open":
            text = f"{found}, the calendar says open"
            return Check(MARKET, Severity.WARNING, text, "no entries while it stays so")
        return Check(MARKET, Severity.OK, found)

    def clock_line(self) -> Check:
        """Compares this machine's clock with the ``Date`` of the vendor's answers."""
        skew, limit = self._rest.skew, self._rules.clock_doubt_seconds
        if skew is None:
            text = "clock: could not be compared with the vendor's (no answer was fast enough)"
            return Check(MARKET, Severity.WARNING, text, "run this again; entries need a correct clock")
        side = "behind" if skew > 0 else "ahead of"
        by = utils.difference_text(round(abs(skew) * SECOND))
        found = f"clock: {by} {side} the vendor's, which comes in whole seconds (limit {limit:g} s)"
        if abs(skew) > limit:
            do = "set this machine's clock (NTP): entries are held until then"
            return Check(MARKET, Severity.FAIL, found, do)
        return Check(MARKET, Severity.OK, found)

    async def _ask_chain(self) -> Check:
        """Checks that the plan includes real-time option quotes."""
        known, rules = self._chain, self._rules
        try:
            chain = await self._rest.chain(rules.symbol, self._session.date, None, rules.chain_spot_percent)
            known.set_result(chain)
        finally:
            if not known.done():
                known.set_result(None)
        return judge_chain(chain, self._session, rules.symbol, self._inquiry.clock.now())

    async def _ask_bars(self) -> Check:
        """Checks that the plan includes one-second bars and, during a session, that they are in time."""
        known, session, symbol, now = self._spot, self._session, self._rules.symbol, self._now
        half_hour = 30 * 60 * SECOND
        proving = self._in_session and now - session.open > STOCKS_LAG_SECONDS * SECOND
        end = now if proving else last_close(now)
        start = max(session.open, end - half_hour) if proving else end - half_hour
        try:
            bars = await self._rest.second_bars(symbol, start, end)
            known.set_result(bars[-1].close if bars else None)
        finally:
            if not known.done():
                known.set_result(None)
        return judge_bars(bars, session, symbol, now, proving=proving)

    async def _contracts(self) -> list[Check]:
        """Applies the rules for the contract to the chain as it is now. Returns nothing without a chain: its own line says so."""
        chain, spot = await self._chain, await self._spot
        if chain is None or not chain.rows:
            return []
        if not self._in_session:
            text = "contracts: how many calls pass the rules can be told only after the open"
            return [Check(MARKET, Severity.OK, text)]
        if spot is None:
            text = f"contracts: not checked, because the price of {self._rules.symbol} is unknown"
            return [Check(MARKET, Severity.WARNING, text, "see stock bars")]
        return [judge_contracts(chain, self._rules, self._session, spot, self._inquiry.clock.now())]

    async def _sockets(self) -> list[Check]:
        if not self._inquiry.asked.sockets:
            text = f"sockets: not tried, {self._inquiry.asked.no_sockets}"
            return [Check(MARKET, Severity.WARNING, text, self._inquiry.asked.do)]
        stocks, options = await asyncio.gather(
            self._inquiry.limited(MARKET, "stocks socket", self._try_stocks),
            self._inquiry.limited(MARKET, "options socket", self._try_options),
        )
        return stocks + options

    async def _try_stocks(self) -> Check:
        """Logs in, subscribes to the bars and, during a session, waits for some."""
        trial = SocketTrial("stocks", self._inquiry)
        flowing = in_session(self._session, self._now - FIRST_BARS_SECONDS * SECOND)

        async def pairs() -> list[str]:
            return [f"A.{symbol}" for symbol in self._rules.symbols]

        return await trial.run(pairs, BARS_WANTED if flowing else 0)

    async def _try_options(self) -> Check:
        """Logs in, subscribes to the calls nearest the money and, during a session, waits for quotes."""
        trial = SocketTrial("options", self._inquiry)
        flowing = in_session(self._session, self._now - FIRST_BARS_SECONDS * SECOND)

        async def pairs() -> list[str]:
            chain, spot = await self._chain, await self._spot
            return [f"Q.{contract}" for contract in nearest(chain, spot, self._rules.stream_contracts)]

        return await trial.run(pairs, QUOTES_WANTED if flowing else 0)
