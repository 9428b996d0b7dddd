"""The tests' own loops leave no connection open that a cancelled dial has left to nobody."""

from __future__ import annotations

import asyncio
import gc

import pytest

from tests.virtual_loop import OrdinaryLoop, VirtualLoop


@pytest.mark.parametrize("kind", [OrdinaryLoop, VirtualLoop])
def test_a_connection_that_nobody_has_is_closed_with_the_loop(kind: type[OrdinaryLoop]) -> None:
    async def leave_one() -> None:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        await asyncio.get_running_loop().create_connection(asyncio.Protocol, host, port)
        server.close()

    loop = kind()
    loop.run_until_complete(leave_one())
    loop.close()
    gc.collect()  # would warn of an open one, and a warning is an error
    assert loop.is_closed()
