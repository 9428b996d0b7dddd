"""The table of faults: where each kind strikes, how long it lasts, and the values that its options may have."""

from __future__ import annotations

from collections.abc import Mapping

from sim.broken import GARBAGE
from tests.simulation.faults import Choice, Kind, Place, Range, Spec

FEED = {"feed": Choice(("stocks", "options", ""))}
"""Which socket; empty for both."""
STOCKS = {"feed": Choice(("stocks", "stocks", ""))}
HOST = {"host": Choice(("socket", "rest", "push", ""))}
"""Which service; empty for all of them, the heartbeat's too."""
PATH = {"path": Choice(("", "", "/v3/snapshot", "/v2/aggs", "/v1/marketstatus"))}
SYMBOL = {"symbol": Choice(("IWM", "SPY"))}
RESTART = {"restart": Range(1.0, 120.0)}
"""After how many seconds the platform starts it again."""
TIMES = {"times": Range(1, 12)}

SHORT, LONG = Range(1.0, 60.0), Range(5.0, 240.0)


def _socket(text: str, seconds: Range | None = None, /, **options: Range | Choice) -> Spec:
    return Spec(Place.SOCKET, text, seconds, options)


def _payload(text: str, seconds: Range | None = None, /, **options: Range | Choice) -> Spec:
    return Spec(Place.PAYLOAD, text, seconds, options)


def _rest(text: str, seconds: Range | None = LONG, /, **options: Range | Choice) -> Spec:
    return Spec(Place.REST, text, seconds, options)


def _clock(text: str, seconds: Range | None = None, /, **options: Range | Choice) -> Spec:
    return Spec(Place.CLOCK, text, seconds, options)


def _disk(text: str, seconds: Range | None = LONG, /, **options: Range | Choice) -> Spec:
    return Spec(Place.DISK, text, seconds, options)


def _push(text: str, seconds: Range | None = LONG, /, **options: Range | Choice) -> Spec:
    return Spec(Place.PUSH, text, seconds, options)


ERRNO = {"errno": Choice(("ENOSPC", "EIO", "EROFS"))}

KINDS: Mapping[Kind, Spec] = {
    Kind.DROP: _socket(
        "the TCP connection ends after `bytes` more bytes to the client; of the next login if `stage` says so",
        how=Choice(("fin", "rst")),
        bytes=Range(0, 3000),
        stage=Choice(("now", "now", "now", "open", "auth", "subscribe")),
        **FEED,
    ),
    Kind.HALF_OPEN: _socket(
        "bytes of open connections vanish: `to` the client, to the server, or both ways; new connections work",
        Range(10.0, 240.0),
        to=Choice(("client", "server", "both")),
        **FEED,
    ),
    Kind.UNREACHABLE: _socket("open connections are reset and new ones refused", SHORT, **HOST),
    Kind.NO_NAME: _socket("names do not resolve; what is open stays open", LONG, **HOST),
    Kind.LATENCY: _socket("bytes take `by` seconds longer, each way", LONG, by=Range(0.05, 8.0), **HOST),
    Kind.CHOPPED: _socket("bytes arrive `size` at a time", LONG, size=Range(1, 64), **HOST),
    Kind.TRICKLE: _socket("a socket brings `rate` bytes a second", SHORT, rate=Range(20.0, 2000.0), **FEED),
    Kind.STALL: _socket(
        "a socket stays open and brings no data; pings are answered if `pings`",
        LONG,
        pings=Choice((True, True, False)),
        **FEED,
    ),
    Kind.NO_PONG: _socket("pings are not answered, and data goes on", LONG, **FEED),
    Kind.KICK: _socket(
        "a second copy connects `times` times: max_connections and 1008", times=Range(1, 3), **FEED
    ),
    Kind.MAX_CONNECTIONS_AT_AUTH: _socket(
        "the next `times` logins are answered with max_connections and 1008", times=Range(1, 3), **FEED
    ),
    Kind.ACCEPT_THEN_CLOSE: _socket(
        "what is open is dropped, and the next `times` connections are closed at once",
        code=Choice((1000, 1001, 1006, 1011, 1013)),
        **TIMES,
        **STOCKS,
    ),
    Kind.AUTH_FAILED: _socket(
        "what is open is dropped, and logins are refused", LONG, plan=Choice((False, True)), **STOCKS
    ),
    Kind.HANDSHAKE: _socket(
        "what is open is dropped, and handshakes are answered with `status`",
        LONG,
        status=Choice((401, 403, 429, 500, 502, 503)),
        html=Choice((True, False)),
        **STOCKS,
    ),
    Kind.NO_ACK: _socket(
        "what is open is dropped, and a subscription is neither acknowledged nor served",
        times=Range(1, 3),
        pair=Choice(("A.IWM", "A.SPY", "")),
    ),
    Kind.NO_CONNECTED: _socket(
        "what is open is dropped, and the next `times` connections open and say nothing",
        times=Range(1, 3),
        **STOCKS,
    ),
    Kind.BURST: _socket(
        "`frames` frames of old quotes and corrections come at once", frames=Range(500, 20_000), **FEED
    ),
    Kind.GIANT_FRAME: _socket(
        "a frame of `size` bytes in which nothing is an event", size=Range(100_000, 3_000_000), **FEED
    ),
    Kind.GARBAGE: _payload(
        "frames with something broken among good events", SHORT, kind=Choice(GARBAGE), **FEED
    ),
    Kind.ABSURD_PRINT: _payload(
        "bars with prices times `factor` and volume times `volume`",
        times=Range(1, 5),
        factor=Choice((0.0001, 0.01, 0.5, 0.9, 0.96, 1.04, 1.1, 2.0, 100.0, 10_000.0)),
        volume=Range(1.0, 10_000.0),
        **SYMBOL,
    ),
    Kind.DUPLICATES: _payload("each frame is sent twice", LONG, **FEED),
    Kind.SAME_AGAIN: _payload("instead of each new frame, the last one is sent again", LONG, **STOCKS),
    Kind.CORRECTIONS: _payload(
        "`share` of the bars are sent again, corrected, `age` seconds later",
        LONG,
        share=Range(0.05, 1.0),
        age=Range(1.0, 900.0),
    ),
    Kind.OUT_OF_ORDER: _payload(
        "bars are held back up to `by` seconds, each by a length of its own", LONG, by=Range(1.0, 20.0)
    ),
    Kind.LATE: _payload(
        "bars come `by` seconds late; a new connection cures it if `cured`",
        LONG,
        by=Choice((3.0, 6.0, 12.0, 20.0, 60.0, 900.0)),
        cured=Choice((True, False)),
        symbol=Choice(("IWM", "SPY", "")),
    ),
    Kind.FUTURE: _payload(
        "bars that end `by` seconds ahead of the time",
        times=Range(1, 10),
        by=Choice((1.0, 1.9, 2.5, 5.0, 60.0, 3600.0)),
        **SYMBOL,
    ),
    Kind.WRONG_SYMBOL: _payload("bars of a symbol that was not asked for", SHORT),
    Kind.WRONG_DAY: _payload("bars of the day before, at the same time of day", SHORT, **SYMBOL),
    Kind.MISSED_BARS: _payload(
        "`share` of the bars are never sent; REST has them",
        LONG,
        share=Range(0.05, 0.9),
        symbol=Choice(("IWM", "SPY", "")),
    ),
    Kind.ONE_SILENT: _payload(
        "a symbol is not sent; REST has it if `rest`",
        LONG,
        rest=Choice((True, False)),
        cured=Choice((True, False)),
        **SYMBOL,
    ),
    Kind.HALT: _payload("nothing trades, so there are no bars, here or on REST", LONG),
    Kind.REST_429: _rest("too many requests", retry_after=Choice((0, 1, 10, 60)), **PATH),
    Kind.REST_500: _rest("errors of the server", **PATH),
    Kind.REST_RESET: _rest("connections are reset", **PATH),
    Kind.REST_HANG: _rest("no answer", **PATH),
    Kind.REST_SLOW: _rest("one byte every half second", **PATH),
    Kind.REST_ERROR_BODY: _rest("status 200 with the body of an error", **PATH),
    Kind.REST_HTML: _rest("pages of nginx instead of JSON", **PATH),
    Kind.REST_BAD_JSON: _rest("JSON that breaks off, with status 200", **PATH),
    Kind.REST_EMPTY: _rest("status OK without results", **PATH),
    Kind.REST_NO_ROWS: _rest("status OK with an empty list of results", **PATH),
    Kind.REST_NULL: _rest("status OK with `results: null`", **PATH),
    Kind.REST_401: _rest("the key is unknown", **PATH),
    Kind.REST_403: _rest("the plan does not include it", **PATH),
    Kind.TRUNCATED_PAGE: _rest("the connection ends in the middle of the body", **PATH),
    Kind.BAD_PAGE: _rest("broken rows among good ones", nan=Choice((True, False)), **PATH),
    Kind.NEXT_URL_LOOP: _rest("`next_url` names the same page for ever", **PATH),
    Kind.NEXT_URL_OFFHOST: _rest("`next_url` names another host", **PATH),
    Kind.AGGREGATES_LAG: _rest("second aggregates are `by` seconds older than usual", by=Range(5.0, 300.0)),
    Kind.STALE_QUOTES: _rest(
        "rows marked REAL-TIME whose quotes are `by` seconds old",
        by=Choice((4.0, 14.0, 20.0, 900.0, 72_000.0)),
    ),
    Kind.DELAYED_QUOTES: _rest("rows that say DELAYED"),
    Kind.NO_QUOTES: _rest("rows without a quote"),
    Kind.ABSURD_QUOTES: _rest(
        "option quotes, streamed and polled, times `factor`",
        Range(1.0, 30.0),
        factor=Choice((0.01, 0.1, 10.0, 100.0)),
    ),
    Kind.ZERO_BIDS: _rest("`share` of the quotes, streamed and polled, have no bid", share=Range(0.1, 1.0)),
    Kind.ZERO_GREEKS: _rest("greeks that are all 0"),
    Kind.ABSURD_DELTA: _rest("all rows have the same `delta`", delta=Range(0.0, 1.0)),
    Kind.ADJUSTED_ROOT: _rest(
        "each row twice, first as that of an adjusted contract", root=Choice(("IWM1", "2IWM"))
    ),
    Kind.CONTRACT_GONE: _rest("the held contract is neither in the chain nor streamed"),
    Kind.MARKET_CLOSED: _rest("the market status says closed", Range(60.0, 600.0)),
    Kind.CLOCK_STEP: _clock(
        "the wall clock steps, and steps back after `back` seconds (0: never)",
        by=Choice((-3600.0, -600.0, -60.0, -5.0, -2.5, -1.0, 1.0, 2.5, 5.0, 60.0, 600.0, 3600.0, 86_400.0)),
        back=Choice((0.0, 5.0, 60.0, 200.0)),
    ),
    Kind.CLOCK_DRIFT: _clock(
        "the wall clock gains `rate` seconds a second",
        LONG,
        rate=Choice((-0.1, -0.01, -0.001, 0.001, 0.01, 0.1)),
    ),
    Kind.SUSPEND: _clock(
        "the machine sleeps: the process does not run, its monotonic clock stands",
        Range(1.0, 200.0),
        stopped=Choice((True, False)),
    ),
    Kind.SKEWED_DATE: _clock(
        "the vendor's Date is `by` seconds off", LONG, by=Choice((-3600.0, -30.0, -3.0, 3.0, 30.0, 3600.0))
    ),
    Kind.CACHED_DATE: _clock(
        "a cache answers: the Date is `by` seconds old, and Age says so", LONG, by=Range(1, 300)
    ),
    Kind.NO_DATE: _clock("no answer has a Date", LONG),
    Kind.KILL: Spec(Place.PROCESS, "SIGKILL", None, RESTART),
    Kind.TERMINATE: Spec(Place.PROCESS, "SIGTERM, with ON_SHUTDOWN as it is", None, RESTART),
    Kind.CRASH: Spec(Place.PROCESS, "something raises what nothing expects", None, RESTART),
    Kind.SECOND_COPY: Spec(Place.PROCESS, "a second copy is started on the same folder", None),
    Kind.LOOP_LAG: Spec(
        Place.LOOP, "a callback holds the loop up for `by` seconds", None, {"by": Range(0.1, 25.0)}
    ),
    Kind.WRITE_FAILS: _disk("writes and new files fail", **ERRNO),
    Kind.SYNC_FAILS: _disk("fsync fails", **ERRNO),
    Kind.SYNC_SLOW: _disk("fsync takes `by` seconds", by=Range(0.2, 15.0)),
    Kind.SHORT_WRITE: _disk("half of each write goes through, then ENOSPC", SHORT),
    Kind.FOLDER_GONE: _disk("the folder of the records is moved away", None),
    Kind.READ_ONLY: _disk("the folder of the records may not be written", LONG),
    Kind.FILE_REPLACED: _disk(
        "the record's name leads nowhere, or to another file", None, by=Choice(("nothing", "empty", "other"))
    ),
    Kind.PUSH_DOWN: _push("the push service refuses connections", Range(5.0, 600.0)),
    Kind.PUSH_ANSWER: _push(
        "the push service answers so, and does not take the message",
        Range(5.0, 300.0),
        answer=Choice(
            (
                "400",
                "429",
                "429 passing",
                "500",
                "403 html",
                "407",
                "413",
                "408",
                "200 html",
                "200 empty",
                "200 status 0",
                "204",
                "302",
            )
        ),
    ),
    Kind.PUSH_LOST: _push("messages are accepted, and their answers are lost", times=Range(1, 4)),
    Kind.PUSH_CUT: _push("connections are cut, and messages are not accepted", times=Range(1, 4)),
    Kind.PUSH_HANG: _push(
        "messages are `accepted` or not, and no answer comes",
        Range(5.0, 300.0),
        accepted=Choice((True, False)),
    ),
    Kind.PUSH_SLOW: _push("answers take `by` seconds", by=Range(0.5, 30.0)),
    Kind.HEARTBEAT_DOWN: Spec(
        Place.HEARTBEAT,
        "the dead-man's switch does not count beats",
        LONG,
        {"how": Choice(("500", "302", "refused", "hang"))},
    ),
}
