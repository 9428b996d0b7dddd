"""The loopback Pushover's endpoints over HTTP: a receipt that is cancelled, a second channel, an answer that there is none of."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from sim.pushover import LoopbackPushover
from sim.tasks import Tasks
from tests.sim.days import OPEN
from utils import ScaledClock

TOKEN, USER = "t" * 30, "u" * 30
KEYS = {"token": TOKEN, "user": USER}


async def test_an_emergency_message_is_cancelled_by_its_receipt() -> None:
    emergency = {**KEYS, "message": "hi", "priority": "2", "retry": "30", "expire": "3600"}
    async with (
        LoopbackPushover(ScaledClock(OPEN, 1.0), TOKEN, USER) as service,
        httpx.AsyncClient(base_url=service.url, trust_env=False) as client,
    ):
        receipt = (await client.post("/1/messages.json", data=emergency)).json()["receipt"]
        address = f"/1/receipts/{receipt}"
        assert (await client.get(f"{address}.json", params={"token": TOKEN})).json()["expired"] == 0
        refused = await client.post(f"{address}/cancel.json", data={"token": "x" * 30})
        assert refused.status_code == 400
        unknown = await client.post(f"/1/receipts/{'r' * 30}/cancel.json", data={"token": TOKEN})
        assert "receipt not found" in unknown.text
        cancelled = await client.post(f"{address}/cancel.json", data={"token": TOKEN})
        assert cancelled.json()["status"] == 1
        assert (await client.get(f"{address}.json", params={"token": TOKEN})).json()["expired"] == 1


async def test_an_answer_that_there_is_none_of_is_a_fault_of_the_test() -> None:
    async with (
        LoopbackPushover(ScaledClock(OPEN, 1.0), TOKEN, USER) as service,
        httpx.AsyncClient(base_url=service.url, trust_env=False) as client,
    ):
        service.answers.append("dance")
        answer = await client.post("/1/messages.json", data={**KEYS, "message": "hi"})
        assert answer.status_code == 500
        assert service.messages == []


async def test_what_a_task_raises_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise LookupError("gone")

    tasks = Tasks()
    tasks.spawn(fails())
    tasks.spawn(asyncio.sleep(60))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await tasks.cancel()
    assert [repr(error) for error in tasks.failures] == ["LookupError('gone')"]
    assert caplog.records == []
