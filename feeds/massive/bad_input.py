"""Counts the vendor's bad input by reason and logs samples of it. Bad input never ends anything.

A sample is shown on one line, without the key and without addresses.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Callable
from enum import StrEnum

import msgspec
import structlog

from errors import TheirError
from events import SECOND
from utils import Clock

log = structlog.get_logger("polygon_client")


class BadReason(StrEnum):
    """What is wrong with something that the vendor sent. The list is closed, so that the counters stay few."""

    FRAME = "broken frame"
    EVENT = "broken event"
    UNKNOWN_EVENT = "unknown event"
    SYMBOL = "symbol never asked for"
    PRICE = "price"
    VWAP = "VWAP outside low and high"
    VOLUME = "volume or size"
    TIME = "time"
    FUTURE = "time ahead of now"
    NUMBER = "number"
    CONTRACT = "contract"


class BadValue(TheirError):
    """One event or row is bad. This package handles it itself."""

    def __init__(self, reason: BadReason) -> None:
        super().__init__(reason)
        self.reason = reason


class BadInput:
    """Counts bad input by reason. Logs the first sample of each reason, then at most one a minute."""

    SPACING_US = 60 * SECOND
    SAMPLE_CHARACTERS = 160

    def __init__(self, source: str, clock: Clock, scrub: Callable[[str], str]) -> None:
        self.counts: collections.Counter[BadReason] = collections.Counter()
        self._source = source
        self._clock = clock
        self._scrub = scrub
        self._logged_at: dict[BadReason, int] = {}

    def add(
        self, reason: BadReason, sample: bytes | msgspec.Struct, *, times: int = 1, is_used: bool = False
    ) -> None:
        """Counts ``times`` faults, and logs ``sample`` if a line about this reason is due.

        ``is_used`` is whether the rest of the event is used, with a substitute for the bad value.
        """
        self.counts[reason] += times
        if reason is BadReason.UNKNOWN_EVENT:
            return
        now = self._clock.now()
        logged_at = self._logged_at.get(reason)
        if logged_at is not None and now - logged_at < self.SPACING_US:
            return
        self._logged_at[reason] = now
        text = self._text(sample if isinstance(sample, bytes) else msgspec.json.encode(sample))
        done = "the rest of it used" if is_used else "left out"
        log.warning(
            "bad_input",
            text=f"⚠️ Bad input from {self._source} ({reason}, {self.counts[reason]} so far), {done}: {text}",
            source=self._source,
            reason=reason,
            count=self.counts[reason],
            sample=text,
        )

    def _text(self, sample: bytes) -> str:
        """Returns the beginning of a sample in one line."""
        # A character has at most four bytes, so this many bytes fill the window.
        text = sample[: 4 * SHOWN_WINDOW + 4].decode(errors="replace")
        return beginning(text, self._scrub, self.SAMPLE_CHARACTERS)


SHOWN_WINDOW = 2_048
"""How many characters of a foreign text are processed. All of 8 MB would block the event loop for 1.4 s."""

KEY_CHARACTERS = 512
"""More than any key has. A text that was cut loses this much of its end, where a part of the key may be."""


def beginning(text: str, scrub: Callable[[str], str], characters: int) -> str:
    """Returns the beginning of a foreign text in one line. Blacks the key out before it cuts anything."""
    scrubbed = scrub(text[:SHOWN_WINDOW])
    if len(text) > SHOWN_WINDOW:
        scrubbed = scrubbed[:-KEY_CHARACTERS]
    return printable(scrubbed)[:characters]


def printable(text: str) -> str:
    """Returns ``text`` in one line, without line ends, terminal escapes, C1 or bidi controls."""
    return "".join(character if character.isprintable() else " " for character in text)


def scrubber(api_key: str) -> Callable[[str], str]:
    """Returns a function that blacks out the key, and addresses, in text that came from outside."""

    def scrub(text: str) -> str:
        if api_key:
            text = text.replace(api_key, "***")
        return re.sub(r"\b(?:https?|wss?)://\S+", "(address)", text)

    return scrub
