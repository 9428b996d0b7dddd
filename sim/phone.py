"""The demonstration's phone: it prints each push after the lines of the log that led to it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

from review.screen import framed
from sim.push_account import Message

SENT_EVENT, SENT_TEXT = "alert_sent", "✓ Alert sent: "
"""The worker's line about a push that was accepted: its event, and how its text begins. The title follows."""


class Phone:
    """Prints each push as the phone would show it, and knows when the SELL and a picture have come.

    A push arrives before its sender knows that it did. So it is held until the worker's line says that it was sent: what is
    printed is decided first, then sent, then shown.
    """

    def __init__(self) -> None:
        self.titles: list[str] = []
        self.sold = asyncio.Event()
        self.pictured = asyncio.Event()
        self._held: list[Message] = []
        self._pictures: list[bytes] = []

    def receive(self, message: Message) -> None:
        """Takes a push that has arrived, and holds it."""
        self.titles.append(message.title)
        self._held.append(message)
        if "SELL" in message.title:
            self.sold.set()
        if message.picture:
            self._pictures.append(message.picture)
            self.pictured.set()

    def save(self, folder: Path) -> list[Path]:
        """Writes the pictures that have come into ``folder``. Returns their paths. Raises OSError."""
        paths = [folder / f"picture-{number}.png" for number in range(1, len(self._pictures) + 1)]
        for path, picture in zip(paths, self._pictures, strict=True):
            path.write_bytes(picture)
        return paths

    def show_sent(self, title: str) -> None:
        """Prints the first push that is held whose title begins with ``title``. Does nothing without one."""
        for message in self._held:
            if message.title.startswith(title):
                self._held.remove(message)
                print(framed(message.title, message.text), flush=True)
                return

    def show_rest(self) -> None:
        """Prints what is still held: pushes that arrived, and whose sender did not learn it."""
        while self._held:
            self.show_sent(self._held[0].title)

    def summary(self) -> str:
        """How many pushes came, by kind."""
        buys, sells = self._count("BUY"), self._count("SELL")
        others = len(self.titles) - buys - sells
        return f"{buys} BUY, {sells} SELL, {others} other push{'' if others == 1 else 'es'}."

    def is_told(self) -> bool:
        """Whether the story was told: one BUY and one SELL."""
        return self._count("BUY") == self._count("SELL") == 1

    def _count(self, word: str) -> int:
        """How many pushes have a word in their title."""
        return sum(word in title for title in self.titles)


class _SentLines(logging.Handler):
    """Lets a phone show a push once the log has the line that it was sent."""

    def __init__(self, phone: Phone) -> None:
        super().__init__()
        self._phone = phone

    def emit(self, record: logging.LogRecord) -> None:
        """Shows the push that a line is about. Never raises: a log call must not end the task that makes it."""
        event = record.msg
        if isinstance(event, Mapping) and event.get("event") == SENT_EVENT:
            title = str(event.get("text")).removeprefix(SENT_TEXT).rpartition(" (")[0]
            with contextlib.suppress(OSError):  # nobody reads any more: the demo's own next line ends it
                self._phone.show_sent(title)


@contextlib.contextmanager
def following_log(phone: Phone) -> Iterator[None]:
    """Lets ``phone`` show each push right after the log's line about it, and at the end what is left.

    Call it after `logger.setup`: the standard library's handlers are called in the order in which they were added.
    """
    handler = _SentLines(phone)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
    phone.show_rest()
