"""What the sockets of the loopback market stream: bars, corrections, quotes."""

from __future__ import annotations

from typing import Any

from tests.sim.clients import Raw, serving
from tests.sim.days import calls


async def test_frames_mix_symbols_and_every_bar_of_the_stretch_comes() -> None:
    async with serving() as server, Raw(server) as client:
        await client.subscribed("A.IWM", "A.SPY")
        events = await client.data(120)
        assert any(len({event.get("sym") for event in frame}) == 2 for frame in client.frames)
        assert any(len(frame) == 1 for frame in client.frames)
        # From the first frame's newest: it may hold corrections of bars that came before we asked.
        begun = next(frame for frame in client.frames if "sym" in frame[0])
        first, last = max(event["s"] for event in begun), max(event["s"] for event in events)
        for symbol in ("IWM", "SPY"):
            got = {event["s"] for event in events if event["sym"] == symbol}
            due = {
                bar.start // 1000 for bar in server.market.bars(symbol) if first < bar.start // 1000 < last
            }
            assert due and due <= got


async def test_corrections_are_sent_again_to_those_who_asked() -> None:
    async with serving(speed=300.0) as server, Raw(server) as client:
        await client.subscribed("A.IWM")
        begin = server.clock.now()
        events = await client.data(300)
        assert {event["sym"] for event in events} == {"IWM"}
        seen: dict[int, float] = {}
        again: set[int] = set()
        for event in events:
            start, volume = event["s"], float(event["dv"])
            if start in seen:
                again.add(start)
                final = server.market.final("IWM", start * 1000)
                assert final is not None and volume == final.volume > seen[start]
            seen[start] = volume
        end = max(event["e"] for event in events) * 1000
        fixes = server.market.corrections("IWM")
        due = {fix.bar.start // 1000 for fix in fixes if begin < fix.bar.sent_at and fix.at < end}
        assert due and due <= again


async def test_option_quotes_are_streamed_as_they_change() -> None:
    async with serving() as server, Raw(server, "options") as client:
        spot = server.market.spot(server.clock.now())
        near = sorted(calls(server.market), key=lambda name: abs(server.market.strike(name) - spot))[:4]
        await client.subscribed(*(f"Q.{name}" for name in near))
        shown: dict[str, tuple[Any, ...]] = {}
        for event in await client.data(60):
            assert set(event) == {"ev", "sym", "bx", "ax", "bp", "ap", "bs", "as", "t", "q"}
            quote = server.market.quote(event["sym"], event["t"] * 1000)
            assert quote is not None and (quote.bid, quote.ask) == (event["bp"], event["ap"])
            values = (event["bp"], event["ap"], event["bs"], event["as"])
            assert shown.get(event["sym"]) != values
            shown[event["sym"]] = values
        assert set(shown) == set(near)
        assert any(len({event.get("sym") for event in frame}) > 1 for frame in client.frames)
