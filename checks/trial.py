"""Tries the three keys: one question to the vendor of market data, one to Pushover."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from checks.check import MARKET, PUSH, Check, Severity
from checks.keys import MARKET_KEY
from checks.push import refused_key, user_line
from checks.questions import Inquiry
from delivery.sender import push_channel
from feeds.vendor import NoAnswer
from polygon_client import vendor_client


@dataclass(frozen=True)
class Trial:
    """What was found: a line for each question, and the settings whose keys were refused."""

    lines: list[Check]
    refused: frozenset[str]

    @property
    def is_complete(self) -> bool:
        """Whether every question was answered, and well."""
        return all(line.severity is not Severity.FAIL for line in self.lines)


async def try_keys(inquiry: Inquiry) -> Trial:
    """Asks both vendors side by side. Never raises for what they or the network did."""
    settings, refused = inquiry.settings, set[str]()
    rest = vendor_client(
        settings.polygon_rest_url,
        settings.polygon_api_key.get_secret_value(),
        inquiry.clock,
        inquiry.transport,
        deadline_s=inquiry.exchange_s,
        rules=settings.rules,
    )
    channel = push_channel(settings, inquiry.transport, exchange_s=inquiry.exchange_s)

    async def ask_market() -> Check:
        try:
            await rest.market_status()
        except NoAnswer as error:
            if error.is_key_refused:
                refused.add(MARKET_KEY)
            raise
        return Check(MARKET, Severity.OK, "Massive API key: accepted")

    async def ask_push() -> Check:
        answer = await channel.validate()
        if (name := refused_key(answer)) is not None:
            refused.add(name)
        return user_line("Pushover", answer, inquiry)

    try:
        lines = await asyncio.gather(
            inquiry.limited(MARKET, "Massive API key", ask_market),
            inquiry.limited(PUSH, "Pushover", ask_push),
        )
    finally:
        async with asyncio.timeout(inquiry.limit_s):
            await asyncio.gather(rest.aclose(), channel.close(), return_exceptions=True)
    return Trial([line for found in lines for line in found], frozenset(refused))
