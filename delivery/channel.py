"""What a way to the phone has to offer.

A `Channel` takes alerts, and answers questions about them. A `SideChannel` takes as text what the channel does not
take. Another one is one file in this folder, and one line in `delivery.sender`, where channels are made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from delivery.answers import Answer
from messages.alert import Alert

Cleared = Callable[[], Awaitable[None]]
"""Awaited before the first byte of a push goes out. What it raises ends the push, and nothing was sent."""


class Channel(Protocol):
    """A push service. No method raises for a failed exchange: what came of it is the `Answer`."""

    async def push(self, alert: Alert, text: str, now: int, cleared: Cleared) -> Answer:
        """Push ``alert`` with ``text`` as its message, made ready as of ``now`` (µs) and sent once ``cleared`` returns."""

    async def validate(self) -> Answer:
        """Ask whether pushes are taken."""

    async def limits(self) -> Answer:
        """Ask how many pushes are left. Each question keeps the connection warm."""

    async def receipt(self, receipt: str) -> Answer:
        """Ask whether the emergency push of ``receipt`` was acknowledged."""

    async def close(self) -> None:
        """Close the connections."""


class SideChannel(Protocol):
    """An address beside the push service. No method raises for what the other side does."""

    @property
    def name(self) -> str:
        """What its outcomes are called in the record and in the log."""

    @property
    def setting(self) -> str:
        """The setting that names its address."""

    @property
    def is_set(self) -> bool:
        """Whether the owner has named an address."""

    async def post(self, text: str, limit_s: float | None = None, /) -> str:
        """Post ``text``, within ``limit_s`` real seconds (None: its own limit). Returns why it was not taken; empty when it was."""

    async def status(self, limit_s: float, /) -> int | str:
        """Returns the HTTP status of its server without posting anything, or in words why there is none."""

    async def close(self) -> None:
        """Close the connections."""
