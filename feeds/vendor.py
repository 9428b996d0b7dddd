"""What any vendor of market data must offer: answers to requests, and a stream for each market.

The feeds know a vendor only through these Protocols. Times are µs of UTC unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from errors import TheirError
from events import SECOND, Bar, Chain, FeedCause, Quote
from timekeeping import VendorOffset

VENDOR_HOLD_US = 2 * SECOND
"""How long the vendor holds a second's bar for late prints before it sends it: about 2 s were measured."""

EXCHANGE_DEADLINE_S = 9.0
"""Real seconds for one exchange, including a retry. A timeout for inactivity alone would never end a slow drip of bytes."""

LIST_DEADLINES = 3
"""How many exchanges' deadlines all pages of a list may take together."""

STEP_TIMEOUT_S = 10.0
"""Real seconds for each step: connecting, ``connected``, the answer to the key, acknowledgements."""

PING_TIMEOUT_S = 2.0
"""Real seconds within which a living socket answers a ping."""

Dial = Callable[..., Awaitable[Any]]
"""Opens a socket, with the options and the exceptions of the library that the vendor's folder uses."""

Early = Callable[[int, str, int], None]
"""Receives each bar that is left out because it ends too far ahead of our clock: now, its symbol, its start (µs)."""


class NoAnswer(TheirError):
    """The vendor gave no usable answer."""

    kind: str = ""
    """The kind of failure, in a few words."""
    retry_after: float | None = None
    """Seconds after which the vendor allows another request; None if it named no time."""
    advice: str = "ask again"
    """What the owner can do about it."""
    is_limited = False
    """Whether there were too many requests."""
    is_lasting = False
    """Whether repeating the request soon is useless: the vendor refuses it, or its certificate is not trusted."""
    is_key_refused = False
    """Whether the vendor says that the key is wrong."""


class Lost(TheirError):
    """A connection is over, or could not be opened. A `Stream` raises it, and a feed handles it.

    ``advice`` tells the owner what to do about a refusal. ``is_key`` is whether the refusal concerns the key,
    ``at_login`` whether it came at the login. ``is_doubtful`` is whether something refused the handshake that does not
    look like the vendor. ``symbol`` names the only symbol that is missing, if one is. ``retry_after`` is in seconds.
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


class VendorRefused(TheirError):
    """The vendor refuses the key, has never accepted it in this process, and no position is open.

    The text is a sentence that says what to do. It contains no key.
    """


class StreamQuote(msgspec.Struct, frozen=True, gc=False):
    """A checked quote, and the vendor's sequence number, which orders quotes of one contract with equal times."""

    quote: Quote
    sequence: float


class Vendor(Protocol):
    """Requests about the exchange and the time."""

    @property
    def vendor_time(self) -> VendorOffset | None:
        """Returns the vendor's time from its last quick answer to any request; None before the first."""

    @property
    def skews_measured(self) -> int:
        """Returns how often the vendor's time was measured."""

    async def market_status(self) -> str:
        """Returns the exchange's status, one of `feeds.exchange.STATUSES`. Raises NoAnswer, also for any other word."""


class MarketData(Protocol):
    """Requests about prices. Each raises NoAnswer, and nothing else, for a fault of the vendor or the network."""

    async def second_bars(self, symbol: str, start_us: int, end_us: int, /) -> list[Bar]:
        """Returns the seconds of ``symbol`` that start in [start_us, end_us), oldest first."""

    async def chain(self, underlying: str, expiry: str, spot: float | None, percent: float, /) -> Chain:
        """Returns the calls that expire on ``expiry`` (ISO), within ``percent`` of ``spot`` (dollars; None: every call)."""

    async def contract(self, underlying: str, contract: str, /) -> Quote:
        """Returns the newest quote of one contract."""


class VendorClient(Vendor, MarketData, Protocol):
    """Every request to a vendor, over connections that must be closed."""

    @property
    def skew(self) -> float | None:
        """Returns the vendor's clock minus ours in seconds, accurate to about one; None before the first answer."""

    async def aclose(self) -> None:
        """Closes the connections."""


class ListedCall(NamedTuple):
    """A call as it was listed: ``strike`` in strike units, ``shares`` per contract."""

    contract: str
    strike: int
    shares: float


class VendorHistory(Protocol):
    """Requests about the past. Each raises NoAnswer, and nothing else, for a fault of the vendor or the network."""

    async def second_bars(self, symbol: str, start_us: int, end_us: int, /) -> list[Bar]:
        """Returns the seconds of ``symbol`` that start in [start_us, end_us), oldest first."""

    async def calls_on(self, underlying: str, day: str, /) -> list[ListedCall]:
        """Returns the calls that expire on ``day`` (ISO), as they were listed on it."""

    async def past_quotes(self, contract: str, start_us: int, end_us: int, /) -> list[Quote]:
        """Returns the quotes of ``contract`` that were made in [start_us, end_us), oldest first."""

    async def aclose(self) -> None:
        """Closes the connections."""


class Stream(Protocol):
    """One connection to one market. Every method but `alive` and `close` raises Lost, and nothing else.

    A pair names a subscription: ``A.IWM`` is the one-second bars of IWM, ``Q.O:…`` the quotes of a contract.
    """

    acknowledged: set[str]
    """Pairs whose subscription the vendor has confirmed."""
    pending: set[str]
    """Pairs that were requested and not answered yet."""
    unauthorized: int
    """How often the vendor said that something is not in the plan. It does not say what."""
    received_at: int
    """When the newest data came, µs."""

    @property
    def unusable(self) -> Mapping[str, int]:
        """Returns how many unusable events came, by reason."""

    async def open(self) -> None:
        """Connects and logs in."""

    async def subscribe(self, pairs: Iterable[str], /) -> None:
        """Subscribes to ``pairs``. `receive` reads the answers."""

    async def unsubscribe(self, pairs: Iterable[str], /) -> None:
        """Unsubscribes from ``pairs``."""

    async def receive(self) -> list[Bar | StreamQuote]:
        """Waits for the next data and returns all of it; empty if only answers came."""

    async def alive(self) -> bool:
        """Returns whether a ping is answered in time."""

    async def close(self) -> None:
        """Closes the connection. Never raises."""


class Streams(Protocol):
    """Makes the connections to one market, one after the other."""

    def make(self, early: Early | None, /) -> Stream:
        """Returns a connection that is not open yet. It calls ``early`` with each bar that it leaves out as too early."""
