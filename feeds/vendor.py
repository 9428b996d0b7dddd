"""What a vendor of market data must offer, whoever it is."""

from __future__ import annotations

from typing import Protocol

from utils import VendorTime


class NoAnswer(Exception):
    """The vendor was asked and gave no answer that can be used. ``retry_after`` is seconds, where it named them."""

    retry_after: float | None = None


class Vendor(Protocol):
    """The questions about the exchange and the time."""

    vendor_time: VendorTime | None
    """The vendor's time by its last quick answer, whatever that was about."""
    skews_measured: int
    """How often that was measured."""

    async def market_status(self) -> str:
        """What the exchange says of itself. Raises NoAnswer."""
