"""What once cost too much: up to 3.5 s of the event loop for a frame of 1 MiB or a body of 8, up to 390 MB, or the neighbours."""

from __future__ import annotations

import json

import pytest

from delivery.answers import Result
from feeds.massive.dial import FRAME_MAX_BYTES
from feeds.massive.http_client import SECONDS_BODY_BYTES
from feeds.massive.rest import CHAIN_BODY_BYTES
from tests.fuzz.bodies import Bodies
from tests.fuzz.case import Case
from tests.fuzz.frames import Frames
from tests.fuzz.kinds import wrong
from tests.fuzz.pushes import answer_of
from tests.fuzz.texts import KEYS
from tests.wire import aggregate, chain_row, option_quote, second_row

BAR, QUOTE = (json.dumps(event).encode() for event in (aggregate(), option_quote()))

NEST = b"[" * 300 + b"]" * 300


def many(unit: bytes, size: int) -> bytes:
    """One thing again and again."""
    return b",".join([unit] * (size // (len(unit) + 1)))


def host(unit: bytes, size: int, event: bytes = BAR) -> bytes:
    """An event or row with a list of one thing again and again, and a symbol or ticker that is none."""
    return event[:-1] + b',"sym":5,"details":5,"x":[' + many(unit, size) + b"]}"


ROOM = FRAME_MAX_BYTES - len(BAR) - len(QUOTE) - 500

FRAMES = {
    "slow numbers in a field that is not used": host(b"1e308", ROOM),
    "slow numbers in a field that is used": BAR[:-1] + b',"o":1e308' * (ROOM // 10) + b"}",
    "slow numbers in many events": many(b'{"ev":"A","o":9e-324}', ROOM),
    "numbers of a hundred digits": many(b'{"ev":"A","o":' + b"1" * 105 + b"}", ROOM),
    "empty lists": host(b"[]", ROOM),
    "lists in lists": host(NEST, ROOM),
    "objects in objects": host(b'{"a":' * 300 + b"0" + b"}" * 300, ROOM),
    "as many good events as there can be": many(
        b'{"ev":"A","sym":"SPY","s":1759411797000,"c":9,"v":1,"o":""}', ROOM
    ),
    "the same, broken": many(b'{"ev":"A","sym":"SPY","s":1759411797000,"c":9,"v":1}', ROOM) + b",NaN",
    "long statuses": many(
        b'{"ev":"status","status":"success","message":"' + b"subscribed to: A " * 13 + b'"}', ROOM
    ),
    "unknown statuses": many(
        b'{"ev":"status","status":"' + b"http://a " * 5 + b'","message":"' + b"http://a " * 22 + b'"}', ROOM
    ),
}


@pytest.mark.parametrize("filling", FRAMES.values(), ids=FRAMES)
def test_a_full_frame_holds_the_loop_for_a_moment_only(filling: bytes) -> None:
    pieces = (b"[", BAR, b"," + filling + b",", QUOTE, b"]")
    assert wrong(Case(Frames.name, pieces, {"raw": True, "first": True})) == ""


@pytest.mark.parametrize("depth", [400, 1_200, 20_000])
def test_an_event_nested_deeper_than_readers_go_costs_no_neighbour(depth: int) -> None:
    deep = b'{"ev":"A","x":' + b'{"a":' * depth + b"0" + b"}" * (depth + 1)
    assert wrong(Case(Frames.name, (BAR, deep, QUOTE))) == ""


ROWS = {"chain": json.dumps(chain_row()).encode(), "seconds": json.dumps(second_row(-1)).encode()}

SIZES = {"chain": CHAIN_BODY_BYTES, "seconds": SECONDS_BODY_BYTES}

UNITS = (b"[]", NEST, b"1e308", b"9" * 4_000, b"1." + b"9" * 30 + b"e-320", b'"\\u0041"')


@pytest.mark.parametrize("endpoint", ROWS)
@pytest.mark.parametrize("broken", [b"", b",NaN", b',{"x":"\\ud800"}'])
@pytest.mark.parametrize("unit", UNITS, ids=[unit[:6].decode() for unit in UNITS])
def test_a_row_of_megabytes_holds_the_loop_for_a_moment_only(
    endpoint: str, unit: bytes, broken: bytes
) -> None:
    limit = {"chain": 49_000, "seconds": 990_000}[endpoint]
    size = min(SIZES[endpoint] - 2_000, limit * (len(unit) + 1))
    whole = ROWS[endpoint] + b"," + host(unit, size, ROWS[endpoint]) + broken
    assert wrong(case_of(endpoint, whole)) == ""


@pytest.mark.parametrize("endpoint", ROWS)
@pytest.mark.parametrize("unit", [b"0", b"{}", b"null", b'{"details":5,"t":[]}'])
def test_a_page_of_no_rows_holds_the_loop_for_a_moment_only(endpoint: str, unit: bytes) -> None:
    assert wrong(case_of(endpoint, many(unit, SIZES[endpoint] - 200))) == ""


def case_of(endpoint: str, rows: bytes) -> Case:
    """A page of these rows, whatever they are."""
    options = {
        "endpoint": endpoint,
        "split": [],
        "around": '"status":"OK"',
        "next": "",
        "raw": 0,
        "is_large": True,
    }
    return Case(Bodies.name, (rows,), options)


@pytest.mark.parametrize("endpoint", ROWS)
@pytest.mark.parametrize("depth", [400, 1_200, 9_000])
def test_a_row_nested_deeper_than_readers_go_costs_no_neighbour(endpoint: str, depth: int) -> None:
    row = ROWS[endpoint]
    deep = row[:-1] + b',"x":' + b"[" * depth + b"]" * depth + b"}"
    options = {"endpoint": endpoint, "split": [], "around": '"status":"OK"', "next": "", "raw": 0}
    assert wrong(Case(Bodies.name, (row.replace(b"215", b"214"), deep), options)) == ""


@pytest.mark.parametrize("unit", [b"1e308", b"9e-324", b"1" * 105])
def test_an_answer_of_the_push_service_holds_the_loop_for_a_moment_only(unit: bytes) -> None:
    text = b'{"status":1,"x":[' + many(unit, 60_000) + b"]}"
    options = {"asked": "post", "code": 200, "headers": [], "mood": "pushes are taken"}
    answer = answer_of(Case("pushes", (text,), options))
    assert answer.result is Result.LOST


@pytest.mark.parametrize("value", ["1" * 20_000 + "x", "1." + "0" * 20_000 + "x", "." + "1" * 20_000 + "e"])
def test_a_number_without_end_among_the_settings_is_refused_at_once(value: str) -> None:
    pieces = tuple(f"{name}={key}".encode() for name, key in {**KEYS, "MAX_SPREAD_PERCENT": value}.items())
    assert wrong(Case("settings", pieces, {"odd": "MAX_SPREAD_PERCENT"})) == ""
