"""The market's status over the loopback market's REST."""

from __future__ import annotations

import datetime
from email.utils import parsedate_to_datetime

import pytest

from events import SECOND
from tests.sim.clients import rest, serving


@pytest.mark.parametrize(
    ("start", "market", "early", "after"),
    [
        (3600, "open", False, False),
        (-300, "extended-hours", True, False),
        (23_500, "extended-hours", False, True),
    ],
)
async def test_the_markets_status_and_the_date_come_from_the_clock(
    start: int, market: str, early: bool, after: bool
) -> None:
    async with serving(start=start, speed=1.0) as server, rest(server) as client:
        response = await client.get("/v1/marketstatus/now")
        body = response.json()
        assert (body["market"], body["earlyHours"], body["afterHours"]) == (market, early, after)
        assert body["exchanges"]["nyse"] == market
        told = datetime.datetime.fromisoformat(body["serverTime"])
        assert told.utcoffset() == datetime.timedelta(hours=-4)
        dated = parsedate_to_datetime(response.headers["Date"])
        for moment in (told, dated):
            assert abs(moment.timestamp() - server.clock.now() / SECOND) < 5
