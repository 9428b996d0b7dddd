"""What the outside watch and the record are told: starts that cannot be, and acknowledgements that come late."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from events import SECOND, AlertKind, AlertOutcome, Closed, ExitReason, Outcome
from record.folder import record_path, records
from record.reader import read
from sim.demo import SEED
from tests.measured import measured
from tests.outside import DRIP, outside, reply
from tests.stage import KEY, TOKEN, USER, clocks, session, stage, threads
from tests.worker.test_heartbeat import FAIL, run_once
from tests.worker.test_record_start import AFTER_S, DATE, bought, decisions, ended, settings
from worker.ending import EXIT_CONFIG, EXIT_OK, EXIT_REFUSED
from worker.worker import Worker

pytestmark = pytest.mark.virtual_time

HERE = Path(__file__).parent.parent.parent


async def refused_start(folder: Path, **changes: object) -> int:
    """A start in mid-session that ends before it asks anybody but the outside watch."""
    clock, _ = clocks(session().open + round(AFTER_S * SECOND), 30.0)
    worker = Worker(
        settings(folder, **changes), clock=clock, random_source=random.Random(SEED), threads=threads()
    )
    return await asyncio.wait_for(worker.run(), 25)


def with_position(folder: Path) -> Path:
    """Lay the day's record there, with a position open."""
    path = record_path(folder / "data", DATE)
    path.parent.mkdir(parents=True)
    path.write_bytes(bought())
    return path


async def test_a_folder_that_cannot_be_used_fails_and_never_beats(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    async with outside() as server:
        for _ in range(3):
            assert await refused_start(tmp_path, heartbeat_url=server.secret) == EXIT_CONFIG
        assert server.asked == [FAIL] * 3
        assert server.bodies[0].startswith("exit 2: ")


async def test_a_position_under_another_symbol_fails_and_never_beats(tmp_path: Path) -> None:
    with_position(tmp_path)
    async with outside() as server:
        for _ in range(2):
            assert await refused_start(tmp_path, heartbeat_url=server.secret, symbol="QQQ") == EXIT_CONFIG
        assert server.asked == [FAIL] * 2
        assert "SYMBOL" in server.bodies[0]


async def test_another_symbol_is_refused_until_the_time_stop_and_settled_from_then_on(
    tmp_path: Path,
) -> None:
    """Of the same day: ten seconds before 15:55 the position is still to be watched, at 15:55 only to be told."""
    path = with_position(tmp_path)
    time_stop_s = (session().close - session().open) / SECOND - 300
    status, said = await ended(tmp_path, time_stop_s - 10, symbol="QQQ")
    assert (status, "set SYMBOL=IWM" in said) == (EXIT_CONFIG, True)
    async with stage(tmp_path, start_s=time_stop_s, symbol="QQQ") as play:
        await play.until(lambda: play.titles("SELL"), 60, "SELL")
        await play.stop()
    (closed,) = decisions(path, Closed)
    assert closed.reason is ExitReason.TIME_STOP


async def test_a_fault_says_which_sell_it_leaves_untold(tmp_path: Path) -> None:
    """The key is refused while the SELL of an earlier start is owed, and nobody takes it."""
    with_position(tmp_path)
    async with outside() as server:
        assert await run_once(tmp_path, server.secret, rest_401=True) in (EXIT_REFUSED, EXIT_OK)
        assert set(server.asked) == {FAIL}


@pytest.mark.real_time
async def test_a_machine_that_lets_nobody_connect_fails_without_a_word_of_its_proxy(tmp_path: Path) -> None:
    async with outside() as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(HERE / "main.py")),
            cwd=tmp_path,
            env={
                **{name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
                **measured(),
                "POLYGON_API_KEY": KEY,
                "PUSHOVER_TOKEN": TOKEN,
                "PUSHOVER_USER_KEY": USER,
                "HEARTBEAT_URL": server.url,
                "https_proxy": "http://user:CanaryWord@127.0.0.1:99999",
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == EXIT_CONFIG
        assert server.asked == [FAIL]
        assert server.bodies[0].startswith(
            "exit 2: bad configuration: https_proxy: got a value that is not shown"
        )
        for secret in ("CanaryWord", "CanaryPath", KEY, TOKEN, USER):
            assert secret not in said.decode() + server.bodies[0]


# --- Acknowledgements --------------------------------------------------------------------------------


def outcomes(path: Path) -> list[Outcome]:
    """What the record says became of the SELL at the push service."""
    (found,) = [place for place in records(path.parent.parent) if place.name.startswith(path.stem)]
    events = [entry.event for entry in read(found).entries]
    return [
        event.outcome
        for event in events
        if isinstance(event, AlertOutcome) and event.kind is AlertKind.SELL and not event.channel
    ]


def is_told(logs: list[Any]) -> bool:
    """Whether the log says that the SELL was acknowledged."""
    return any(line["event"] == "sell_acknowledged" for line in logs)


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_an_acknowledgement_is_recorded_though_the_session_is_over(
    tmp_path: Path, is_restarted: bool
) -> None:
    """A start on the next morning pushes the SELL, and somebody taps it 20 minutes later."""
    path = with_position(tmp_path)
    with capture_logs() as logs:
        async with stage(tmp_path, start_s=86_400 - 3_600, speed=200) as play:
            await play.until(lambda: play.titles("SELL"), 60, "SELL")
            (receipt,) = [push.receipt for push in play.pushover.messages if "SELL" in push.title]
            if is_restarted:
                assert await play.stop() == EXIT_OK
                assert outcomes(path) == [Outcome.ACCEPTED]
                known = play.pushover.receipts[receipt]
            else:
                await play.wait(1_200)
                play.pushover.acknowledge(receipt)
                await play.until(lambda: is_told(logs), 120, "acknowledged")
                await play.stop()
        if is_restarted:
            async with stage(tmp_path, start_s=86_400 - 3_600 + 300, speed=200) as play:
                play.pushover.receipts[receipt] = known
                play.pushover.acknowledge(receipt)
                await play.until(lambda: is_told(logs), 120, "acknowledged")
                await play.stop()
    assert outcomes(path) == [Outcome.ACCEPTED, Outcome.ACKNOWLEDGED]
    assert [line["event"] for line in logs].count("sell_acknowledged") == 1


# --- The watchdog ------------------------------------------------------------------------------------

IMPORTS_REAL_S = 10.0
"""How long a busy machine may take to import the worker."""

HANGS = """
import sys
import time
from pathlib import Path
from pydantic import SecretStr
import main
from tests.worker.test_record_start import settings

main._end_by_watchdog(settings(Path(sys.argv[1]), heartbeat_url=SecretStr(sys.argv[2])), 1)
"""


@pytest.mark.real_time
@pytest.mark.parametrize(("answer", "at_most_s"), [(reply(), 5), (DRIP, 9)])
async def test_the_watchdog_tells_the_outside_watch_before_it_ends_the_process(
    tmp_path: Path, answer: bytes, at_most_s: float
) -> None:
    async with outside(answer) as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", HANGS, str(tmp_path), server.url),
            cwd=HERE,
            env={**os.environ, **measured()},
        )
        begun = time.monotonic()
        assert await asyncio.wait_for(process.wait(), 60) == 1
        assert time.monotonic() - begun < at_most_s + IMPORTS_REAL_S
        assert server.asked == [FAIL]
        assert server.bodies == ["exit 1: the event loop has been stuck for 30 s"]
