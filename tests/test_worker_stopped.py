"""The whole worker in a process that is stopped for a while: what it then reads late is nobody's fault."""

from __future__ import annotations

import signal
from pathlib import Path

from events import SECOND, FeedLost, Tick
from review import verify
from tests.test_restart import town

SPEED = 12.0
AWAY_S = 40


async def test_a_worker_that_was_stopped_tells_nothing_false_and_keeps_its_connection(tmp_path: Path) -> None:
    async with town(tmp_path, speed=SPEED) as place:
        await place.start()
        await place.until(lambda: "Connected: stocks" in place.said(), 120, "connected")
        await place.clock.sleep(15)
        assert place.process is not None
        place.process.send_signal(signal.SIGSTOP)
        await place.clock.sleep(AWAY_S)
        place.process.send_signal(signal.SIGCONT)
        await place.clock.sleep(15)
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
