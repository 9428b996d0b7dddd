"""What any vendor of market data must offer."""

from __future__ import annotations

from typing import Protocol

from utils import VendorTime


class NoAnswer(Exception):
    """The vendor gave no usable answer. ``retry_after`` is in seconds, if it named a time."""

    retry_after: float | None = None


class Vendor(Protocol):
    """The questions about the exchange and the time."""

    vendor_time: VendorTime | None
    """The vendor's time by its last quick answer to any question."""
    skews_measured: int
    """How often that was measured."""

    async def market_status(self) -> str:
        """What the exchange says of itself. Raises NoAnswer."""
