"""Frames of the sockets: several events each, some of them odd; broken ones; and large ones that cost."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from events import Bar
from feeds.massive.bad_input import BadInput, scrubber
from feeds.massive.dial import FRAME_MAX_BYTES
from feeds.massive.socket import Socket
from feeds.massive.wire import FrameDecoder
from feeds.vendor import StreamQuote
from tests.fuzz import oracle
from tests.fuzz.bounds import BENCH
from tests.fuzz.case import Case
from tests.fuzz.mutate import is_contained, joined, odd_bytes, odd_object, odd_value, pairs_of, text_of
from tests.fuzz.oracle import Verdict
from tests.wire import CALL, KEY, NOW, START_MS, StillClock, aggregate, option_quote

ASKED = frozenset({"IWM", "SPY", CALL})

STATUSES: tuple[dict[str, Any], ...] = (
    {"ev": "status", "status": "connected", "message": "Connected Successfully"},
    {"ev": "status", "status": "success", "message": "subscribed to: A.IWM"},
    {"ev": "status", "status": "error", "message": "not authorized"},
    {"ev": "status", "status": "slow_down", "message": "a status that nobody knows"},
)

LARGE_PART = 0.0003
"""How many of the frames are large ones: each takes as long as a thousand others."""


class Once:
    """A connection on which one frame comes."""

    def __init__(self, frame: bytes) -> None:
        self._frames = [b"[]", frame]

    @property
    def is_read(self) -> bool:
        """Whether all of the frame was read: its reader has asked for the next."""
        return not self._frames

    async def recv(self, decode: bool | None = None) -> bytes:
        """Returns the frame, and then an empty one."""
        return self._frames.pop()


def events_of(frame: bytes) -> list[Bar | StreamQuote]:
    """Returns what the reader makes of a frame. It runs on the bench, within the bounds."""

    async def read() -> list[Bar | StreamQuote]:
        decoder = FrameDecoder(BadInput("stocks", StillClock(), scrubber(KEY)))
        decoder.asked |= ASKED
        socket = Socket(
            "stocks", ws_url="ws://market.test", api_key=KEY, clock=StillClock(), decoder=decoder, step_s=1.0
        )
        connection: Any = Once(frame)
        socket._connection = connection
        found: list[Bar | StreamQuote] = []
        while not connection.is_read:
            found += await socket.receive()
        return found

    return BENCH.run(read, len(frame))


def event(source: random.Random, place: int) -> dict[str, Any]:
    """Returns a valid event that differs from the others of its frame."""
    draw = source.random()
    shift = -1000 * (10 * place + source.randrange(10))
    if draw < 0.6:
        prices = sorted(round(source.uniform(100, 180), source.choice((2, 4))) for _ in range(3))
        low, middle, high = prices
        names = {"l": low, "h": high, "o": middle, "c": source.choice(prices), "vw": middle}
        return aggregate(
            sym=source.choice(("IWM", "SPY")), s=START_MS + shift, e=START_MS + shift + 1000, **names
        )
    if draw < 0.9:
        return option_quote(
            t=START_MS + shift + 345, bp=round(source.uniform(0, 9), 2), q=source.randrange(10**9)
        )
    return source.choice(STATUSES)


class Frames:
    """Frames as the reader gets them."""

    name = "frames"

    def make(self, source: random.Random) -> Case:
        """Returns a frame of some events, a broken frame, or a large one."""
        draw = source.random()
        if draw < LARGE_PART:
            return large(source)
        count = source.choice((1, 2, 3, 3, 5, 9))
        events = [event(source, place) for place in range(count)]
        pieces = [text_of(item) for item in events]
        for _ in range(source.choice((0, 1, 1, 1, 2))):
            place = source.randrange(count)
            changes = source.choice((1, 1, 1, 2, 3))
            pieces[place] = odd_object(source, events[place], changes)
        if draw < 0.75:
            if draw < 0.2:
                pieces.insert(source.randrange(count + 1), odd_value(source))
            return Case(self.name, tuple(pieces))
        whole = b"[" + b",".join(pieces) + b"]"
        return Case(self.name, (odd_bytes(source, whole, source.choice((1, 1, 2, 5))),), {"raw": True})

    def check(self, case: Case) -> None:
        """Every valid event comes through, in order, and nothing that is bad."""
        if case.options.get("raw"):
            came = events_of(b"".join(case.pieces))
            for item in came:
                check_bounds(item)
            # A status does not come out of here, so the first that does is not the frame's first.
            if case.options.get("first") and oracle.event(case.pieces[1], ASKED).must is not None:
                compare(came[:1], case.pieces[1:2])
            return
        found = events_of(b"[" + b",".join(case.pieces) + b"]")
        compare(found, case.pieces)


def check_bounds(found: Bar | StreamQuote) -> None:
    """What may come through at all."""
    if isinstance(found, Bar):
        assert found.symbol in ASKED - {CALL}
        oracle.check_bounds(found)
    else:
        assert found.quote.contract == CALL
        assert found.quote.at <= NOW + oracle.AHEAD_MS * 1000
        oracle.check_sides(found.quote)


def compare(found: Sequence[Bar | StreamQuote], pieces: Sequence[bytes]) -> None:
    """Compares what came through with what each piece of the frame is by the oracle."""
    for item in found:
        check_bounds(item)
    verdicts, is_open = [], False
    for piece in pieces:
        verdicts.append(oracle.event(piece, ASKED))
        if not is_contained(piece):
            is_open = True  # where this one ends, nobody can tell
            break
    if is_open and fits(found, verdicts, is_open=True):
        return
    if not is_open and fits(found, verdicts):
        return
    for verdict, piece in zip(verdicts, pieces, strict=False):
        if verdict.must is not None:
            assert any(is_of(item, verdict.must) for item in found), f"lost: {piece[:300]!r}"
    raise AssertionError(f"came through: {found}")


def fits(found: Sequence[Bar | StreamQuote], verdicts: Sequence[Verdict], *, is_open: bool = False) -> bool:
    """Whether what came through can be of these, in their order; with ``is_open``, more may follow."""
    if not verdicts:
        return is_open or not found
    first, later = verdicts[0], verdicts[1:]
    if first.must is not None:
        return bool(found) and is_of(found[0], first.must) and fits(found[1:], later, is_open=is_open)
    is_taken = bool(found) and may_be(found[0], first) and fits(found[1:], later, is_open=is_open)
    return is_taken or fits(found, later, is_open=is_open)


def is_of(found: Bar | StreamQuote, values: dict[str, Any]) -> bool:
    """Whether an event has these values."""
    item = found if isinstance(found, Bar) else found.quote
    return isinstance(found, Bar) is (values["kind"] == "A") and oracle.is_as(item, values)


def may_be(found: Bar | StreamQuote, verdict: Verdict) -> bool:
    """Whether an event may have come of what is neither valid nor bad."""
    if verdict.may is None:
        return False
    return verdict.may["kind"] == "any" or (verdict.may["kind"] != "status" and is_of(found, verdict.may))


# --- Large frames ---

COSTLY: tuple[bytes, ...] = (
    b"1e308", b"9e-324", b"1." + b"9" * 700 + b"e-300", b"1" * 105, b"9" * 4_300, b"0." + b"0" * 320 + b"1", b"[]", b"{}",
    b"[" * 300 + b"]" * 300, b'{"a":' * 300 + b"0" + b"}" * 300, b"[" * 100_000 + b"]" * 100_000, b'"\\u0041"', b'"\\\\"', b'""',
    b"NaN", b"0", b"null", b'"http://a "', b'"\xff"', b"{", b'{"', b'"', b"]", b"}{", b"\\",
)  # fmt: skip
"""What takes longest to read, in relation to its length."""


def large(source: random.Random) -> Case:
    """Returns a frame as long as one may be, of one thing again and again, between two valid events."""
    first, last = (text_of(event(source, place)) for place in (0, 1))
    unit = source.choice(COSTLY)
    host = source.choice((aggregate(), option_quote(), STATUSES[3]))
    pairs = pairs_of(host)
    match source.randrange(6):
        case 0:
            filling = [unit]
        case 1:
            filling = [odd_object(source, host, 1)]
        case 2:
            place = source.randrange(len(pairs))
            pairs[place] = (pairs[place][0], unit)
            filling = [joined(pairs)]
        case 3:
            minimal = [
                pair
                for pair in pairs
                if pair[0] in (b'"ev"', b'"sym"', b'"s"', b'"c"', b'"v"', b'"t"', b'"status"')
            ]
            filling = [joined(minimal)]
        case 4:
            size = FRAME_MAX_BYTES - len(first) - len(last) - 2_000
            many = b"[" + b",".join([unit] * (size // (len(unit) + 1))) + b"]"
            place = source.randrange(len(pairs))
            pairs[place] = (source.choice((pairs[place][0], b'"x"')), many)
            if source.random() < 0.5:
                pairs.append((b'"sym"', b"5"))
            return Case(Frames.name, (first, joined(pairs), last))
        case _:
            key = source.choice(pairs)[0]
            size = FRAME_MAX_BYTES - len(first) - len(last) - 2_000
            twice = [(key, unit)] * (size // (len(key) + len(unit) + 2))
            return Case(Frames.name, (first, joined([*pairs, *twice]), last))
    size = FRAME_MAX_BYTES - len(first) - len(last) - 4
    count = size // (len(filling[0]) + 1)
    pieces = (b"[", first, b"," + b",".join(filling * count) + b",", last, b"]")
    return Case(Frames.name, pieces, {"raw": True, "first": True})
