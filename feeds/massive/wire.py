"""Decodes the frames of the vendor's sockets into checked events."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator

import msgspec

from events import Bar, Quote, QuoteSource
from feeds.massive.bad_input import BadInput, BadReason, BadValue
from feeds.massive.numbers import (
    AHEAD_US,
    MILLISECOND,
    SECOND_MS,
    UNDECODABLE,
    amount_of,
    option_price,
    time_us,
    value_of,
)
from feeds.massive.pieces import whole_objects
from feeds.massive.seconds import LOOSE_SECOND, Aggregate, make_bar, second_numbers
from feeds.vendor import Early, StreamQuote
from network import is_slow, slow_numbers


class Status(msgspec.Struct, frozen=True, gc=False, tag_field="ev", tag="status"):
    """A message of the vendor about the connection."""

    status: str | None = None
    message: str | None = None


class OptionQuote(msgspec.Struct, frozen=True, gc=False, tag_field="ev", tag="Q", rename={"ask_size": "as"}):
    """The best bid and ask of one option, as on the wire: times in ms, prices in dollars."""

    sym: str | None = None
    bp: float | None = None
    ap: float | None = None
    bs: float | None = None
    ask_size: float | None = None
    t: float | None = None
    q: float | None = None


WireEvent = Status | Aggregate | OptionQuote

StreamEvent = Status | Bar | StreamQuote

_FRAME: msgspec.json.Decoder[list[WireEvent]] = msgspec.json.Decoder(list[WireEvent])

_ONE_EVENT: msgspec.json.Decoder[WireEvent] = msgspec.json.Decoder(WireEvent)

_RAW_FRAME: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])

PIECES_MAX = 100_000
"""How many pieces of a broken frame are read: as many as the events of ten full frames; they take 30 ms."""

PART_EVENTS, PART_PIECES = 2_000, 1_000
"""How many events of a frame are handled in one turn of the event loop; how many, if each must be decoded by itself."""

SLOW_MAX = 500
"""How many numbers that take long to read a frame may have: they take 5 ms. With more, events that hold one are bad."""

OTHERS_MAX = 4_000
"""How many bad events, and how many statuses, of one frame are handled. The rest of the frame counts as one fault.

A full frame (1 MiB) holds some 5,000 real events and takes 10 ms; a bad event costs up to eight times a good one.
"""

KNOWN_EVENTS = frozenset({"status", "A", "Q"})

OPTION_PREFIX = "O:"


class FrameDecoder:
    """Decodes frames into checked events. Passes only symbols and contracts in ``asked``; ``bad`` counts the others.

    ``ahead_us`` is how far ahead of now a bar may end, or a quote be stamped (`Rules.clock_doubt_seconds`). It calls
    ``early`` with each bar that is left out because it ends later: if all bars do, our own clock is wrong.
    """

    def __init__(self, bad: BadInput, ahead_us: int = AHEAD_US, early: Early | None = None) -> None:
        self.bad = bad
        self.early = early
        self.asked: set[str] = set()
        """Symbols and contracts that were ever subscribed to."""
        self._ahead_us = ahead_us

    def decode(self, frame: bytes, now: int) -> list[StreamEvent]:
        """Returns the good events of a frame, received at ``now`` (µs), in their order. Never raises for bad input."""
        return list(itertools.chain.from_iterable(self.parts(frame, now)))

    def parts(self, frame: bytes, now: int) -> Iterator[list[StreamEvent]]:
        """Yields the same events some at a time: no part of a frame takes longer than 20 ms."""
        latest = now + self._ahead_us
        has_slow = is_slow(frame, SLOW_MAX)
        try:
            if has_slow:
                raise msgspec.DecodeError
            wire = _FRAME.decode(frame)
        except UNDECODABLE:
            yield from self._one_by_one(frame, latest, has_slow=has_slow)
            return
        if len(wire) > OTHERS_MAX:
            wire = self._without_a_flood(wire, frame)
        if len(wire) <= PART_EVENTS:
            yield self._good(wire, latest, frame, OTHERS_MAX)[0]
            return
        left = OTHERS_MAX
        for begin in range(0, len(wire), PART_EVENTS):
            events, left = self._good(wire[begin : begin + PART_EVENTS], latest, frame, left)
            yield events
            if not left:
                return

    def _good(
        self, wire: list[WireEvent], latest: int, frame: bytes, left: int
    ) -> tuple[list[StreamEvent], int]:
        """Returns the good ones of some events, and how many more bad ones are handled after them, of ``left``."""
        events: list[StreamEvent] = []
        for event in wire:
            try:
                events.append(self._checked(event, latest))
            except BadValue as error:
                self.bad.add(error.reason, event)
                left -= 1
                if not left:
                    self.bad.add(BadReason.FRAME, frame)
                    break
        return events, left

    def _without_a_flood(self, wire: list[WireEvent], frame: bytes) -> list[WireEvent]:
        """Returns the events without the statuses after the first `OTHERS_MAX`."""
        kept: list[WireEvent] = []
        statuses = 0
        for event in wire:
            statuses += isinstance(event, Status)
            if statuses <= OTHERS_MAX or not isinstance(event, Status):
                kept.append(event)
        if statuses > OTHERS_MAX:
            self.bad.add(BadReason.FRAME, frame)
        return kept

    def _one_by_one(self, frame: bytes, latest: int, *, has_slow: bool) -> Iterator[list[StreamEvent]]:
        events: list[StreamEvent] = []
        bad = statuses = 0
        slow_left = SLOW_MAX
        for number, piece in enumerate(self._pieces(frame), start=1):
            try:
                if has_slow and (slow := slow_numbers(piece)):
                    slow_left -= slow
                    if slow_left < 0:
                        raise BadValue(BadReason.NUMBER)
                event = self._checked(_decode_event(piece), latest)
            except BadValue as error:
                self.bad.add(error.reason, piece)
                bad += 1
            else:
                events.append(event)
                statuses += isinstance(event, Status)
            if OTHERS_MAX in (bad, statuses):
                self.bad.add(BadReason.FRAME, frame)
                break
            if number % PART_PIECES == 0:
                yield events
                events = []
        yield events

    def _pieces(self, frame: bytes) -> Iterable[bytes]:
        """Returns the events of a frame that cannot be decoded at once."""
        try:
            return map(bytes, _RAW_FRAME.decode(frame))
        except UNDECODABLE:
            # A bare NaN or a cut end makes the frame invalid JSON, but its complete objects are still good.
            self.bad.add(BadReason.FRAME, frame)
            return whole_objects(frame, PIECES_MAX)

    def _checked(self, event: WireEvent, latest: int) -> StreamEvent:
        # Most frequent kind first: a failing isinstance costs more than a passing one.
        if isinstance(event, Aggregate):
            symbol, start_ms, end_ms = event.sym, event.s, event.e
            if symbol is None or symbol not in self.asked or symbol.startswith(OPTION_PREFIX):
                raise BadValue(BadReason.SYMBOL)
            if end_ms and start_ms is not None and end_ms != start_ms + SECOND_MS:
                if not math.isnan(end_ms):
                    raise BadValue(BadReason.TIME)
                self.bad.add(BadReason.NUMBER, event, is_used=True)
            try:
                return make_bar(symbol, start_ms, event, latest, self.bad)
            except BadValue as error:
                if error.reason is BadReason.FUTURE and self.early is not None and start_ms is not None:
                    self.early(latest - self._ahead_us, symbol, int(start_ms) * MILLISECOND)
                raise
        if isinstance(event, OptionQuote):
            return self._quote(event, latest)
        return event

    def _quote(self, event: OptionQuote, latest: int) -> StreamQuote:
        if event.sym is None or event.sym not in self.asked or not event.sym.startswith(OPTION_PREFIX):
            raise BadValue(BadReason.SYMBOL)
        sequence = -1.0 if event.q is None else event.q
        return StreamQuote(
            quote=Quote(
                contract=event.sym,
                at=time_us(event.t, MILLISECOND, 1, latest),
                bid=option_price(event.bp),
                ask=option_price(event.ap),
                bid_size=amount_of(event.bs),
                ask_size=amount_of(event.ask_size),
                source=QuoteSource.STREAM,
            ),
            sequence=sequence,
        )


def _decode_event(piece: bytes) -> WireEvent:
    """Returns one event. Raises BadValue with the most precise reason."""
    try:
        return _ONE_EVENT.decode(piece)
    except UNDECODABLE:
        pass
    try:
        fields = LOOSE_SECOND.decode(piece)
    except UNDECODABLE:
        raise BadValue(BadReason.EVENT) from None
    kind, symbol = value_of(fields.ev), value_of(fields.sym)
    if not isinstance(kind, str):
        raise BadValue(BadReason.EVENT)
    if kind not in KNOWN_EVENTS:
        raise BadValue(BadReason.UNKNOWN_EVENT)
    if kind != "A" or not isinstance(symbol, str | None):
        raise BadValue(BadReason.NUMBER)
    return Aggregate(sym=symbol, **second_numbers(fields, "s", "e"))
