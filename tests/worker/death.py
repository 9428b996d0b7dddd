"""How a worker dies in tests, as by a power cut: at one moment of one push, its record's file and its wires end with it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import httpx

from network import trust
from record.disk import DiskFile


class Death:
    """Ends the worker at one moment of one push (``buy`` or ``sell``): ``end`` does so, and does not return.

    The moments: ``before fsync`` of the decision just written, ``before send`` of what is on the disk by then,
    ``before answer`` to what was sent, ``before outcome`` is written.
    """

    def __init__(self, moment: str, push: str, end: Callable[[], None]) -> None:
        self._at = (moment, push)
        self._end = end
        self.has_come = False
        """From then on nothing reaches the disk or a wire."""
        self.disk_fault = 0
        """The error number that the disk answers every write with; 0 while it works."""

    def comes(self, moment: str, push: str) -> None:
        """That moment is here for that push."""
        if (moment, push) == self._at and not self.has_come:
            self._end()

    def opener(self, path: Path, is_new: bool = True) -> MortalFile:
        """Opens a record's file."""
        return MortalFile(path, is_new, self)


class MortalFile(DiskFile):
    """A record's file; the worker may die before or after a decision is synced, or before an outcome is written."""

    def __init__(self, path: Path, is_new: bool, death: Death) -> None:
        super().__init__(path, is_new)
        self._death = death
        self._decided = ""

    def write(self, data: bytes) -> int:
        for push, decision in (("buy", b'"type":"opened"'), ("sell", b'"type":"closed"')):
            if decision in data:
                self._decided = push
            if b'"type":"alertoutcome"' in data and f'"kind":"{push}"'.encode() in data:
                self._death.comes("before outcome", push)
        if self._death.disk_fault:
            raise OSError(self._death.disk_fault, os.strerror(self._death.disk_fault))
        return len(data) if self._death.has_come else super().write(data)

    def truncate(self, size: int) -> None:
        if not self._death.has_come:
            super().truncate(size)

    def sync(self) -> None:
        self._death.comes("before fsync", self._decided)
        super().sync()
        self._death.comes("before send", self._decided)


class MortalTransport(httpx.AsyncHTTPTransport):
    """The ordinary transport; the worker may die before it sees the answer to a push."""

    def __init__(self, death: Death) -> None:
        super().__init__(verify=trust())
        self._death = death

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._death.has_come:
            raise httpx.ConnectError("the worker is dead", request=request)
        if not request.url.path.endswith("messages.json"):
            return await super().handle_async_request(request)
        push = next((word for word in ("BUY", "SELL") if word.encode() in request.content), "").lower()
        response = await super().handle_async_request(request)
        self._death.comes("before answer", push)
        return response
