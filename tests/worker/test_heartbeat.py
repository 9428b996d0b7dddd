"""The sign of life: what counts as a beat, what withholds one, and that no crash loop sends any."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import re
import ssl
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from structlog.testing import capture_logs

import main
from delivery.exchange import Reply
from events import SECOND, HoldReason
from record.folder import record_path
from sim.demo import SEED
from sim.pushover import LoopbackPushover
from sim.server import LoopbackMarket
from tests.measured import measured
from tests.outside import DRIP, ENDLESS, outside
from tests.stage import KEY, clocks, session, settings, stage, threads
from tests.virtual import VirtualClock
from utils import ScaledClock
from worker.ending import EXIT_CONFIG, EXIT_CRASHED, EXIT_LEASE, EXIT_OK, EXIT_REFUSED
from worker.heartbeat import Heartbeat, Pace, fault_of, signal_url
from worker.worker import Worker

pytestmark = pytest.mark.virtual_time

ROOT = Path(main.__file__).parent
NOW = session().open
BEAT, START, FAIL = "GET /CanaryPath", "GET /CanaryPath/start", "POST /CanaryPath/fail"


# --- What counts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "counts"),
    [
        (200, b"OK", True),
        (200, b"", True),
        (204, b"", True),
        (299, b"fine", True),
        (200, b"OK(", True),
        (200, b"ok (", True),
        (200, b"OK (not found)", False),
        (200, b"OK (rate limited)", False),
        (200, b"OK (", False),
        (300, b"OK", False),
        (302, b"OK", False),
        (199, b"OK", False),
        (404, b"OK", False),
        (500, b"OK", False),
    ],
)
def test_what_counts_as_a_beat(status: int, body: bytes, counts: bool) -> None:
    assert (fault_of(Reply(status, {}, body, True)) == "") is counts


def test_a_compressed_answer_does_not_count_and_a_long_one_does() -> None:
    assert "compressed" in fault_of(Reply(200, {}, b"", False))
    assert fault_of(Reply(200, {}, b"<html>" * 100, False)) == ""


def test_what_an_answer_says_is_shown_on_one_line() -> None:
    fault = fault_of(Reply(200, {}, b"OK (\x1b[2J\xff\xff" + b"x" * 5000 + b"\nsecond", True))
    assert fault.isprintable()
    assert len(fault) < 100


@pytest.mark.parametrize(
    ("url", "word", "made"),
    [
        ("https://hc.example/uuid", "", "https://hc.example/uuid"),
        ("https://hc.example/uuid", "start", "https://hc.example/uuid/start"),
        ("https://hc.example/uuid/", "fail", "https://hc.example/uuid/fail"),
        ("https://hc.example/key/name?create=1", "fail", "https://hc.example/key/name/fail?create=1"),
        ("http://127.0.0.1:8000", "start", "http://127.0.0.1:8000/start"),
    ],
)
def test_signals_are_the_last_part_of_the_path(url: str, word: str, made: str) -> None:
    assert signal_url(url, word) == made


# --- When ----------------------------------------------------------------------------------------------


def beats(wells: list[bool]) -> list[int]:
    """The seconds at which there is a beat, all having been well or not in the second before each."""
    pace, found = Pace(0), []
    for second, is_well in enumerate(wells, 1):
        if pace.is_due(second * SECOND, is_well=is_well):
            pace.beaten(second * SECOND)
            found.append(second)
    return found


def test_the_first_beat_comes_after_a_minute_and_then_one_each_minute() -> None:
    assert beats([True] * 59) == []
    assert beats([True] * 200) == [60, 120, 180]
    assert beats([False] * 30 + [True] * 100) == [90]
    assert beats([True] * 60 + [False] * 70 + [True] * 90) == [60, 131, 191]
    assert beats([False] * 500) == []


def test_a_flapping_feed_costs_beats_only_while_it_is_blind() -> None:
    assert len(beats(([False] * 6 + [True] * 44) * 12)) >= 8


@hypothesis.settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 90)), max_size=30))
def test_no_beat_comes_from_less_than_a_minute_of_work_whatever_comes_and_goes(
    spells: list[tuple[bool, int]],
) -> None:
    wells = [is_well for is_well, seconds in spells for _ in range(seconds)]
    found = beats(wells)
    assert all(wells[second - 1] for second in found)
    assert not found or sum(wells[: found[0]]) >= 60
    assert all(later - earlier >= 60 for earlier, later in itertools.pairwise(found))
    # Nor is one left out while all is well.
    assert len(found) >= max((seconds for is_well, seconds in spells if is_well), default=0) // 60 - 1


def test_what_withholds_a_beat_is_said_once_a_spell() -> None:
    pace = Pace(0)
    assert [pace.is_withheld(second * SECOND) for second in (59, 60, 61)] == [False, True, False]
    pace.beaten(100 * SECOND)
    assert [pace.is_withheld(second * SECOND) for second in (159, 160, 161)] == [False, True, False]


class Watch:
    """An outside watch that answers at once, the last answer again and again, and a heartbeat on a clock of its own."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = deque(answers)
        self.asked: list[str] = []
        self.clock = VirtualClock(NOW)
        self.why = ""
        """What withholds a beat at the moment."""

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.path}")
        answer = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def pass_seconds(self, seconds: int) -> list[str]:
        """Let seconds pass; returns what was asked in them."""
        before = len(self.asked)
        await self.clock.wait(seconds)
        return self.asked[before:]


@asynccontextmanager
async def beating(*answers: httpx.Response | Exception) -> AsyncIterator[Watch]:
    """A heartbeat that runs."""
    watch = Watch(*answers)
    url = SecretStr("https://watch.example/CanaryPath")
    heart = Heartbeat(url, watch.clock, lambda _: watch.why, httpx.MockTransport(watch.answer))
    running = asyncio.create_task(heart.run())
    try:
        yield watch
    finally:
        running.cancel()
        await asyncio.wait({running})
        await heart.close()


async def test_the_first_beat_follows_start_and_the_next_come_alone() -> None:
    async with beating(httpx.Response(200, text="OK")) as watch:
        assert await watch.pass_seconds(59) == []
        assert await watch.pass_seconds(2) == [START, BEAT]
        assert await watch.pass_seconds(60) == [BEAT]
        watch.why = "entries held (push refused)"
        with capture_logs() as logs:
            assert await watch.pass_seconds(130) == []
        assert [line["text"] for line in logs] == ["💔 No heartbeat: entries held (push refused)"]
        watch.why = ""
        assert await watch.pass_seconds(3) == [BEAT]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(302, headers={"Location": "/login"}), "answered 302"),
        (httpx.Response(200, text="OK (not found)"), 'answered 200 "OK (not found)"'),
        (httpx.Response(404), "answered 404"),
        (
            httpx.ReadError("CanaryPath"),
            "not reached: connection lost while waiting for the answer (ReadError)",
        ),
        (ssl.SSLError(1, "bad record"), "not reached: the request failed (SSLError)"),
        (UnicodeError("CanaryPath"), "not reached: the request failed (UnicodeError)"),
    ],
)
async def test_what_is_not_counted_is_said_without_the_address(
    answer: httpx.Response | Exception, said: str
) -> None:
    async with beating(httpx.Response(200), answer) as watch:
        with capture_logs() as logs:
            assert await watch.pass_seconds(62) == [START, BEAT]
        assert [line["text"] for line in logs] == [f"💔 HEARTBEAT_URL {said}: not counted"]
        assert "Canary" not in repr(logs)


async def test_an_endless_answer_counts_and_is_not_read() -> None:
    async with outside(ENDLESS) as server:
        heart = Heartbeat(server.secret, ScaledClock(NOW, 1.0), lambda _: "")
        with capture_logs() as logs:
            await heart.fail("x")
        await heart.close()
        assert logs == []
        assert server.poured < 30_000_000


async def test_fail_says_why_on_one_line() -> None:
    async with outside() as server:
        heart = Heartbeat(server.secret, ScaledClock(NOW, 1.0), lambda _: "")
        await heart.fail("exit 1:\nValueError: " + "x" * 999)
        assert server.asked == [FAIL]
        assert server.bodies[0].startswith("exit 1: ValueError: xxx")
        assert len(server.bodies[0]) == 200
        await heart.close()


async def test_without_an_address_nothing_is_asked() -> None:
    clock = VirtualClock(NOW)
    heart = Heartbeat(SecretStr(""), clock, lambda _: "")
    await heart.run()
    await heart.fail("x")
    await heart.close()


# --- The whole worker --------------------------------------------------------------------------------


async def test_a_session_beats_after_a_minute_while_nothing_holds_entries(tmp_path: Path) -> None:
    async with outside() as server, stage(tmp_path, heartbeat_url=server.secret) as play:
        await play.until(lambda: play.worker.live is not None, 60, "the session")
        await play.until(lambda: BEAT in server.asked, 150, "a beat")
        assert play.market_s >= 60
        assert server.asked[:2] == [START, BEAT]
        assert FAIL not in server.asked


async def test_a_session_in_which_entries_are_held_does_not_beat(tmp_path: Path) -> None:
    def prepare(_: LoopbackMarket, pushover: LoopbackPushover) -> None:
        pushover.user_valid = False

    async with outside() as server:
        with capture_logs() as logs:
            async with stage(tmp_path, prepare=prepare, heartbeat_url=server.secret) as play:
                await play.wait(90)
                engine = play.worker.engine
                assert engine is not None
                assert engine.holds == {HoldReason.PUSH_REFUSED}
        assert server.asked == [FAIL]
        assert server.bodies[0].startswith("no push arrives: Pushover refuses our pushes (")
    (said,) = [line["text"] for line in logs if line["event"] == "heartbeat_withheld"]
    assert said == "💔 No heartbeat: entries held (push refused)"


async def test_a_calm_sleep_beats(tmp_path: Path) -> None:
    async with (
        outside() as server,
        stage(tmp_path, start_s=-7200, speed=90, heartbeat_url=server.secret) as play,
    ):
        await play.until(lambda: server.asked, 120, "a sign of life")
        assert play.market_s >= 60
        await play.until(lambda: server.asked[:3] == [START, BEAT, BEAT], 120, "two beats")
    assert FAIL not in server.asked


async def run_once(folder: Path, url: SecretStr, start_s: float = -7200, **faults: Any) -> int:
    """One start of the worker in a crash loop."""
    clock, _ = clocks(session().open + round(start_s * SECOND), 30.0)
    from tests.stage import TOKEN, USER, market  # noqa: PLC0415

    async with (
        LoopbackMarket(market(), clock, KEY) as vendor,
        LoopbackPushover(clock, TOKEN, USER) as pushover,
    ):
        for name in faults:
            vendor.faults.add(name)
        chosen = settings(vendor, pushover, folder, heartbeat_url=url)
        worker = Worker(chosen, clock=clock, random_source=random.Random(SEED), threads=threads())
        return await asyncio.wait_for(worker.run(), 25)


async def test_a_refused_key_again_and_again_never_beats(tmp_path: Path) -> None:
    async with outside() as server:
        for _ in range(5):
            assert await run_once(tmp_path, server.secret, rest_401=True) == EXIT_REFUSED
        assert server.asked == [FAIL] * 5
        assert server.bodies[0].startswith("exit 3: VendorRefused: The vendor refuses the key")
        assert KEY not in "".join(server.bodies)


async def test_a_place_that_cannot_be_used_is_told_to_the_outside_watch(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "lease").write_text("somebody's own\n")
    async with outside() as server:
        assert await run_once(tmp_path, server.secret) == EXIT_CONFIG
        assert server.asked == [FAIL]
        assert server.bodies[0].startswith("exit 2: Misplaced: [Errno 22] It holds something else: ")


@pytest.mark.real_time
@pytest.mark.parametrize(("name", "asked"), [("STOP_LOSS_PERCENT", [FAIL]), ("HEARTBEAT_URL", [])])
async def test_a_bad_setting_is_told_to_the_outside_watch(
    tmp_path: Path, name: str, asked: list[str]
) -> None:
    async with outside() as server:
        address = server.secret.get_secret_value()
        kept = {key: value for key, value in os.environ.items() if key in ("PATH", "TZ")}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(ROOT / "main.py")),
            cwd=tmp_path,
            env={**kept, **measured(), "HEARTBEAT_URL": address, name: "lots"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 30)
        assert (process.returncode, out) == (EXIT_CONFIG, b"")
        assert err.startswith(b"Bad configuration:\n") and name.encode() in err
        assert address.encode() not in err
        assert server.asked == asked
        assert all(body.startswith("exit 2: bad configuration: No .env in ") for body in server.bodies)
        assert len(server.bodies) == len(asked)


async def test_one_flipped_bit_in_the_record_never_beats(tmp_path: Path) -> None:
    path = record_path(tmp_path / "data", session().date)
    async with outside() as server:
        async with stage(tmp_path, start_s=1700) as play:
            await play.until(lambda: play.worker.live is not None and path.exists(), 60, "a record")
            await play.wait(5)
        text = bytearray(path.read_bytes())
        text[len(text) // 2] ^= 1
        path.write_bytes(text)
        for _ in range(3):
            assert await run_once(tmp_path, server.secret, 1800) == EXIT_CRASHED
        assert server.asked == [FAIL] * 3
        assert server.bodies[0].startswith("exit 1: Damage: ")
        path.unlink()


@pytest.mark.real_time
async def test_an_outside_watch_that_hangs_does_not_hold_the_end_up(tmp_path: Path) -> None:
    async with outside(DRIP) as server:
        begun = time.monotonic()
        with capture_logs() as logs:
            assert await run_once(tmp_path, server.secret, rest_401=True) == EXIT_REFUSED
        assert 4 <= time.monotonic() - begun <= 20
        (said,) = [line["text"] for line in logs if line["event"] == "heartbeat_failed"]
        assert said.startswith("💔 HEARTBEAT_URL/fail not reached: no answer in time")


async def test_a_second_copy_and_an_ordinary_stop_fail_nothing(tmp_path: Path) -> None:
    async with outside() as server, stage(tmp_path, start_s=-7200, heartbeat_url=server.secret) as play:
        await play.until((tmp_path / "data" / "lease").exists, 60, "the lease")
        assert await run_once(tmp_path, server.secret) == EXIT_LEASE
        assert await play.stop() == EXIT_OK
        assert FAIL not in server.asked


async def test_a_stop_that_leaves_a_sell_untold_names_it_and_says_fail(tmp_path: Path) -> None:
    async with outside() as server:
        with capture_logs() as logs:
            async with stage(tmp_path, heartbeat_url=server.secret) as play:
                await play.until(lambda: play.titles("BUY"), 150, "a BUY")
                play.pushover.answers.extend(["400"] * 9)
                assert await play.stop() == EXIT_OK
        assert server.asked[-1] == FAIL
        said = "stopped with a SELL or a safety push untold: 🚪 IWM 0DTE CALL — SELL #"
        assert re.fullmatch(said + "[0-9a-f]{6}", server.bodies[-1])
    names = [line["event"] for line in logs]
    assert names.index("sell_refused") < names.index("sell_left_unsent") < names.index("stopped")
    assert [line["text"] for line in logs if line["event"] == "sell_left_unsent"] == [
        "🛑 Alert left unsent: 🚪 IWM 0DTE CALL — SELL"
    ]
