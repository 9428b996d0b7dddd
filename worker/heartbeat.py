"""The sign of life for an outside watch, which rings when it stops. It must never be fed by the fault it is there for.

A beat comes only from a process that has been well for a minute: in a crash loop no start lives long enough. The
first one is preceded by ``/start``; a worker that ends by a fault, or has given a SELL up, says ``/fail`` and why.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

import httpx
import structlog
from pydantic import SecretStr

from delivery.exchange import Caller, Failed, Reply
from engine import Engine
from events import SECOND
from utils import Clock, session_at, steady_of

log = structlog.get_logger("heartbeat")

HEARTBEAT_S = 60
"""Pause between two beats, and how long all must have been well before the first."""

LOOK_S = 1.0
"""Pause between two looks at whether all is well."""

FAIL_REAL_S = 5.0
"""Real seconds that ``/fail`` may take: the end waits for it."""

BODY_MAX = 4096
"""Bytes of an answer that are read: its first words say whether it counts."""

WHY_MAX = 200
"""Characters of the line that says why."""

OWED_MAX = 8
"""Lines for ``/fail`` that may wait: a watch needs no more to ring."""

SHOWN_MAX = 60
"""Characters of an answer that are shown."""

NOT_COUNTED = b"OK ("
"""How the body of a 200 begins that did not count: healthchecks.io says ``OK (not found)``, ``OK (rate limited)``."""


class Heartbeat:
    """Asks `HEARTBEAT_URL` each minute while ``judge`` finds nothing.

    ``judge`` is given the time (µs) and says in words why there is no beat now; empty when all is well.
    """

    def __init__(
        self,
        url: SecretStr,
        clock: Clock,
        judge: Callable[[int], str],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._caller = Caller(url.get_secret_value(), transport, body_max=BODY_MAX)
        self._clock = clock
        self._judge = judge
        self._steady = steady_of(clock)
        self._pace = Pace(self._steady())
        self._owed: deque[str] = deque(maxlen=OWED_MAX)
        """Lines that ``/fail`` is still to say."""

    async def run(self) -> None:
        """Beat until cancelled."""
        while self._caller.url:
            while self._owed:
                await self.fail(self._owed.popleft())
            now, why = self._steady(), self._judge(self._clock.now())
            if self._pace.is_due(now, is_well=not why):
                if not self._pace.has_begun:
                    await self._signal("GET", "start")
                await self._signal("GET", "")
                self._pace.beaten(now)
            elif why and self._pace.is_withheld(now):
                log.warning("heartbeat_withheld", text=f"💔 No heartbeat: {why}", why=why)
            await self._clock.sleep(LOOK_S)

    def tell(self, why: str) -> None:
        """Have ``/fail`` say ``why`` at the next look, though the worker goes on. It holds no secret."""
        self._owed.append(why)

    async def fail(self, why: str) -> None:
        """Say that the worker ends by a fault, within `FAIL_REAL_S`. ``why`` holds no secret."""
        if self._caller.url:
            await self._signal("POST", "fail", one_line(why), FAIL_REAL_S)

    async def close(self) -> None:
        """Close its connection."""
        await self._caller.close()

    async def _signal(self, method: str, word: str, why: str = "", limit_s: float | None = None) -> None:
        url = signal_url(self._caller.url, word)
        name = f"HEARTBEAT_URL{f'/{word}' if word else ''}"
        try:
            reply = await self._caller.request(method, url, content=why, limit_s=limit_s)
        except Failed as failed:
            fault = f"not reached: {failed}"
        else:
            fault = fault_of(reply)
        if fault:
            log.warning("heartbeat_failed", text=f"💔 {name} {fault}: not counted")


async def say_failed(url: SecretStr, why: str) -> None:
    """Say ``why`` at ``/fail`` for a worker that could not be made. Where that fails, the watch rings by itself."""
    if not url.get_secret_value():
        return
    caller = Caller(url.get_secret_value(), limit_s=FAIL_REAL_S - 1, body_max=BODY_MAX)
    try:
        await caller.request("POST", signal_url(caller.url, "fail"), content=one_line(why))
    except Failed:
        return
    finally:
        await caller.close()


def no_beat_reason(now: int, engine: Engine | None, *, pushes_answered: bool) -> str:
    """Returns why the outside watch is not told at ``now`` (µs) that all is well, in words; empty when it is.

    In a session the traded symbol must progress, nothing outside the rules may hold entries (a record that is
    not written does), and pushes must be taken. Outside of one, to run is enough.
    """
    session = session_at(now)
    if now < session.open:
        return ""
    if engine is None:
        return "the session is not watched"
    symbol, feed = engine.rules.symbol, engine.feed
    newest = max(feed.progress.newest(symbol) or 0, session.open)
    if feed.cause is not None:
        return f"feed blind ({feed.cause})"
    if now - newest > (engine.rules.symbol_unseen_seconds + 1) * SECOND:
        return f"no new bar of {symbol}"
    if engine.holds:
        return f"entries held ({', '.join(sorted(engine.holds))})"
    return "" if pushes_answered else "Pushover does not answer well"


def one_line(why: str) -> str:
    """The reason as it is sent."""
    return " ".join(why.split())[:WHY_MAX]


class Pace:
    """When a beat is due. All times are µs of a clock that no step moves: a step is no minute of work."""

    def __init__(self, now: int) -> None:
        self._looked_at = now
        self._due_at = now + HEARTBEAT_S * SECOND
        self._well_us = 0
        self._is_told = False
        self.has_begun = False
        """Whether there was a beat."""

    def is_due(self, now: int, *, is_well: bool) -> bool:
        """Whether there is to be a beat at ``now``; ``is_well`` is what has just been seen."""
        passed, self._looked_at = now - self._looked_at, now
        if is_well:
            self._well_us += passed
        return is_well and now >= self._due_at and self._well_us >= HEARTBEAT_S * SECOND

    def is_withheld(self, now: int) -> bool:
        """Whether a beat that was due at ``now`` does not come, and that has not been said."""
        is_new = now >= self._due_at and not self._is_told
        self._is_told = self._is_told or is_new
        return is_new

    def beaten(self, now: int) -> None:
        """There was a beat at ``now``."""
        self._due_at = now + HEARTBEAT_S * SECOND
        self._is_told = False
        self.has_begun = True


def signal_url(url: str, word: str) -> str:
    """The address for a signal besides the beat itself: its word is the last part of the path."""
    if not word:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{word}"))


def fault_of(reply: Reply) -> str:
    """Why an answer does not count as a beat; empty when it does."""
    if not reply.is_success:
        return f"answered {reply.status}"
    if not reply.is_whole and not reply.body:
        return f"answered {reply.status} with a compressed body, which is not read"
    if reply.body.startswith(NOT_COUNTED):
        first = reply.body.splitlines()[0].decode("ascii", "replace")[:SHOWN_MAX]
        shown = "".join(each if each.isprintable() else "?" for each in first)
        return f'answered {reply.status} "{shown}"'
    return ""
