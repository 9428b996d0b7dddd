"""What the questions to the vendors share: settings, clock, one time limit, and who is told what is being asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

import httpx

from checks.check import Check, Severity
from config import Settings
from delivery.exchange import failure_words, failures
from polygon_client import EXCHANGE_DEADLINE_S, RestError, RestErrorKind
from utils import Clock

LIMIT_S = 9.0
"""Real seconds for one question, its retry included. With closing the sockets, and the start, all take under 15 s."""

EXCHANGE_SHARE = 0.9
"""Part of the limit after which an exchange gives up by itself, with a better reason than that it took too long."""

TEST_TITLE = "🔔 {symbol}: test"


class Display(Protocol):
    """Is told what is being asked."""

    def begin(self, subject: str) -> None:
        """It is asked from now on."""

    def end(self, subject: str) -> None:
        """It has been answered, or given up."""


class NoDisplay:
    """Tells nobody."""

    def begin(self, subject: str) -> None:
        """Nothing."""

    def end(self, subject: str) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Asked:
    """What is asked besides what harms nobody.

    ``sockets``: open both sockets; else ``no_sockets`` says why not, and ``do`` what to do about that. ``send_test``:
    send one real push.
    """

    sockets: bool = False
    no_sockets: str = "not asked for"
    do: str = ""
    send_test: bool = False


@dataclass(frozen=True, kw_only=True)
class Inquiry:
    """What every question is asked with. ``limit_s``: real seconds that one question may take."""

    settings: Settings
    clock: Clock
    asked: Asked = Asked()
    transport: httpx.AsyncBaseTransport | None = None
    display: Display = field(default_factory=NoDisplay)
    limit_s: float = LIMIT_S

    @property
    def exchange_s(self) -> float:
        """Real seconds after which one exchange by REST, or with Pushover, gives up by itself."""
        return min(EXCHANGE_DEADLINE_S, self.patience_s)

    @property
    def patience_s(self) -> float:
        """The part of the limit that an exchange may take."""
        return self.limit_s * EXCHANGE_SHARE

    async def limited(
        self, group: str, subject: str, ask: Callable[[], Awaitable[Check | None]]
    ) -> list[Check]:
        """The line of one question, which is ended when it takes too long."""
        self.display.begin(subject)
        try:
            async with asyncio.timeout(self.limit_s):
                found = await ask()
        except RestError as error:
            found = Check(group, Severity.FAIL, f"{subject}: {error}", _rest_remedy(error.kind))
        except TimeoutError:
            text = f"{subject}: no answer within {self.limit_s:g} s"
            found = Check(
                group, Severity.FAIL, text, "check this machine's network; else that server is down"
            )
        except failures() as error:
            # What an address, a proxy, a certificate or a connection did, TLS's and encoding's own errors included.
            text = f"{subject}: {failure_words(error)}"
            found = Check(
                group,
                Severity.FAIL,
                text,
                "check its address, and the proxy and certificates of this machine",
            )
        finally:
            self.display.end(subject)
        return [] if found is None else [found]


def _rest_remedy(kind: RestErrorKind) -> str:
    """What to do about a request that gave nothing."""
    remedies = {
        RestErrorKind.UNAUTHORIZED: "check POLYGON_API_KEY against the dashboard at massive.com",
        RestErrorKind.FORBIDDEN: "the plan does not include it: Stocks Advanced and Options Advanced are needed",
        RestErrorKind.RATE_LIMITED: "a free plan allows 5 requests a minute: wait, or check the plan",
        RestErrorKind.CERTIFICATE: "check POLYGON_REST_URL, or the proxy and certificates of this machine",
        RestErrorKind.TRANSPORT: "check this machine's network, and POLYGON_REST_URL",
        RestErrorKind.TIMEOUT: "check this machine's network, then the vendor's status page",
        RestErrorKind.SERVER: "the vendor has trouble: see its status page, then ask again",
    }
    return remedies.get(kind, "ask again; if it stays, check POLYGON_REST_URL")
