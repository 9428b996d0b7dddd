"""What any vendor of market data must offer: answers to questions, and a stream for each market.

The feeds know a vendor by these Protocols alone. Times are µs of UTC unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol

import msgspec

from errors import TheirError
from events import SECOND, Bar, Chain, FeedCause, Quote
from timekeeping import VendorOffset

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

Dial = Callable[..., Awaitable[Any]]
"""Opens a socket: with the options, and the exceptions, of the library that the vendor's folder uses."""

Early = Callable[[int, str, int], None]
"""Is told of a bar that was left out for ending too far ahead of our clock: now, its symbol, its start (µs)."""


class NoAnswer(TheirError):
    """The vendor gave no usable answer."""

    kind: str = ""
    """What kind of failure it is, in a few words."""
    retry_after: float | None = None
    """Seconds after which the vendor wants to be asked again, if it named a time."""
    advice: str = "ask again"
    """What the owner can do about it."""
    is_limited = False
    """Whether the vendor was asked too often."""
    is_lasting = False
    """Whether the same question gets no answer for a while: the vendor refuses it, or cannot be trusted."""
    is_key_refused = False
    """Whether the vendor says that the key is wrong."""


class Lost(TheirError):
    """A connection is over, or did not come about. The feeds never raise it; a `Stream` does.

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


class VendorRefused(TheirError):
    """The vendor does not let this key in, it never has in this process, and nothing is at stake yet.

    The text is a sentence that says what to do; it holds no key.
    """


class StreamQuote(msgspec.Struct, frozen=True, gc=False):
    """A checked quote with what orders it among the quotes of its contract."""

    quote: Quote
    sequence: float


class Vendor(Protocol):
    """The questions about the exchange and the time."""

    @property
    def vendor_time(self) -> VendorOffset | None:
        """The vendor's time by its last quick answer to any question."""

    @property
    def skews_measured(self) -> int:
        """How often that was measured."""

    async def market_status(self) -> str:
        """What the exchange says of itself, one of `feeds.exchange.STATUSES`. Raises NoAnswer, for any other word too."""


class MarketData(Protocol):
    """The questions about prices. Each raises NoAnswer, and nothing else, for what the vendor or network did."""

    async def second_bars(self, symbol: str, start_us: int, end_us: int, /) -> list[Bar]:
        """The seconds of ``symbol`` that start in [start_us, end_us), oldest first."""

    async def chain(self, underlying: str, expiry: str, spot: float | None, percent: float, /) -> Chain:
        """The calls that expire on ``expiry`` (ISO), within ``percent`` of ``spot``."""

    async def contract(self, underlying: str, contract: str, /) -> Quote:
        """The newest quote of one contract."""


class VendorClient(Vendor, MarketData, Protocol):
    """Everything that is asked of a vendor, over connections that must be closed."""

    @property
    def skew(self) -> float | None:
        """The vendor's clock minus ours in seconds, good to about one."""

    async def aclose(self) -> None:
        """Close the connections."""


class Stream(Protocol):
    """One connection to one market. Every method but `alive` and `close` raises Lost, and nothing else.

    A pair names what is subscribed to: ``A.IWM`` is the one-second bars of IWM, ``Q.O:…`` the quotes of a contract.
    """

    acknowledged: set[str]
    """Pairs whose subscription the vendor has confirmed."""
    pending: set[str]
    """Pairs that were asked for and not answered."""
    unauthorized: int
    """How often the vendor said that something is not in the plan, without saying what."""
    received_at: int
    """When the newest data came, µs."""

    @property
    def unusable(self) -> Mapping[str, int]:
        """How often something came that could not be used, by reason."""

    async def open(self) -> None:
        """Connect and log in."""

    async def subscribe(self, pairs: Iterable[str], /) -> None:
        """Ask for ``pairs``; the answers come in `receive`."""

    async def unsubscribe(self, pairs: Iterable[str], /) -> None:
        """Do without ``pairs`` from now on."""

    async def receive(self) -> list[Bar | StreamQuote]:
        """The data that came next, all at once; empty when only answers came."""

    async def alive(self) -> bool:
        """Whether a ping is answered in time."""

    async def close(self) -> None:
        """Close it. Never raises."""


class Streams(Protocol):
    """Makes the connections to one market, one after the other."""

    def make(self, early: Early | None, /) -> Stream:
        """A connection that is not open yet; ``early`` is told of the bars it leaves out as too early."""
