"""Has pictures drawn, one at a time, and hands them to the sender. What fails here costs the picture, and nothing else."""

from __future__ import annotations

import asyncio
from collections import deque

import msgspec
import structlog

from delivery.sender import Sender
from messages.alert import Alert
from pictures.facts import encoded
from pictures.process import Draw, NotDrawn
from utils import Clock
from worker.album import Request

log = structlog.get_logger("main")

WAITING_MAX = 4
"""Pictures that may wait to be drawn; the oldest makes room."""


class Pictures:
    """Draws what is requested, if ``is_on``. ``draw`` makes a PNG of a picture's facts."""

    def __init__(self, sender: Sender, clock: Clock, draw: Draw, *, is_on: bool) -> None:
        self.is_on = is_on
        self._sender = sender
        self._clock = clock
        self._draw = draw
        self._waiting: deque[Request] = deque(maxlen=WAITING_MAX)
        self._wake = asyncio.Event()
        self._drawing: asyncio.Task[bytes] | None = None
        self._failed_on = ""
        """The session for which it was said that there are no pictures."""
        self._day: tuple[str, bytes] = ("", b"")
        """The day's picture that waits for the evening, with its date."""
        self._told_on = ""
        """The session whose evening was told without its picture."""
        self._has_stopped = False

    def request(self, request: Request) -> None:
        """Has a picture drawn, and sent after that. Never waits."""
        if not self._has_stopped:
            self._waiting.append(request)
            self._wake.set()

    def tell_evening(self, alert: Alert, date: str) -> None:
        """Sends the evening's push of ``date``, with the day's picture if there is one by now; else that follows."""
        drawn_on, png = self._day
        if drawn_on == date:
            self._sender.show(alert, png)
        else:
            self._told_on = date
            self._sender.submit(alert)

    def stop(self) -> None:
        """Draws no more: the process that draws is killed at once."""
        self._has_stopped = True
        self._waiting.clear()
        if self._drawing is not None:
            self._drawing.cancel()

    async def run(self) -> None:
        """Draws until cancelled, one picture at a time."""
        while True:
            while self._waiting:
                await self._make(self._waiting.popleft())
            self._wake.clear()
            await self._wake.wait()

    async def _make(self, request: Request) -> None:
        """Has one picture drawn, and hands it on."""
        try:
            png = await self._drawn(encoded(request.make()))
        except NotDrawn as error:
            self._say_failed(request, str(error))
            return
        except Exception as error:  # noqa: BLE001 - the border: a picture never ends the worker
            self._say_failed(request, f"{type(error).__name__}: {error}")
            return
        if not png:
            return
        if request.is_of_day and self._told_on != request.date:
            self._day = request.date, png
            return
        now = self._clock.now()  # it is not late for having been drawn
        self._sender.show(msgspec.structs.replace(request.alert, decided_at=now), png)

    async def _drawn(self, facts: bytes) -> bytes:
        """Returns the PNG; empty when a stop has ended the drawing."""
        task = self._drawing = asyncio.ensure_future(self._draw(facts))
        try:
            await asyncio.wait({task})
        finally:
            self._drawing = None
            task.cancel()
        return b"" if task.cancelled() else task.result()

    def _say_failed(self, request: Request, reason: str) -> None:
        """Logs once a session that there is no picture."""
        if self._failed_on == request.date:
            return
        self._failed_on = request.date
        log.warning(
            "picture_failed",
            text=f"🖼️ No picture (and no further line about it today): {reason}",
            date=request.date,
            reason=reason,
        )
