"""Bodies of the vendor's REST: chains, seconds, one contract, the market's status; pages, headers and statuses, too."""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from events import SECOND, Bar, ChainRow, Quote
from feeds.exchange import STATUSES
from feeds.massive.errors import RestError
from feeds.massive.rest import CHAIN_BODY_BYTES, Rest
from tests.fuzz import oracle
from tests.fuzz.bounds import BENCH, beside
from tests.fuzz.case import Case
from tests.fuzz.frames import COSTLY
from tests.fuzz.mutate import is_contained, joined, odd_bytes, odd_object, odd_value, pairs_of, text_of
from tests.fuzz.oracle import NotJson, Twice, Verdict, parsed
from tests.wire import BASE, CALL, EXPIRY, JSON, KEY, NOW, StillClock, chain_row, second_row

ROWS: dict[str, Callable[[bytes], Verdict]] = {"chain": oracle.chain_row, "seconds": oracle.seconds_row}

FROM = NOW - 3_000 * SECOND

LARGE_PART = 0.0005

HEADERS: tuple[tuple[str, str], ...] = (
    ("retry-after", "5"), ("retry-after", "-1"), ("retry-after", "9" * 5_000), ("retry-after", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ("retry-after", "Thu, 99 Jan 99999 00:00:00 GMT"), ("retry-after", "\u0665"), ("date", "Thu, 02 Oct 2025 13:30:00 GMT"), ("date", "x"),
    ("date", "Thu, 02 Oct 9999 99:99:99 -9999"), ("age", "1"), ("age", "-1"), ("age", "9" * 400), ("content-type", "text/html"),
    ("content-type", "application/problem+json"), ("content-type", ";" * 3_000), ("location", "http://[::1"), ("set-cookie", "a=b"),
)  # fmt: skip
"""Headers that say something, or nothing that can be."""

MESSAGES: tuple[Any, ...] = (
    {"status": "ERROR", "error": "Unknown API Key"}, {"status": "NOT_AUTHORIZED", "message": "You are not entitled to this data."},
    {"error": KEY}, {"message": ["x"]}, "<html>", None, [],
)  # fmt: skip
"""Bodies of errors."""


class Server:
    """A server that gives these answers, the last one again and again, and the client that asks it."""

    def __init__(self) -> None:
        self.left: list[httpx.Response] = []
        self.rest = Rest(BASE, KEY, StillClock(), httpx.MockTransport(self._serve), threads=beside)

    def _serve(self, request: httpx.Request) -> httpx.Response:
        answer = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        return httpx.Response(answer.status_code, content=answer.content, headers=answer.headers)


@functools.cache
def server() -> Server:
    """The one of this process: to make a client takes as long as ten answers."""
    return Server()


def asked(endpoint: str, answers: Sequence[httpx.Response], size: int) -> Any:
    """Returns what the client makes of these answers, one after the other: a result, or a RestError."""

    async def ask() -> Any:
        server().left = list(answers)
        rest = server().rest
        try:
            match endpoint:
                case "chain":
                    return list((await rest.chain("IWM", EXPIRY, 215.0, 90.0)).rows)
                case "seconds":
                    return await rest.second_bars("IWM", FROM, NOW)
                case "contract":
                    return await rest.contract("IWM", CALL)
                case _:
                    return await rest.market_status()
        except RestError as error:
            assert KEY not in f"{error!s}{error!r}"
            assert error.retry_after is None or 0 <= error.retry_after <= 3600
            return error

    return BENCH.run(ask, size)


def row_of(source: random.Random, endpoint: str, place: int) -> dict[str, Any]:
    """Returns a valid row that differs from the others of its list."""
    if endpoint == "seconds":
        low, middle, high = sorted(round(source.uniform(100, 180), 2) for _ in range(3))
        return second_row(-60 * place - source.randrange(60), l=low, h=high, o=middle, c=middle, vw=middle)
    row = chain_row(200 + place + source.choice((0, 0.5)))
    row["open_interest"] = source.randrange(10_000)
    return row


class Bodies:
    """Lists of rows, page by page: one of them odd, or what stands around them."""

    name = "bodies"

    def make(self, source: random.Random) -> Case:
        """Returns the rows of a list, how they lie on pages, and the fields around them."""
        draw = source.random()
        if draw < LARGE_PART:
            return large_body(source)
        endpoint = source.choice(("chain", "seconds"))
        count = source.choice((1, 2, 3, 3, 6))
        rows = [row_of(source, endpoint, place) for place in range(count)]
        pieces = [text_of(row) for row in rows]
        envelope: dict[str, Any] = {"status": "OK", "request_id": "5a", "resultsCount": count}
        around, after = pairs_of(envelope), b""
        if draw < 0.7:
            for _ in range(source.choice((1, 1, 2))):
                place = source.randrange(count)
                pieces[place] = odd_object(source, rows[place], source.choice((1, 1, 2)))
            if draw < 0.1:
                pieces.insert(source.randrange(count + 1), odd_value(source))
        elif draw < 0.9:
            place = source.randrange(len(around))
            around[place] = (around[place][0], odd_value(source, around[place][1]))
            after = odd_value(source) if source.random() < 0.3 else b""
        options = {
            "endpoint": endpoint,
            "split": sorted(source.randrange(len(pieces) + 1) for _ in range(source.choice((0, 0, 1, 2)))),
            "around": joined(around)[1:-1].decode("latin-1"),
            "next": after.decode("latin-1"),
            "raw": draw >= 0.9 and source.randrange(2**32),
        }
        return Case(self.name, tuple(pieces), options)

    def check(self, case: Case) -> None:
        """Every valid row comes through, and nothing that is bad; or the answer has failed, if what is around it is odd."""
        options = case.options
        pages = pages_of(case)
        if options["raw"]:
            source = random.Random(options["raw"])
            place = source.randrange(len(pages))
            pages[place] = odd_bytes(source, pages[place], source.choice((1, 1, 2)))
        answers = [httpx.Response(200, content=page, headers=JSON) for page in pages]
        found = asked(options["endpoint"], answers, sum(map(len, pages)))
        if isinstance(found, RestError):
            assert options["raw"] or options.get("is_large") or not must_be_read(case), (
                f"lost the list: {found}"
            )
            return
        for item in found:
            check_item(item)
        if not (options["raw"] or options.get("is_large")):
            compare(found, case)


def pages_of(case: Case) -> list[bytes]:
    """Returns the bodies of a list's pages."""
    edges = [0, *(min(edge, len(case.pieces)) for edge in case.options["split"]), len(case.pieces)]
    around, after = case.options["around"].encode("latin-1"), case.options["next"].encode("latin-1")
    pages = []
    for number, (begin, end) in enumerate(itertools.pairwise(edges)):
        is_last = end == len(case.pieces) and number == len(edges) - 2
        address = after if is_last else text_of(f"{BASE}/v3/next?cursor={number}")
        more = b',"next_url":' + address if address else b""
        pages.append(b"{" + around + b',"results":[' + b",".join(case.pieces[begin:end]) + b"]" + more + b"}")
    return pages


def must_be_read(case: Case) -> bool:
    """Whether a list must be read: what is around its rows is valid, and so is at least one of them."""
    if not all(map(is_contained, case.pieces)) or case.options["next"]:
        return False
    try:
        around = parsed(b"{" + case.options["around"].encode("latin-1") + b"}")
    except NotJson:
        return False
    status = around.get("status")
    if isinstance(around, Twice) or not isinstance(status, str) or status.upper() not in ("OK", "DELAYED"):
        return False
    count = around.get("resultsCount")
    if count is not None and not oracle.is_number(count):
        return False
    valid = [
        found for piece in case.pieces if (found := ROWS[case.options["endpoint"]](piece).must) is not None
    ]
    if case.options["endpoint"] == "seconds":
        valid = [
            found for found in valid if FROM <= found["start"] < NOW
        ]  # others alone are an answer to another question
    return not case.options["split"] and bool(valid)


def check_item(item: Bar | ChainRow) -> None:
    """What may come through at all."""
    if isinstance(item, Bar):
        assert item.symbol == "IWM" and item.backfilled and FROM <= item.start < NOW
        oracle.check_bounds(item)
        return
    assert item.contract.startswith("O:IWM251002C")
    assert item.delta is None or -1 <= item.delta <= 1
    assert item.iv is None or 0 < item.iv <= 100
    assert 0 <= item.open_interest < 1e12 and item.quoted_at <= NOW + 2 * SECOND
    oracle.check_sides(item)


def compare(found: Sequence[Bar | ChainRow], case: Case) -> None:
    """Compares what came through with what each row is by the oracle. A row told twice may be the one or the other."""
    endpoint = case.options["endpoint"]
    name = "contract" if endpoint == "chain" else "start"
    verdicts = [ROWS[endpoint](piece) for piece in case.pieces]
    keys: list[Any] = [(verdict.must or verdict.may or {}).get(name) for verdict in verdicts]
    known = {getattr(item, name): item for item in found}
    is_open = any(verdict.may is not None and name not in verdict.may for verdict in verdicts)
    assert len(known) == len(found)
    assert is_open or known.keys() <= set(keys), f"came through: {known.keys() - set(keys)}"
    for verdict, key, piece in zip(verdicts, keys, case.pieces, strict=True):
        if verdict.must is None or is_open or keys.count(key) > 1:
            if verdict.must is not None and not is_open:
                assert key in known, f"lost: {piece[:300]!r}"
            continue
        if endpoint == "seconds" and not FROM <= key < NOW:
            continue
        assert key in known, f"lost: {piece[:300]!r}"
        assert oracle.is_as(known[key], verdict.must), f"{known[key]} instead of {verdict.must}"


def large_body(source: random.Random) -> Case:
    """Returns a list with one thing in it again and again, in a row or instead of rows."""
    endpoint = source.choice(("chain", "chain", "seconds"))
    size = CHAIN_BODY_BYTES - 20_000
    first, odd = (row_of(source, endpoint, place) for place in (0, 1))
    unit = source.choice((*COSTLY, b'{"details":5,"t":[]}', text_of(odd)))
    many = [unit] * (size // (len(unit) + 1))
    pieces = [text_of(first)]
    match source.randrange(3):
        case 0:
            pieces += many[: source.choice((400, 100_000, 10**7))]
        case 1:
            pairs = pairs_of(odd)
            place = source.randrange(len(pairs))
            pairs[place] = (source.choice((pairs[place][0], b'"x"')), b"[" + b",".join(many) + b"]")
            pieces.append(joined(pairs))
        case _:
            key = source.choice(pairs_of(odd))[0]
            pieces.append(
                joined(
                    [*pairs_of(odd), *((key, item) for item in many[: size // (len(unit) + len(key) + 2)])]
                )
            )
    around = '"status":"OK"' + source.choice(("", ',"x":NaN', ',"resultsCount":[[],[]]'))
    whole = b",".join(pieces)
    return Case(
        Bodies.name,
        (whole,),
        {"endpoint": endpoint, "split": [], "around": around, "next": "", "raw": 0, "is_large": True},
    )


class Answers:
    """The other answers of REST: one contract, the market's status, errors and headers."""

    name = "answers"

    def make(self, source: random.Random) -> Case:
        """Returns a body, a status and headers."""
        endpoint = source.choice(("contract", "contract", "status", "chain", "seconds"))
        match endpoint:
            case "contract":
                body: Any = {"status": "OK", "request_id": "1", "results": chain_row()}
            case "status":
                body = {
                    "market": source.choice(("open", "closed", "extended-hours")),
                    "serverTime": "x",
                    "exchanges": {"nyse": "open"},
                }
            case _:
                body = source.choice(MESSAGES)
        text = text_of(body)
        draw = source.random()
        if isinstance(body, dict) and draw < 0.8:
            text = odd_object(source, body, source.choice((1, 1, 2)))
            if endpoint == "contract" and draw < 0.5:
                text = (
                    b'{"status":"OK","results":'
                    + odd_object(source, chain_row(), source.choice((1, 1, 2)))
                    + b"}"
                )
        elif draw < 0.9:
            text = odd_bytes(source, text, 2)
        code = source.choice(
            (200, 200, 200, 204, 206, 301, 400, 401, 403, 404, 418, 429, 429, 500, 503, 599, 999)
        )
        headers = [source.choice(HEADERS) for _ in range(source.choice((0, 0, 1, 2)))]
        if endpoint in ("chain", "seconds") and code == 200:
            code = 429
        return Case(self.name, (text,), {"endpoint": endpoint, "code": code, "headers": headers})

    def check(self, case: Case) -> None:
        """A valid answer gives what it says; any other a RestError."""
        endpoint, code = case.options["endpoint"], case.options["code"]
        told = {name.lower() for name, _ in case.options["headers"]}
        headers = [*([] if "content-type" in told else JSON.items()), *map(tuple, case.options["headers"])]
        answer = httpx.Response(
            code, content=case.pieces[0], headers=[(name, value.encode()) for name, value in headers]
        )
        found = asked(endpoint, [answer], len(case.pieces[0]))
        if isinstance(found, RestError):
            is_plain = code == 200 and "content-type" not in told
            assert not (is_plain and says(endpoint, case.pieces[0]) is not None), f"lost: {found}"
            return
        assert code == 200
        if endpoint == "status":
            assert found in STATUSES
            told_status = says(endpoint, case.pieces[0])
            assert told_status is None or found == told_status
            return
        assert isinstance(found, Quote) and found.contract == CALL and found.at <= NOW + 2 * SECOND
        oracle.check_sides(found)
        verdict = says(endpoint, case.pieces[0])
        assert verdict is None or found.bid == verdict["bid"], f"{found} instead of {verdict}"


def says(endpoint: str, text: bytes) -> Any:
    """Returns what a plain answer says; None if it is not a valid one."""
    try:
        body = parsed(text)
    except NotJson:
        return None
    if not isinstance(body, dict) or isinstance(body, Twice):
        return None
    if endpoint == "status":
        exchanges = body.get("exchanges")
        word = exchanges.get("nyse") if isinstance(exchanges, dict) else None
        is_known = isinstance(word, str) and word in STATUSES and isinstance(body.get("market"), str)
        return word if is_known and not isinstance(exchanges, Twice) else None
    row = body.get("results")
    if body.get("status") != "OK" or not isinstance(row, dict) or isinstance(row, Twice):
        return None
    is_live = isinstance(row.get("last_quote"), dict) and row["last_quote"].get("timeframe") == "REAL-TIME"
    verdict = oracle.parsed_chain_row(row)
    is_asked = verdict.must is not None and verdict.must["contract"] == CALL and verdict.must["quoted_at"] > 0
    return verdict.must if is_live and is_asked else None
