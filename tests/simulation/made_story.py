"""Stories made by hand, for the tests of the checker: ten quiet minutes with one trade, and ways to spoil them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.simulation.record_lines import sealed
from tests.simulation.sent import SECOND
from tests.simulation.story import (
    Beat,
    Connection,
    Dial,
    DialEnd,
    DiskAction,
    DiskEvent,
    Frame,
    Injected,
    Life,
    LifeEnd,
    Line,
    Place,
    Push,
    Request,
    Story,
)

DAY = "2025-10-02"
OPEN = 1_759_411_800 * SECOND
CLOSE = OPEN + 23_400 * SECOND
BEGIN = OPEN + 4000 * SECOND
LENGTH = 600
CONTRACT = "O:IWM251002C00242000"
ID = "7f3a91"
BUY_S, SELL_S = 200, 320
RULES = {
    "symbol": "IWM",
    "benchmark": "SPY",
    "stall_seconds": 5,
    "warmup_seconds": 600,
    "entry_bar_seconds": 5.0,
    "benchmark_max_age_seconds": 10,
    "entry_quote_seconds": 3.0,
    "mark_lost_seconds": 20,
    "no_entry_after": "15:30",
    "hard_time_stop": "15:55",
    "push_cap_count": 12,
    "push_cap_seconds": 600,
}

OPENED = {
    "type": "opened",
    "id": ID,
    "contract": CONTRACT,
    "price": 240.75,
    "vwap": 240.25,
    "mid": 4450,
    "bid": 4400,
    "ask": 4500,
    "entry": 4500,
    "pay_limit": 4700,
    "time_stop": CLOSE - 300 * SECOND,
}
CLOSED = {
    "type": "closed",
    "id": ID,
    "contract": CONTRACT,
    "reason": "stop loss",
    "price": 240.1,
    "vwap": 240.2,
    "entry": 4500,
    "peak": 4600,
    "mark": 3800,
    "limit_percent": 15.0,
    "time_stop": CLOSE - 300 * SECOND,
}
BUY_TITLE, SELL_TITLE = "🔥 IWM 0DTE CALL — BUY 242c ≤ $0.47 (30 s)", "🚪 IWM 0DTE CALL — SELL -16.7 %"
BUY_TEXT = (
    f"IWM $240.75 | VWAP $240.25 (+0.21%)\n\n📊 {CONTRACT} {DAY} 242c\n\n💰 Entry ~$0.45 (mid $0.445 +$0.005)\n\n"
    f"Pay ≤ $0.47 until 10:40:00 | Stop $0.38\n#{ID}"
)
SELL_TEXT = (
    f"Reason: Stop loss -15.6% (limit -15%)\n\nIWM $240.10 | VWAP $240.20\nPeak $0.46 → Now $0.38\n\n📊 {CONTRACT}\n\n"
    f"Entry $0.45 at 10:40:00, held 2m\n#{ID}"
)


def moment(seconds: float) -> int:
    """So many seconds after the story's begin, µs."""
    return BEGIN + round(seconds * SECOND)


class Made:
    """A story in the making. `day` fills it with the quiet ten minutes; every part may be changed before `story`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts: list[tuple[float, dict[str, Any], list[dict[str, Any]], float | None]] = []
        """When, the fact, its decisions, and how long after it was on the disk; None: never."""
        self.frames: list[Frame] = []
        self.pushes: list[Push] = []
        self.beats: list[Beat] = []
        self.log: list[Line] = []
        self.connections = [
            _connection(1, Place.STOCKS),
            _connection(2, Place.OPTIONS),
            _connection(3, Place.PUSH),
        ]
        self.dials: list[Dial] = []
        self.requests = [
            Request(moment(0), 1, Place.STOCKS, "subscribe", ("A.IWM", "A.SPY")),
            Request(moment(0), 2, Place.OPTIONS, "subscribe", (f"Q.{CONTRACT}",)),
        ]
        self.lives = [
            Life(0, moment(-1), moment(LENGTH), moment(LENGTH + 1), LifeEnd.STOPPED, 0, "", ()),
        ]
        self.injected: list[Injected] = []
        self.changes: dict[str, Any] = {}

    def fact(
        self, at: float, event: dict[str, Any], *decisions: dict[str, Any], safe: float | None = 0.01
    ) -> None:
        """Records a fact."""
        self.facts.append((at, event, list(decisions), safe))

    def bar(
        self, at: float, symbol: str, start: float, close: float, *decisions: dict[str, Any], **more: Any
    ) -> None:
        """Sends a bar that arrives then, and records it."""
        self.frame(at, symbol, start, close)
        self.fact(at, bar_fact(symbol, start, close, **more), *decisions)

    def frame(self, at: float, symbol: str, start: float, close: float) -> None:
        """Sends a bar that arrives then."""
        begin = moment(start) // 1000
        event = {
            "ev": "A",
            "sym": symbol,
            "v": 100,
            "dv": "100.5",
            "vw": close,
            "o": close,
            "c": close,
            "h": close,
        }
        event |= {"l": close, "s": begin, "e": begin + 1000}
        self.frames.append(Frame(moment(at), 1, Place.STOCKS, json.dumps([event]), moment(at)))

    def quote(self, at: float, bid: float, ask: float, age: float = 0.1) -> None:
        """Sends a quote of the contract that arrives then."""
        event = {
            "ev": "Q",
            "sym": CONTRACT,
            "bp": bid,
            "ap": ask,
            "bs": 9,
            "as": 9,
            "t": moment(at - age) // 1000,
            "q": 1,
        }
        self.frames.append(Frame(moment(at), 2, Place.OPTIONS, json.dumps([event]), moment(at)))

    def push(self, at: float, title: str, message: str, **changes: Any) -> None:
        """Sends a push, which is accepted and answered unless ``changes`` say otherwise."""
        sent = Push(
            life=0,
            connection=3,
            first_byte_at=moment(at),
            fields=(("title", title), ("message", message)),
            has_picture=False,
            arrived_at=moment(at + 0.05),
            accepted_at=moment(at + 0.05),
            status=200,
            answered_at=moment(at + 0.05),
            answer_arrived_at=moment(at + 0.1),
            receipt="",
        )
        self.pushes.append(replace(sent, **changes))

    def day(self, *, trade: bool = True) -> Made:
        """Ten quiet minutes; with a BUY and a SELL."""
        for second in range(LENGTH):
            price, arrival = (240.75 if second == BUY_S else 240.0), second + 3.0
            is_buy = trade and second == BUY_S
            self.bar(arrival, "SPY", second, 660.0)
            vwap = (59 * 240.0 + 240.75) / 60
            self.bar(arrival, "IWM", second, price, *([{**OPENED, "vwap": vwap}] if is_buy else []))
            self.quote(second, *((0.44, 0.45) if second < SELL_S else (0.375, 0.385)))
        self.beats = [Beat(moment(second), 0, "", "", 200) for second in range(30, LENGTH, 60)]
        if trade:
            self.push(BUY_S + 3.02, BUY_TITLE, BUY_TEXT)
            self.fact(BUY_S + 3.2, outcome("buy"))
            self.fact(SELL_S + 0.5, {"type": "tick"}, CLOSED)
            self.push(SELL_S + 0.52, SELL_TITLE, SELL_TEXT)
            self.fact(SELL_S + 0.8, outcome("sell"))
        return self

    def story(self) -> Story:
        """The story, with its record on the disk."""
        record, events = self._written()
        path = self.folder / "sessions" / f"{DAY}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(record)
        made = Story(
            seed=0,
            session=DAY,
            is_whole_session=False,
            began_at=moment(-1),
            healed_at=moment(LENGTH - 150),
            stopped_at=moment(LENGTH),
            ended_at=moment(LENGTH + 1),
            folder=self.folder,
            warm_bytes=0,
            settings=(),
            lives=tuple(self.lives),
            injected=tuple(self.injected),
            dials=tuple(self.dials),
            connections=tuple(self.connections),
            frames=tuple(sorted(self.frames, key=lambda frame: frame.at)),
            requests=tuple(self.requests),
            questions=(),
            pushes=tuple(sorted(self.pushes, key=lambda push: push.first_byte_at)),
            service_questions=(),
            acknowledged=(),
            beats=tuple(self.beats),
            disk=tuple(events),
            lines=tuple(self.log),
            clock=(),
            files=(),
        )
        return replace(made, **self.changes)

    def _written(self) -> tuple[bytes, list[DiskEvent]]:
        header = {"type": "header", "schema": 1, "rules": RULES, "now": moment(-1)}
        text, seed = sealed(header, 0)
        events = [_disk(moment(-1), DiskAction.WRITE, 0, text)]
        record = text
        for number, (at, event, decisions, safe) in enumerate(
            sorted(self.facts, key=lambda fact: fact[0]), 1
        ):
            said = [moment(at), number, event] + ([decisions] if decisions else [])
            text, seed = sealed(said, seed)
            events.append(_disk(moment(at), DiskAction.WRITE, len(record), text))
            record += text
            if decisions and safe is not None:
                done = moment(at + safe)
                events.append(replace(_disk(moment(at), DiskAction.SYNC, len(record), b""), done_at=done))
        return record, events


def bar_fact(symbol: str, start: float, close: float, **more: Any) -> dict[str, Any]:
    """A bar as a record has it."""
    prices = dict.fromkeys(("open", "high", "low", "close", "vwap"), close)
    return {"type": "bar", "symbol": symbol, "start": moment(start), **prices, "volume": 100.5, **more}


def outcome(kind: str, what: str = "accepted") -> dict[str, Any]:
    """An alert's outcome as a record has it."""
    return {"type": "alertoutcome", "kind": kind, "id": ID, "outcome": what, "attempts": 1}


def _connection(number: int, place: Place) -> Connection:
    return Connection(number, 0, place, moment(-1), moment(LENGTH + 0.9), "worker", False, 0, 0)


def dial(at: float, place: Place = Place.STOCKS) -> Dial:
    """An attempt to connect that worked."""
    return Dial(moment(at), moment(at), 0, place, DialEnd.CONNECTED, 1)


def _disk(at: int, action: DiskAction, offset: int, data: bytes) -> DiskEvent:
    return DiskEvent(at, at, 0, f"{DAY}.jsonl", action, offset, data, "")


def digest(data: bytes) -> str:
    """SHA-256, as a story has it."""
    return hashlib.sha256(data).hexdigest()
