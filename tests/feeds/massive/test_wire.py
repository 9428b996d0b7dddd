"""What comes over the sockets against what may come out: numbers that cannot be, broken frames, and their bounds."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from events import SECOND, Bar
from feeds.massive.bad_input import SHOWN_WINDOW, BadInput, BadReason, printable, scrubber
from feeds.massive.dial import FRAME_MAX_BYTES
from feeds.massive.numbers import ahead_us
from feeds.massive.wire import OTHERS_MAX, PIECES_MAX, FrameDecoder, Status
from feeds.vendor import StreamQuote
from rules import Rules
from tests.wire import (
    ABSENT,
    CALL,
    GOOD_BAR,
    KEY,
    NOW,
    START_MS,
    StillClock,
    aggregate,
    frame,
    make_decoder,
    option_quote,
)

SPY_BAR = msgspec.structs.replace(GOOD_BAR, symbol="SPY")
TYPICAL = (241.76 + 241.79 + 241.78) / 3


# --- One number that cannot be -----------------------------------------------------------------------

NONE_USABLE: tuple[Any, ...] = ("dear", "", True, [241.78], {}, -1.0, 1e9, 10**30)
"""What stands in a number's place and is none that can be used."""

NO_VOLUME: tuple[Any, ...] = (
    *NONE_USABLE[:5], -1.0, 1e12, "1e12", "1e400", "nan", "inf", "1_0", "٣", "1 843", "9" * 5000, ".", "1e",
)  # fmt: skip
NO_PRICE: tuple[Any, ...] = (ABSENT, None, 0, *NONE_USABLE)
NO_VWAP: tuple[Any, ...] = (0, 1e-10, 24177.19, 2.41, *NONE_USABLE)
NO_CLOSE: tuple[Any, ...] = (ABSENT, None, 0, -1.0, 0.0099, 1_000_000.1, 1e300)
NO_NUMBER: tuple[Any, ...] = ("241.78", True, [], {})

MENDED: list[tuple[dict[str, Any], dict[str, Any], dict[BadReason, int]]] = [
    # The VWAP: absent is nothing, anything else over 1 % off is a bad number.
    ({"vw": ABSENT}, {"vwap": 241.78}, {}),
    ({"vw": None}, {"vwap": 241.78}, {}),
    ({"vw": 0, "v": 0, "dv": "0"}, {"vwap": 241.78, "volume": 0.0}, {}),
    *(({"vw": value}, {"vwap": TYPICAL}, {BadReason.VWAP: 1}) for value in NO_VWAP),
    # A second without volume: only 0 means "none" there.
    ({"vw": 1e-10, "v": 0, "dv": "0"}, {"vwap": TYPICAL, "volume": 0.0}, {BadReason.VWAP: 1}),
    # The volume, as a number, in text, in exponent form; dv first, then v.
    ({"dv": "1.234567e+06"}, {"volume": 1_234_567.0}, {}),
    ({"dv": "1E3"}, {"volume": 1000.0}, {}),
    ({"dv": "1.5e-1", "v": 0}, {"volume": 0.15}, {}),
    ({"dv": None, "v": "1.843e3"}, {"volume": 1843.0}, {}),
    ({"dv": ABSENT, "v": "1843"}, {"volume": 1843.0}, {}),
    ({"dv": "0", "v": 0}, {"volume": 0.0}, {}),
    ({"dv": "999999999999"}, {"volume": 999_999_999_999.0}, {}),
    *(({"dv": value}, {"volume": 1843.0}, {BadReason.VOLUME: 1})
      for value in NO_VOLUME),
    # The others of the five prices, while the close is good.
    *(({"o": value}, {"open": 241.78}, {BadReason.PRICE: 1}) for value in NO_PRICE),
    *(({name: value}, {"high": 241.78, "low": 241.77}, {BadReason.PRICE: 1})
      for name in "hl" for value in NO_PRICE),
    ({"h": 241.0}, {"high": 241.78, "low": 241.77}, {BadReason.PRICE: 1}),
    ({"h": 24179.0}, {"high": 241.78, "low": 241.77}, {BadReason.PRICE: 1}),
    ({"h": 24179.0, "vw": 24177.19}, {"high": 241.78, "low": 241.77, "vwap": (241.77 + 2 * 241.78) / 3},
     {BadReason.PRICE: 1, BadReason.VWAP: 1}),
    ({"l": 0.01, "vw": 130.0}, {"high": 241.78, "low": 241.77, "vwap": (241.77 + 2 * 241.78) / 3},
     {BadReason.PRICE: 1, BadReason.VWAP: 1}),
    ({"l": 121.0, "vw": 200.0}, {"low": 121.0, "vwap": 200.0}, {}),
    ({"o": 24177.0}, {"open": 241.79}, {BadReason.PRICE: 1}),
    ({"c": 24178.0}, {"close": 241.79}, {BadReason.PRICE: 1}),
    ({"c": 2.41}, {"close": 241.76}, {BadReason.PRICE: 1}),
    ({"c": 241.80}, {"close": 241.79}, {BadReason.PRICE: 1}),
    ({"h": 2.4179, "l": 2.4176}, {"high": 241.78, "low": 241.77}, {BadReason.PRICE: 1}),
    ({"h": 24179.0, "l": 24176.0}, {"high": 241.78, "low": 241.77}, {BadReason.PRICE: 1}),
    ({"o": None, "h": None, "l": None, "vw": None}, {"open": 241.78, "high": 241.78, "low": 241.78, "vwap": 241.78},
     {BadReason.PRICE: 1}),
    # The end says nothing that the start does not.
    ({"e": ABSENT}, {}, {}),
    ({"e": None}, {}, {}),
    ({"e": 0}, {}, {}),
    *(({"e": value}, {}, {BadReason.NUMBER: 1}) for value in NO_NUMBER),
    # A whole bar in another unit is one of its own kind: the engine compares it with those before.
    ({"o": 24177, "h": 24179, "l": 24176, "c": 24178, "vw": 24177.19},
     {"open": 24177.0, "high": 24179.0, "low": 24176.0, "close": 24178.0, "vwap": 24177.19}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected", "counts"), MENDED)
def test_what_is_usable_is_used_and_the_rest_counted(
    changes: dict[str, Any], expected: dict[str, Any], counts: dict[BadReason, int]
) -> None:
    decoder = make_decoder()
    events = decoder.decode(frame(aggregate(sym="SPY"), aggregate(**changes), aggregate(sym="SPY")), NOW)
    assert len(events) == 3
    bar = msgspec.structs.replace(GOOD_BAR, **expected)
    assert events[1] == msgspec.structs.replace(bar, vwap=pytest.approx(bar.vwap))
    assert events[0] == events[2] == SPY_BAR
    assert decoder.bad.counts == counts


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        *(({"c": value}, BadReason.PRICE) for value in NO_CLOSE),
        *(({"c": value}, BadReason.NUMBER) for value in NO_NUMBER),
        # The close contradicts the rest, and nothing tells which is wrong.
        ({"c": 260.0, "o": 260.0}, BadReason.PRICE),
        ({"c": 260.0, "o": None, "vw": None}, BadReason.PRICE),
        ({"c": 260.0, "o": 24177.0}, BadReason.PRICE),
        ({"dv": "many", "v": "many"}, BadReason.VOLUME),
        ({"dv": ABSENT, "v": None}, BadReason.VOLUME),
        ({"dv": ABSENT, "v": 1e12}, BadReason.VOLUME),
        ({"dv": -1, "v": -1}, BadReason.VOLUME),
        ({"e": START_MS + 60_000}, BadReason.TIME),
        ({"s": 0, "e": 0}, BadReason.TIME),
        ({"s": True}, BadReason.NUMBER),
        ({"s": START_MS + 500, "e": ABSENT}, BadReason.TIME),
        ({"sym": CALL}, BadReason.SYMBOL),
    ],
)
def test_without_what_a_bar_needs_the_event_is_left_out(changes: dict[str, Any], reason: BadReason) -> None:
    decoder = make_decoder()
    bad = aggregate(**changes)
    assert decoder.decode(frame(bad, aggregate(sym="SPY"), bad), NOW) == [SPY_BAR]
    assert decoder.bad.counts == {reason: 2}


@pytest.mark.parametrize("scale", [0.01 / 100, 1.0, 1_000_000.0 / 100])
def test_prices_of_every_size_within_the_bounds_are_read(scale: float) -> None:
    price = 100 * scale
    (bar,) = make_decoder().decode(frame(aggregate(o=price, h=price, l=price, c=price, vw=price)), NOW)
    assert isinstance(bar, Bar)
    assert bar.vwap == bar.close == price


@pytest.mark.parametrize(
    ("vwap", "is_good"), [(241.76 * 0.99, True), (241.76 * 0.9899, False), (241.79 * 1.01, True), (241.79 * 1.0101, False)]
)  # fmt: skip
def test_a_vwap_may_lie_one_percent_outside(vwap: float, is_good: bool) -> None:
    decoder = make_decoder()
    (bar,) = decoder.decode(frame(aggregate(vw=vwap)), NOW)
    assert isinstance(bar, Bar)
    assert bar.vwap == (vwap if is_good else pytest.approx(TYPICAL))
    assert bool(decoder.bad.counts) is not is_good


@pytest.mark.parametrize("doubt_s", [0.5, 2.0, 3.0])
def test_one_limit_for_how_far_ahead_of_now_a_fact_may_lie(doubt_s: float) -> None:
    limit = ahead_us(Rules(clock_doubt_seconds=doubt_s))
    decoder = make_decoder(ahead_us=limit)
    end = GOOD_BAR.end
    assert decoder.decode(frame(aggregate()), end - limit) == [GOOD_BAR]
    assert decoder.decode(frame(aggregate()), end - limit - 1) == []
    stamp = (START_MS + 345) * 1000
    assert len(decoder.decode(frame(option_quote()), stamp - limit)) == 1
    assert decoder.decode(frame(option_quote()), stamp - limit - 1) == []
    assert decoder.bad.counts == {BadReason.FUTURE: 2}


@pytest.mark.parametrize("event", [option_quote(sym="IWM"), aggregate(sym=CALL)])
def test_a_share_has_no_option_quote_and_an_option_no_share_s_bar(event: dict[str, Any]) -> None:
    decoder = make_decoder()
    assert decoder.decode(frame(event), NOW) == []
    assert decoder.bad.counts == {BadReason.SYMBOL: 1}


# --- Broken frames -----------------------------------------------------------------------------------

GOOD = json.dumps(aggregate())
SPY = json.dumps(aggregate(sym="SPY"))
INNER = json.dumps(aggregate(c=999.0, o=999.0, h=999.0, l=999.0, vw=999.0))


@pytest.mark.parametrize(
    "broken",
    [
        '{"ev":"X","x":INNER}', '{"ev":"A","sym":"IWM","x":INNER}', '{"x":[INNER,INNER]}', '{"x":{"y":{"z":INNER}}}',
        '{"ev":"X","x":INNER,"n":NaN}', '{"n":NaN,"ev":"A","x":[INNER]}', '{"x":INNER,"t":"\\ud800"}', '[INNER]', '[[INNER],NaN]',
        '{"t":"}","x":INNER,"n":nul}', '{"t":"\\"}","x":INNER,"n":0x1}', '{"t":"{","x":INNER,"n":1e999}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_wreck", [False, True])
def test_what_stands_inside_a_broken_event_is_no_event(broken: str, is_wreck: bool) -> None:
    decoder = make_decoder()
    text = f"[{GOOD},{broken.replace('INNER', INNER)},{SPY}{',NaN' if is_wreck else ''}]"
    assert decoder.decode(text.encode(), NOW) == [GOOD_BAR, SPY_BAR]
    assert decoder.bad.counts.total() >= 1


@pytest.mark.parametrize(
    "left", ['{"ev":"X","x":INNER', '{"ev":"X","x":[INNER', '{"t":"no end,"x":INNER}', '{"ev":"A","v":1,']
)
def test_after_an_event_that_never_ends_nothing_is_believed(left: str) -> None:
    decoder = make_decoder()
    text = f"[{GOOD},{left.replace('INNER', INNER)},{SPY}]"
    assert decoder.decode(text.encode(), NOW) == [GOOD_BAR]
    assert decoder.bad.counts[BadReason.FRAME] == 1


@pytest.mark.parametrize(
    "odd",
    [
        '{"ev":"A","sym":"\\ud800"}', '{"ev":"A","n":NaN}', '{"ev":"A","n":-Infinity}', '{"ev":"A","n":1e999}', '{"ev":"A","n":nul}',
        '{"ev":"A","n":0x1}', '{"ev":"A","n":' + "9" * 5000 + '}', '{"ev":"A","t":"a\nb\tc"}', '{"ev":"A","t":"\\x"}', "nul", "0x1",
        '{"ev":"A","t":"}{][,\\\\"}', '{"ev":"A","t":"\\ud83d"}', '{"ev":"A",}', '{,}', '{"a" 1}',
    ],
)  # fmt: skip
def test_neighbours_of_what_is_no_json_are_kept_with_whatever_is_new_in_them(odd: str) -> None:
    decoder = make_decoder()
    nested = json.dumps(aggregate(sym="SPY", new={"a": {"b": [1, {"c": "}"}]}}))
    text = f"[{nested},{odd},{GOOD},{odd},{nested}]"
    assert decoder.decode(text.encode(), NOW) == [SPY_BAR, GOOD_BAR, SPY_BAR]
    assert decoder.bad.counts.total() >= 1


def test_bytes_that_are_no_text_cost_their_own_event_only() -> None:
    decoder = make_decoder()
    odd = b'{"ev":"A","sym":"\xff\xfe"}'
    assert decoder.decode(b"[" + odd + b"," + GOOD.encode() + b"," + odd + b"]", NOW) == [GOOD_BAR]


# --- Bounds ------------------------------------------------------------------------------------------


class Counting(BadInput):
    """Counts how often it is called: the steps that bad input costs."""

    steps = 0

    def add(self, *arguments: Any, **options: Any) -> None:
        """Count a step."""
        self.steps += 1
        super().add(*arguments, **options)


def full(piece: str, tail: str = "") -> bytes:
    """A frame as large as any, full of one thing."""
    size = (FRAME_MAX_BYTES - len(tail) - 2) // (len(piece) + 1)
    return ("[" + ",".join([piece] * size) + tail + "]").encode()


FLOODS = [
    *(full(piece) for piece in ("1", "null", "{}", "[]", '{"ev":"A"}', '{"ev":"Q"}', '{"ev":"Z"}', '{"ev":7}', '"a"', '{"ev":"A","c":"x"}')),
    *(full(piece, ",NaN") for piece in ("1", "{}", '{"a":{}}', '{"ev":"A"}', '{"n":NaN}')),
    *(piece * (FRAME_MAX_BYTES // len(piece)) for piece in (b"{", b"[", b'"', b'{"a":', b"[{", b"}", b'{"', b"\\", b"\xff")),
]  # fmt: skip


@pytest.mark.parametrize("flood", FLOODS)
def test_junk_costs_a_bounded_number_of_steps(flood: bytes, logged: list[Any]) -> None:
    bad = Counting("stocks", StillClock(), scrubber(KEY))
    decoder = FrameDecoder(bad)
    assert decoder.decode(flood, NOW) == []
    assert 1 <= bad.steps <= OTHERS_MAX + 2
    assert len(logged) <= len(BadReason)


@pytest.mark.parametrize("tail", ["", ",NaN"])
def test_statuses_without_end_are_cut_off(tail: str) -> None:
    decoder = make_decoder()
    events = decoder.decode(full('{"ev":"status"}', tail), NOW)
    assert events == [Status()] * OTHERS_MAX
    assert decoder.bad.counts[BadReason.FRAME] >= 1


def test_bars_beside_many_statuses_are_kept() -> None:
    statuses = '{"ev":"status"},' * (OTHERS_MAX + 1)
    events = make_decoder().decode(f"[{statuses}{GOOD}]".encode(), NOW)
    assert events[-1] == GOOD_BAR
    assert len(events) == OTHERS_MAX + 1


@pytest.mark.parametrize("odd", [aggregate(c=0), 7, aggregate(c="x"), {"ev": "Z"}])
@pytest.mark.parametrize("tail", ["", ",NaN"])
def test_thousands_of_bad_events_cost_no_neighbour(odd: Any, tail: str) -> None:
    decoder = make_decoder()
    pair = f"{json.dumps(odd)},{GOOD}"
    text = "[" + ",".join([pair] * (OTHERS_MAX - 1)) + tail + "]"
    assert decoder.decode(text.encode(), NOW) == [GOOD_BAR] * (OTHERS_MAX - 1)


def test_a_full_frame_holds_fewer_real_events_than_are_looked_at() -> None:
    text = full(json.dumps(aggregate(), separators=(",", ":")), ",NaN")
    events = make_decoder().decode(text, NOW)
    assert OTHERS_MAX < len(events) == text.count(b'"ev"') < PIECES_MAX / 5


# --- Samples -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("filler", ["x", "é", "https://a.test/ ", "\\", "€ "])
def test_no_part_of_the_key_is_left_where_a_sample_is_cut(filler: str, logged: list[Any]) -> None:
    parts = {KEY[:size] for size in range(5, len(KEY) + 1)}
    for before in range(0, 2_200, 7):
        bad = BadInput("stocks", StillClock(), scrubber(KEY))
        text = (filler * 2_200)[:before] + KEY + "y" * 3_000
        bad.add(BadReason.EVENT, text.encode())
    assert len(logged) == len(range(0, 2_200, 7))
    for entry in logged:
        assert not any(part in entry["text"] for part in parts)
        assert len(entry["sample"]) <= BadInput.SAMPLE_CHARACTERS


def test_a_sample_s_cost_does_not_grow_with_it() -> None:
    seen: list[int] = []

    def scrub(text: str) -> str:
        seen.append(len(text))
        return text

    bad = BadInput("stocks", StillClock(), scrub)
    bad.add(BadReason.FRAME, b"x" * 1_000_000)
    bad.add(BadReason.FRAME, b"x" * 1_000_000)
    assert seen == [SHOWN_WINDOW]


@pytest.mark.parametrize(
    "character",
    ["\n", "\r", "\x1b", "\x07", "\x00", "\x7f", "\x80", "\x9b", "\x85", "\u2028", "\u2029", "\u200e", "\u200f",
     *(chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))), "\u061c", "\ufeff", "\ud800", "\U000e0001"],
)  # fmt: skip
def test_nothing_that_a_terminal_obeys_is_left(character: str) -> None:
    assert printable(f"a{character}b") == "a b"


def test_what_is_used_is_not_said_to_be_left_out(logged: list[Any]) -> None:
    decoder = make_decoder()
    decoder.decode(frame(aggregate(vw=0), aggregate(c=0)), NOW)
    used, left_out = (entry["text"] for entry in logged)
    assert used.startswith(
        "⚠️ Bad input from stocks (VWAP outside low and high, 1 so far), the rest of it used: {"
    )
    assert left_out.startswith("⚠️ Bad input from stocks (price, 1 so far), left out: {")


def test_quotes_within_the_bounds_are_read_and_others_are_not() -> None:
    decoder = make_decoder()
    good = [option_quote(bp=0, ap=1_000_000), option_quote(bs=0, **{"as": 999_999_999_999})]
    bad = [option_quote(ap=1_000_000.1), option_quote(bs=1e12), option_quote(bp=-1e-9)]
    events = decoder.decode(frame(*good, *bad), NOW + SECOND)
    assert [type(event) for event in events] == [StreamQuote, StreamQuote]
    assert decoder.bad.counts == {BadReason.PRICE: 2, BadReason.VOLUME: 1}
