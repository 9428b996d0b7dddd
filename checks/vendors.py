"""What only the vendors can tell before the worker runs: key, clock, plan, contracts, sockets, push.

Every question is asked side by side, each with a time limit of its own, and becomes one line that says what was found
and what to do about it. Nothing here raises for what a vendor or the network did.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import httpx

from checks.check import Check
from checks.market_data import MarketInquiry
from checks.outside import Outside
from checks.push import Push
from checks.questions import LIMIT_S, Asked, Display, Inquiry, NoDisplay
from config import Settings
from delivery.sender import side_channels
from utils import Clock, SystemClock


async def check_network(
    settings: Settings,
    clock: Clock,
    asked: Asked | None = None,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    display: Display | None = None,
    limit_s: float = LIMIT_S,
) -> list[Check]:
    """Asks every vendor, side by side, each question for at most ``limit_s`` real seconds.

    Never raises for what a vendor or the network did. It returns within the limit and what closing a socket takes
    (2.5 s), even if no server answers. Returns the lines in the report's order.
    """
    inquiry = Inquiry(
        settings=settings,
        clock=clock,
        asked=asked or Asked(),
        transport=transport,
        display=display or NoDisplay(),
        limit_s=limit_s,
    )
    market, push = MarketInquiry(inquiry), Push(inquiry)
    outside = Outside(inquiry, side_channels(settings, transport))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(_close, market, push, limit_s)
        key, *others = await asyncio.gather(*market.questions(), push.ask(), outside.ask())
        # Every answer about market data measures the clock, so its line comes after all of them.
        return [*key, market.clock_line(), *(check for group in others for check in group)]


async def check_addresses(settings: Settings, limit_s: float = LIMIT_S) -> list[Check]:
    """Checks how the second channel's addresses are spelt, for at most ``limit_s`` real seconds each. Contacts nobody."""
    inquiry = Inquiry(settings=settings, clock=SystemClock(), limit_s=limit_s)
    return await Outside(inquiry, side_channels(settings, None)).check_addresses()


async def _close(market: MarketInquiry, push: Push, limit_s: float) -> None:
    """Closes the connections. A failure to do so changes no result."""
    async with asyncio.timeout(limit_s):
        await asyncio.gather(market.close(), push.close(), return_exceptions=True)
