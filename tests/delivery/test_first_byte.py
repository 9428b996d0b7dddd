"""An alert is made ready while the disk works, and not a byte of it is out before the record is: over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpcore
import httpx
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from delivery.answers import Result
from delivery.attempt import Withheld
from delivery.first_byte import FirstByte
from delivery.pushover import CONNECTIONS_MAX, Pushover
from delivery.sender import Sender
from events import SECOND, AlertKind, Outcome
from sim.pushover import LoopbackPushover
from tests.delivery.stories import CALL, START, TOKEN, USER, Story, buy, sell, settings_for, story, system
from tests.patience import PatientClock
from utils import ScaledClock

QUIET_S = 0.05
"""Real seconds in which a request that is not held back would long have been written."""

MESSAGE = b"POST /1/messages.json"


class Wire:
    """A relay on a loopback port that keeps what is sent to the service behind it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._lines: set[asyncio.Task[None]] = set()
        self.seen = bytearray()
        self.connections = self.open = 0

    @asynccontextmanager
    async def up(self) -> AsyncIterator[str]:
        """Relay; the address is what comes with it."""
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for line in self._lines:
                line.cancel()
            await asyncio.gather(*self._lines, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        with suppress(ConnectionError):
            answers, service = await asyncio.open_connection("127.0.0.1", self._port)
            lines = {
                asyncio.create_task(self._line(reader, service, self.seen)),
                asyncio.create_task(self._line(answers, writer, bytearray())),
            }
            self._lines |= lines
            await asyncio.wait(lines, return_when=asyncio.FIRST_COMPLETED)
            for line in lines:
                line.cancel()
            await asyncio.gather(*lines, return_exceptions=True)
            service.close()
        writer.close()
        self.open -= 1

    async def _line(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                kept += data
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def wired(speed: float = 50.0, question_s: float = 0.0) -> AsyncIterator[tuple[Story, Wire]]:
    """A running sender whose bytes are seen, and which has asked its first questions, or asks one for ``question_s``."""
    clock = PatientClock(START, speed)
    async with LoopbackPushover(clock, TOKEN, USER) as pushover:
        pushover.question_s = question_s
        wire = Wire(int(pushover.url.rpartition(":")[2]))
        async with wire.up() as url:
            settings = settings_for(pushover).model_copy(update={"pushover_url": url})
            told = Story(clock, pushover, settings)
            with capture_logs() as told.logs:
                running = asyncio.create_task(told.sender.run())
                try:
                    await (told.until(lambda: wire.seen) if question_s else told.ready())
                    yield told, wire
                finally:
                    running.cancel()
                    await asyncio.wait({running})


def disk() -> asyncio.Future[bool]:
    """A disk that is still at work."""
    return asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("kind", [AlertKind.BUY, AlertKind.SELL])
async def test_not_a_byte_is_out_before_the_record_is_on_the_disk(kind: AlertKind) -> None:
    async with wired() as (s, wire):
        written = disk()
        s.sender.submit((buy if kind is AlertKind.BUY else sell)(s.now()), written)
        await asyncio.sleep(QUIET_S)
        assert MESSAGE not in wire.seen
        assert s.outcomes == []
        written.set_result(True)
        await s.told()
        assert s.outcomes == [(kind, Outcome.ACCEPTED, 1)]
        assert wire.seen.count(MESSAGE) == 1


async def test_a_connection_is_made_while_the_disk_works() -> None:
    async with wired() as (s, wire):
        await s.pushover.down()
        await s.until(lambda: not wire.open)
        await s.pushover.up()
        written, before = disk(), wire.connections
        s.sender.submit(sell(s.now()), written)
        await s.until(lambda: wire.connections > before)
        await asyncio.sleep(QUIET_S)
        assert MESSAGE not in wire.seen
        written.set_result(True)
        await s.told()
        assert s.outcomes == [(AlertKind.SELL, Outcome.ACCEPTED, 1)]


async def test_a_buy_that_cannot_be_recorded_is_not_sent_and_a_sell_is() -> None:
    async with wired() as (s, wire):
        written = disk()
        s.sender.submit(buy(s.now()), written)
        await asyncio.sleep(QUIET_S)
        written.set_result(False)
        await s.told()
        assert s.outcomes == [(AlertKind.BUY, Outcome.UNSENT, 0)]
        assert s.logged("alert_not_sent")[0]["reason"] == "its decision could not be recorded"
        assert MESSAGE not in wire.seen
        off = disk()
        s.sender.submit(sell(s.now(), "aaaaaa"), off)
        await asyncio.sleep(QUIET_S)
        off.set_result(False)
        await s.told(2)
        assert s.outcomes[1] == (AlertKind.SELL, Outcome.ACCEPTED, 1)


async def test_a_connection_that_was_given_up_is_replaced_at_once() -> None:
    async with wired() as (s, wire):
        written, questions, before = disk(), len(s.pushover.asked("limits.json")), wire.connections
        s.sender.submit(buy(s.now()), written)
        await asyncio.sleep(QUIET_S)
        written.set_result(False)
        await s.told()
        await s.until(lambda: len(s.pushover.asked("limits.json")) > questions)
        assert wire.connections > before


async def test_a_buy_whose_sell_comes_while_the_disk_works_is_withdrawn_with_it() -> None:
    async with wired() as (s, wire):
        written = disk()
        s.sender.submit(buy(s.now()), written)
        await asyncio.sleep(QUIET_S)
        s.sender.submit(sell(s.now()))
        assert s.outcomes == [(AlertKind.BUY, Outcome.UNSENT, 0), (AlertKind.SELL, Outcome.UNSENT, 0)]
        written.set_result(True)
        s.sender.submit(buy(s.now(), "aaaaaa"))
        await s.told(3)
        assert s.titles == ["BUY"]
        assert wire.seen.count(MESSAGE) == 1


async def test_the_ask_is_looked_at_again_when_the_disk_is_done() -> None:
    async with wired() as (s, wire):
        written = disk()
        s.sender.submit(buy(s.now()), written)
        await asyncio.sleep(QUIET_S)
        s.asks[CALL] = 15_300
        written.set_result(True)
        await s.told()
        assert s.outcomes == [(AlertKind.BUY, Outcome.UNSENT, 0)]
        assert s.logged("alert_not_sent")[0]["reason"] == "the ask $1.53 has passed its limit $1.52"
        assert MESSAGE not in wire.seen


async def test_a_slow_disk_costs_no_alert() -> None:
    async with wired(speed=5) as (s, wire):
        s.sender.submit(buy(s.now()), disk())
        await s.told()
        assert s.outcomes == [(AlertKind.BUY, Outcome.ACCEPTED, 1)]
        assert len(s.logged("record_slow")) == 1
        assert wire.seen.count(MESSAGE) == 1


async def test_no_connection_is_kept_for_a_slow_disk() -> None:
    async with wired() as (s, wire):
        written = disk()
        s.sender.submit(buy(s.now()), written)
        # The first is given up, and a question warms another.
        await s.until(lambda: wire.connections == 2)
        assert MESSAGE not in wire.seen
        written.set_result(True)
        await s.told()
        assert s.outcomes == [(AlertKind.BUY, Outcome.ACCEPTED, 1)]
        assert wire.seen.count(MESSAGE) == 1


async def test_what_becomes_late_while_the_disk_works_says_so() -> None:
    async with wired() as (s, wire):
        written = disk()
        s.sender.submit(sell(s.now()), written)
        await s.clock.sleep(20)
        written.set_result(True)
        await s.told()
        assert s.outcomes == [(AlertKind.SELL, Outcome.ACCEPTED, 1)]
        assert "Late " in s.pushover.messages[0].text
        assert wire.seen.count(MESSAGE) == 1


async def test_a_connection_that_fails_while_the_disk_works_is_an_attempt() -> None:
    async with story() as s:
        await s.ready()
        await s.pushover.down()
        written = disk()
        s.sender.submit(buy(s.now()), written)
        await s.until(lambda: s.logged("alert_attempt_failed"))
        written.set_result(False)
        await s.told()
        assert s.outcomes == [(AlertKind.BUY, Outcome.UNSENT, 1)]
        assert s.logged("alert_not_sent")[0]["reason"] == "its decision could not be recorded"


async def test_a_question_gives_way_to_two_alerts_though_both_wait_for_the_disk() -> None:
    async with wired(question_s=10_000) as (s, wire):
        assert b"validate.json" in wire.seen
        first, second = disk(), disk()
        s.sender.submit(buy(s.now()), first)
        s.sender.submit(sell(s.now(), "aaaaaa"), second)
        await asyncio.sleep(QUIET_S)
        assert MESSAGE not in wire.seen
        first.set_result(True)
        second.set_result(True)
        await s.told(2)
        assert sorted(s.titles) == ["BUY", "SELL"]


async def test_what_has_no_record_waits_for_none() -> None:
    async with wired() as (s, wire):
        s.sender.submit(system(s.now()))
        await s.told()
        assert wire.seen.count(MESSAGE) == 1


async def test_a_transport_of_ones_own_is_held_back_as_well() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200, json={"status": 1})

    clock = PatientClock(START, 50.0)
    async with LoopbackPushover(clock, TOKEN, USER) as pushover:
        told = Story(clock, pushover, settings_for(pushover))
        told.sender = Sender(
            settings_for(pushover), clock, told.facts.append, told.asks.get, httpx.MockTransport(answer)
        )
        running = asyncio.create_task(told.sender.run())
        written = disk()
        told.sender.submit(buy(told.now()), written)
        await asyncio.sleep(QUIET_S)
        assert "/1/messages.json" not in asked
        written.set_result(False)
        await told.told()
        told.sender.submit(sell(told.now(), "aaaaaa"))
        await told.told(2)
        assert asked.count("/1/messages.json") == 1
        running.cancel()
        await asyncio.wait({running})


# --- The gate ----------------------------------------------------------------------------------------


async def test_a_deadline_that_passes_while_held_back_is_a_failure_and_never_a_lost_answer() -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    clock = ScaledClock(START, 1.0)
    async with (
        LoopbackPushover(clock, TOKEN, USER) as pushover,
        Pushover(pushover.url, SecretStr(TOKEN), SecretStr(USER), exchange_s=0.1) as service,
    ):
        answer = await service.send(service.message({"message": "m"}), never)
        assert answer.result is Result.FAILED
        assert pushover.requests == []


async def test_what_the_gate_raises_comes_out_and_the_next_request_goes() -> None:
    async def refuse() -> None:
        raise Withheld("no")

    async def agree() -> None:
        pass

    clock = ScaledClock(START, 1.0)
    async with (
        LoopbackPushover(clock, TOKEN, USER) as pushover,
        Pushover(pushover.url, SecretStr(TOKEN), SecretStr(USER)) as service,
    ):
        message = {"title": "t", "message": "m", "priority": "0"}
        assert (await service.send(service.message(message), agree)).result is Result.OK
        for _ in range(2 * CONNECTIONS_MAX):
            with pytest.raises(Withheld):
                await service.send(service.message(message), refuse)
        assert (await service.send(service.message(message), agree)).result is Result.OK
        assert len(pushover.requests) == 2


async def test_the_time_of_an_exchange_begins_when_it_goes_out_once() -> None:
    opened: list[int] = []

    async def agree() -> None:
        opened.append(1)

    def step(method: str) -> Mapping[str, Any]:
        return {"request": httpcore.Request(method, "http://127.0.0.1/")}

    loop = asyncio.get_running_loop()
    async with asyncio.timeout(600) as limit:
        gate = FirstByte(agree, limit, 5.0)
        await gate.trace("connection.connect_tcp.started", {})
        await gate.trace("http11.send_request_headers.started", step("CONNECT"))
        assert (opened, gate.is_open, gate.was_asked) == ([], False, False)
        earliest = loop.time() + 5.0
        await gate.trace("http11.send_request_headers.started", step("POST"))
        await gate.open()
        assert (opened, gate.is_open, gate.was_asked) == ([1], True, True)
        end = limit.when()
        assert end is not None
        assert earliest <= end <= loop.time() + 5.0


async def test_the_age_of_a_buy_counts_while_the_disk_works() -> None:
    async with wired() as (s, wire):
        written = disk()
        s.sender.submit(buy(s.now() - 25 * SECOND), written)
        await s.clock.sleep(6)
        written.set_result(True)
        await s.told()
        assert s.outcomes == [(AlertKind.BUY, Outcome.UNSENT, 0)]
        assert MESSAGE not in wire.seen
