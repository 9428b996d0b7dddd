"""What comes over the sockets, and what it is read as."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events import SECOND, Bar, QuoteSource
from feeds.massive.bad_input import BadReason
from feeds.massive.wire import FrameDecoder, Status, StreamEvent
from feeds.vendor import StreamQuote
from tests.feeds.scene import make_decoder
from tests.wire import ABSENT, CALL, GOOD_BAR, KEY, NOW, START_MS, StillClock, aggregate, frame, option_quote


def test_a_bar_is_read_with_its_decimal_volume() -> None:
    assert make_decoder().decode(frame(aggregate()), NOW) == [GOOD_BAR]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"dv": ABSENT}, {"volume": 1843.0}),
        ({"dv": None}, {"volume": 1843.0}),
        ({"dv": 12.5}, {"volume": 12.5}),
        ({"dv": "0.42", "v": 0}, {"volume": 0.42}),
        ({"dv": "17", "v": ABSENT}, {"volume": 17.0}),
        ({"dv": ABSENT, "v": 61.0}, {"volume": 61.0}),
        ({"dv": "0", "v": 0, "vw": 0}, {"volume": 0.0, "vwap": 241.78}),
        ({"vw": ABSENT}, {"vwap": 241.78}),
        ({"vw": None}, {"vwap": 241.78}),
        ({"vw": 240.0}, {"vwap": 240.0}),
        ({"s": float(START_MS), "e": float(START_MS + 1000), "z": 12.0}, {}),
        ({"e": ABSENT}, {}),
        ({"z": "many", "op": None, "new": {"nested": [1, {}]}}, {}),
        ({"o": 241, "c": 241, "h": 242, "l": 240}, {"open": 241.0, "close": 241.0, "high": 242.0, "low": 240.0}),
    ],
)  # fmt: skip
def test_numbers_come_in_many_forms(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    decoder = make_decoder()
    bar = msgspec.structs.replace(GOOD_BAR, **expected)
    assert decoder.decode(frame(aggregate(**changes)), NOW) == [bar]
    assert not decoder.bad.counts


def test_a_bar_just_ahead_of_now_is_good_and_further_ahead_is_bad() -> None:
    decoder = make_decoder()
    end = GOOD_BAR.end
    assert decoder.decode(frame(aggregate()), end - 2 * SECOND) == [GOOD_BAR]
    assert decoder.decode(frame(aggregate()), end - 2 * SECOND - 1) == []
    assert decoder.bad.counts == {BadReason.FUTURE: 1}


def test_a_bar_from_ahead_is_left_out_and_said_to_whoever_judges_the_clock() -> None:
    early: list[tuple[int, str, int]] = []
    decoder = FrameDecoder(make_decoder().bad, ahead_us=2 * SECOND, early=lambda *bar_: early.append(bar_))
    decoder.asked.add("IWM")
    end = GOOD_BAR.end
    assert decoder.decode(frame(aggregate()), end - 2 * SECOND) == [GOOD_BAR]
    assert early == []
    now = end - 2 * SECOND - 1
    assert decoder.decode(frame(aggregate(), aggregate(sym="ZZZZ"), aggregate(s=None)), now) == []
    assert early == [(now, "IWM", GOOD_BAR.start)]


BAD_NUMBERS: tuple[Any, ...] = ("dear", "241.78", True, [241.78], {})

BAD_PRICES: tuple[Any, ...] = (None, ABSENT, 0, -1.0, 1e9)

BAD_EVENTS: list[tuple[Any, BadReason]] = [
    *((aggregate(c=value), BadReason.PRICE) for value in BAD_PRICES),
    *((aggregate(dv=value, v=-1), BadReason.VOLUME) for value in ("many", "", "-1", "nan", "1_0", "٣", -0.5)),
    (aggregate(dv=ABSENT, v=ABSENT), BadReason.VOLUME),
    (aggregate(dv=ABSENT, v=-3), BadReason.VOLUME),
    (aggregate(dv=ABSENT, v=10**30), BadReason.VOLUME),
    *((aggregate(c=value), BadReason.NUMBER) for value in BAD_NUMBERS),
    (aggregate(s=None), BadReason.TIME),
    (aggregate(s=ABSENT), BadReason.TIME),
    (aggregate(s=START_MS * 1_000_000, e=START_MS * 1_000_000 + 1000), BadReason.TIME),
    (aggregate(s=START_MS // 1000, e=ABSENT), BadReason.TIME),
    (aggregate(s=START_MS + 0.5, e=ABSENT), BadReason.TIME),
    (aggregate(s=START_MS + 500, e=START_MS + 1500), BadReason.TIME),
    (aggregate(e=START_MS + 60_000), BadReason.TIME),
    (aggregate(s=-START_MS, e=ABSENT), BadReason.TIME),
    (aggregate(s=10**30, e=ABSENT), BadReason.TIME),
    (aggregate(s=START_MS + 3_600_000, e=START_MS + 3_601_000), BadReason.FUTURE),
    (aggregate(s="soon"), BadReason.NUMBER),
    (aggregate(sym="ZZZZ"), BadReason.SYMBOL),
    (aggregate(sym=None), BadReason.SYMBOL),
    (aggregate(sym=7), BadReason.NUMBER),
    (option_quote(bp=-0.01), BadReason.PRICE),
    (option_quote(ap=1e9), BadReason.PRICE),
    (option_quote(bs=-1), BadReason.VOLUME),
    (option_quote(t=None), BadReason.TIME),
    (option_quote(t=START_MS * 1_000_000), BadReason.TIME),
    (option_quote(t=NOW // 1000 + 2001), BadReason.FUTURE),
    (option_quote(sym="O:IWM251002C00999000"), BadReason.SYMBOL),
    (aggregate(ev="ZZ"), BadReason.UNKNOWN_EVENT),
    (aggregate(ev=ABSENT), BadReason.EVENT),
    (aggregate(ev=None), BadReason.EVENT),
    (None, BadReason.EVENT),
    (17, BadReason.EVENT),
    ("A", BadReason.EVENT),
    ([["IWM"]], BadReason.EVENT),
    ({}, BadReason.EVENT),
    ({"ev": "status", "status": 7}, BadReason.NUMBER),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "reason"), BAD_EVENTS)
def test_a_bad_event_is_counted_and_costs_no_neighbour(
    bad: Any, reason: BadReason, logged: list[Any]
) -> None:
    decoder = make_decoder()
    spy = msgspec.structs.replace(GOOD_BAR, symbol="SPY")
    events = decoder.decode(frame(bad, aggregate(), bad, aggregate(sym="SPY"), bad), NOW)
    assert events == [GOOD_BAR, spy]
    assert decoder.bad.counts == {reason: 3}
    # The first is sampled; that an event's kind is unknown is no fault, and only counted.
    assert len(logged) == (0 if reason is BadReason.UNKNOWN_EVENT else 1)


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity", "1e999", "nul", "0x1", "9" * 5000])
def test_a_number_that_is_no_json_costs_its_own_event_only(token: str) -> None:
    decoder = make_decoder()
    broken = json.dumps(aggregate()).replace("241.78", token)
    good = json.dumps(aggregate())
    assert decoder.decode(f"[{broken},{good},{broken}]".encode(), NOW) == [GOOD_BAR]
    assert sum(decoder.bad.counts.values()) >= 2


@pytest.mark.parametrize(
    "broken",
    [
        b"", b"[", b"null", b"7", b"{}", b"not json", b"\x00\x01\x02\xff", b'[{"ev":"A","sym":"IWM","v":1,',
        b"[" * 100_000, b'[{"x":' * 50_000, b'"' * 1000, b"\xef\xbb\xbf[]", b"{" * 10_000 + b"}" * 10_000,
    ],
)  # fmt: skip
def test_a_broken_frame_gives_nothing_and_never_raises(broken: bytes) -> None:
    decoder = make_decoder()
    assert decoder.decode(broken, NOW) == []
    assert decoder.bad.counts[BadReason.FRAME] == 1


def test_whole_events_in_a_cut_frame_are_kept() -> None:
    decoder = make_decoder()
    whole = frame(aggregate(), option_quote(), aggregate(sym="SPY"))
    assert decoder.decode(whole[:-30], NOW) == decoder.decode(whole, NOW)[:2]


def test_statuses_and_data_of_several_kinds_share_a_frame() -> None:
    status = {"ev": "status", "status": "success", "message": "subscribed to: A.IWM"}
    events = make_decoder().decode(frame(status, aggregate(), {"ev": "status"}, option_quote()), NOW)
    assert [type(event) for event in events] == [Status, Bar, Status, StreamQuote]
    assert events[0] == Status(status="success", message="subscribed to: A.IWM")


@pytest.mark.parametrize(
    ("changes", "bid", "ask"),
    [
        ({}, 8600, 8800),
        ({"bp": 0}, 0, 8800),
        ({"bp": None, "bs": None}, 0, 8800),
        ({"ap": ABSENT, "as": ABSENT}, 8600, 0),
        ({"bp": 0.255, "ap": 0.3}, 2550, 3000),
        ({"bp": 1.005, "ap": 1}, 10050, 10000),
    ],
)
def test_an_option_quote_is_exact_and_a_missing_side_is_none(
    changes: dict[str, Any], bid: int, ask: int
) -> None:
    (event,) = make_decoder().decode(frame(option_quote(**changes)), NOW)
    assert isinstance(event, StreamQuote)
    assert (event.quote.bid, event.quote.ask) == (bid, ask)
    assert event.quote.at == (START_MS + 345) * 1000
    assert event.quote.source is QuoteSource.STREAM
    assert event.sequence == 771204418


def test_samples_are_logged_once_a_minute_per_reason_without_the_key(logged: list[Any]) -> None:
    clock = StillClock()
    decoder = make_decoder(clock)
    for _ in range(50):
        decoder.decode(frame(aggregate(c=0, sym="IWM", note=f"{KEY}\nhttps://x.test/?apiKey={KEY}")), NOW)
    decoder.decode(frame(aggregate(sym=KEY), "loose text\x1b[2J\n" + KEY), NOW)
    assert [entry["reason"] for entry in logged] == [BadReason.PRICE, BadReason.SYMBOL, BadReason.EVENT]
    clock_now = clock.now()
    clock.at = clock_now + 60 * SECOND
    decoder.decode(frame(aggregate(c=0)), NOW)
    assert logged[-1]["count"] == 51
    assert all(entry["text"].isprintable() for entry in logged)


mutation = st.one_of(
    st.tuples(st.just("set"), st.integers(0, 400), st.integers(0, 255)),
    st.tuples(st.just("cut"), st.integers(0, 400), st.integers(1, 40)),
    st.tuples(st.just("insert"), st.integers(0, 400), st.binary(min_size=1, max_size=12)),
)


def mutate(data: bytes, changes: list[Any]) -> bytes:
    for kind, anywhere, value in changes:
        place = anywhere % (len(data) + 1)
        if kind == "set" and place < len(data):
            data = data[:place] + bytes([value]) + data[place + 1 :]
        elif kind == "cut":
            data = data[:place] + data[place + value :]
        elif kind == "insert":
            data = data[:place] + value + data[place:]
    return data


def assert_possible(events: list[StreamEvent]) -> None:
    for event in events:
        if isinstance(event, Bar):
            assert event.symbol in ("IWM", "SPY") and event.start % SECOND == 0
            assert 0 < event.low <= event.high < 1e8 and event.close > 0 and event.open > 0
            assert 0 <= event.volume <= 1e12 and 0 < event.vwap < 1e8
            assert event.end <= NOW + 2 * SECOND
        elif isinstance(event, StreamQuote):
            assert event.quote.contract in ("IWM", "SPY", CALL)
            assert event.quote.bid >= 0 and event.quote.ask >= 0
            assert event.quote.at <= NOW + 2 * SECOND


@settings(deadline=None)
@given(st.lists(mutation, min_size=1, max_size=6))
def test_mutated_frames_never_raise_and_give_only_possible_events(changes: list[Any]) -> None:
    data = mutate(
        frame(aggregate(), option_quote(), aggregate(sym="SPY"), {"ev": "status", "status": "x"}), changes
    )
    assert_possible(make_decoder().decode(data, NOW))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_noise_never_raises(data: bytes) -> None:
    assert_possible(make_decoder().decode(b"[" + data + b"]", NOW))


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(list(aggregate()) + list(option_quote())), json_values, max_size=4))
def test_any_value_in_any_field_leaves_the_neighbours_alone(changes: dict[str, Any]) -> None:
    odd = {**aggregate(), **changes}
    events = make_decoder().decode(frame(aggregate(sym="SPY"), odd, aggregate(sym="SPY")), NOW)
    assert_possible(events)
    spy = msgspec.structs.replace(GOOD_BAR, symbol="SPY")
    assert [event for event in events if event == spy][:2] == [spy, spy]
