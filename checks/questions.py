"""What all questions to the vendors share: settings, clock, a time limit, and the display of what is being asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

import httpx

from checks.check import Check, Severity
from config import Settings
from delivery.exchange import failure_words, failures
from feeds.vendor import EXCHANGE_DEADLINE_S, NoAnswer
from utils import Clock

LIMIT_S = 9.0
"""Real seconds for one question, its retry included. The whole command, start and closing included, stays under 15 s."""

EXCHANGE_SHARE = 0.9
"""An exchange gives up after this part of the limit: it knows a better reason than that the question took too long."""

NO_CONNECTION = "no connection"
"""How the reason begins when a server could not be reached (`feeds.massive.errors`, `delivery.exchange`)."""

TEST_TITLE = "🔔 {symbol}: test"


class Display(Protocol):
    """Shows what is being asked."""

    def begin(self, subject: str) -> None:
        """Adds a question that has begun."""

    def end(self, subject: str) -> None:
        """Removes a question that was answered or given up."""


class NoDisplay:
    """Shows nothing."""

    def begin(self, subject: str) -> None:
        """Does nothing."""

    def end(self, subject: str) -> None:
        """Does nothing."""


@dataclass(frozen=True)
class Asked:
    """Which of the questions with a side effect are asked.

    ``sockets``: open both sockets. If False, ``no_sockets`` says why, and ``do`` what to do about it. ``send_test``: send
    one real push.
    """

    sockets: bool = False
    no_sockets: str = "not asked for"
    do: str = ""
    send_test: bool = False


@dataclass(frozen=True, kw_only=True)
class Inquiry:
    """The context of every question. ``limit_s``: real seconds that one question may take."""

    settings: Settings
    clock: Clock
    asked: Asked = Asked()
    transport: httpx.AsyncBaseTransport | None = None
    display: Display = field(default_factory=NoDisplay)
    limit_s: float = LIMIT_S

    @property
    def exchange_s(self) -> float:
        """Real seconds after which one REST or Pushover exchange gives up by itself."""
        return min(EXCHANGE_DEADLINE_S, self.patience_s)

    @property
    def patience_s(self) -> float:
        """Real seconds that one exchange of any kind may take."""
        return self.limit_s * EXCHANGE_SHARE

    def network_advice(self, name: str) -> str:
        """Returns what to do when a server cannot be reached. Names the setting of its address only if that is not the default."""
        field = type(self.settings).model_fields[name.lower()]
        is_set = getattr(self.settings, name.lower()) != field.default
        return "check this machine's network" + (f", and {name}" if is_set else "")

    async def limited(
        self, group: str, subject: str, ask: Callable[[], Awaitable[Check | None]]
    ) -> list[Check]:
        """Asks one question, within the limit. Returns its line, or a failing line for whatever went wrong."""
        self.display.begin(subject)
        try:
            async with asyncio.timeout(self.limit_s):
                found = await ask()
        except NoAnswer as error:
            found = self._without_answer(group, subject, error)
        except TimeoutError:
            text = f"{subject}: no answer within {self.limit_s:g} s"
            found = Check(
                group, Severity.FAIL, text, "check this machine's network; else that server is down"
            )
        except failures() as error:
            # Whatever an address, a proxy, a certificate or a connection caused, TLS and encoding errors included.
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

    def _without_answer(self, group: str, subject: str, error: NoAnswer) -> Check:
        """Returns the line about a question that the vendor of the market data did not answer."""
        if error.kind != NO_CONNECTION:
            return Check(group, Severity.FAIL, f"{subject}: {error}", error.advice)
        text = unreached(subject, self.settings.polygon_rest_url, str(error))
        return Check(group, Severity.FAIL, text, self.network_advice("POLYGON_REST_URL"))


def unreached(subject: str, url: str, reason: str) -> str:
    """Returns the words for a server that could not be reached. ``reason`` begins with `NO_CONNECTION`."""
    # An exception's name tells people nothing; words do.
    detail = reason.removeprefix(NO_CONNECTION).strip(" :()")
    why = NO_CONNECTION if not detail or detail.isidentifier() else f"{NO_CONNECTION}: {detail}"
    return f"{subject}: {urlsplit(url).hostname} could not be reached ({why})"
