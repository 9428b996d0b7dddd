"""The whole worker in a process that is stopped for a while: what it then reads late is nobody's fault."""

from __future__ import annotations

import signal
from pathlib import Path

from events import SECOND, FeedLost, Tick
from review import verify
from tests.worker.process_town import process_town

SPEED = 12.0
AWAY_S = 40

WATCHDOG_REAL_S = 2.5
"""The watchdog's limit: as far below the 3.3 real seconds of the stop as its usual 30 s are below 40."""


async def test_a_worker_that_was_stopped_for_longer_than_its_watchdog_waits_goes_on_and_tells_nothing_false(
    tmp_path: Path,
) -> None:
    """Its own watchdog does not end it, nothing false is told, and the connection stays."""
    assert AWAY_S / SPEED > WATCHDOG_REAL_S
    async with process_town(tmp_path, speed=SPEED, lives=1) as place:
        await place.start(watchdog_s=WATCHDOG_REAL_S)
        await place.until(lambda: "Connected: stocks" in place.said(), 120, "connected")
        await place.clock.sleep(15)
        assert place.process is not None
        place.process.send_signal(signal.SIGSTOP)
        await place.clock.sleep(AWAY_S)
        place.process.send_signal(signal.SIGCONT)
        await place.clock.sleep(15)
        assert "This process was paused for " in place.said()
        assert await place.stop() == 0
        assert place.pushes("feed") == []
        assert len(place.vendor.connects["stocks"]) == 1
        record = place.record()
        verify.check(record.path)
    away = [
        entry.event.away for entry in record.entries if isinstance(entry.event, Tick) and entry.event.away
    ]
    assert max(away) >= (AWAY_S - 3) * SECOND
    assert not [entry for entry in record.entries if isinstance(entry.event, FeedLost)]
