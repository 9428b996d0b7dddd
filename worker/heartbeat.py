"""The heartbeat for an outside service that alarms when it stops. It must stop in exactly the faults that it guards against.

A beat comes only from a process that has been well for a minute, because in a crash loop no start lives that long.
``/start`` precedes the first beat. A worker that ends by a fault, or gives up a SELL, posts the reason to ``/fail``.
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
"""Seconds between two beats, and how long everything must have been well before the first."""

LOOK_S = 1.0
"""Seconds between two checks whether everything is well."""

FAIL_REAL_S = 5.0
"""Real seconds that ``/fail`` may take, because the end of the process waits for it."""

BODY_MAX = 4096
"""How much of an answer is read, bytes: its first words say whether the beat counts."""

WHY_MAX = 200
"""The most characters of a reason."""

OWED_MAX = 8
"""How many reasons for ``/fail`` may wait. One is enough to raise the alarm."""

SHOWN_MAX = 60
"""How many characters of an answer are logged."""

NOT_COUNTED = b"OK ("
"""First bytes of a 200 that did not count: healthchecks.io answers ``OK (not found)`` or ``OK (rate limited)``."""


class Heartbeat:
    """Requests `HEARTBEAT_URL` every minute while ``judge`` has no objection.

    ``judge`` gets the time (µs) and returns why there must be no beat now, in words; empty if everything is well.
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
        """Reasons that are still to be posted to ``/fail``."""

    async def run(self) -> None:
        """Beats until cancelled."""
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
        """Posts ``why`` to ``/fail`` at the next check, while the worker goes on. It contains no secret."""
        self._owed.append(why)

    async def fail(self, why: str) -> None:
        """Posts ``why`` to ``/fail``, within `FAIL_REAL_S`. It contains no secret."""
        if self._caller.url:
            await self._signal("POST", "fail", one_line(why), FAIL_REAL_S)

    async def close(self) -> None:
        """Closes its connection."""
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
    """Posts ``why`` to ``/fail`` without a worker. If that fails, the missing beats raise the alarm."""
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
    """Returns why there must be no beat at ``now`` (µs), in words; empty if everything is well.

    During a session, new bars of the traded symbol must come, nothing outside the rules may hold entries (a record that
    cannot be written does), and the push service must answer. Outside of one, a running process is enough.
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
    return "" if pushes_answered else "Pushover is not answering properly"


def one_line(why: str) -> str:
    """Returns a reason as it is posted: on one line, cut to `WHY_MAX` characters."""
    return " ".join(why.split())[:WHY_MAX]


class Pace:
    """Decides when a beat is due. Times are µs of a clock that no step changes: a step is not a minute of work."""

    def __init__(self, now: int) -> None:
        self._looked_at = now
        self._due_at = now + HEARTBEAT_S * SECOND
        self._well_us = 0
        self._is_told = False
        self.has_begun = False
        """Whether there was a beat."""

    def is_due(self, now: int, *, is_well: bool) -> bool:
        """Returns whether a beat is due at ``now``. ``is_well`` is the result of the present check."""
        passed, self._looked_at = now - self._looked_at, now
        if is_well:
            self._well_us += passed
        return is_well and now >= self._due_at and self._well_us >= HEARTBEAT_S * SECOND

    def is_withheld(self, now: int) -> bool:
        """Returns whether a beat is overdue at ``now`` for the first time since the last beat, so that it is logged once."""
        is_new = now >= self._due_at and not self._is_told
        self._is_told = self._is_told or is_new
        return is_new

    def beaten(self, now: int) -> None:
        """Records a beat at ``now``."""
        self._due_at = now + HEARTBEAT_S * SECOND
        self._is_told = False
        self.has_begun = True


def signal_url(url: str, word: str) -> str:
    """Returns the URL of a signal: ``word`` is appended to the path; empty for the beat itself."""
    if not word:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{word}"))


def fault_of(reply: Reply) -> str:
    """Returns why an answer does not count as a beat; empty if it does."""
    if not reply.is_success:
        return f"answered {reply.status}"
    if not reply.is_whole and not reply.body:
        return f"answered {reply.status} with a compressed body, which is not read"
    if reply.body.startswith(NOT_COUNTED):
        first = reply.body.splitlines()[0].decode("ascii", "replace")[:SHOWN_MAX]
        shown = "".join(each if each.isprintable() else "?" for each in first)
        return f'answered {reply.status} "{shown}"'
    return ""
