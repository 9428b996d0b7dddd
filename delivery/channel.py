"""What a way to the phone must offer.

A `Channel` accepts alerts, and answers requests about them. A `SideChannel` gets, as text, what the channel does not
accept. Another one needs one file in this folder, and one line in `delivery.sender`, where channels are made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from delivery.answers import Answer
from messages.alert import Alert

Cleared = Callable[[], Awaitable[None]]
"""Awaited before the first byte of a push goes out. If it raises, the push ends and nothing was sent."""


class Channel(Protocol):
    """A push service. No method raises for a failed exchange: the `Answer` says what failed."""

    async def push(self, alert: Alert, text: str, now: int, cleared: Cleared, picture: bytes = b"") -> Answer:
        """Pushes ``alert`` with the message ``text``, prepared as of ``now`` (µs) and sent once ``cleared`` returns.

        ``picture`` is a PNG that goes with it.
        """

    async def validate(self) -> Answer:
        """Requests whether pushes are accepted."""

    async def limits(self) -> Answer:
        """Requests how many pushes are left. Each request keeps the connection open."""

    async def receipt(self, receipt: str) -> Answer:
        """Requests whether the emergency push of ``receipt`` was acknowledged."""

    async def close(self) -> None:
        """Closes the connections."""


class SideChannel(Protocol):
    """Another address beside the push service. No method raises for a fault of the other side."""

    @property
    def name(self) -> str:
        """Returns the channel's name in the record and in the log."""

    @property
    def setting(self) -> str:
        """Returns the name of the setting with its address, and which of several it is."""

    @property
    def is_set(self) -> bool:
        """Returns whether the owner has set an address."""

    async def post(self, title: str, text: str, limit_s: float | None = None, /) -> str:
        """Posts ``text`` under ``title`` within ``limit_s`` real seconds (None: its own limit).

        Returns why that failed, or an empty text.
        """

    async def fault(self, limit_s: float | None = None, /) -> str:
        """Returns what is wrong with its address, as far as that is known without asking anyone; empty if nothing is."""

    async def status(self, limit_s: float, /) -> int | str | None:
        """Returns its server's HTTP status without posting anything; or, in words, why there is none.

        Returns None if its server cannot be asked without posting a text.
        """

    async def close(self) -> None:
        """Closes the connections."""
