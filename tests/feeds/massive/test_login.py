"""Each step of the login has its limit: a server that accepts and falls silent costs seconds, not the day."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from websockets.asyncio.server import ServerConnection, serve

from feeds.vendor import STEP_TIMEOUT_S, Lost
from polygon_client import vendor_streams
from rules import Rules
from tests.builders import SESSION
from tests.virtual_loop import LoopClock

pytestmark = pytest.mark.virtual_time

CONNECTED = '[{"ev":"status","status":"connected","message":"Connected Successfully"}]'


def saying(*frames: str) -> Callable[[ServerConnection], Awaitable[None]]:
    """A server that says so much, and nothing more for as long as the connection lasts."""

    async def talk(connection: ServerConnection) -> None:
        for frame in frames:
            await connection.send(frame)
        await connection.wait_closed()

    return talk


@pytest.mark.parametrize(("frames", "missing"), [((), "connected"), ((CONNECTED,), "auth_success")])
async def test_a_server_that_accepts_and_says_no_more_is_left(frames: tuple[str, ...], missing: str) -> None:
    loop = asyncio.get_running_loop()
    async with serve(saying(*frames), "127.0.0.1", 0, ping_interval=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        clock = LoopClock(SESSION.open)
        stream = vendor_streams("stocks", f"ws://127.0.0.1:{port}", "key", clock, Rules()).make(None)
        began = loop.time()
        with pytest.raises(Lost, match=f"no {missing} within 10 s"):
            async with asyncio.timeout(600):
                await stream.open()
        assert loop.time() - began == pytest.approx(STEP_TIMEOUT_S, abs=1)
        await stream.close()
