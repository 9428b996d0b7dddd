"""What only the vendors can tell before the worker runs: key, clock, plan, contracts, sockets, push.

Every question is asked side by side, each with a time limit of its own, and becomes a line of the preflight that says
what was found and what to do about it. Nothing here raises for what a vendor or the network did. It can be loaded
where packages are missing, so that `diagnose` can say which.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import Enum
from typing import Protocol

import_error: Exception | None = None
"""Why the rest of the program cannot be loaded; None when it can."""
try:
    import httpx
    from pydantic import SecretStr

    import contract_selector
    import logger
    import utils
    from config import Settings
    from contract_selector import Refused, polled_prices, select
    from delivery.answers import TOO_MANY, Answer, Result
    from delivery.exchange import Caller, Failed, Reply, failure_words, failures
    from delivery.obstacles import QUOTA_LOW
    from delivery.pushover import Pushover
    from delivery.second_channel import SecondChannel
    from delivery.sender import Sender
    from events import (
        SECOND,
        STRIKE_UNIT,
        AlertKind,
        AlertOutcome,
        Bar,
        Chain,
        Event,
        FeedCause,
        Outcome,
        Session,
    )
    from messages.alert import Alert, Priority
    from polygon_client import (
        EXCHANGE_DEADLINE_S,
        BadInput,
        FrameDecoder,
        Lost,
        Rest,
        RestError,
        RestErrorKind,
        Socket,
        StreamQuote,
        ahead_us,
        scrubber,
    )
    from rules import Rules
    from utils import Clock
    from worker.heartbeat import BODY_MAX, fault_of
except (ImportError, SyntaxError) as error:  # an old Python, or a package that is missing
    import_error = error

LIMIT_S = 9.0
"""Real seconds for one question, its retry included. With closing the sockets, and the start, all take under 15 s."""

EXCHANGE_SHARE = 0.9
"""Part of the limit after which an exchange gives up by itself, with a better reason than that it took too long."""

EVICTION_SHARE = 0.1
"""Part of the limit for which a socket without data is kept open: who holds the connection takes it back at once."""

SOCKET_STEPS = 3
"""Steps of opening a socket (connecting, its greeting, the key), each of which may take that part of the limit."""

STOCKS_LAG_SECONDS = 120
"""Age of the newest second, during a session, from which a plan must be a delayed one: those are 900 s late."""

FIRST_QUOTES_SECONDS = 120
"""So long after the open, yesterday's quotes may still be what there is."""

QUOTE_AGE_SECONDS = 15
"""Age of the newest quote of a whole chain, during a session, beyond which it prices nothing: `QUOTE_FROZEN_SECONDS`."""

CONNECTED_BEFORE_SECONDS, CONNECTED_AFTER_SECONDS = 600, 60
"""A worker may be connected from so long before the open (it needs 300 s) until so long after the close (30 s)."""

FIRST_BARS_SECONDS = 10
"""How long after the open nothing can be expected of a socket yet."""

BARS_WANTED = 5
"""First prints that a lag is taken from: with two symbols they come within a few seconds."""

QUOTES_WANTED = 20
"""Quotes that an age is taken from."""

HTTP_FAULT = 500
HTTP_UNKNOWN = frozenset({401, 403, 404, 410})
"""Answers that an address gives which is not (any more) the right one."""

COMPARE = "compare it with the address that its service shows"

TEST_TITLE = "🔔 {symbol}: test"
TEST_TEXT = (
    "Sent by diagnose.py at {at} ET, as loud as a BUY. Alerts arrive like this one.\nYou: nothing to do."
)

SECOND_TEST_TEXT = (
    "Sent by diagnose.py at {at} ET. A SELL that Pushover does not take comes here.\nYou: nothing to do."
)


class Mark(Enum):
    """How a check came out."""

    OK = "✓"
    WARNING = "⚠"
    FAIL = "✗"


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, what was found, and what to do about it."""

    group: str
    mark: Mark
    found: str
    do: str = ""

    def line(self) -> str:
        """The line as it is printed."""
        return f"  {self.mark.value} {self.found}" + (f" — {self.do}" if self.do else "")


MARKET, PUSH, OUTSIDE = "Market data", "Push", "Outside watch"


class Progress(Protocol):
    """Is told what is being asked."""

    def begin(self, subject: str) -> None:
        """It is asked from now on."""

    def end(self, subject: str) -> None:
        """It has been answered, or given up."""


class Silent:
    """Tells nobody."""

    def begin(self, subject: str) -> None:
        """Nothing."""

    def end(self, subject: str) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Asked:
    """What is asked besides what harms nobody.

    ``sockets``: open both sockets; else ``no_sockets`` says why not, and ``do`` what to do about that. ``send_test``:
    send one real push.
    """

    sockets: bool = False
    no_sockets: str = "not asked for"
    do: str = ""
    send_test: bool = False


def in_session(session: Session, now: int) -> bool:
    """Whether ``session`` is in progress."""
    return session.open <= now < session.close


def may_be_connected(session: Session, now: int) -> bool:
    """Whether a worker somewhere else, if there is one, is connected: a socket of ours would cut it off."""
    begin = session.open - CONNECTED_BEFORE_SECONDS * SECOND
    return begin <= now < session.close + CONNECTED_AFTER_SECONDS * SECOND


def last_close(now: int) -> int:
    """The latest close before ``now``, µs. Raises LookupError when there was none in 30 days."""
    today = date.fromisoformat(utils.new_york_date(now))
    for days in range(31):
        session = utils.session_on(today - timedelta(days=days))
        if session is not None and session.close <= now:
            return session.close
    raise LookupError("no session within the last 30 days: the calendar must be wrong")


# --- All questions at once ---------------------------------------------------------------------------


async def check_network(
    settings: Settings,
    clock: Clock,
    asked: Asked | None = None,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    progress: Progress | None = None,
    limit_s: float = LIMIT_S,
) -> list[Check]:
    """Ask every vendor, side by side, each question for at most ``limit_s`` real seconds.

    Never raises for what a vendor or the network did. It returns within the limit and what closing a socket takes
    (2.5 s), even when no server answers.
    """
    questions = _Questions(
        settings,
        clock,
        asked=asked or Asked(),
        transport=transport,
        progress=progress or Silent(),
        limit_s=limit_s,
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(questions.close)
        return await questions.ask()


@dataclass
class _Known:
    """What one question finds out and another needs; None when it could not be had."""

    chain: asyncio.Future[Chain | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    spot: asyncio.Future[float | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class _Questions:
    """The questions, their connections, and what they share."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        asked: Asked,
        transport: httpx.AsyncBaseTransport | None,
        progress: Progress,
        limit_s: float,
    ) -> None:
        self._settings = settings
        self._rules = settings.rules
        self._clock = clock
        self._asked = asked
        self._transport = transport
        self._progress = progress
        self._limit_s = limit_s
        exchange_s = min(EXCHANGE_DEADLINE_S, limit_s * EXCHANGE_SHARE)
        self._key = settings.polygon_api_key.get_secret_value()
        self._rest = Rest(
            settings.polygon_rest_url,
            self._key,
            clock,
            transport,
            deadline_s=exchange_s,
            ahead_us=ahead_us(settings.rules),
        )
        self._pushover = Pushover(
            settings.pushover_url,
            settings.pushover_token,
            settings.pushover_user_key,
            transport=transport,
            exchange_s=exchange_s,
        )
        self._known = _Known()
        self._now = clock.now()
        self._session = utils.session_at(self._now)
        self._in_session = in_session(self._session, self._now)

    async def close(self) -> None:
        """Close the connections. What goes wrong in it changes nothing that was found."""
        closing = (self._rest.aclose(), self._pushover.close())
        async with asyncio.timeout(self._limit_s):
            await asyncio.gather(*closing, return_exceptions=True)

    async def ask(self) -> list[Check]:
        """Every line, in the order in which it is read."""
        limited = self._limited
        groups = await asyncio.gather(
            limited(MARKET, "key", self._ask_key),
            limited(MARKET, "option chain", self._ask_chain),
            limited(MARKET, "stock bars", self._ask_bars),
            self._contracts(),
            self._sockets(),
            self._push(),
            self._outside(),
        )
        # What the clock says was measured by the way, by any of the answers.
        key, *others = groups
        return [*key, self._clock_line(), *(check for group in others for check in group)]

    async def _limited(
        self, group: str, subject: str, ask: Callable[[], Awaitable[Check | None]]
    ) -> list[Check]:
        """The line of one question, which is ended when it takes too long."""
        self._progress.begin(subject)
        try:
            async with asyncio.timeout(self._limit_s):
                found = await ask()
        except RestError as error:
            found = Check(group, Mark.FAIL, f"{subject}: {error}", _rest_remedy(error.kind))
        except TimeoutError:
            text = f"{subject}: no answer within {self._limit_s:g} s"
            found = Check(group, Mark.FAIL, text, "check this machine's network; else that server is down")
        except failures() as error:
            # What an address, a proxy, a certificate or a connection did, TLS's and encoding's own errors included.
            text = f"{subject}: {failure_words(error)}"
            found = Check(
                group, Mark.FAIL, text, "check its address, and the proxy and certificates of this machine"
            )
        finally:
            self._progress.end(subject)
        return [] if found is None else [found]

    # Market data: REST

    async def _ask_key(self) -> Check:
        """A cheap question that needs the key; its answer tells the exchange's state and the vendor's clock, too."""
        status = await self._rest.market_status()
        found = f"key: accepted; the exchange says {status}"
        if self._in_session and status != "open":
            text = f"{found}, the calendar says open"
            return Check(MARKET, Mark.WARNING, text, "no entries while it stays so")
        return Check(MARKET, Mark.OK, found)

    def _clock_line(self) -> Check:
        """This machine's clock against the ``Date`` of the vendor's answers."""
        skew, limit = self._rest.skew, self._rules.clock_doubt_seconds
        if skew is None:
            text = "clock: could not be compared with the vendor's (no answer that was quick enough)"
            return Check(MARKET, Mark.WARNING, text, "ask again; entries need a clock that is right")
        side = "behind" if skew > 0 else "ahead of"
        by = utils.difference_text(round(abs(skew) * SECOND))
        found = f"clock: {by} {side} the vendor's, which is told in whole seconds (limit {limit:g} s)"
        if abs(skew) > limit:
            do = "set this machine's clock (NTP): entries are held until then"
            return Check(MARKET, Mark.FAIL, found, do)
        return Check(MARKET, Mark.OK, found)

    async def _ask_chain(self) -> Check:
        """Whether the plan gives real-time option quotes."""
        known, rules = self._known.chain, self._rules
        try:
            chain = await self._rest.chain(rules.symbol, self._session.date, None, rules.chain_spot_percent)
            known.set_result(chain)
        finally:
            if not known.done():
                known.set_result(None)
        return judge_chain(chain, self._session, rules.symbol, self._clock.now())

    async def _ask_bars(self) -> Check:
        """Whether the plan gives seconds of the stock, and in a session whether they are in time."""
        known, session, symbol, now = self._known.spot, self._session, self._rules.symbol, self._now
        half_hour = 30 * 60 * SECOND
        proving = self._in_session and now - session.open > STOCKS_LAG_SECONDS * SECOND
        end = now if proving else last_close(now)
        start = max(session.open, end - half_hour) if proving else end - half_hour
        try:
            bars = await self._rest.second_bars(symbol, start, end)
            known.set_result(bars[-1].close if bars else None)
        finally:
            if not known.done():
                known.set_result(None)
        return judge_bars(bars, session, symbol, now, proving=proving)

    async def _contracts(self) -> list[Check]:
        """What the rules for the contract make of the chain as it is now. Without a chain, that has been said."""
        chain, spot = await self._known.chain, await self._known.spot
        if chain is None or not chain.rows:
            return []
        if not self._in_session:
            text = "contracts: how many calls pass the rules shows only after the open"
            return [Check(MARKET, Mark.OK, text)]
        if spot is None:
            text = f"contracts: not judged, the price of {self._rules.symbol} is not known"
            return [Check(MARKET, Mark.WARNING, text, "see stock bars")]
        return [judge_contracts(chain, self._rules, self._session, spot, self._clock.now())]

    # Market data: sockets

    async def _sockets(self) -> list[Check]:
        if not self._asked.sockets:
            text = f"sockets: not tried, {self._asked.no_sockets}"
            return [Check(MARKET, Mark.WARNING, text, self._asked.do)]
        stocks, options = await asyncio.gather(
            self._limited(MARKET, "stocks socket", self._try_stocks),
            self._limited(MARKET, "options socket", self._try_options),
        )
        return stocks + options

    async def _try_stocks(self) -> Check:
        """Log in, subscribe to the bars and, in a session, see some come."""
        trial = self._trial("stocks")
        flowing = in_session(self._session, self._now - FIRST_BARS_SECONDS * SECOND)

        async def pairs() -> list[str]:
            return [f"A.{symbol}" for symbol in self._rules.symbols]

        return await trial.run(pairs, BARS_WANTED if flowing else 0)

    async def _try_options(self) -> Check:
        """Log in, subscribe to the calls that the worker would take and, in a session, see quotes come."""
        trial = self._trial("options")
        flowing = in_session(self._session, self._now - FIRST_BARS_SECONDS * SECOND)

        async def pairs() -> list[str]:
            chain, spot = await self._known.chain, await self._known.spot
            return [f"Q.{contract}" for contract in nearest(chain, spot, self._rules.stream_contracts)]

        return await trial.run(pairs, QUOTES_WANTED if flowing else 0)

    def _trial(self, market: str) -> _Trial:
        return _Trial(market, self._settings, self._clock, self._limit_s)

    # Push

    async def _push(self) -> list[Check]:
        user, quota = await asyncio.gather(
            self._limited(PUSH, "user", self._ask_user), self._limited(PUSH, "quota", self._ask_quota)
        )
        found = user + quota
        if not self._asked.send_test:
            return found
        if any(check.mark is Mark.FAIL for check in found):
            return [*found, Check(PUSH, Mark.FAIL, "test push: not sent", "see the lines above")]
        return found + await self._limited(PUSH, "test push", self._send_test)

    async def _ask_user(self) -> Check:
        """Whether token and user key are good, and which devices there are."""
        answer = await self._pushover.validate()
        if answer.result is not Result.OK:
            return _push_failure("user", answer)
        if not answer.devices:
            do = "install the Pushover app, or make sure that the group has members"
            return Check(PUSH, Mark.WARNING, "user: valid, and no device is named", do)
        return Check(PUSH, Mark.OK, f"user: valid; devices: {', '.join(answer.devices)}")

    async def _ask_quota(self) -> Check:
        """How many pushes are left this month."""
        answer = await self._pushover.limits()
        if answer.result is not Result.OK:
            return _push_failure("quota", answer)
        if answer.remaining is None:
            return Check(PUSH, Mark.WARNING, "quota: not told")
        reset = "" if answer.reset is None else f" until {utils.day_text(answer.reset * SECOND)}"
        found = f"quota: {answer.remaining} of {answer.limit} pushes left{reset}"
        if answer.remaining == 0:
            return Check(PUSH, Mark.FAIL, found, "no alert can arrive until then: buy more at pushover.net")
        if answer.remaining < QUOTA_LOW:
            return Check(PUSH, Mark.WARNING, found, "they may not last: buy more at pushover.net")
        return Check(PUSH, Mark.OK, found)

    async def _send_test(self) -> Check:
        """One real push, by the sender that the worker uses, as loud as a BUY."""
        outcomes: list[AlertOutcome] = []

        def report(event: Event) -> None:
            if isinstance(event, AlertOutcome):
                outcomes.append(event)

        now = self._clock.now()
        alert = Alert(
            # The kind counts for ranking and duplicates only, and this sender sends nothing else.
            kind=AlertKind.ARMED,
            id="test",
            title=TEST_TITLE.format(symbol=self._rules.symbol),
            message=TEST_TEXT.format(at=utils.clock_text(now)),
            decided_at=now,
            priority=Priority.HIGH,
        )
        sender = Sender(self._settings, self._clock, report, lambda contract: None, self._transport)
        running = asyncio.create_task(sender.run(), name="test push")
        try:
            sender.submit(alert)
            await sender.drain(self._limit_s * EXCHANGE_SHARE)
        finally:
            running.cancel()
            await asyncio.wait({running})
        return _test_line(outcomes, (self._clock.now() - now) / SECOND)

    # The outside watch

    async def _outside(self) -> list[Check]:
        heartbeat, second = self._settings.heartbeat_url, self._settings.second_channel_url
        lines = await asyncio.gather(
            self._limited(OUTSIDE, "HEARTBEAT_URL", lambda: self._beat(heartbeat.get_secret_value())),
            self._limited(OUTSIDE, "SECOND_CHANNEL_URL", lambda: self._second_channel(second)),
        )
        return [check for group in lines for check in group]

    async def _beat(self, url: str) -> Check | None:
        """Ask the heartbeat's address as the worker does every minute. That it is not set is said elsewhere."""
        if not url:
            return None
        reply = await self._answer_of("GET", url)
        if isinstance(reply, str):
            do = "check this machine's network, and HEARTBEAT_URL"
            return Check(OUTSIDE, Mark.FAIL, f"HEARTBEAT_URL: {reply}", do)
        fault = fault_of(reply)
        if fault:
            return Check(OUTSIDE, Mark.FAIL, f"HEARTBEAT_URL: {fault}", COMPARE)
        text = f"HEARTBEAT_URL: answered {reply.status}, and has counted this as a beat"
        return Check(OUTSIDE, Mark.OK, text)

    async def _second_channel(self, url: SecretStr) -> Check | None:
        """Post a test to the second channel when that is asked for; else only see whether somebody answers there."""
        if not url.get_secret_value():
            return None
        return await (self._post_test(url) if self._asked.send_test else self._knock(url.get_secret_value()))

    async def _post_test(self, url: SecretStr) -> Check:
        """Post one test, as the worker posts a SELL that Pushover does not take."""
        channel = SecondChannel(url, self._transport)
        title = TEST_TITLE.format(symbol=self._rules.symbol)
        text = SECOND_TEST_TEXT.format(at=utils.clock_text(self._clock.now()))
        try:
            failure = await channel.post(f"{title}\n\n{text}", self._limit_s * EXCHANGE_SHARE)
        finally:
            await channel.close()
        if failure:
            return Check(OUTSIDE, Mark.FAIL, f"SECOND_CHANNEL_URL: test not taken, {failure}", COMPARE)
        return Check(OUTSIDE, Mark.OK, "SECOND_CHANNEL_URL: test taken; it should have arrived there by now")

    async def _knock(self, url: str) -> Check:
        """Whether somebody answers at the second channel. HEAD, so that nothing is told there."""
        reply = await self._answer_of("HEAD", url)
        if isinstance(reply, str):
            do = "check this machine's network, and SECOND_CHANNEL_URL"
            return Check(OUTSIDE, Mark.FAIL, f"SECOND_CHANNEL_URL: {reply}", do)
        text = f"SECOND_CHANNEL_URL: its server answers ({reply.status}); nothing was posted, so more is not known"
        if reply.status >= HTTP_FAULT or reply.status in HTTP_UNKNOWN:
            return Check(OUTSIDE, Mark.WARNING, text, COMPARE)
        return Check(OUTSIDE, Mark.OK, text)

    async def _answer_of(self, method: str, url: str) -> Reply | str:
        """What a server answers, or in words why it does not: never the error's own text."""
        caller = Caller(url, self._transport, limit_s=self._limit_s * EXCHANGE_SHARE, body_max=BODY_MAX)
        try:
            return await caller.ask(method)
        except Failed as failed:
            return str(failed)
        finally:
            await caller.close()


# --- What answers say --------------------------------------------------------------------------------


def _rest_remedy(kind: RestErrorKind) -> str:
    """What to do about a request that gave nothing."""
    remedies = {
        RestErrorKind.UNAUTHORIZED: "check POLYGON_API_KEY against the dashboard at massive.com",
        RestErrorKind.FORBIDDEN: "the plan does not include it: Stocks Advanced and Options Advanced are needed",
        RestErrorKind.RATE_LIMITED: "a free plan allows 5 requests a minute: wait, or check the plan",
        RestErrorKind.CERTIFICATE: "check POLYGON_REST_URL, or the proxy and certificates of this machine",
        RestErrorKind.TRANSPORT: "check this machine's network, and POLYGON_REST_URL",
        RestErrorKind.TIMEOUT: "check this machine's network, then the vendor's status page",
        RestErrorKind.SERVER: "the vendor has trouble: see its status page, then ask again",
    }
    return remedies.get(kind, "ask again; if it stays, check POLYGON_REST_URL")


def judge_chain(chain: Chain, session: Session, symbol: str, now: int) -> Check:
    """What a session's chain says about the plan, and what only an open market can prove."""
    subject = f"option chain: {symbol} calls of {session.date}"
    is_open = in_session(session, now)
    if not chain.rows:
        if is_open:
            do = f"nothing expires today, or SYMBOL is wrong: {symbol} needs daily expirations"
            return Check(MARKET, Mark.FAIL, f"{subject}: none", do)
        do = "ask again in the morning of that day"
        return Check(MARKET, Mark.WARNING, f"{subject}: none listed yet", do)
    quoted = [row for row in chain.rows if row.quoted_at and (row.bid or row.ask)]
    found = f"{subject}: {len(chain.rows)} strikes, {len(quoted)} quoted"
    if not quoted:
        do = "the plan has no option quotes: Options Advanced is needed"
        return Check(MARKET, Mark.FAIL, f"{found}, no last_quote", do)
    if not all(row.real_time for row in quoted):
        do = "a delayed plan: Options Advanced is needed"
        return Check(MARKET, Mark.FAIL, f"{found}, timeframe is not REAL-TIME", do)
    greeks = sum(row.delta is not None for row in quoted)
    found += f", REAL-TIME, {greeks} with delta"
    if not is_open:
        return Check(MARKET, Mark.OK, f"{found}; that quotes are fresh shows only after the open")
    age = now - max(row.quoted_at for row in quoted)
    found += f", the newest {utils.span_text(age)} old"
    if age > QUOTE_AGE_SECONDS * SECOND and now - session.open > FIRST_QUOTES_SECONDS * SECOND:
        return Check(MARKET, Mark.WARNING, found, "they stand still: a halt, or the vendor has trouble")
    return Check(MARKET, Mark.OK, found)


def judge_bars(bars: Sequence[Bar], session: Session, symbol: str, now: int, *, proving: bool) -> Check:
    """What the seconds of half an hour say about the plan; ``proving`` when they are the session's own."""
    if not proving:
        found = f"stock bars: {len(bars)} seconds of {symbol} in the last session's last half hour"
        if not bars:
            return Check(MARKET, Mark.WARNING, found, "ask again during a session")
        return Check(MARKET, Mark.OK, f"{found}; that they come in real time shows only after the open")
    found = f"stock bars: {len(bars)} seconds of {symbol} in the last half hour"
    age = now - bars[-1].end if bars else now - session.open
    found += f", the newest {utils.span_text(age)} old"
    if age > STOCKS_LAG_SECONDS * SECOND:
        return Check(MARKET, Mark.FAIL, found, "a delayed plan, or a halt: Stocks Advanced is needed")
    return Check(MARKET, Mark.OK, found)


def judge_contracts(chain: Chain, rules: Rules, session: Session, spot: float, now: int) -> Check:
    """How many calls fall to each rule for the contract at this moment, by the worker's own judgement and in its words."""
    result = select(
        rules,
        now=now,
        close=session.close,
        spot=spot,
        rows=chain.rows,
        prices=polled_prices(rules, now, spot, chain.rows),
        chain_age=0,
    )
    told = f"of {result.considered} call{'' if result.considered == 1 else 's'}"
    if fell := logger.fallen_text(result.fallen):
        told += f", fell to each rule: {fell}"
    if isinstance(result, Refused):
        do = "no BUY as long as it stays so; the README says which setting each rule has"
        return Check(MARKET, Mark.WARNING, f"contracts: none passes now; {told}", do)
    outside = "" if result.in_range else f", outside {rules.delta_min:.2f}–{rules.delta_max:.2f}"
    spread = f"spread {result.price.spread_percent:.1f}%"
    best = f"{result.row.contract} (Δ{result.delta:.2f}{outside}, {spread})"
    return Check(MARKET, Mark.OK, f"contracts: {best} would be taken now; {told}")


def nearest(chain: Chain | None, spot: float | None, count: int) -> list[str]:
    """The calls nearest the money; the middle of the chain where the price is not known."""
    rows = () if chain is None else chain.rows
    if not rows:
        return []
    middle = rows[len(rows) // 2].strike / STRIKE_UNIT if spot is None else spot
    return contract_selector.nearest(rows, middle, count)


def _push_failure(subject: str, answer: Answer) -> Check:
    if answer.status == TOO_MANY:
        do = "the month's pushes are used up, or too many were asked at once: see pushover.net"
        return Check(PUSH, Mark.FAIL, f"{subject}: refused, {answer.reason}", do)
    if answer.result is Result.REFUSED:
        wrong = "PUSHOVER_USER_KEY" if "user" in " ".join(answer.errors) else "PUSHOVER_TOKEN"
        return Check(
            PUSH, Mark.FAIL, f"{subject}: refused, {answer.reason}", f"check {wrong} at pushover.net"
        )
    do = "check this machine's network, and PUSHOVER_URL"
    return Check(PUSH, Mark.FAIL, f"{subject}: {answer.reason}", do)


def _test_line(outcomes: Sequence[AlertOutcome], seconds: float) -> Check:
    """What became of the test push."""
    if not outcomes:
        text = f"test push: not accepted within {seconds:.0f} s"
        return Check(PUSH, Mark.FAIL, text, "check this machine's network, then Pushover's status page")
    outcome = outcomes[0]
    if outcome.outcome is Outcome.ACCEPTED:
        text = f"test push: accepted after {seconds:.2f} s"
        return Check(PUSH, Mark.OK, f"{text}; it should have sounded on the phone by now")
    if outcome.outcome is Outcome.LOST:
        text = f"test push: sent, and the answer was lost ({outcome.detail})"
        return Check(PUSH, Mark.WARNING, text, "see whether it has arrived, then ask again")
    text = f"test push: {outcome.outcome}, {outcome.detail}"
    return Check(PUSH, Mark.FAIL, text, "check PUSHOVER_TOKEN and PUSHOVER_USER_KEY at pushover.net")


# --- A socket, tried once ----------------------------------------------------------------------------

EVICTED_DO = "another copy has the account's only connection: stop it, or do not run this one (a second key does not help)"


class _Trial:
    """One connection to one market, by the worker's own socket: opened, tried, closed."""

    def __init__(self, market: str, settings: Settings, clock: Clock, limit_s: float) -> None:
        self._market = market
        self._rules = settings.rules
        self._clock = clock
        self._limit_s = limit_s
        self._step_s = limit_s / SOCKET_STEPS
        key = settings.polygon_api_key.get_secret_value()
        self._bad = BadInput(f"the {market} socket", clock, scrubber(key))
        self._socket = Socket(
            market,
            ws_url=settings.polygon_ws_url,
            api_key=key,
            clock=clock,
            decoder=FrameDecoder(self._bad, ahead_us(settings.rules)),
            step_s=self._step_s,
        )
        self._wanted: list[str] = []
        self._lags: list[int] = []
        self._newest: dict[str, int] = {}

    async def run(self, pairs: Callable[[], Awaitable[Sequence[str]]], data_wanted: int) -> Check:
        """Open, subscribe to what ``pairs`` gives, wait for so many first prints or quotes (0: it is too early)."""
        end = asyncio.get_running_loop().time() + self._limit_s * EXCHANGE_SHARE
        try:
            try:
                await self._socket.open()
                self._wanted = list(await pairs())
                if self._wanted:
                    await self._socket.subscribe(self._wanted)
                    await self._answers()
                    if not self._socket.pending:
                        await self._data(data_wanted, end)
            finally:
                await self._socket.close()
        except Lost as lost:
            return self._lost(lost)
        return self._judged(data_wanted)

    async def _answers(self) -> None:
        """Wait until every pair is answered, or no more answers come. A pair whose data comes is taken for answered."""
        socket = self._socket
        try:
            async with asyncio.timeout(self._step_s):
                while socket.pending and socket.unauthorized < len(socket.pending):
                    self._take(await socket.receive())
                    socket.pending -= {
                        pair for pair in socket.pending if pair.partition(".")[2] in self._newest
                    }
        except TimeoutError:
            return  # what is pending then is judged

    async def _data(self, wanted: int, end: float) -> None:
        """Wait for data until ``end`` (the loop's time) at most; for a moment at least: an eviction shows here."""
        if not wanted:
            end = asyncio.get_running_loop().time() + self._limit_s * EVICTION_SHARE
        try:
            async with asyncio.timeout_at(end):
                while not wanted or len(self._lags) < wanted:
                    self._take(await self._socket.receive())
        except TimeoutError:
            return

    def _take(self, events: Iterable[Bar | StreamQuote]) -> None:
        """Note how late each first print, or quote, has come. A corrected bar is an old one."""
        now = self._clock.now()
        for event in events:
            if isinstance(event, Bar):
                name, at = event.symbol, event.end
            else:
                name, at = event.quote.contract, event.quote.at
            if at > self._newest.get(name, 0):
                self._newest[name] = at
                self._lags.append(max(0, now - at))

    def _lost(self, lost: Lost) -> Check:
        text = f"{self._market} socket: {lost.text}"
        if lost.cause is FeedCause.EVICTED:
            return Check(MARKET, Mark.FAIL, text, EVICTED_DO)
        if lost.cause is FeedCause.REFUSED:
            return Check(MARKET, Mark.FAIL, text, lost.advice)
        return Check(MARKET, Mark.FAIL, text, "check this machine's network, and POLYGON_WS_URL")

    def _judged(self, data_wanted: int) -> Check:
        """The line of a connection that has held."""
        found = f"{self._market} socket: connected, key accepted"
        if not self._wanted:
            text = f"{found}; no contract is known to subscribe to"
            return Check(MARKET, Mark.WARNING, text, "see option chain")
        pending = self._socket.pending - {
            f"{self._wanted[0].partition('.')[0]}.{name}" for name in self._newest
        }
        found += f", {len(self._wanted) - len(pending)} of {len(self._wanted)} subscribed"
        if pending:
            return self._missing(found, sorted(pending))
        if not data_wanted:
            what = "bars" if self._market == "stocks" else "quotes"
            return Check(MARKET, Mark.OK, f"{found}; that {what} flow shows only after the open")
        return self._late(found)

    def _missing(self, found: str, pending: Sequence[str]) -> Check:
        """Some pair was not acknowledged. Without quotes by socket the worker polls them, without bars it is blind."""
        text = f"{found}, not {', '.join(pending)}"
        if self._market == "options":
            plan = (
                "the plan has no quote stream (Options Advanced has)"
                if self._socket.unauthorized
                else "ask again"
            )
            return Check(MARKET, Mark.WARNING, text, f"{plan}; without it the chain is polled, every 2 s")
        if self._socket.unauthorized:
            text = f"{text} (the vendor says: not authorized)"
            return Check(MARKET, Mark.FAIL, text, "Stocks Advanced is needed for bars in real time")
        return Check(MARKET, Mark.FAIL, text, "ask again; if it stays, check SYMBOL and BENCHMARK")

    def _late(self, found: str) -> Check:
        """How late the data came, of which there should be some."""
        what = "bars" if self._market == "stocks" else "quotes"
        if not self._lags:
            bad = ", ".join(f"{count} unusable: {reason}" for reason, count in self._bad.counts.items())
            text = f"{found}, but no {what} came in time{f' ({bad})' if bad else ''}"
            return Check(MARKET, Mark.FAIL, text, "ask again; if it stays: a halt, or the plan")
        lag = statistics.median(self._lags) / SECOND
        found += (
            f", {len(self._lags)} {what}, {lag:.1f} s late (median, limit {self._rules.max_lag_seconds:g} s)"
        )
        if lag > self._rules.max_lag_seconds:
            return Check(MARKET, Mark.FAIL, found, "a delayed plan or address: real time is needed")
        return Check(MARKET, Mark.OK, found)
