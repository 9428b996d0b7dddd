"""What the vendor sent that cannot be used: counted by reason, sampled in the log, never raised to a caller."""

from __future__ import annotations

import collections
import re
from collections.abc import Callable
from enum import StrEnum

import msgspec
import structlog

from events import SECOND
from utils import Clock

log = structlog.get_logger("polygon_client")


class BadReason(StrEnum):
    """What was wrong with something the vendor sent. A closed list, so that the counters are bounded."""

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


class BadValue(Exception):
    """One event or row is bad. Never leaves this module."""

    def __init__(self, reason: BadReason) -> None:
        super().__init__(reason)
        self.reason = reason


class BadInput:
    """Counts bad input by reason, and logs a sample of it: the first, then at most one a minute per reason."""

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
        """Count ``times`` of them, and log the sample if it is its turn.

        ``is_used`` says that the rest of the event goes on, with a stand-in for what is bad.
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
        """The beginning of a sample in one line."""
        # No character has more than four bytes: that many are enough to fill the window.
        text = sample[: 4 * SHOWN_WINDOW + 4].decode(errors="replace")
        return beginning(text, self._scrub, self.SAMPLE_CHARACTERS)


SHOWN_WINDOW = 2_048
"""Characters of a foreign text that are looked at, whatever its length: 8 MB of one would hold the loop for 1.4 s."""

KEY_CHARACTERS = 512
"""No key is longer. So much is left off at the end of a window that was cut: a part of the key may stand there."""


def beginning(text: str, scrub: Callable[[str], str], characters: int) -> str:
    """The beginning of a foreign text in one line. The key is blacked out before anything is cut."""
    scrubbed = scrub(text[:SHOWN_WINDOW])
    if len(text) > SHOWN_WINDOW:
        scrubbed = scrubbed[:-KEY_CHARACTERS]
    return printable(scrubbed)[:characters]


def printable(text: str) -> str:
    """``text`` in one line, whatever the vendor wrote: no line ends, terminal escapes, C1 or bidi controls."""
    return "".join(character if character.isprintable() else " " for character in text)


def scrubber(api_key: str) -> Callable[[str], str]:
    """A function that blacks out the key, and addresses, in text that came from outside."""

    def scrub(text: str) -> str:
        if api_key:
            text = text.replace(api_key, "***")
        return re.sub(r"\b(?:https?|wss?)://\S+", "(address)", text)

    return scrub
