"""What any vendor of market data must offer."""

from __future__ import annotations

from typing import Protocol

import msgspec

from events import SECOND, FeedCause, Quote
from utils import VendorTime

VENDOR_HOLD_US = 2 * SECOND
"""How long the vendor holds a second's bar for late prints before it sends it."""

EXCHANGE_DEADLINE_S = 9.0
"""Real seconds for one exchange, retry included: an inactivity timeout never ends a slow drip."""

LIST_DEADLINES = 3
"""All pages of a list together take this many exchanges' deadlines at most."""

STEP_TIMEOUT_S = 10.0
"""Real seconds for each of: connecting, ``connected``, the answer to the key, acknowledgements."""

PING_TIMEOUT_S = 2.0
"""Real seconds in which a living socket answers a ping."""


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


class VendorRefused(Exception):
    """The vendor does not let this key in, it never has in this process, and nothing is at stake yet.

    The text is a sentence that says what to do; it holds no key.
    """


class StreamQuote(msgspec.Struct, frozen=True, gc=False):
    """A checked quote with what orders it among the quotes of its contract."""

    quote: Quote
    sequence: float


class Lost(Exception):
    """A connection is over, or did not come about. The feeds never raise it; a `Socket` does.

    ``advice`` is a sentence for the owner when the vendor refuses; ``is_key`` says whether it refuses the key, and
    ``at_login`` whether it did so at the login. ``is_doubtful``: something refused the handshake that does not look
    like the vendor. ``symbol`` names the one that alone did not come.
    """

    def __init__(
        self,
        cause: FeedCause,
        text: str,
        *,
        advice: str = "",
        is_key: bool = True,
        at_login: bool = False,
        is_doubtful: bool = False,
        symbol: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(text)
        self.cause = cause
        self.text = text
        self.advice = advice or text
        self.is_key = is_key
        self.at_login = at_login
        self.is_doubtful = is_doubtful
        self.symbol = symbol
        self.retry_after = retry_after
