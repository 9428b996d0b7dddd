"""Keeps the program's recent starts in the data folder, so that a crash loop is noticed: told once, and entries held.

A start counts for `LOOP_SPAN_S`, unless the program has ended as it was asked to. With `LOOP_STARTS` of them the program is in
a crash loop: entries are held until it has run for `LOOP_SPAN_S`. An open position is watched all the same.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import structlog

from events import SECOND, Event, Hold, HoldReason
from messages import notices
from messages.alert import Alert
from record.disk import FILE_MODE, words
from risk_manager import Position
from rules import Rules
from threads import Threads, in_thread
from utils import Clock, minute_text

log = structlog.get_logger("main")

LOOP_STARTS = 3
"""How many starts within `LOOP_SPAN_S` are a crash loop. One restart is a deployment, and two may be bad luck."""

LOOP_SPAN_S = 600
"""Seconds in which they count, and which a start in a crash loop must last before entries are released."""

TOLD_SPAN_S = 1800
"""Seconds before a crash loop that goes on is pushed again."""

END_REAL_S = 1.0
"""Real seconds that the end of the program waits for the disk to forget its start."""

FIRST_LINE = b"IWM-5-VWAP starts\n"
"""The first line of the file. A file that begins with anything else is not ours, and is left alone."""

KEPT_MAX = 50
"""How many starts are kept: a loop of seconds has hundreds of them in `LOOP_SPAN_S`."""

BYTES_MAX = 4_096
"""How much of the file is read, bytes: more than it ever has."""


class Starts:
    """The starts of late, this one among them. ``data_dir`` is the folder of the lease, which must be held."""

    def __init__(self, data_dir: Path, clock: Clock, threads: Threads) -> None:
        self._path = data_dir / "starts"
        self._clock = clock
        self._threads = threads
        self._starts: list[int] = []
        self._told = 0
        self._is_usable = False
        self.held_until = 0
        """Until when (µs) entries are held; 0 if this start is not part of a crash loop."""

    @property
    def is_loop(self) -> bool:
        """Returns whether the program is in a crash loop now."""
        return self._clock.now() < self.held_until

    @property
    def holds(self) -> frozenset[HoldReason]:
        """Returns what holds entries because of it."""
        return frozenset({HoldReason.CRASH_LOOP} if self.is_loop else ())

    def begin(self) -> None:
        """Counts this start. Without a usable file no crash loop is noticed: nothing else depends on it."""
        now = self._clock.now()
        try:
            self._starts, self._told = self._read(now)
            self._is_usable = True
        except OSError as error:
            log.warning(
                "starts_unusable",
                text=f"⚠️ {self._path.absolute()} cannot be used ({words(error)}): a crash loop would not be noticed",
            )
        self._starts = [*self._starts[1 - KEPT_MAX :], now]
        self._save()
        if len(self._starts) < LOOP_STARTS:
            return
        self.held_until = now + LOOP_SPAN_S * SECOND
        log.error(
            "crash_loop",
            text=f"🔁 Started {len(self._starts)} times within {LOOP_SPAN_S // 60} minutes without an orderly end: no entries "
            f"until {minute_text(self.held_until)} ET; an open position is watched",
            starts=len(self._starts),
        )

    def owed(self, rules: Rules, position: Position | None) -> Alert | None:
        """Returns the push that this is a crash loop, once in `TOLD_SPAN_S`, whatever becomes of it; else None."""
        now = self._clock.now()
        if not self.is_loop or abs(now - self._told) < TOLD_SPAN_S * SECOND:
            return None
        self._told = now
        self._save()
        return notices.crash_loop(
            now,
            rules,
            starts=len(self._starts),
            span_s=LOOP_SPAN_S,
            held_until=self.held_until,
            position=None if position is None else position.opened.id,
        )

    async def end(self) -> None:
        """Forgets this start: the program ends as it was asked to."""
        self._starts.pop()
        forgetting = asyncio.ensure_future(in_thread(self._threads, "starts", self._save))
        ended, _ = await asyncio.wait({forgetting}, timeout=END_REAL_S)
        if any(each.exception() for each in ended):
            log.debug("starts_unwritten", text=f"{self._path.absolute()}: no thread to write it with")

    async def events(self, *, is_held: bool) -> AsyncGenerator[Sequence[Event], None]:
        """Yields the release of entries that are held, once the program has run for long enough."""
        if is_held:
            await self._clock.sleep(max(0, self.held_until - self._clock.now()) / SECOND)
            log.info(
                "crash_loop_over",
                text=f"✓ Entries released, the program has run for {LOOP_SPAN_S // 60} minutes",
            )
            yield (Hold(reason=HoldReason.CRASH_LOOP, on=False),)
        await asyncio.Event().wait()  # sources of facts never end

    # --- The file ---

    def _read(self, now: int) -> tuple[list[int], int]:
        """Returns the earlier starts that count at ``now`` (µs), and when a crash loop was pushed last, µs.

        Raises OSError if the file cannot be read or is not ours. A line that is none of ours, such as one that a crash cut
        off, is left out. A start ahead of the clock counts, too: the clock may have been set back.
        """
        descriptor = self._open()
        try:
            text = os.pread(descriptor, BYTES_MAX, 0)
        finally:
            os.close(descriptor)
        if text and not text.startswith(FIRST_LINE):
            raise OSError(0, "it holds something else")
        found: dict[bytes, list[int]] = {b"start": [], b"told": [0]}
        for line in text.splitlines()[1:]:
            word, _, moment = line.partition(b" ")
            if word in found and moment.isdigit() and len(moment) <= len(str(now)):
                found[word].append(int(moment))
        return [at for at in found[b"start"] if abs(now - at) < LOOP_SPAN_S * SECOND], found[b"told"][-1]

    def _save(self) -> None:
        """Writes the file. Not synced: a crash of this process keeps what the system has."""
        if not self._is_usable:
            return
        lines = [f"told {self._told}\n", *(f"start {at}\n" for at in self._starts)]
        text = FIRST_LINE + "".join(lines).encode()
        try:
            descriptor = self._open()
            try:
                os.pwrite(descriptor, text, 0)
                os.ftruncate(descriptor, len(text))
            finally:
                os.close(descriptor)
        except OSError as error:
            log.debug("starts_unwritten", text=f"{self._path.absolute()} cannot be written ({words(error)})")

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, FILE_MODE)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(0, "it is not an ordinary file")
        return descriptor
