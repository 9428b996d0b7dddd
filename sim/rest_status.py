"""The simulated vendor's market status over REST: is the exchange open now, and what time is it there?"""

from __future__ import annotations

from aiohttp import web

import utils
from sim.account import MarketAccount

EARLIEST_HOUR, LATEST_HOUR = 4, 20
"""Shares trade outside the regular session between these hours of New York."""


class StatusEndpoint:
    """The market's status."""

    def __init__(self, account: MarketAccount) -> None:
        self._account = account

    async def status(self, request: web.Request) -> web.Response:
        """``/v1/marketstatus/now``."""
        now, session = self._account.clock.now(), self._account.market.session
        moment = utils.new_york(self._account.server_time())
        market, early, after = "closed", False, False
        if self._account.faults.take("market_closed"):
            pass
        elif session.open <= now < session.close:
            market = "open"
        elif utils.new_york_date(now) == session.date and EARLIEST_HOUR <= moment.hour < LATEST_HOUR:
            market, early, after = "extended-hours", now < session.open, now >= session.close
        return web.json_response(
            {
                "market": market,
                "earlyHours": early,
                "afterHours": after,
                "exchanges": {"nyse": market, "nasdaq": market, "otc": market},
                "currencies": {"fx": "open", "crypto": "open"},
                "serverTime": moment.isoformat(timespec="seconds"),
            }
        )
