"""The network in memory: what travels, what is in its way, and how the real clients and servers take it."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from aiohttp import web
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from sim.link import TO_CLIENT, TO_SERVER, Route
from sim.loop import Process, SimLoop
from sim.network import Network
from sim.transport import KERNEL_BYTES, Transport

NAME = "service"


class Peer(asyncio.Protocol):
    """Notes what happens to its end of a connection, with when."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, object]] = []
        self.transport: Transport

    def _note(self, what: object) -> None:
        self.seen.append((round(asyncio.get_running_loop().time(), 4), what))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._note(data)

    def eof_received(self) -> bool:
        self._note("end")
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._note("closed" if error is None else type(error).__name__)

    def pause_writing(self) -> None:
        self._note("pause")

    def resume_writing(self) -> None:
        self._note("resume")


class Scene:
    """A server at the service, whose route is ``route``, and connections to it."""

    def __init__(self, loop: SimLoop, network: Network) -> None:
        self.loop, self.network = loop, network
        self.servers: list[Peer] = []
        inner = network.listen(self._make, "127.0.0.1", 0)
        self.port = network.alias(inner.address[1], NAME)

    @property
    def route(self) -> Route:
        return self.network.route(NAME)

    def _make(self) -> Peer:
        self.servers.append(Peer())
        return self.servers[-1]

    async def connect(self, host: str = "127.0.0.1", **options: Any) -> tuple[Peer, Peer]:
        """Returns both ends of a new connection."""
        _, client = await self.loop.create_connection(Peer, host, self.port, **options)
        return client, self.servers[-1]


def play(work: Callable[[Scene], Coroutine[Any, Any, Any]]) -> Any:
    """Plays something on a network of its own."""
    network = Network(random.Random(3))
    loop = SimLoop(network)

    async def all_of_it() -> Any:
        return await work(Scene(loop, network))

    try:
        return loop.run_until_complete(all_of_it())
    finally:
        loop.close()


# --- What travels ------------------------------------------------------------------------------------


def test_bytes_take_their_time_and_keep_their_order() -> None:
    async def work(scene: Scene) -> None:
        client, server = await scene.connect()
        scene.route.latency_s, scene.route.jitter_s = 0.1, 5.0
        for number in range(20):
            client.transport.write(bytes([number]))
        await asyncio.sleep(20)
        assert b"".join(data for _, data in server.seen if isinstance(data, bytes)) == bytes(range(20))
        assert 0.11 <= server.seen[0][0] <= server.seen[-1][0] <= 5.2

    play(work)


def test_a_connection_takes_a_round_trip() -> None:
    async def work(scene: Scene) -> float:
        scene.route.latency_s = 0.4
        await scene.connect("localhost")
        return scene.loop.time()

    assert play(work) == pytest.approx(0.8)


def test_slices_arrive_one_by_one_and_a_slow_way_takes_as_long_as_it_must() -> None:
    async def work(scene: Scene) -> None:
        client, server = await scene.connect()
        scene.route.slice = 3
        client.transport.write(b"abcdefgh")
        await asyncio.sleep(1)
        assert [data for _, data in server.seen] == [b"abc", b"def", b"gh"]
        scene.route.slice, scene.route.rate = 0, [0.0, 100.0]
        began = scene.loop.time()
        server.transport.write(bytes(1_000))
        await asyncio.sleep(30)
        assert sum(len(data) for _, data in client.seen if isinstance(data, bytes)) == 1_000
        assert client.seen[-1][0] - began == pytest.approx(10, abs=0.1)

    play(work)


def test_a_writer_pauses_when_nobody_reads_and_goes_on_when_somebody_does() -> None:
    async def work(scene: Scene) -> None:
        client, server = await scene.connect()
        client.transport.pause_reading()
        server.transport.write(bytes(KERNEL_BYTES))
        await asyncio.sleep(1)
        assert server.seen == [] and not server.transport.get_write_buffer_size()
        server.transport.write(bytes(100_000))
        assert [what for _, what in server.seen] == ["pause"]
        assert server.transport.get_write_buffer_size() == 100_000
        client.transport.resume_reading()
        await asyncio.sleep(1)
        assert [what for _, what in server.seen] == ["pause", "resume"]
        assert sum(len(data) for _, data in client.seen if isinstance(data, bytes)) == KERNEL_BYTES + 100_000

    play(work)


def test_a_mark_is_reached_when_the_reader_has_all_that_was_written_before_it() -> None:
    async def work(scene: Scene) -> None:
        client, server = await scene.connect()
        reached: list[str] = []
        link = client.transport.get_extra_info("link")
        server.transport.write(b"one")
        link.directions[TO_CLIENT].mark(lambda: reached.append("one"))
        client.transport.pause_reading()
        await asyncio.sleep(1)
        assert reached == []
        client.transport.resume_reading()
        await asyncio.sleep(1)
        assert reached == ["one"]

    play(work)


# --- How it ends -------------------------------------------------------------------------------------


def test_a_closed_connection_brings_what_was_written_and_then_its_end() -> None:
    async def work(scene: Scene) -> None:
        client, server = await scene.connect()
        client.transport.write(b"last words")
        client.transport.close()
        client.transport.write(b"too late")
        await asyncio.sleep(1)
        assert [what for _, what in server.seen] == [b"last words", "end", "closed"]
        assert [what for _, what in client.seen] == ["closed"]
        link = scene.network.links[0]
        assert (link.ended_by, link.is_reset, link.is_over) == ("client", False, True)

    play(work)


def test_who_writes_to_a_closed_end_is_reset() -> None:
    async def work(scene: Scene) -> None:
        client, server = await scene.connect()
        client.transport.abort()
        server.transport.write(b"anyone?")
        await asyncio.sleep(1)
        assert server.seen[-1][1] in ("closed", "ConnectionResetError")
        assert server.transport.is_closing()

    play(work)


@pytest.mark.parametrize(("is_reset", "last"), [(True, "ConnectionResetError"), (False, "closed")])
def test_the_network_cuts_a_connection_at_any_byte(is_reset: bool, last: str) -> None:
    async def work(scene: Scene) -> None:
        client, server = await scene.connect()
        way = client.transport.get_extra_info("link").directions[TO_CLIENT]
        way.cut_after, way.cut_is_reset = 5, is_reset
        server.transport.write(b"abcdefgh")
        await asyncio.sleep(1)
        assert client.seen[0][1] == b"abcde" and client.seen[-1][1] == last
        assert server.seen[-1][1] == "ConnectionResetError"
        assert scene.network.links[0].ended_by == "network"

    play(work)


@pytest.mark.parametrize("silently", [False, True])
def test_a_dead_process_says_nothing_more_and_only_its_kernel_ends_its_connections(silently: bool) -> None:
    async def work(scene: Scene) -> None:
        process = Process("worker")
        client, server = await process.start(scene.loop, scene.connect())
        scene.network.end_process(process, silently=silently)
        client.transport.write(b"I am still here")
        server.transport.write(b"hello?")
        await asyncio.sleep(1)
        seen = [what for _, what in server.seen]
        assert (not seen) if silently else seen[0] == "end" and len(seen) == 2
        assert scene.network.links[0].ended_by == "death"
        assert b"hello?" not in [what for _, what in client.seen]

    play(work)


# --- What is in the way ------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", [TO_SERVER, TO_CLIENT])
def test_a_hole_swallows_one_direction_until_tcp_sends_again(direction: int) -> None:
    async def work(scene: Scene) -> None:
        client, server = await scene.connect()
        writer, reader = (client, server) if direction == TO_SERVER else (server, client)
        scene.route.holes = [direction == TO_SERVER, direction == TO_CLIENT]
        scene.route.hole_before = 2
        writer.transport.write(b"lost")
        writer.transport.write(b" and found")
        reader.transport.write(b"the other way is free")
        await asyncio.sleep(4)
        assert reader.seen == [] and writer.seen[0][1] == b"the other way is free"
        scene.route.holes = [False, False]
        await asyncio.sleep(10)
        assert b"".join(data for _, data in reader.seen if isinstance(data, bytes)) == b"lost and found"
        # Pauses of 0.2, 0.4, 0.8, 1.6 and 3.2 s: the first attempt after the hole is gone is the fifth.
        assert reader.seen[0][0] == pytest.approx(0.01 + 6.2 + 0.005, abs=0.01)
        await scene.connect()
        assert scene.route.hits["holes"] == 2

    play(work)


def test_a_hole_in_the_way_of_new_connections_makes_them_late_and_at_last_impossible() -> None:
    async def work(scene: Scene) -> None:
        scene.route.holes = [True, True]
        dialling = asyncio.ensure_future(scene.connect())
        await asyncio.sleep(2.5)
        scene.route.holes = [False, False]
        await dialling
        assert scene.loop.time() == pytest.approx(
            3.01
        )  # the first packet again after 1 s, then after 2 s more
        scene.route.dial = "silent"
        with pytest.raises(TimeoutError):
            await scene.connect()
        assert scene.loop.time() == pytest.approx(3.01 + 127)
        assert [dial.end for dial in scene.network.dials] == ["connected", "unanswered"]

    play(work)


def test_a_refused_connection_fails_and_a_closed_one_ends_at_once() -> None:
    async def work(scene: Scene) -> None:
        scene.route.dial = "refused"
        with pytest.raises(ConnectionRefusedError):
            await scene.connect()
        scene.route.dial = "closed"
        _, client = await scene.loop.create_connection(Peer, "127.0.0.1", scene.port)
        await asyncio.sleep(1)
        assert [what for _, what in client.seen] == ["end", "closed"] and not scene.servers
        assert scene.route.hits["dial"] == 2

    play(work)


@pytest.mark.parametrize(("how", "seconds"), [("unknown", 0.0), ("silent", 20.0)])
def test_a_name_that_does_not_resolve(how: str, seconds: float) -> None:
    async def work(scene: Scene) -> None:
        scene.route.unresolved = how
        with pytest.raises(socket.gaierror):
            await scene.connect("localhost")
        assert scene.loop.time() == pytest.approx(seconds, abs=0.01)
        await scene.connect()  # an address needs no name server
        assert [dial.end for dial in scene.network.dials] == ["unresolved", "connected"]

    play(work)


def test_the_next_address_of_a_name_is_tried_beside_one_that_does_not_answer() -> None:
    async def work(scene: Scene) -> None:
        scene.network.names["two"] = ("::1", "127.0.0.1")
        scene.network.black_holes.add("::1")
        await scene.connect("two", happy_eyeballs_delay=0.25)
        assert scene.loop.time() == pytest.approx(0.26)
        await scene.connect("two")
        assert scene.loop.time() == pytest.approx(0.26 + 127.01)

    play(work)


# --- Real clients and servers ------------------------------------------------------------------------


@asynccontextmanager
async def web_server(network: Network) -> AsyncIterator[str]:
    """An aiohttp server that counts; yields its address."""
    count = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal count
        count += 1
        return web.Response(text=f"{count} {len(await request.read())}")

    application = web.Application(client_max_size=2**24)
    application.router.add_route("*", "/", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://localhost:{network.alias(runner.addresses[0][1], NAME)}/"
    await runner.cleanup()


def test_httpx_uses_a_connection_again_until_its_server_has_closed_it() -> None:
    async def work(scene: Scene) -> None:
        network = scene.network
        async with web_server(network) as url, httpx.AsyncClient(trust_env=False) as client:
            assert [(await client.post(url, content=bytes(size))).text for size in (0, 900_000)] == [
                "1 0",
                "2 900000",
            ]
            assert len(network.links) == 1
            network.links[0].ends[TO_CLIENT].close()
            await asyncio.sleep(1)
            assert (await client.get(url)).text == "3 0"
            assert len(network.links) == 2
            network.links[1].reset()
            network.route(NAME).dial = "refused"
            with pytest.raises(httpx.ConnectError):
                await client.get(url)
            network.route(NAME).dial = "silent"
            with pytest.raises(httpx.ConnectTimeout):
                await client.get(url, timeout=3)

    play(work)


def test_websockets_talk_over_it_and_notice_a_reset() -> None:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        answers = web.WebSocketResponse()
        await answers.prepare(request)
        async for message in answers:
            await answers.send_str(str(message.data))
        return answers

    async def work(scene: Scene) -> None:
        network = scene.network
        application = web.Application()
        application.router.add_get("/", echo)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"ws://localhost:{network.alias(runner.addresses[0][1], NAME)}/"
        async with connect(url, proxy=None, ping_interval=None, happy_eyeballs_delay=0.25) as client:
            network.route(NAME).slice = 1
            await client.send("abc" * 100)
            assert await client.recv() == "abc" * 100
            network.links[0].reset()
            with pytest.raises(ConnectionClosedError):
                await client.recv()
        await runner.cleanup()

    play(work)
