"""A stop ends within 25 s, whatever the name server or the push service does: with the whole worker."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.stage import stage
from tests.worker.test_stop import worker
from worker.ending import EXIT_OK

pytestmark = pytest.mark.virtual_time

LIMIT_REAL_S = 25.0

NO_NAME_SERVER = (
    "import socket, time\n"
    "known = socket.getaddrinfo\n"
    "def ask(host, *more, **others):\n"
    "    if host in ('127.0.0.1', b'127.0.0.1'): return known(host, *more, **others)\n"
    "    time.sleep(600)\n"
    "socket.getaddrinfo = ask"
)
"""The system's resolver where no name server answers, which cannot be interrupted either."""


@pytest.mark.parametrize("after_s", [0.0, 3.0])
def test_a_name_server_that_does_not_answer(tmp_path: Path, after_s: float) -> None:
    outside = "https://gone.example.com"
    with worker(
        tmp_path,
        before=NO_NAME_SERVER,
        POLYGON_REST_URL=outside,
        POLYGON_WS_URL="wss://gone.example.com",
        PUSHOVER_URL=outside,
        HEARTBEAT_URL=f"{outside}/CanaryPath12345",
        SECOND_CHANNEL_URL=f"{outside}/CanaryOther1234",
    ) as process:
        time.sleep(after_s)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    assert time.monotonic() - began < LIMIT_REAL_S
    assert process.returncode == EXIT_OK, output
    assert "Stopped" in output
    assert "Traceback" not in output
    assert "Canary" not in output


@pytest.mark.real_time
async def test_a_push_service_that_takes_a_sell_and_never_answers(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        await play.until(lambda: play.titles("BUY"), 120, "BUY")
        play.pushover.slow_s = 1e6
        play.pushover.answers.extend(["slow"] * 20)
        began = time.monotonic()
        assert await play.stop() == EXIT_OK
        took = time.monotonic() - began
        assert play.titles("SELL") == []
    # It is waited for, and not for ever.
    assert 5.0 < took < LIMIT_REAL_S
